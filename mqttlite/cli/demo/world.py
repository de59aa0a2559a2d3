"""The real programs of the demo: a broker, the gateway and the boards, each a process; the lines between them, here."""

import asyncio
import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from ...core.errors import MQTTError
from ...sim.pty_line import NoisyLine

BAUD = 115200
STATUS_TOPIC = "demo-gateway"
FIRMWARE = "firmware/main.py"


class ProgramError(MQTTError):
    """A program of the demo did not do what it should; says which, with what it printed last."""


class Program:
    """A running process and the last lines that it printed."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self.process = process
        self.lines: list[str] = []
        self._reader = asyncio.create_task(self._read())
        self._printed = asyncio.Event()

    async def _read(self) -> None:
        assert self.process.stdout
        while line := await self.process.stdout.readline():
            self.lines = [*self.lines[-99:], line.decode(errors="replace").rstrip()]
            self._printed.set()

    async def printed(self, text: str, timeout_s: float = 20) -> str:
        """The first line that contains `text`, as soon as it is printed. Raises ProgramError when it never is."""
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    for line in self.lines:
                        if text in line:
                            return line
                    if self._reader.done():
                        raise self.failed(f"ended without printing '{text}'")
                    self._printed.clear()
                    await asyncio.wait(
                        [self._reader, asyncio.ensure_future(self._printed.wait())], return_when=asyncio.FIRST_COMPLETED
                    )
        except TimeoutError:
            raise self.failed(f"did not print '{text}' within {timeout_s} s") from None

    def failed(self, what: str) -> ProgramError:
        """An error with the program's last words."""
        return ProgramError("\n    ".join([f"{self.name} {what}", *self.lines[-15:]]))

    async def stop(self) -> None:
        """End it, kindly first."""
        for signal in (self.process.terminate, self.process.kill):
            if self.process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    signal()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.process.wait(), 5)
        await asyncio.gather(self._reader, return_exceptions=True)


@asynccontextmanager
async def program(name: str, *argv: str | Path, **environment: str) -> AsyncIterator[Program]:
    """Run a program for as long as the block lasts."""
    process = await asyncio.create_subprocess_exec(
        *map(str, argv),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
    )
    running = Program(name, process)
    try:
        yield running
    finally:
        await running.stop()


def _mqttlite(*words: str) -> list[str]:
    return [sys.executable, "-m", "mqttlite", *words]


def root() -> Path:
    """The folder that holds firmware/: the checkout. Raises ProgramError when there is none."""
    for folder in Path(__file__).parents:
        if (folder / FIRMWARE).exists():
            return folder
    raise ProgramError("the demo runs the board's program from firmware/, so it needs a checkout of the project")


def micropython() -> str | None:
    """The MicroPython interpreter: $MICROPYTHON, the one beside this Python, or one on the path."""
    beside = Path(sys.executable).with_name("micropython")
    return os.environ.get("MICROPYTHON") or (str(beside) if beside.exists() else shutil.which("micropython"))


def board_settings(name: str, path: str, every_ms: int) -> str:
    """A settings.py for a board on the serial port `path`."""
    return (
        f'DEVICE_ID = "{name}"\nURL = "serial://{path}?baud={BAUD}"\nWIFI_NAME = WIFI_PASSWORD = ""\n'
        f'USERNAME = PASSWORD = None\nTOPIC = "demo/{name}"\nREAD_EVERY_MS = {every_ms}\n'
        "LED_PIN = None\nWATCHDOG_S = 0\n"
    )


class World:
    """Everything that runs. `names`: the boards. `bit_errors`, `dropped`: probability per bit, per byte, each way."""

    def __init__(self, names: list[str], *, broker: str, bit_errors: float, dropped: float, seed: int, every_ms: int):
        self.names = names
        self.broker = broker
        self.lines: list[NoisyLine] = []
        self.boards: list[Program] = []
        self.gateway: Program | None = None
        self._bit_errors = bit_errors
        self._dropped = dropped
        self._seed = seed
        self._every_ms = every_ms
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> "World":
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _start(self) -> None:
        enter = self._stack.enter_async_context
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="mqttlite-demo-")))
        if not self.broker:
            broker = await enter(program("the broker", *_mqttlite("broker", "--listen", "mqtt://127.0.0.1:0")))
            self.broker = "mqtt://" + (await broker.printed("listening on mqtt://")).split("mqtt://")[1].split()[0]
        for number, _ in enumerate(self.names):
            line = NoisyLine(
                baud=BAUD, bit_errors=self._bit_errors, dropped=self._dropped, seed=self._seed * 100 + number
            )
            self.lines.append(await enter(line))
        ports = [word for line in self.lines for word in ("--serial", f"{line.a_path}?baud={BAUD}")]
        gateway = _mqttlite("gateway", "--upstream", self.broker, "--status-topic", STATUS_TOPIC, "--status-every", "1")
        self.gateway = await enter(program("the gateway", *gateway, *ports))
        for name, line in zip(self.names, self.lines, strict=True):
            self.boards.append(await enter(self._board(name, line.b_path, folder / name)))

    @asynccontextmanager
    async def _board(self, name: str, path: str, folder: Path) -> AsyncIterator[Program]:
        """A board: the firmware's main.py with settings of its own, on MicroPython where there is one."""
        folder.mkdir()  # noqa: ASYNC240 (ten lines, before anything runs)
        (folder / "settings.py").write_text(board_settings(name, path, self._every_ms), encoding="utf-8")
        home = root()
        places = f"{folder}:{home / 'firmware'}:{home}"
        interpreter = micropython()
        argv = [interpreter, "-X", "heapsize=256k"] if interpreter else [sys.executable]
        environment = {"MICROPYPATH": f"{places}:.frozen", "PYTHONPATH": places, "PYTHONDONTWRITEBYTECODE": "1"}
        # `-c` and a working directory of its own: its settings.py must win over the one beside main.py.
        code = f"import os; os.chdir({str(folder)!r}); import asyncio, main; asyncio.run(main.main())"
        async with program(name, *argv, "-c", code, **environment) as board:
            yield board

    def check(self) -> None:
        """Raise ProgramError if a program has ended that should run."""
        for running in [self.gateway, *self.boards]:
            if running and running.process.returncode is not None:
                raise running.failed(f"ended with exit code {running.process.returncode}")
