"""The real programs of the demo: a broker, the gateway and the boards, each a process; the lines between them, here."""

import asyncio
import contextlib
import ctypes
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from ...core.errors import MQTTError
from .pty_line import NoisyLine

BAUD = 115200
FIRMWARE = "firmware"
START = f"{FIRMWARE}/mqttlite_board/start"
APPLICATION = Path(__file__).with_name("board")  # where the boards find their app.py
ENDING_S = 5.0  # how long a program may take to end by itself

_PR_SET_PDEATHSIG = 1  # of <linux/prctl.h>


class ProgramError(MQTTError):
    """A program of the demo did not do what it should; says which, with what it printed last."""


class Program:
    """A running process and the last lines that it printed."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self.process = process
        self.lines: list[str] = []
        self._printed = asyncio.Event()  # or ended
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stdout
        try:
            while line := await self.process.stdout.readline():
                self.lines = [*self.lines[-99:], line.decode(errors="replace").rstrip()]
                self._printed.set()
        finally:
            self._printed.set()

    async def printed(self, text: str, timeout_s: float = 20) -> str:
        """The first line that contains `text`, as soon as it is printed. Raises ProgramError when it never is."""
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    self._printed.clear()
                    for line in self.lines:
                        if text in line:
                            return line
                    if self._reader.done():
                        raise self.failed(f"ended without printing '{text}'")
                    await self._printed.wait()
        except TimeoutError:
            raise self.failed(f"did not print '{text}' within {timeout_s} s") from None

    def failed(self, what: str) -> ProgramError:
        """An error with the program's last words."""
        return ProgramError("\n    ".join([f"{self.name} {what}", *self.lines[-15:]]))

    async def kill(self) -> None:
        """`kill -9`."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()
        await asyncio.gather(self._reader, return_exceptions=True)

    async def stop(self) -> None:
        """End it, kindly first."""
        try:
            with contextlib.suppress(ProcessLookupError, TimeoutError):
                self.process.terminate()
                await asyncio.wait_for(self.process.wait(), ENDING_S)
        finally:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
        await self.process.wait()
        await asyncio.gather(self._reader, return_exceptions=True)


async def launch(name: str, *argv: str | Path, **environment: str) -> Program:
    """Run a program; who does so ends it."""
    process = await asyncio.create_subprocess_exec(
        *map(str, argv),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
        start_new_session=True,  # Ctrl-C is the demo's, which ends its programs itself
        preexec_fn=_die_with_parent,
    )
    return Program(name, process)


@asynccontextmanager
async def program(name: str, *argv: str | Path, **environment: str) -> AsyncIterator[Program]:
    """Run a program for as long as the block lasts."""
    running = await launch(name, *argv, **environment)
    try:
        yield running
    finally:
        await running.stop()


_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def _die_with_parent() -> None:
    """In the child: no program outlives the demo, even if that is killed. Elsewhere than on Linux it may."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _mqttlite(*words: str) -> list[str]:
    return [sys.executable, "-m", "mqttlite", *words]


def root() -> Path:
    """The folder that holds firmware/: the checkout. Raises ProgramError when there is none."""
    for folder in Path(__file__).parents:
        if (folder / START).exists():
            return folder
    raise ProgramError(
        "the demo runs the board's program, firmware/mqttlite_board, which an installed mqttlite does not have: clone"
        " the project and run `make demo` there"
    )


def micropython() -> str | None:
    """The MicroPython interpreter: $MICROPYTHON, else the one beside this Python, else one on the path."""
    named = os.environ.get("MICROPYTHON")
    if named:
        return shutil.which(named)
    beside = Path(sys.executable).with_name("micropython")
    return str(beside) if beside.exists() else shutil.which("micropython")


def board_settings(client_id: str, topic: str, path: str, every_ms: int) -> bytes:
    """A settings.json for a board on the serial port `path`."""
    from mqttlite_board.settings import encode

    url = f"serial://{path}?baud={BAUD}"
    return encode({"name": client_id, "url": url, "topic": topic, "app": {"every_ms": every_ms}})


