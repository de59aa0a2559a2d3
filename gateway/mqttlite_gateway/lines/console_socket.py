"""How `mqttlite console` reaches the boards of a gateway that runs: a Unix socket of its owner's alone.

Both sides send packets: one byte that says what it is, two for the size of the rest, the rest. The client begins with
LIST, answered by LINES, or with ATTACH, answered by what the board prints (TEXT) and becomes (STATE), or by REFUSED.
"""

import asyncio
import contextlib
import json
import logging
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .console import Console

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from .line import GatewayLine

log = logging.getLogger("mqttlite.gateway")

LIST = b"l"  # nothing
ATTACH = b"a"  # the path of a port
KEYS = b"k"  # for the board
LINES = b"L"  # JSON: a list of {"port", "device", "state"}
TEXT = b"t"  # from the board
STATE = b"s"  # see console.py
REFUSED = b"r"  # why, in words

PACKET_MAX = 4096  # bytes of the rest
WAITING_MAX = 65536  # bytes for a client that does not take them; then they are left out
SERVICE = Path("/run/mqttlite")


def folders() -> list[Path]:
    """Where gateways have their sockets: those of this user, and those of services."""
    own = os.environ.get("XDG_RUNTIME_DIR")
    return [*([Path(own, "mqttlite")] if own else []), SERVICE]


def default_path() -> Path | None:
    """The socket of this process, as long as its settings say nothing else: gateways do not share one. None where this
    user can have none. Those of gateways that were killed are removed.
    """
    folder = next((folder for folder in folders() if _is_writable(folder)), None)
    if folder is None:
        return None
    for path in folder.glob("console-*"):
        pid = path.name.partition("-")[2]
        if pid.isdigit() and not Path("/proc", pid).exists() and Path("/proc/self").exists():
            path.unlink(missing_ok=True)
    return folder / f"console-{os.getpid()}"


def _is_writable(folder: Path) -> bool:
    return os.access(folder if folder.exists() else folder.parent, os.W_OK)


def packet(kind: bytes, rest: bytes = b"") -> bytes:
    """As bytes for the socket."""
    return kind + len(rest).to_bytes(2) + rest


async def packets(reader: asyncio.StreamReader) -> "AsyncIterator[tuple[bytes, bytes]]":
    """The packets that arrive, until the other side has closed. Raises ValueError for what is none."""
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            head = await reader.readexactly(3)
            size = int.from_bytes(head[1:])
            if size > PACKET_MAX:
                raise ValueError("this is no console of a gateway")
            yield head[:1], await reader.readexactly(size)


class _Onlooker:
    """A client that looks on; see console.Onlooker. Whoever does not read misses something, and is told how much."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._missed = 0

    def shows(self, text: bytes) -> None:
        if self._writer.transport.get_write_buffer_size() > WAITING_MAX:
            self._missed += len(text)
            return
        if self._missed:
            text = b"\r\n[%d bytes were left out]\r\n" % self._missed + text
            self._missed = 0
        for at in range(0, len(text), PACKET_MAX):
            self._writer.write(packet(TEXT, text[at : at + PACKET_MAX]))

    def becomes(self, state: str) -> None:
        self._writer.write(packet(STATE, state.encode()))


class ConsoleSocket:
    """Serves the consoles of `lines` at `path`."""

    def __init__(self, path: Path, lines: "Sequence[GatewayLine]") -> None:
        self._path = path
        self._lines = lines
        self._clients: set[asyncio.Task[Any]] = set()

    async def run(self) -> None:
        """Serve for ever. Where there can be no socket, that is said, and the gateway does without."""
        try:
            server = await self._open()
        except OSError as error:
            log.warning("mqttlite console cannot reach this gateway: %s: %s", self._path, error.strerror or error)
            return
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            server.close()
            for client in self._clients:
                client.cancel()
            self._path.unlink(missing_ok=True)

    async def _open(self) -> asyncio.Server:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISSOCK(self._path.stat().st_mode):
                raise FileExistsError(0, "there is something else")
            self._path.unlink()  # of one that was killed
        before = os.umask(0o177)
        try:
            return await asyncio.start_unix_server(self._serve, self._path)
        finally:
            os.umask(before)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._clients.add(task)
        try:
            await self._talk(reader, writer)
        except (OSError, ValueError, asyncio.CancelledError):
            pass  # whoever it was, it is gone, or none of ours; or this gateway ends
        finally:
            self._clients.discard(task)
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onlooker = _Onlooker(writer)
        console: Console | None = None
        try:
            async for kind, rest in packets(reader):
                if kind == LIST:
                    await self._list(writer)
                elif kind == ATTACH and console is None:
                    line = self._line(rest.decode(errors="replace"))
                    if line is None:
                        writer.write(packet(REFUSED, b"not one of its ports"))
                        return
                    console = line.console
                    console.attach(onlooker)
                elif kind == KEYS and console:
                    await console.type(rest)
        finally:
            if console:
                console.detach(onlooker)

    async def _list(self, writer: asyncio.StreamWriter) -> None:
        found = [
            {"port": line.config.path, "device": line.device_id if line.link.up else "", "state": line.console.state}
            for line in self._lines
        ]
        for at in range(0, len(found), 8):
            writer.write(packet(LINES, json.dumps(found[at : at + 8]).encode()))
        writer.write(packet(LINES, b"[]"))
        await writer.drain()

    def _line(self, path: str) -> "GatewayLine | None":
        real = os.path.realpath(path)
        return next((line for line in self._lines if os.path.realpath(line.config.path) == real), None)


# -- the client's side


async def listed(path: Path) -> list[dict[str, str]]:
    """The lines of the gateway at `path`; empty when none is there any more. PermissionError when it is another's."""
    try:
        reader, writer = await asyncio.open_unix_connection(path)
    except (FileNotFoundError, ConnectionRefusedError):
        return []
    try:
        writer.write(packet(LIST))
        found: list[dict[str, str]] = []
        async for kind, rest in packets(reader):
            some = json.loads(rest) if kind == LINES else []
            if not some:
                break
            found += some
        return found
    finally:
        writer.close()


class Attached:
    """A board's console through a gateway."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def serve(self, shows: "Callable[[bytes], object]", becomes: "Callable[[str], object]") -> None:
        """Until the gateway ends. Raises ConnectionError when it refuses."""
        async for kind, rest in packets(self._reader):
            if kind == TEXT:
                shows(rest)
            elif kind == STATE:
                becomes(rest.decode())
            elif kind == REFUSED:
                raise ConnectionError(rest.decode())

    async def type(self, keys: bytes) -> None:
        """Bytes for the board; waits while the gateway has not taken what was typed before."""
        for at in range(0, len(keys), PACKET_MAX):
            self._writer.write(packet(KEYS, keys[at : at + PACKET_MAX]))
            await self._writer.drain()

    def close(self) -> None:
        """Leave the board alone."""
        self._writer.close()


async def attached(path: Path, port: str) -> Attached:
    """The console of the board on `port`, of the gateway at `path`."""
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(packet(ATTACH, port.encode()))
    return Attached(reader, writer)
