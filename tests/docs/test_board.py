"""docs/board.md: its programs run on MicroPython, as they stand but for what is around them."""

import sys
import textwrap
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from mqttlite import Client
from mqttlite_board.trying import obey, published, read
from tests.docs.pages import program
from tests.peers import MicroPython
from tests.runtimes import ROOT

BEFORE = """
import asyncio, gc, sys
from mqttlite import Client
url = sys.argv[1] if sys.argv[1:] else ""
"""

ESP32 = '''
class Partition:
    """A data partition, as the ESP32's: eight blocks of flash."""

    TYPE_DATA = 1

    def __init__(self):
        self.image = bytearray(8 * 4096)

    @staticmethod
    def find(kind, label):
        return [Partition()]

    def readblocks(self, block, buf, offset=0):
        at = block * 4096 + offset
        buf[:] = self.image[at : at + len(buf)]

    def writeblocks(self, block, buf, offset):
        at = block * 4096 + offset
        self.image[at : at + len(buf)] = buf

    def ioctl(self, op, arg):
        if op == 6:
            self.image[arg * 4096 : (arg + 1) * 4096] = b"\\xff" * 4096
        return {4: 8, 5: 4096}.get(op, 0)
'''


async def test_a_number_goes_on_in_the_next_life(micropython: MicroPython, url: str, tmp_path: Path) -> None:
    text = program("docs/board.md", "last_number")
    script = BEFORE + "async def main():\n" + textwrap.indent(text, "    ") + "asyncio.run(main())\n"
    async with Client(url, keys=True) as reader:
        await reader.subscribe("pump-7/litres", qos=2)
        for life in (b"1", b"2"):
            async with micropython.process(script, url, heap="512k", path=(tmp_path, ROOT)):
                assert (await anext(reader)).payload == life


async def test_a_client_with_small_queues_is_made(micropython: MicroPython, tmp_path: Path) -> None:
    script = BEFORE + 'url = "mqtt://broker"\n' + program("docs/board.md", "gc.threshold") + "print(client.pending())"
    result = await micropython.run(script, heap="512k", path=(tmp_path, ROOT))
    assert result.stdout == "[]\n"


async def test_a_partition_is_a_store(micropython: MicroPython, url: str, tmp_path: Path) -> None:
    (tmp_path / "esp32.py").write_text(ESP32)
    script = (
        BEFORE
        + program("docs/board.md", "import Partition")
        + "async def main():\n"
        + "    async with Client(url, client_id='pump-7', store=STORE) as client:\n"
        + "        await (await client.publish('a', b'1', 2))\n"
        + "    print('done')\n"
        + "asyncio.run(main())\n"
    )
    result = await micropython.run(script, url, heap="512k", path=(tmp_path, ROOT))
    assert "done" in result.stdout


def test_the_application_measures_publishes_and_obeys(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = ModuleType("machine")
    vars(machine).update(Pin=lambda pin: pin, ADC=lambda pin: SimpleNamespace(read_uv=lambda: 1_850_000))
    monkeypatch.setitem(sys.modules, "machine", machine)
    there: dict[str, Any] = {}
    exec(program("docs/board.md", "soil.read"), there)
    app = there["application"]({})
    assert read(app, "soil") == pytest.approx(50)
    assert published(app, "soil", [40, 40.2, 45]) == [(0, 40), (120, 45)]
    assert obey(app, {"do": "pump", "s": 5})["pumped_s"] == 5
