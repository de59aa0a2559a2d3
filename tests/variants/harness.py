"""Runs tests/variants/apps on a variant: one interpreter for many checks."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from tests import runtimes
from tests.peers import RUN_TIMEOUT_S, MicroPython, end
from tests.variants import peer
from tests.variants.peer import Fault, Peer, Session
from tests.variants.variants import library

APPS = Path(__file__).parent / "apps"
HEAP = "16m"

# Of the conversation without a fault: each is a place for one. A change of the conversation changes it.
EVENTS = 86
ONE_CUT = [Fault((event,)) for event in range(EVENTS + 1)]  # the first one is none
TWO_CUTS = [Fault((event, event + 1 + event % 4)) for event in range(1, EVENTS)]
# From CONNACK on: who dies before it does not know in its next life what the broker knows, and clears identifiers
# beside its messages (docs/decisions/0015), when there is time: not the same packets twice.
REBOOTS = [Fault((event,), silent=True) for event in range(2, EVENTS)]


@contextlib.asynccontextmanager
async def running(variant: str, bits: int, app: str, *args: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """An application of apps/ as a process, killed when the block ends."""
    argv = runtimes.micropython_argv(MicroPython(bits).program, APPS / f"{app}.py", args, heap=HEAP)
    process = await asyncio.create_subprocess_exec(
        *argv,
        env=runtimes.micropython_env([APPS, library(variant)]),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        await end(process)


async def finished(process: asyncio.subprocess.Process) -> list[str]:
    """What it has printed when it has ended, as it should."""
    async with asyncio.timeout(RUN_TIMEOUT_S):
        said = (await process.communicate())[0].decode()
    assert process.returncode == 0, said[-2000:]
    return said.splitlines()


class Control:
    """The other end of what apps/faults.py calls `control`."""

    def __init__(self) -> None:
        self.port = 0
        self._streams: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator["Control"]:
        """Listens inside of this block."""
        server = await asyncio.start_server(lambda *streams: self._streams.put_nowait(streams), "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            while not self._streams.empty():
                (await self._streams.get())[1].close()

    async def settle(self) -> None:
        """Returns when the application has done all that it can do without hearing more."""
        reader, writer = await self._streams.get()
        writer.write(b"settle\n")
        assert await reader.readline() == b"settle\n"
        writer.close()


async def played(variant: str, bits: int, faults: Sequence[Fault], folder: Path | None = None) -> dict[str, Session]:
    """Plays the conversation with every fault, each with a client of its own, and checks what must hold in each.

    With `folder`, which holds the journals: when all clients have had their fault, the process is killed, and a second
    one goes on.
    """
    names = peer.names("c", len(faults))
    said: list[str] = []
    arguments = [f"{folder}/", *names] if folder else names
    server = Peer(zip(names, faults, strict=True))
    async with server.serving(), Control().serving() as control:
        ports = str(server.port), str(control.port)
        if folder:
            async with running(variant, bits, "faults", *ports, *arguments) as process, asyncio.timeout(RUN_TIMEOUT_S):
                ended = asyncio.create_task(process.wait())
                silent = asyncio.create_task(server.silent())
                await asyncio.wait((ended, silent), return_when=asyncio.FIRST_COMPLETED)
                assert silent.done(), (await process.communicate())[0][-2000:]
                await control.settle()
                process.kill()
                said += (await process.communicate())[0].decode().splitlines()
            for session in server.sessions.values():
                session.new_life()
        async with running(variant, bits, "faults", *ports, *arguments) as process:
            said += await finished(process)
    for name, session in server.sessions.items():
        check_received([line for line in said if line.startswith(f"{name} ")])
        check_sent(session)
    return server.sessions


def check_received(lines: Sequence[str]) -> None:
    """Each message of the peer's has come to the application; of the first, which is of QoS 0, any may be lost."""
    for step in range(3):
        for payload, qos in (f"once or more {step}", 1), (f"once {step}", 2):
            assert any(f"b'{payload}', {qos}, False" in line for line in lines), (payload, lines)
    assert lines[-1].endswith(" done"), lines


def check_sent(session: Session) -> None:
    """The peer has got each message, in order, at QoS 2 once."""
    wanted = [(b"%d.%d" % (0, n), qos) for n, qos in enumerate((0, 1, 2, 1, 2))]
    wanted += [(b"end 0", 2)]
    wanted += [(b"%d.%d" % (1, n), 1 + n % 2) for n in range(6)]
    wanted += [(b"end 1", 2), (b"x" * 400, 2), (b"", 1), (b"end 2", 2)]
    found = [(payload, qos) for _, payload, qos, _ in session.messages]
    assert [message for message in dict.fromkeys(found) if message[1]] == [message for message in wanted if message[1]]
    assert all(found.count(message) == 1 for message in found if message[1] != 1), session.name
