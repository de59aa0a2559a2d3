"""What all tests share: how hypothesis runs, the signals that children begin with, fixtures for peers (tests/peers.py).

It stands here and in no folder below: profiles count for what is imported later, and this is imported first.
"""

import gc
import os
import signal
import sys
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from mqttlite.cli.variant import COMPILED
from tests import rabbitmq, shared
from tests.aedes import Aedes
from tests.database.postgres import Postgres
from tests.peers import MicroPython, Mosquitto, WasmMicroPython

# The same examples every time, on a slow machine too, and nothing that an earlier run has left counts; unless
# HYPOTHESIS_PROFILE=explore asks for many others. In CI=true hypothesis would choose a profile of its own.
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
settings.register_profile("repeatable", derandomize=True, deadline=None, suppress_health_check=SLOW, database=None)
settings.register_profile("explore", max_examples=2000, deadline=None, suppress_health_check=SLOW, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

# What the programs under test read from their environment is the tests' to say, not the machine's.
for _name in ("BROKER", "COLUMNS", "DEMO_SECONDS", "LINES", "MQTTLITE_PASSWORD", "NO_COLOR", "PYTHONWARNINGS"):
    os.environ.pop(_name, None)
os.environ["TERM"] = "xterm"

# What is compiled once is kept, here and by every program that a test starts: there are a thousand of them, and six
# workers that collect all tests.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
_runtime = tempfile.TemporaryDirectory(prefix="run-")  # sockets of gateways; removed when the tests end
os.environ["XDG_RUNTIME_DIR"] = _runtime.name

# Before workers are made: they know by it what they share.
_ends_run = shared.begin()

# What is ignored here is ignored by every child: started with nohup or in the background of a script, this would be
# SIGHUP or SIGINT, and a test that ends its child with that would wait for ever.
for _number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, signal.default_int_handler if _number == signal.SIGINT else signal.SIG_DFL)


def pytest_xdist_auto_num_workers() -> int:
    """Three times as many workers as processors: for two thirds of its time a test waits, for a peer, for a line of
    115,200 baud, for a board to start.
    """
    return 3 * len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 3 * (os.cpu_count() or 1)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What collecting makes stays to the end: the garbage collector need not look through it, now or later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """On the compiled build (`make compiled`), tests that replace or derive what is compiled are left out. Those that
    take longest begin first, so that nobody waits for one of them at the end.
    """
    for item in items:
        marker = item.get_closest_marker("source")
        if COMPILED and marker:
            item.add_marker(pytest.mark.skip(reason=f"for the source alone: {marker.args[0]}"))
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


def pytest_unconfigure() -> None:
    """What tests have shared ends with the process that has started them all."""
    global _ends_run
    if _ends_run:
        _ends_run = False
        rabbitmq.end_run()


@pytest.fixture(scope="session")
def shared_rabbitmq() -> rabbitmq.Shared:
    """A running RabbitMQ with its MQTT plugin, one for all tests: take names of your own, and leave it as it is."""
    return rabbitmq.shared()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server, one for each process of the test run."""
    with Postgres() as running:
        yield running


@pytest.fixture
def aedes() -> Iterator[Aedes]:
    """A running aedes, which keeps sessions in memory."""
    with Aedes() as broker:
        yield broker


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    """A running Mosquitto that saves its state at every change."""
    with Mosquitto(tmp_path / "mosquitto") as broker:
        yield broker


@pytest.fixture
def quick_mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    """A running Mosquitto that saves nothing: for thousands of messages, for each of which `mosquitto` writes all."""
    settings = {"max_queued_messages": 100_000}
    with Mosquitto(tmp_path / "mosquitto", persistence=False, settings=settings) as broker:
        yield broker


@pytest.fixture
def micropython() -> MicroPython:
    """The MicroPython interpreter, 64 bit: `await micropython.run(script, heap="96k")`."""
    return MicroPython()


@pytest.fixture
def wasm_micropython() -> WasmMicroPython:
    """MicroPython with 32 bits: `await wasm_micropython.run(script, files=[ROOT / "mqttlite/core"])`."""
    return WasmMicroPython()


@pytest.fixture(params=["micropython", "cpython"])
def runtime(request: pytest.FixtureRequest) -> str:
    """Both runtimes by name, one after the other."""
    return str(request.param)
