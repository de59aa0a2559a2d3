"""Runs `mqttlite` as a user does: a process of its own."""

import asyncio
import contextlib
import io
import os
import sys
from collections.abc import AsyncIterator

from mqttlite.cli import main
from tests.peers import RUN_TIMEOUT_S, Result, end, run
from tests.runtimes import ROOT

MQTTLITE = (sys.executable, "-m", "mqttlite")


async def mqttlite(*args: str, stdin: bytes = b"", check: bool = False, env: dict[str, str] | None = None) -> Result:
    """Run a command to its end."""
    return await run(*MQTTLITE, *args, stdin=stdin, check=check, env={**os.environ, **(env or {})})


async def inside(*args: str, stdin: bytes = b"", check: bool = False) -> Result:
    """The same in a thread of this process, which starts sooner: for commands that need no signals and no terminal."""
    out, err = io.StringIO(), io.StringIO()
    given = sys.stdin
    sys.stdin = io.TextIOWrapper(io.BytesIO(stdin))
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = await asyncio.to_thread(main, args)
    finally:
        sys.stdin = given
    assert not check or code == 0, err.getvalue()
    return Result(code, out.getvalue(), err.getvalue())


class Sub:
    """`mqttlite sub` beside the test; entering the block waits until it has subscribed."""

    def __init__(self, *args: str) -> None:
        self._args = args
        self._process: asyncio.subprocess.Process | None = None

    @property
    def process(self) -> asyncio.subprocess.Process:
        assert self._process is not None
        return self._process

    async def __aenter__(self) -> "Sub":
        self._process = await asyncio.create_subprocess_exec(
            *MQTTLITE,
            "sub",
            "-d",
            *self._args,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=ROOT,
        )
        await self.told("subscribed to")
        return self

    async def __aexit__(self, *_: object) -> None:
        await end(self.process)

    async def told(self, what: str) -> str:
        """Wait for a line on stderr that holds `what`."""
        assert self.process.stderr is not None
        said = ""
        async with asyncio.timeout(RUN_TIMEOUT_S):
            while line := (await self.process.stderr.readline()).decode():
                if what in line:
                    return line
                said += line
        raise AssertionError(f"mqttlite sub ended without saying {what!r}:\n{said}")

    async def line(self) -> bytes:
        """The next line that it prints."""
        assert self.process.stdout is not None
        async with asyncio.timeout(RUN_TIMEOUT_S):
            return await self.process.stdout.readline()

    async def lines(self, count: int) -> list[bytes]:
        return [await self.line() for _ in range(count)]

    async def ended(self) -> tuple[int, bytes, bytes]:
        """Wait for its end: exit code, what was left on stdout, on stderr."""
        async with asyncio.timeout(RUN_TIMEOUT_S):
            out, err = await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode, out, err


@contextlib.asynccontextmanager
async def running(*args: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A command beside the test with pipes; killed at the end of the block."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*MQTTLITE, *args, stdin=pipe, stdout=pipe, stderr=pipe, cwd=ROOT)
    try:
        yield process
    finally:
        await end(process)
