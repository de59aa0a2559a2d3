"""A board on this machine: the program of firmware/ as a process, with a folder and a settings.py of its own."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from tests import runtimes
from tests.peers import MicroPython, end
from tests.runtimes import ROOT

PATH = (ROOT / "firmware", ROOT)
TOPIC = "boards/one"

# Runs from the board's folder, whose settings.py is found before the one beside main.py.
PROGRAM = "import main; main.run()"


def settings(url: str, *, every_ms: int = 20) -> str:
    """A settings.py."""
    return (
        f'DEVICE_ID = "one"\nURL = "{url}"\nWIFI_NAME = WIFI_PASSWORD = ""\nUSERNAME = PASSWORD = None\n'
        f'TOPIC = "{TOPIC}"\nREAD_EVERY_MS = {every_ms}\nLED_PIN = None\nWATCHDOG_S = 0\n'
    )


class Board:
    """`async with Board(folder, broker.url, runtime="cpython").running() as process: ...`, any number of times."""

    def __init__(
        self, folder: Path, url: str, *, runtime: str = "micropython", every_ms: int = 20, heap: str = "256k"
    ) -> None:
        self.folder = folder
        self.runtime = runtime
        self.heap = heap
        self._log = folder / "output.txt"
        folder.mkdir(parents=True)
        (folder / "settings.py").write_text(settings(url, every_ms=every_ms), encoding="utf-8")

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.subprocess.Process]:
        """The process; killed (SIGKILL) when the block ends. A test that fails shows its output."""
        path = [self.folder, *PATH]
        if self.runtime == "micropython":
            argv = runtimes.micropython_argv(MicroPython().program, PROGRAM, heap=self.heap)
            env = runtimes.micropython_env(path)
        else:
            argv = [sys.executable, "-c", PROGRAM]
            env = {**os.environ, "PYTHONPATH": ":".join(map(str, path)), "PYTHONDONTWRITEBYTECODE": "1"}
        with self._log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *argv, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, env=env, cwd=self.folder
            )
        try:
            yield process
        finally:
            await end(process)
            print(f"--- output of the board ---\n{self.output}", end="")

    @property
    def output(self) -> str:
        """What the board has printed."""
        return self._log.read_text(encoding="utf-8", errors="replace")
