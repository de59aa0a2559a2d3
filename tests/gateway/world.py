"""What the gateway's tests run: the gateway and devices as processes, a subscriber that remembers everything."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Coroutine, Sequence
from pathlib import Path
from typing import Any

from mqttlite.client import Client
from tests import runtimes
from tests.peers import RUN_TIMEOUT_S, MicroPython, end
from tests.runtimes import ROOT

BAUD = 921600
WINDOW = 16
BIT_ERRORS = 1e-4
DROPPED = 1e-3
OPTIONS = f"?baud={BAUD}&window={WINDOW}"

COMMAND = [sys.executable, "-m", "mqttlite"]


def numbers(payloads: Sequence[bytes]) -> list[int]:
    """The numbers that messages carry."""
    return [int(payload) for payload in payloads]


class Program:
    """A process whose output is awaited line by line."""

    def __init__(self, *argv: str, env: dict[str, str] | None = None, folder: Path = ROOT) -> None:
        self.argv = argv
        self.lines: list[str] = []
        self.process: asyncio.subprocess.Process | None = None
        self._env = env
        self._folder = folder
        self._reader: asyncio.Task[None] | None = None
        self._news = asyncio.Condition()

    async def start(self, stdin: int = asyncio.subprocess.DEVNULL) -> None:
        """Start it, or start it again."""
        assert self.process is None or self.process.returncode is not None
        self.process = await asyncio.create_subprocess_exec(
            *self.argv,
            stdin=stdin,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**(self._env or os.environ), "PYTHONUNBUFFERED": "1"},
            cwd=self._folder,
        )
        self._reader = asyncio.create_task(self._read(self.process))

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout
        while line := await process.stdout.readline():
            async with self._news:
                self.lines.append(line.decode(errors="replace").rstrip())
                self._news.notify_all()
        async with self._news:
            self._news.notify_all()

    async def says(self, text: str, times: int = 1) -> str:
        """Wait until `times` lines contain `text`; the last of them."""

        def found() -> list[str]:
            return [line for line in self.lines if text in line]

        def over() -> bool:
            return len(found()) >= times or self._reader is None or self._reader.done()

        try:
            async with asyncio.timeout(RUN_TIMEOUT_S), self._news:
                await self._news.wait_for(over)
        except TimeoutError:
            pass
        assert len(found()) >= times, f"{self.argv} did not say '{text}' {times} times:\n" + "\n".join(self.lines)
        return found()[times - 1]

    async def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        assert self.process
        await end(self.process)
        assert self._reader
        await self._reader

    async def ended(self) -> int:
        """Its exit code, when it has ended."""
        assert self.process
        assert self._reader
        async with asyncio.timeout(RUN_TIMEOUT_S):
            code = await self.process.wait()
        await self._reader
        return code

    async def stop(self) -> int:
        """SIGTERM; its exit code."""
        assert self.process
        self.process.send_signal(signal.SIGTERM)
        return await self.ended()

    async def __aenter__(self) -> "Program":
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()
        print(f"--- output of {' '.join(self.argv)} ---", *self.lines, sep="\n")


def gateway(upstream: str, *ports: str, options: Sequence[str] = ()) -> Program:
    """`mqttlite gateway` on these ports at BAUD."""
    serial = [word for port in ports for word in ("--serial", port + OPTIONS)]
    return Program(*COMMAND, "gateway", "--upstream", upstream, *serial, *options)


def device(port: str, runtime: str = "cpython", *, qos: int = 2, count: int = 0, commands: int = 0) -> Program:
    """tests/gateway/device.py on a port."""
    script = Path(__file__).with_name("device.py")
    args = [f"serial://{port}{OPTIONS}", str(qos), str(count), str(commands)]
    if runtime == "micropython":
        argv = runtimes.micropython_argv(MicroPython().program, script, args, heap="512k")
        return Program(*argv, env=runtimes.micropython_env())
    return Program(sys.executable, str(script), *args, env={**os.environ, "PYTHONPATH": str(ROOT)})


class Watcher:
    """A subscriber with a persistent session; `got` is what has arrived, by topic."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.got: dict[str, list[bytes]] = {}
        self._news = asyncio.Condition()

    async def watch(self) -> None:
        async for message in self.client:
            async with self._news:
                self.got.setdefault(message.topic, []).append(message.payload)
                self._news.notify_all()

    async def count(self, topic: str, count: int) -> list[bytes]:
        """Wait until `count` different payloads have arrived on `topic`; all payloads."""
        try:
            async with asyncio.timeout(2 * RUN_TIMEOUT_S), self._news:
                await self._news.wait_for(lambda: len(set(self.got.get(topic, ()))) >= count)
        except TimeoutError:
            raise AssertionError(f"{len(set(self.got.get(topic, ())))} of {count} on {topic}") from None
        return self.got[topic]

    async def until(self, topic: str, payload: bytes) -> None:
        """Wait until the last message on `topic` is `payload`."""
        async with asyncio.timeout(RUN_TIMEOUT_S), self._news:
            await self._news.wait_for(lambda: self.got.get(topic, [None])[-1] == payload)


@contextlib.asynccontextmanager
async def beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """`work` goes on while the block runs, and is cancelled at its end."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@contextlib.asynccontextmanager
async def watching(url: str, *topics: str, qos: int = 2) -> AsyncIterator[Watcher]:
    """A subscriber to `topics`, subscribed before the block begins."""
    async with Client(url, client_id="watcher") as client:
        for topic in topics:
            await client.subscribe(topic, qos=qos)
        watcher = Watcher(client)
        async with beside(watcher.watch()):
            yield watcher
