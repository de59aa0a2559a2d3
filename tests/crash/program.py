"""A program of a crash run: a process that is killed at given packets of its proxy, and started again."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from tests.crash.dying import VARIABLE
from tests.crash.proxy import Proxy
from tests.runtimes import ROOT

TAIL = 800  # characters shown of what a program said


class Death(NamedTuple):
    """How a life ends: at a packet by SIGKILL, or at the program's own hand at a point (dying.py)."""

    packets: int = 0  # of this life, both directions; the last one lets it die
    delay_s: float = 0.0  # 0: dead before that packet is forwarded
    point: str = ""  # as the environment variable has it, when `packets` is 0


class Trap:
    """Calls `kill` at the packet that was set."""

    def __init__(self, kill: Callable[[], None]) -> None:
        self._kill = kill
        self._left = 0
        self._delay_s = 0.0
        self._sprung: asyncio.TimerHandle | None = None

    def set(self, death: Death) -> None:
        """At `death.packets` from here; 0: at none, nor at the one that was set before."""
        if self._sprung:
            self._sprung.cancel()
        self._left = death.packets
        self._delay_s = death.delay_s

    def on_packet(self, _upstream: bool, _packet: bytes) -> None:
        if self._left:
            self._left -= 1
            if not self._left:
                if self._delay_s:
                    self._sprung = asyncio.get_running_loop().call_later(self._delay_s, self._kill)
                else:
                    self._kill()


def kill(process: asyncio.subprocess.Process) -> None:
    """SIGKILL, if it runs. Its own kill() would collect one that has just ended, and its exit code be lost."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)


class Failed(Exception):
    """A program ended otherwise than by its kills."""


class Program:
    """A program that is started again until it ends in good order. Of its lives the first ones are short.

    It speaks to the broker through `proxy`. When it has printed a line "ready", the event of that name is set.
    """

    def __init__(self, name: str, command: Sequence[str], proxy: Proxy, env: Mapping[str, str] | None = None) -> None:
        self.proxy = proxy
        self.ready = asyncio.Event()
        self.kills = 0
        self.said = ""
        self._name = name
        self._command = command
        self._env = {**os.environ, **(env or {})}
        self._process: asyncio.subprocess.Process | None = None
        self._trap = Trap(self.kill)
        proxy.on_packet.append(self._trap.on_packet)

    async def live(self, deaths: Sequence[Death]) -> None:
        """All its lives: one for each of `deaths`, then one without, each shorter if the program ends by itself."""
        for death in (*deaths, Death()):
            self._trap.set(death)
            code = await self._life({**self._env, VARIABLE: death.point})
            if code == 0:
                return
            if code != -signal.SIGKILL or death == Death():
                raise Failed(f"{self._name} ended with code {code}: {self.said[-TAIL:]}")
            self.kills += 1

    def kill(self) -> None:
        """SIGKILL, if it runs."""
        if self._process:
            kill(self._process)

    async def _life(self, env: Mapping[str, str]) -> int:
        process = await asyncio.create_subprocess_exec(
            *self._command,
            cwd=ROOT,
            env=env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stdout
        assert process.stderr
        self._process = process
        try:
            said = asyncio.create_task(process.stderr.read())
            async for line in process.stdout:
                if line == b"ready\n":
                    self.ready.set()
            self.said += (await said).decode()
            return await process.wait()
        finally:
            kill(process)
            await process.wait()
            self._process = None
