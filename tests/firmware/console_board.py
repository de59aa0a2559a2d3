"""A board on its USB socket: MicroPython with a board's console (tools/board_port) at one end of a line between two
pseudo-terminals, as a process with a folder of its own. Whatever speaks to a board can open the other end.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

from mqttlite.cli.demo.pty_line import NoisyLine
from tests import runtimes
from tests.peers import end, unavailable

START = "import board; board.run()"


class ConsoleBoard:
    """`async with ConsoleBoard(folder).running() as board:` starts what is in `folder`: boot.py and main.py.

    `path`: what the host opens. `line`: the line, to be made worse. `is_usb`: native USB, which waits for its host.
    `imports`: folders that modules come from, behind `folder` and its lib.
    """

    def __init__(
        self,
        folder: Path,
        *,
        heap: str = "110k",
        is_usb: bool = False,
        imports: Iterable[Path] = (),
        line: NoisyLine | None = None,
    ) -> None:
        program = runtimes.built(32, "console")
        if not program.exists():
            program = runtimes.built(64, "console")
        if not program.exists():
            unavailable("MicroPython with a board's console (build/board)")
        self.folder = folder
        self.line = line or NoisyLine()
        self._argv = runtimes.micropython_argv(program, START, heap=heap)
        self._env = {**os.environ, "MICROPYPATH": ":".join([".frozen", "lib", *map(str, imports)])}
        if is_usb:
            self._env["BOARD_USB"] = "1"
        self._process: asyncio.subprocess.Process | None = None

    @property
    def path(self) -> str:
        """What the host opens."""
        return self.line.b_path

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["ConsoleBoard"]:
        """The board with power; without, when the block ends."""
        async with self.line:
            await self.power_on()
            try:
                yield self
            finally:
                await self.power_off()

    async def power_on(self, path: str = "") -> None:
        """Start it, at the end of its line, or at another pseudo-terminal. Its folder is as it was left."""
        socket = os.open(path or self.line.a_path, os.O_RDWR | os.O_NOCTTY)
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._argv,
                stdin=socket,
                stdout=socket,
                stderr=socket,
                env=self._env,
                cwd=self.folder,
                start_new_session=True,
            )
        finally:
            os.close(socket)

    async def power_off(self) -> None:
        """It ends between two instructions, as without power."""
        if self._process:
            await end(self._process)
            self._process = None
