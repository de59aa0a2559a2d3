"""Fixtures for all tests; the programs behind them are in tests/peers.py."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers import MicroPython, Mosquitto, WasmMicroPython


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    """A running Mosquitto that saves its state at every change."""
    with Mosquitto(tmp_path / "mosquitto") as broker:
        yield broker


@pytest.fixture
def micropython() -> MicroPython:
    """The MicroPython interpreter, 64 bit: `await micropython.run(script, heap="96k")`."""
    return MicroPython()


@pytest.fixture
def wasm_micropython() -> WasmMicroPython:
    """MicroPython with 32 bits: `await wasm_micropython.run(script, files=[ROOT / "mqttlite/core"])`."""
    return WasmMicroPython()
