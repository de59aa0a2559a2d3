"""A board whose console is a serial line: the real MicroPython interpreter on a pseudo-terminal, started again whenever
it ends, as a board is that resets itself.
"""

import asyncio
import contextlib
import os
import tty
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from tests import runtimes
from tests.firmware.boards import PATH
from tests.peers import MicroPython, end

# A radio of paper that knows one network; its file has the names of those that it was told to join.
RADIO = r"""
import sys

class Radio:
    name = password = ""
    def active(self, on=True):
        if not on:
            self.name = ""
    def scan(self):
        return [
            (b"home", b"", 1, -60, 3, False), (b"home", b"", 6, -48, 3, False), (b"caf\xc3\xa9", b"", 1, -80, 0, False),
            (b"\xff\xfe", b"", 1, -20, 3, False), (b"", b"", 1, -30, 3, True),
        ]
    def connect(self, name, password):
        self.name, self.password = name, password
        with open("joined.txt", "a") as file:
            file.write(name + "\n")
    def isconnected(self):
        return (self.name, self.password) == ("home", "right-password")
    def status(self):
        return 201 if self.name != "home" else 202 if self.password != "right-password" else 1010
    def ifconfig(self, settings=None):
        return ("192.0.2.7", "", "", "")

radio = Radio()

class network:
    STA_IF = 0
    STAT_NO_AP_FOUND = 201
    STAT_WRONG_PASSWORD = 202
    WLAN = lambda interface: radio

sys.modules["network"] = network
"""


class Console:
    """`async with Console(folder, script) as console: ... console.path`: the serial line's device on this computer."""

    def __init__(self, folder: Path, script: str, *, bits: int | None = None, heap: str = "256k") -> None:
        self.folder = folder
        self.starts = 0
        self._argv = runtimes.micropython_argv(MicroPython(bits).program, script, heap=heap)
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> "Console":
        self.folder.mkdir(parents=True, exist_ok=True)
        # The board has the master's end: the other one is what has a path.
        self._board, self.line = os.openpty()
        tty.setraw(self.line)
        self.path = os.ttyname(self.line)
        self._task = asyncio.create_task(self._run())
        return self

    async def _run(self) -> None:
        env = runtimes.micropython_env([self.folder, *PATH])
        while True:
            self._process = await asyncio.create_subprocess_exec(
                *self._argv, stdin=self._board, stdout=self._board, stderr=self._board, env=env, cwd=self.folder
            )
            self.starts += 1
            await self._process.wait()

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        if self._process:
            await end(self._process)
        os.close(self._board)
        os.close(self.line)


@contextlib.asynccontextmanager
async def waiting(folder: Path, prepare: str = "", **options: Any) -> AsyncIterator[Console]:
    """A board that waits for its settings, again and again."""
    script = prepare + "from mqttlite_board import provisioning\nprovisioning.run('settings.json', lambda: None)\n"
    async with Console(folder, script, **options) as console:
        yield console
