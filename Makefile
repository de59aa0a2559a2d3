# Every command sets up what it needs (tools/setup.sh) and is quick when that is done already.

PY := .venv/bin/python
unexport PYTHONDONTWRITEBYTECODE # compiled once is enough
ATONCE := $(MAKE) --no-print-directory -j4
TESTING := .venv/.ready .venv/.tools build/system.ready build/node.ready build/board.ready build/stubs.ready

.PHONY: help setup demo test collected supplies compiled lint format fuzz attack guided bench durability durable killed crash chaos bridge-faults simulate large site frames size board qemu release deb deb-test interop diagrams pictures cuts reference clean
.DELETE_ON_ERROR:

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | while IFS="$$(printf '\t')" read -r target text; do \
		printf '  make %-13s %s\n' "$$target" "$$text"; done

setup: ## everything into .venv and build/, nothing outside but system packages
	@$(ATONCE) $(TESTING)
	@echo "set up: .venv/bin/mqttlite is there; next: make demo, make test"

demo: .venv/.ready ## boards, noisy lines, gateway, bridge, kill -9 of all of them, and what has come of it (ARGS='--seed 7')
	@.venv/bin/mqttlite demo --whole $(ARGS)

# The linters run beside the parts of the set-up that they do not need, for most of which one processor would be idle.
# Meanwhile what boards get is built, for which the first tests would wait; and the tests are compiled, by one process
# instead of by each worker.
test: ## linters, type checkers, all tests (ARGS='-k session' for some)
	@$(ATONCE) $(TESTING) $(if $(ARGS),,supplies collected) lint
	$(PY) -m pytest $(ARGS)

collected: .venv/.tools
	@$(PY) -m pytest -n 0 -q --collect-only >build/collected.log 2>&1 || true

supplies: .venv/.tools
	@$(PY) -m tools.build_supplies $$($(PY) -m tools.build_supplies --names) program starter >build/supplies.log 2>&1 &

lint: .venv/.tools build/stubs.ready ## ruff; mypy: host code as CPython, firmware/ as MicroPython; the house: imports, circles, sizes
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(PY) -m tools.check_house
	@if [ -n "$$(find firmware -name '*.py' 2>/dev/null)" ]; then set -x; $(PY) -m mypy --config-file tools/mypy-firmware.ini; fi

format: .venv/.tools ## lets ruff write the layout and the order of imports
	$(PY) -m ruff check --select I --fix .
	$(PY) -m ruff format .

fuzz: .venv/.tools ## random and broken packets into both ends of a connection (ARGS='--seconds 600 --seed 7')
	@$(PY) -m fuzz.core $(ARGS)

attack: .venv/.tools ## attacks on a broker with default settings, honest clients beside it; about three minutes (ARGS='half-open-flood')
	@$(PY) -m benchmarks.attack $(ARGS)

guided: .venv/.tools ## the same, guided by coverage (ARGS='codec --seconds 600', or client, server, broker, gates, listeners)
	@$(PY) -m fuzz.guided $(ARGS)

bench: $(TESTING) build/compiled.ready ## processor time per message, source and compiled, beside Mosquitto, paho-mqtt, gmqtt and mqttium
	@$(PY) -m tools.compiled
	@$(PY) -m benchmarks

durability: $(TESTING) ## what the SQLite store costs a client: processor time per message, messages a second by the disk's sync time
	@$(PY) -m benchmarks.durability $(ARGS)

durable: $(TESTING) ## the same for the broker, beside Mosquitto: acknowledgements a second, syncs and bytes (ARGS='--start 1000000': its start)
	@$(PY) -m benchmarks.broker_durable $(ARGS)

killed: $(TESTING) ## kill -9 of the broker within microseconds of a random acknowledgement: 20 trials of 5,000 messages for each QoS
	@$(PY) -m benchmarks.killed $(ARGS)

crash: $(TESTING) ## producers, consumers and links are killed: 20 seeds of 300 messages, Mosquitto and our broker
	@$(PY) -m benchmarks.crash $(ARGS)

chaos: $(TESTING) ## the same faults for us, Mosquitto, paho-mqtt and MQTT.js, brokers killed too: 20 seeds of 300 messages
	@$(PY) -m benchmarks.chaos $(ARGS)

