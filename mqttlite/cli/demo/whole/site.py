"""The programs of the demo, each of which can be killed and started again; and the noisy lines, which stay."""

import asyncio
import os
import signal
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from ..programs import BAUD, Program, board_command, board_settings, launch
from ..pty_line import NoisyLine
from . import settings
from .far_end import __name__ as FAR_END

APPLICATION = Path(__file__).with_name("board")  # where the boards find their app.py


@dataclass
class Life:
    """A program that lives several times. `ready`: what it prints when it can be used."""

    name: str
    argv: list[str]
    ready: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    program: Program | None = None
    lives: int = 0

    async def start(self) -> None:
        """Live."""
        self.program = await launch(self.name, *self.argv, **self.environment)
        self.lives += 1

    async def until_ready(self) -> str:
        """What it prints then."""
        assert self.program
        return await self.program.printed(self.ready)

    async def die(self, is_kind: bool = False) -> None:
        """`kill -9`; `is_kind`: it is asked to end."""
        if self.program:
            program, self.program = self.program, None
            await (program.stop() if is_kind else program.kill())

    async def freeze(self, for_s: float) -> None:
        """It does nothing for so long, and its connections stay."""
        if self.program:
            process = self.program.process
            os.kill(process.pid, signal.SIGSTOP)
            try:
                await asyncio.sleep(for_s)
            finally:
                os.kill(process.pid, signal.SIGCONT)

    def check(self) -> None:
        """ProgramError where it has died by itself."""
        if self.program and self.program.process.returncode is not None:
            raise self.program.failed(f"ended with exit code {self.program.process.returncode}")


class Site:
    """All of them, in `folder`. `mosquitto`: the program that is the second broker; None: ours is."""

    def __init__(
        self,
        folder: Path,
        boards: list[str],
        *,
        bit_errors: float,
        dropped: float,
        seed: int,
        every_ms: int,
        mosquitto: str | None,
    ) -> None:
        self.folder = folder
        self.boards = boards
        self.lines: dict[str, NoisyLine] = {}
        self.lives: dict[str, Life] = {}
        self.page = ""
        self.mosquitto = mosquitto
        self.cloud = f"mqtt://127.0.0.1:{settings.free_port()}"
        self._noise = (bit_errors, dropped, seed)
        self._every_ms = every_ms
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> "Site":
        bit_errors, dropped, seed = self._noise
        try:
            for number, name in enumerate(self.boards):
                line = NoisyLine(BAUD, bit_errors, dropped, seed * 100 + number)
                self.lines[name] = await self._stack.enter_async_context(line)
            await self._start()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(life.die() for life in self.lives.values()))
        await self._stack.aclose()

    async def _start(self) -> None:
        self._plan()
        for name in ("cloud", "gateway", "far end"):
            await self.lives[name].start()
        for name in ("cloud", "gateway", "far end"):
            if self.lives[name].ready:
                await self.lives[name].until_ready()
        for name in self.boards:
            await self.lives[name].start()

    def _plan(self) -> None:
        folder, port = self.folder, int(self.cloud.rpartition(":")[2])
        if self.mosquitto:
            argv = [self.mosquitto, "-c", str(settings.mosquitto(folder, port)), "-v"]
            self.lives["cloud"] = Life("the second broker", argv, "running")
        else:
            words = ["broker", "--config", str(settings.cloud(folder, self.cloud))]
            self.lives["cloud"] = Life("the second broker", _mqttlite(*words), "listening on")
        page = f"127.0.0.1:{settings.free_port()}" if settings.has_page() else ""
        self.page = f"http://{page}/" if page else ""
        lines = [line.a_path for line in self.lines.values()]
        config = settings.gateway(folder, self.cloud, lines, BAUD, page)
        self.lives["gateway"] = Life("the gateway", _mqttlite("gateway", "--config", str(config)), "serial port(s)")
        far_end = [sys.executable, "-m", FAR_END, self.cloud, str(folder), settings.COUNTS]
        self.lives["far end"] = Life("the far end", far_end, "the far end is there")
        for name in self.boards:
            self.lives[name] = self._board(name)

    def _board(self, name: str) -> Life:
        """The firmware's program with settings of its own, on MicroPython where there is one."""
        folder = self.folder / name
        folder.mkdir()
        told = board_settings(name, f"sensors/{name}", self.lines[name].b_path, self._every_ms)
        (folder / "settings.json").write_bytes(told)
        argv, environment = board_command(folder, APPLICATION)
        return Life(name, argv, environment=environment)

    def last_words(self) -> str:
        """What each of them has printed last."""
        said = [[life.name, *life.program.lines[-12:]] for life in self.lives.values() if life.program]
        return "\n".join("\n    ".join(lines) for lines in said)

    def line_errors(self) -> int:
        """Bytes that the lines have damaged or lost."""
        return sum(
            noise.flipped + noise.dropped for line in self.lines.values() for noise in (line.noise_ab, line.noise_ba)
        )


def _mqttlite(*words: str) -> list[str]:
    return [sys.executable, "-m", "mqttlite", *words]
