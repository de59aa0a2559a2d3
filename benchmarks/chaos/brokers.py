"""Brokers that are killed and started again on the same port, with what they have on disk."""

import asyncio
import contextlib
import functools
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Protocol

from tests.crash.program import TAIL, Death, Failed, Trap, kill
from tests.peers import Mosquitto, free_port
from tests.runtimes import ROOT

NAMES = ("mqttlite", "mosquitto")
MQTTLITE = (sys.executable, "-m", "mqttlite", "broker")


class Broker(Protocol):
    """One that can be started and killed."""

    port: int

    async def start(self) -> None:
        """Returns when it takes connections; Failed when it never does."""

    async def kill(self) -> None:
        """SIGKILL; returns when it is gone. Nothing happens if it does not run."""

    def signal_kill(self) -> None:
        """SIGKILL, without waiting."""


@functools.cache
def mqttlite_is_durable() -> bool:
    """Whether our broker can keep its sessions on disk."""
    told = subprocess.run([*MQTTLITE, "--help"], cwd=ROOT, capture_output=True, text=True, check=True)
    return "--store" in told.stdout


def may_die(name: str) -> bool:
    """Whether killing this broker is a fair question: it claims to keep what it has acknowledged."""
    return name != "mqttlite" or mqttlite_is_durable()


def mqttlite_command(port: int, folder: Path) -> list[str]:
    """Command line of our broker."""
    store = ["--store", str(folder / "broker.db")] if mqttlite_is_durable() else []
    return [*MQTTLITE, "--listen", f"mqtt://127.0.0.1:{port}", *store]


class MqttliteBroker:
    """Ours."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder
        self._process: asyncio.subprocess.Process | None = None
        self._draining: asyncio.Task[None] | None = None

    async def start(self) -> None:
        process = await asyncio.create_subprocess_exec(
            *mqttlite_command(self.port, self._folder),
            cwd=ROOT,
            stdin=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stderr
        self._process = process
        said = []
        while not re.search(rb"listening on ", line := await process.stderr.readline()):
            said.append(line)
            if not line:
                await self.kill()
                raise Failed("the broker has ended before it listened: " + b"".join(said).decode()[-TAIL:])
        self._draining = asyncio.create_task(_drain(process.stderr, self._folder / "broker.log"))

    def signal_kill(self) -> None:
        if self._process:
            kill(self._process)

    async def kill(self) -> None:
        process, self._process = self._process, None
        if process:
            kill(process)
            await process.wait()
        if self._draining:
            await self._draining
            self._draining = None


async def _drain(stream: asyncio.StreamReader, path: Path) -> None:
    """Append what the broker says to its log."""
    with path.open("ab") as log:
        async for line in stream:
            log.write(line)


class MosquittoBroker:
    """Mosquitto with the most durable configuration of 2.0: it saves its state after every change."""

    def __init__(self, folder: Path) -> None:
        self._mosquitto = Mosquitto(folder / "mosquitto")
        self.port = self._mosquitto.port

    async def start(self) -> None:
        try:
            self._mosquitto.start()  # some 10 ms in which nothing else goes on
        except RuntimeError as error:
            raise Failed(str(error)[-TAIL:]) from error

    def signal_kill(self) -> None:
        self._mosquitto.kill()

    async def kill(self) -> None:
        self._mosquitto.kill()


def make_broker(name: str, folder: Path) -> Broker:
    """One of NAMES, not started, with its files in `folder`."""
    return MosquittoBroker(folder) if name == "mosquitto" else MqttliteBroker(folder)


class Lives:
    """A broker that dies and comes back as planned. `kills`: so often it has died."""

    def __init__(self, broker: Broker, deaths: Sequence[Death], down_s: Sequence[float]) -> None:
        self.kills = 0
        self._broker = broker
        self._plan = list(zip(deaths, down_s, strict=True))
        self._killed = asyncio.Event()
        self._up = asyncio.Lock()  # held while it is down
        self._trap = Trap(self._kill)
        self.on_packet = self._trap.on_packet

    def _kill(self) -> None:
        self._broker.signal_kill()
        self._killed.set()

    async def live(self) -> None:
        """Until all is done as planned."""
        for death, down_s in self._plan:
            self._killed.clear()
            self._trap.set(death)
            await self._killed.wait()
            async with self._up:
                await self._broker.kill()
                self.kills += 1
                await asyncio.sleep(down_s)
                await self._broker.start()

    async def spare(self) -> None:
        """No more deaths; returns when it is up."""
        self._plan.clear()
        self._trap.set(Death())
        if self._killed.is_set():
            await asyncio.sleep(0)  # `live` takes the lock
        async with self._up:
            pass


@contextlib.asynccontextmanager
async def started(broker: Broker) -> AsyncIterator[Broker]:
    """`broker` runs from here to the end of the block."""
    try:
        await broker.start()
        yield broker
    finally:
        await broker.kill()
