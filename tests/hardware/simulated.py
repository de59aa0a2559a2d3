"""A whole board on a pseudo-terminal: MicroPython with a board's console, the files that a board gets, an application,
settings, and modules that stand in for what a computer has not: UART, partitions, Wi-Fi.
"""

import asyncio
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mqttlite.boards import supplies
from mqttlite.boards.examining.doctor import Case, Finding, Wishes, examine
from mqttlite.boards.known import data
from mqttlite.boards.report import Report
from mqttlite.boards.settings.asking import Asker
from mqttlite_board.settings import encode
from tests.firmware.boards import fill
from tests.firmware.console_board import ConsoleBoard

KIND = data.get("esp32-devkitc")

APPLICATION = """
from mqttlite_board.api import Application


def application(options):
    app = Application()
    app.measure("count", lambda: 1, every_s=0.2, qos=2, counted=True)
    return app
"""

# What the chip's port of MicroPython has, and a computer has not. How it behaves is in chip.json, beside the files.
MODULES = {
    "chip.py": "import json\ndef chip():\n    with open('chip.json') as file:\n        return json.load(file)\n",
    "machine.py": """
from umachine import *
from chip import chip

class UART:
    def __init__(self, id, **options):
        self.bytes = b""
        assert (id, options["tx"], options["rx"]) == (2, 17, 16), (id, options)

    def write(self, data):
        how = chip()["uart"]
        self.bytes += b"" if how == "open" else data if how == "joined" else data[:9] + b"?" + data[10:-4]

    def any(self):
        return len(self.bytes)

    def read(self):
        data, self.bytes = self.bytes, b""
        return data

    def deinit(self):
        pass
""",
    "esp32.py": """
from chip import chip

class Partition:
    TYPE_APP, TYPE_DATA = 0, 1

    def __init__(self, line):
        self.line = line

    @classmethod
    def find(cls, kind):
        return [cls(line) for line in chip()["partitions"] if line[0] == kind]

    def info(self):
        kind, offset, size, name = self.line
        return (kind, 0, offset, size, name, False)
""",
    "network.py": """
from chip import chip

STA_IF = 0

class WLAN:
    def __init__(self, interface):
        pass

    def active(self, on=True):
        return on

    def isconnected(self):
        return True

    def ifconfig(self, *settings):
        return ("192.0.2.7", "", "", "")

    def connect(self, name, password):
        pass

    def scan(self):
        return [(name.encode(), b"", 1, level, 3, False) for name, level in chip()["networks"]]
""",
}


class SimulatedBoard:
    """`chip`: how its hardware behaves; `put` writes it. `board`: the running interpreter."""

    def __init__(self, folder: Path, url: str | list[str], **settings: Any) -> None:
        self.folder = folder / "board"
        self.modules = folder / "modules"
        self.modules.mkdir(parents=True)
        for name, text in MODULES.items():
            (self.modules / name).write_text(text, encoding="utf-8")
        fill(self.folder, supplies.file_system("all"))
        (self.folder / "a" / "app.py").write_text(APPLICATION, encoding="utf-8")
        self.settings = {"name": "one", "url": url, "topic": "boards/one", **settings}
        self.chip: dict[str, Any] = {
            "uart": "joined",
            "networks": [["home", -60], ["cafe", -85]],
            "partitions": [[part.type == "data", part.offset, part.bytes, part.name] for part in KIND.flash.partition],
        }
        self.put()
        self.board = ConsoleBoard(self.folder, heap="300k", imports=[self.modules])

    def put(self) -> None:
        """Write settings and hardware as they are now."""
        (self.folder / "settings.json").write_bytes(encode(self.settings))
        (self.folder / "chip.json").write_text(json.dumps(self.chip), encoding="utf-8")

    def remove(self, place: str) -> None:
        """A file or folder."""
        path = self.folder / place
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    async def examined(self, *only: str, asker: Asker | None = None, **wishes: Any) -> dict[str, Finding]:
        """What the doctor finds, by step, while the board runs."""
        asked = {"wait_s": 60.0, "joined": True, "resets": True, **wishes}
        case = Case(KIND, Wishes(self.board.path, only=only, **asked), asker or Asker(may_ask=False), Report())
        found = await asyncio.to_thread(lambda: list(examine(case)))
        return {finding.step: finding for finding in found}


class Hands(Asker):
    """Somebody at the bench: does what is asked for, on the event loop of the test, and says that it is done."""

    def __init__(self, *hands: Callable[[], Any]) -> None:
        super().__init__(may_ask=True)
        self._hands = list(hands)
        self._loop = asyncio.get_running_loop()
        self.asked: list[str] = []

    def is_yes(self, question: str, default: bool = True) -> bool:
        """Do the next thing."""
        self.asked.append(question)
        done = self._hands.pop(0)()
        if asyncio.iscoroutine(done):
            asyncio.run_coroutine_threadsafe(done, self._loop).result()
        return True