def board_command(folder: Path, application: Path) -> tuple[list[str], dict[str, str]]:
    """Arguments and environment of a board: the firmware's main.py with the settings in `folder`, on MicroPython where
    there is one.
    """
    home = root()
    places = f"{folder}:{application}:{home / START}:{home / FIRMWARE}:{home}"
    interpreter = micropython()
    argv = [interpreter, "-X", "heapsize=512k"] if interpreter else [sys.executable]
    environment = {"MICROPYPATH": f"{places}:.frozen", "PYTHONPATH": places, "PYTHONDONTWRITEBYTECODE": "1"}
    # `-c` and a working directory of its own, where its settings are.
    return [*argv, "-c", f"import os; os.chdir({str(folder)!r}); import start; start.run()"], environment


class Programs:
    """Everything that runs. `names`: the boards; `broker`: a URL, "" to start one; `run`: a name of this run, which
    client identifiers and topics carry. `bit_errors`, `dropped`: probability per bit, per byte, each way.

    Entering it starts the broker, `start` the rest.
    """

    def __init__(
        self, names: list[str], *, run: str, broker: str, bit_errors: float, dropped: float, seed: int, every_ms: int
    ) -> None:
        self.names = names
        self.broker = broker
        self.topic = f"mqttlite-demo/{run}"  # of the boards: topic/name/…
        self.status_topic = f"mqttlite-demo-gateway/{run}"
        self.lines: dict[str, NoisyLine] = {}
        self.boards: dict[str, Program] = {}
        self._programs: list[Program] = []
        self._run = run
        self._bit_errors = bit_errors
        self._dropped = dropped
        self._seed = seed
        self._every_ms = every_ms
        self._stack = AsyncExitStack()

    def client_id(self, name: str) -> str:
        """The client identifier of a board."""
        return f"demo-{self._run}-{name}"

    async def __aenter__(self) -> "Programs":
        if not self.broker:
            try:
                await self._start_broker()
            except BaseException:
                await self._stack.aclose()
                raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _run_program(self, name: str, *argv: str | Path, **environment: str) -> Program:
        running = await self._stack.enter_async_context(program(name, *argv, **environment))
        self._programs.append(running)
        return running

    async def _start_broker(self) -> None:
        broker = await self._run_program("the broker", *_mqttlite("broker", "--listen", "mqtt://127.0.0.1:0"))
        self.broker = "mqtt://" + (await broker.printed("listening on mqtt://")).split("mqtt://")[1].split()[0]

    async def start(self) -> None:
        """Start the lines, the gateway and the boards."""
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="mqttlite-demo-")))
        for number, name in enumerate(self.names):
            line = NoisyLine(BAUD, self._bit_errors, self._dropped, self._seed * 100 + number)
            self.lines[name] = await self._stack.enter_async_context(line)
        ports = [word for line in self.lines.values() for word in ("--serial", f"{line.a_path}?baud={BAUD}")]
        status = ("--status-topic", self.status_topic, "--status-every", "0.5")
        await self._run_program("the gateway", *_mqttlite("gateway", "--upstream", self.broker, *status, *ports))
        for name, line in self.lines.items():
            self.boards[name] = await self._start_board(name, line.b_path, folder / name)

    async def _start_board(self, name: str, path: str, folder: Path) -> Program:
        """A board: the firmware's main.py with settings of its own, on MicroPython where there is one."""
        folder.mkdir()  # noqa: ASYNC240 (ten lines, before anything runs)
        settings = board_settings(self.client_id(name), f"{self.topic}/{name}", path, self._every_ms)
        (folder / "settings.json").write_bytes(settings)
        argv, environment = board_command(folder, APPLICATION)
        return await self._run_program(name, *argv, **environment)

    def line_errors(self, name: str) -> int:
        """Bytes that a board's line has damaged or lost, both ways."""
        line = self.lines[name]
        return sum(noise.flipped + noise.dropped for noise in (line.noise_ab, line.noise_ba))

    def check(self) -> None:
        """Raise ProgramError if a program has ended that should run."""
        for running in self._programs:
            if running.process.returncode is not None:
                raise running.failed(f"ended with exit code {running.process.returncode}")

    async def boards_end(self) -> None:
        """Wait until the boards, which were told to stop, have said goodbye to the broker; a few seconds at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ENDING_S):
                await asyncio.gather(*(board.process.wait() for board in self.boards.values()))
