"""Boards that are updated: a folder each, with the files of a fresh board, and a process that is started again whenever
it ends, as a board is.
"""

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from mqttlite.boards import supplies
from mqttlite.boards.updating.devices import Device, Devices
from mqttlite_board.settings import encode
from tests import peers, runtimes
from tests.firmware.boards import fill
from tests.peers import Result, end
from tests.runtimes import ROOT

KEY = "5a" * 32
APP = """
from mqttlite_board.api import Application

def application(options):
    app = Application()
    app.measure("count", lambda: %r, every_s=0.1, qos=2, counted=True)
    return app
"""


def app(folder: Path, version: str, text: str = APP) -> Path:
    """An application that publishes its version at QoS 2; its folder."""
    folder.mkdir(exist_ok=True)
    (folder / "app.py").write_text(text % version if "%r" in text else text, encoding="utf-8")
    return folder


class Updatable:
    """A board with the application "old" in half a. Its processes are killed, not asked, unless it restarts itself."""

    def __init__(
        self, folder: Path, url: str, name: str = "one", key: str = KEY, bits: int = 64, heap: str = "512k"
    ) -> None:
        self.folder = folder
        self.name = name
        self.heap = heap
        self.program = runtimes.built(bits)
        self.process: asyncio.subprocess.Process | None = None
        self.lives = 0
        fill(folder, supplies.file_system("all"))
        app(folder / "a", "old")
        (folder / "settings.json").write_bytes(encode({"name": name, "url": url, "key": key, "watchdog_s": 4}))
        self._log = folder / "output.txt"

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Updatable"]:
        """Runs until the block ends."""
        keeping = asyncio.create_task(self._keep())
        try:
            yield self
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
            if self.process:
                await end(self.process)
            print(f"--- output of {self.name} ---\n{self.output[-6000:]}", end="")

    async def _keep(self) -> None:
        argv = runtimes.micropython_argv(
            self.program, "exec(open('boot.py').read()); exec(open('main.py').read())", heap=self.heap
        )
        while True:
            with self._log.open("ab") as log:
                self.lives += 1
                self.process = await asyncio.create_subprocess_exec(
                    *argv, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder,
                    env=runtimes.micropython_env([self.folder]),
                )  # fmt: skip
                await self.process.wait()
            await asyncio.sleep(0.05)

    def kill(self) -> None:
        """Take its power away; it is started again."""
        if self.process and self.process.returncode is None:
            self.process.kill()

    @property
    def output(self) -> str:
        """What all lives have printed."""
        return self._log.read_text(encoding="utf-8", errors="replace") if self._log.exists() else ""

    @property
    def runs(self) -> str:
        """The good half, and the trial, as "a", "b" or "a, trial b"."""
        record = self.record
        return f"{record['good']}, trial {record['trial']}" if record.get("trial") else record["good"]

    @property
    def record(self) -> dict[str, Any]:
        """half.json."""
        path = self.folder / "half.json"
        found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"good": "a"}
        return found


def blob(folder: Path, size: int) -> Path:
    """A module of the application that is long, and nobody imports: so that there is something to send."""
    (folder / "blob.mpy").write_bytes(random.Random(size).randbytes(size))
    return folder


def known(path: Path, *boards: Updatable, key: str = KEY) -> Path:
    """A devices.toml with these boards."""
    for board in boards:
        Devices(path).put(Device(board.name, key))
    return path


async def update(*words: str | Path, timeout_s: float = 60) -> Result:
    """`mqttlite update ...` to its end."""
    python = runtimes.installed("python")
    assert python
    return await peers.run(
        str(python), "-m", "mqttlite", "update", *map(str, words), folder=ROOT, check=False, timeout_s=timeout_s
    )