bridge-faults: $(TESTING) ## bridges under the same faults: ours, Mosquitto's, mq-bridge of PyPI; a quarter of an hour (ARGS='--only ours')
	@$(PY) -m benchmarks.bridge.table $(ARGS)

simulate: $(TESTING) ## every fault at every step of small worlds, then pairs; some minutes (ARGS='--share 0.1 --pairs 500')
	@$(PY) -m benchmarks.simulate $(ARGS)

large: $(TESTING) ## simulated fleets at random, seed after seed (ARGS='--seeds 1- --seconds 3600')
	@$(PY) -m benchmarks.simulate_large $(ARGS)

frames: $(TESTING) ## ten million frames of the serial link over noisy lines: whatever arrives is what was sent (ARGS='--frames 100000')
	@$(PY) -m benchmarks.link_frames $(ARGS)

site: $(TESTING) ## a day of a site: 50 devices, power cuts, an upstream away for 6 hours; a quarter of an hour (ARGS='--hours 2 --devices 10')
	@$(PY) -m benchmarks.site $(ARGS)

size: $(TESTING) ## bytes of .mpy, of heap and for each message: the bundles beside mqtt_as and umqtt.simple (ARGS=thin)
	@$(PY) -m benchmarks.size $(ARGS)

board: $(TESTING) ## MicroPython from source with mqttlite frozen in: heap of a board with a journal (ARGS='long')
	@$(PY) -m tools.build_micropython
	@$(PY) -m benchmarks.board_program $(filter long,$(ARGS))
	@$(PY) -m benchmarks.board_heap $(ARGS)

qemu: .venv/.tools ## the codec on QEMU's micro:bit (MicroPython 1.9, 9 kB of heap), compared with CPython; installs 14 MB
	@command -v qemu-system-arm >/dev/null && [ -e /usr/share/firmware-microbit-micropython/firmware.hex ] || tools/setup.sh qemu
	@$(PY) -m benchmarks.microbit

compiled: $(TESTING) build/compiled.ready ## a wheel with the modules of each message through mypyc (ARGS='-m pytest tests/broker' runs on it)
	@$(PY) -m tools.compiled $(ARGS)

cuts: $(TESTING) ## power cuts at every operation of a board's flash while the whole program runs; some minutes (ARGS=offline)
	@$(PY) -m benchmarks.cuts $(ARGS)

deb: $(TESTING) ## the Debian package for the Pi, into dist/; needs no root (ARGS='--version 1.0')
	@$(PY) -m tools.deb.build $(ARGS)

deb-test: $(TESTING) ## the same, tried in fresh roots of Debian 12 and 13 with their own systemd; as root (SUITES=trixie)
	@tools/test_deb.sh $(SUITES)

release: $(TESTING) ## wheel, sources, a ZIP file for boards (mip, mpremote), board data and their sums, into dist/
	@$(PY) -m tools.release $(ARGS)

interop: $(TESTING) ## every feature with Mosquitto's clients, paho-mqtt, aiomqtt, gmqtt, MQTT.js: the table in docs/interop.md
	@$(PY) -m tests.interop.matrix.table -w $(ARGS)

diagrams: .venv/.tools ## wiring diagrams and tables of hardware/ and docs/, where what they are made of has changed
	@$(PY) -m tools.diagrams $(ARGS)
	@$(PY) -m tools.board_tables

pictures: $(TESTING) ## pictures of the gateway's web page, taken by a test in headless Chromium, into docs/pictures/page
	@MQTTLITE_PICTURES=1 $(PY) -m pytest -q -n 0 tests/gateway/page/test_pictures.py -k pictured

reference: .venv/.tools ## the API reference, pages made of docstrings, into build/reference
	@$(PY) -m tools.reference $(ARGS)

clean: ## removes what these commands made, .venv included
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.ready: pyproject.toml tools/setup.sh
	@tools/setup.sh python

.venv/.tools: pyproject.toml tools/setup.sh | .venv/.ready
	@tools/setup.sh tools

build/system.ready: .venv/.ready
	@tools/setup.sh system

build/node.ready: tests/node/package.json | build/system.ready
	@tools/setup.sh node

build/board.ready: tools/build_micropython.py | build/system.ready
	@tools/setup.sh board

build/compiled.ready: pyproject.toml | .venv/.tools
	@tools/setup.sh compiled

build/stubs.ready: tools/requirements-stubs.txt | .venv/.ready
	@tools/setup.sh stubs
