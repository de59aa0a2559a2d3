"""`make size`: weighs what MicroPython loads, and nothing else."""

import pytest

from benchmarks import size
from tests import runtimes
from tests.peers import unavailable


@pytest.fixture(autouse=True)
def _runtimes() -> None:
    for found, what in (
        (runtimes.micropython(), "MicroPython (unix)"),
        (runtimes.mpy_cross(), "mpy-cross"),
        (runtimes.wasm_package(), "MicroPython (WebAssembly)"),
    ):
        if found is None:
            unavailable(what)


def test_modules_come_after_what_they_import() -> None:
    micropython = runtimes.micropython()
    assert micropython
    order = size.import_order(micropython, ["mqttlite.core.parser"])
    assert order[:2] == ["mqttlite", "mqttlite.core"]
    assert order.index("mqttlite.core.errors") < order.index("mqttlite.core.parser") == len(order) - 1


def test_the_parts_weigh_about_as_much_as_the_whole_and_32_bits_less_than_64() -> None:
    modules = ["mqttlite", "mqttlite.core", "mqttlite.core.errors"]
    weights = size.weigh(modules, modules[2:], [])
    assert list(weights) == [*modules, ""]
    whole = weights[""]
    assert whole.mpy == sum(weights[m].mpy for m in modules)
    assert whole.mpy_o3 < whole.mpy
    assert whole.heap_64 is not None
    assert whole.heap_32 is not None
    assert 0 < whole.heap_32 < whole.heap_64
    parts = sum(weights[m].heap_64 or 0 for m in modules)
    assert abs(parts - whole.heap_64) < 1024
