"""A board on this machine: the program in firmware/ as a process, with a folder and a settings.json of its own."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from mqttlite_board.settings import encode
from tests import peers, runtimes
from tests.peers import MicroPython, end
from tests.runtimes import ROOT

FIRMWARE = ROOT / "firmware"
PACKAGE = FIRMWARE / "mqttlite_board"
START = PACKAGE / "start"
APPLICATION = ROOT / "mqttlite" / "cli" / "demo" / "board"  # the one of the demo: readings at each QoS, counted
PATH = (APPLICATION, START, FIRMWARE, ROOT)
TOPIC = "boards/one"

# Runs in the board's folder, where settings.json is.
PROGRAM = "import start; start.run()"


def fill(folder: Path, tree: Mapping[str, bytes]) -> None:
    """Write files, by their places below `folder`."""
    for place, data in tree.items():
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def settings(url: str, *, every_ms: int = 20, **others: object) -> dict[str, object]:
    """A record of settings; `others` are further keys of it."""
    return {"name": "one", "url": url, "app": {"every_ms": every_ms}, **others}


def _command(runtime: str, folder: Path, script: str, heap: str) -> tuple[list[str], dict[str, str]]:
    path = [folder, *PATH]
    if runtime == "micropython":
        argv = runtimes.micropython_argv(MicroPython().program, script, heap=heap)
        return argv, runtimes.micropython_env(path)
    env = {**os.environ, "PYTHONPATH": ":".join(map(str, path)), "PYTHONDONTWRITEBYTECODE": "1"}
    return [sys.executable, "-c", script], env


async def run(runtime: str, folder: Path, script: str) -> str:
    """What a script prints that is run to its end in `folder` and finds the modules of firmware/."""
    argv, env = _command(runtime, folder, script, "512k")
    return (await peers.run(*argv, env=env, folder=folder)).stdout


class Board:
    """`async with Board(folder, broker.url, runtime="cpython").running() as process: ...`, any number of times."""

    def __init__(
        self,
        folder: Path,
        url: str,
        *,
        runtime: str = "micropython",
        every_ms: int = 20,
        heap: str = "512k",
        app: str = "",
        **others: object,
    ) -> None:
        """`app`: an app.py, instead of the demo's. `others`: further settings."""
        self.folder = folder
        self.runtime = runtime
        self.heap = heap
        self._log = folder / "output.txt"
        folder.mkdir(parents=True)
        (folder / "settings.json").write_bytes(encode(settings(url, every_ms=every_ms, **others)))
        if app:
            (folder / "app.py").write_text(app, encoding="utf-8")

    @contextlib.asynccontextmanager
    async def running(self, prepare: str = "") -> AsyncIterator[asyncio.subprocess.Process]:
        """The process, which runs `prepare` before main.py; killed (SIGKILL) when the block ends. A test that fails
        shows its output.
        """
        argv, env = _command(self.runtime, self.folder, prepare + PROGRAM, self.heap)
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
