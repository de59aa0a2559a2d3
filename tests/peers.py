"""The real programs that tests speak to: Mosquitto and its clients, MicroPython on two word sizes.

Each runs on 127.0.0.1 on a port of its own, is ready when it answers (nothing sleeps a while and hopes), and is gone
when its `with` block ends. A peer that is not installed skips the test, but where all have to be there
(MQTTLITE_ALL_PEERS=1, as in continuous integration) it fails it.
"""

import asyncio
import contextlib
import getpass
import os
import random
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, NoReturn, Self

import pytest

from tests import runtimes
from tests.runtimes import ROOT

START_TIMEOUT_S = 20.0
RUN_TIMEOUT_S = 60.0

# Below the range from which the kernel takes the local ports of outgoing connections: nobody grabs one of these while
# its server is down for a restart.
_PORTS = range(10_000, 32_000)
_random_port = random.SystemRandom()
_given: set[int] = set()

_NOTHING: Mapping[str, object] = {}


def unavailable(what: str) -> NoReturn:
    """Ends the test because `what` is not installed: skipped, or failed where all peers have to be there."""
    reason = f"{what} is not installed (make setup installs it where it can)"
    if os.environ.get("MQTTLITE_ALL_PEERS"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def free_port() -> int:
    """A TCP port of 127.0.0.1 on which nothing listens; never the same twice in this process."""
    while True:
        port = _random_port.choice(_PORTS)
        if port in _given:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given.add(port)
        return port


def program(name: str) -> str:
    """Path of an installed program, or the end of the test."""
    return str(runtimes.installed(name) or unavailable(name))


class Mosquitto:
    """A Mosquitto of one's own: `with Mosquitto(tmp_path) as broker: ... broker.port`.

    With persistence it writes its whole state at every change (autosave_on_changes), the most that it can promise.
    `settings` are further lines of its configuration. Its log is shown if the test fails.
    """

    def __init__(self, folder: Path, *, persistence: bool = True, settings: Mapping[str, object] = _NOTHING) -> None:
        self._program = program("mosquitto")
        self.port = free_port()
        self.folder = folder
        self._log = folder / "mosquitto.log"
        self._config = folder / "mosquitto.conf"
        self._process: subprocess.Popen[bytes] | None = None
        lines: dict[str, object] = {
            "listener": f"{self.port} 127.0.0.1",
            "allow_anonymous": "true",
            "user": getpass.getuser(),  # as root it would become user mosquitto, who may not write into our folder
            "log_dest": "stderr",
            "log_type": "all",
            "set_tcp_nodelay": "true",
        }
        if persistence:
            lines |= {
                "persistence": "true",
                "persistence_location": f"{folder}/",
                "autosave_on_changes": "true",
                "autosave_interval": 1,
                "max_queued_messages": 100_000,
            }
        lines |= settings
        folder.mkdir(parents=True, exist_ok=True)
        self._config.write_text("".join(f"{name} {value}\n" for name, value in lines.items()), encoding="utf-8")

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace") if self._log.exists() else ""

    def start(self) -> None:
        """Starts it and returns when it answers."""
        assert self._process is None, "this Mosquitto runs already"
        with self._log.open("ab") as log:
            command = [self._program, "-c", str(self._config)]
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._process = process
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if process.poll() is not None:
                self._process = None
                raise RuntimeError(f"mosquitto ended at once with code {process.returncode}:\n{self.log}")
            if self._answers():
                return
            time.sleep(0.005)
        self.kill()
        raise RuntimeError(f"mosquitto answered nothing within {START_TIMEOUT_S} s:\n{self.log}")

    def _answers(self) -> bool:
        """Whether it answers CONNECT: its kernel takes connections before all of its listeners are there."""
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), START_TIMEOUT_S) as knock:
            knock.sendall(b"\x10\x0c\0\4MQTT\4\2\0\0\0\0")
            return bool(knock.recv(4))
        return False

    async def logged(self, text: str, count: int = 1) -> None:
        """Waits until its log has `text` so many times: it writes when it comes to it, not when it is seen to act."""
        async with asyncio.timeout(RUN_TIMEOUT_S):
            while self.log.count(text) < count:  # noqa: ASYNC110 - a file has no event
                await asyncio.sleep(0.005)

    def kill(self) -> None:
        """Ends it with SIGKILL: no orderly stop, nothing saved. Returns when it is gone."""
        self._end("kill")

    def stop(self) -> None:
        """Ends it in good order (SIGTERM): it saves its state. Returns when it is gone."""
        self._end("terminate")

    def restart(self) -> None:
        """Starts it again on the same port with the same files; an instance that still runs is killed first."""
        self.kill()
        self.start()

    def _end(self, how: str) -> None:
        process, self._process = self._process, None
        if process is not None:
            getattr(process, how)()
            process.wait(timeout=START_TIMEOUT_S)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        print(f"--- log of mosquitto on port {self.port} ---\n{self.log}", end="")


class Result(NamedTuple):
    """How a program ended and what it wrote."""

    code: int
    stdout: str
    stderr: str


async def run(
    *command: str,
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
    folder: Path = ROOT,
    check: bool = True,
    timeout_s: float = RUN_TIMEOUT_S,
) -> Result:
    """Runs a program to its end; with `check` an exit code other than 0 fails the test and shows what it said."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=env,
        cwd=folder,
    )
    try:
        async with asyncio.timeout(timeout_s):
            out, err = await process.communicate(stdin)
    finally:
        await end(process)
    assert process.returncode is not None
    result = Result(process.returncode, out.decode(errors="replace"), err.decode(errors="replace"))
    if check and result.code:
        pytest.fail(f"{command[0]} ended with code {result.code}\n{result.stdout}{result.stderr}", pytrace=False)
    return result


async def end(process: asyncio.subprocess.Process) -> None:
    """Kills a process, if it still runs, and waits until it is gone."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def mosquitto_pub(port: int, *args: str, stdin: bytes = b"", check: bool = True) -> Result:
    """`mosquitto_pub` against 127.0.0.1:`port`, to its end: at QoS 1 and 2 when the broker has acknowledged."""
    command = (program("mosquitto_pub"), "-h", "127.0.0.1", "-p", str(port), *args)
    return await run(*command, stdin=stdin, check=check)


class Message(NamedTuple):
    """What mosquitto_sub says of a message."""

    topic: str
    payload: bytes
    qos: int
    retain: bool


class MosquittoSub:
    """`mosquitto_sub` as a source of messages.

    `async with MosquittoSub(port, "-t", "#", "-q", "2") as sub: message = await sub.get()`

    Entering the block waits for the SUBACK; `granted_qos` holds what it granted.
    """

    # '=' cannot start a line of its own talk; the payload in hexadecimal; the topic last because it may hold spaces.
    _FORMAT = "=%q %r x%x %t"

    def __init__(self, port: int, *args: str, timeout_s: float = RUN_TIMEOUT_S) -> None:
        # stdbuf: into a pipe it would keep "Subscribed" back until the first message.
        unbuffered = [program("stdbuf"), "-oL", program("mosquitto_sub")]
        self._command = [*unbuffered, "-h", "127.0.0.1", "-p", str(port), "-d", "-F", self._FORMAT, *args]
        self._timeout_s = timeout_s
        self._process: asyncio.subprocess.Process | None = None
        self.granted_qos: list[int] = []

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said = []
        try:
            async with asyncio.timeout(self._timeout_s):
                while not (line := await self._line()).startswith("Subscribed"):
                    said.append(line)
        except (EOFError, TimeoutError) as error:
            await end(self._process)
            raise AssertionError("mosquitto_sub did not subscribe:\n" + "\n".join(said)) from error
        self.granted_qos = [int(qos) for qos in line.partition("): ")[2].split(", ")]
        return self

    async def _line(self) -> str:
        assert self._process is not None
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise EOFError("mosquitto_sub has ended")
        return line.decode().rstrip("\n")

    async def get(self) -> Message:
        """The next message."""
        async with asyncio.timeout(self._timeout_s):
            while not (line := await self._line()).startswith("="):
                pass
        qos, retain, payload, topic = line[1:].split(" ", 3)
        return Message(topic, bytes.fromhex(payload[1:]), int(qos), retain == "1")

    async def take(self, count: int) -> list[Message]:
        """The next `count` messages."""
        return [await self.get() for _ in range(count)]

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        await end(self._process)


class MicroPython:
    """The Unix interpreter (64 bit), as fixture `micropython`; with `bits`, the one of so many built from source.

    It imports from the script's own folder, then from `path`, whose first folder is also the one it runs in.
    """

    def __init__(self, bits: int | None = None) -> None:
        found = runtimes.built(bits) if bits else runtimes.micropython()
        if found is None or not found.exists():
            unavailable(f"MicroPython ({bits} bits, build/board)" if bits else "MicroPython (unix)")
        self.program = found

    async def run(
        self,
        script: Path | str,
        *args: str,
        heap: str = "96k",
        path: Sequence[Path] = (ROOT,),
        stdin: bytes = b"",
        check: bool = True,
        timeout_s: float = RUN_TIMEOUT_S,
    ) -> Result:
        """Runs `script` (a Path is a file, a str is source) to its end with a heap of `heap`."""
        command = runtimes.micropython_argv(self.program, script, args, heap=heap)
        env = runtimes.micropython_env(path)
        return await run(*command, stdin=stdin, env=env, folder=path[0], check=check, timeout_s=timeout_s)

    @contextlib.asynccontextmanager
    async def process(
        self, script: Path | str, *args: str, heap: str = "96k", path: Sequence[Path] = (ROOT,)
    ) -> AsyncIterator[asyncio.subprocess.Process]:
        """Runs `script` beside the test: yields the asyncio process with pipes, kills it at the end of the block."""
        process = await asyncio.create_subprocess_exec(
            *runtimes.micropython_argv(self.program, script, args, heap=heap),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=runtimes.micropython_env(path),
            cwd=path[0],
        )
        try:
            yield process
        finally:
            await end(process)


class WasmMicroPython:
    """The WebAssembly build, 32 bit like a board, as fixture `wasm_micropython`. No sockets, no limit to its heap."""

    def __init__(self) -> None:
        self.package = runtimes.wasm_package() or unavailable("MicroPython (WebAssembly)")

    async def run(
        self,
        script: Path | str,
        *args: str,
        files: Iterable[Path] = (),
        root: Path = ROOT,
        check: bool = True,
        timeout_s: float = RUN_TIMEOUT_S,
    ) -> Result:
        """Runs `script` (a Path is a file, a str is source) to its end; it sees `files` as they lie under `root`."""
        request = runtimes.wasm_request(self.package, script, args, files=files, root=root)
        return await run(*runtimes.wasm_argv(), stdin=request, check=check, timeout_s=timeout_s)
