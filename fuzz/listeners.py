"""What stands between a socket and the engine, fed with any bytes: plain TCP, WebSocket, TLS and WebSocket in TLS, with
transports that lead nowhere. No byte of a client is an error of ours, nothing is left of a connection that has ended,
and a client that comes after it is served.

`one(data)`: the first byte says which listener, and whether the bytes go through a real handshake of TLS first (one in
eight, for that takes longer than all else); then pieces, each with its length before it.
"""

import asyncio
import socket
import ssl
import tempfile
from pathlib import Path
from typing import Any

from mqttlite.broker.connections.protocol import Protocol
from mqttlite.broker.connections.turns import Turns
from mqttlite.broker.engine import Engine
from mqttlite.broker.limits import Limits
from mqttlite.broker.listening.listener import Door, Listener, Tls
from mqttlite.core.codec import packet, prefixed
from tests.certificates import Certificates

LIMITS = Limits(turn_work=50, half_open=3)
KINDS = ("mqtt", "ws", "mqtts", "wss")
CONNECT = packet(0x10, b"\0\4MQTT\4\2\0\x1e" + prefixed(b"c"))
UPGRADE = (
    b"GET /mqtt HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
)


class _Nowhere(asyncio.Transport):
    """A transport whose peer is this program."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.closing = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"socket": house().socket, "peername": ("127.0.0.1", 9)}.get(name, default)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def write(self, data: "bytes | bytearray | memoryview[int]") -> None:
        self.written += data

    def write_eof(self) -> None:
        pass

    def can_write_eof(self) -> bool:
        return True

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.closing = True

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class _House:
    """The doors, made once: certificates take longer than anything else here."""

    def __init__(self) -> None:
        self.socket = socket.socket()  # whose options are set
        self.loop = asyncio.new_event_loop()
        self.errors: list[dict[str, Any]] = []
        self.loop.set_exception_handler(lambda _, context: self.errors.append(context))
        with tempfile.TemporaryDirectory() as folder:
            made = Certificates(Path(folder))
            pair = made.server("localhost")
            tls = Tls(pair.certificate, pair.key)
            self.doors = {
                kind: Door(Listener(f"{kind}://localhost:1/mqtt" if kind[0] == "w" else f"{kind}://localhost:1", tls))
                for kind in KINDS
            }
            self.client = ssl.create_default_context(cafile=str(made.ca))


_house: "_House | None" = None


def house() -> _House:
    """The one of this process."""
    global _house
    if _house is None:
        _house = _House()
    return _house


def one(data: bytes) -> None:
    """See the module's text."""
    if data:
        house().loop.run_until_complete(_one(data))
        errors = house().errors
        assert not errors, errors


async def _one(data: bytes) -> None:
    engine = Engine(LIMITS)
    turns = Turns(engine, None)
    turns.start()
    kind = KINDS[data[0] % 4]
    pieces = []
    at = 1
    while at < len(data):
        size = data[at]
        pieces.append(data[at + 1 : at + 1 + size])
        at += 1 + size
    await _fed(turns, kind, pieces, shakes_hands=data[0] & 28 == 4)
    assert engine.stats.failures == 0
    assert not engine.peers and not engine.half_open and not turns.connections
    assert engine.ledger.received == engine.ledger.output == 0
    written = await _fed(turns, "mqtt", [CONNECT], shakes_hands=False)
    assert written == b"\x20\2\0\0"
    turns.stop()


async def _fed(turns: Turns, kind: str, pieces: list[bytes], *, shakes_hands: bool) -> bytes:
    transport = _Nowhere()
    protocol: Any = house().doors[kind].protocol(Protocol(turns))
    try:
        protocol.connection_made(transport)
        if shakes_hands and kind in ("mqtts", "wss"):
            await _over_tls(protocol, transport, pieces)
        else:
            for piece in pieces:
                await _give(protocol, transport, piece)
        await _settled()
        if not transport.closing:
            protocol.eof_received()
        await _settled()
        return bytes(transport.written)
    finally:
        protocol.connection_lost(None)
        await _settled()


async def _over_tls(protocol: Any, transport: _Nowhere, pieces: list[bytes]) -> None:
    """What is inside of TLS is anything; TLS itself is in order."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = house().client.wrap_bio(incoming, outgoing, server_hostname="localhost")
    for _ in range(10):
        try:
            client.do_handshake()
            break
        except ssl.SSLWantReadError:
            await _give(protocol, transport, outgoing.read())
            incoming.write(bytes(transport.written))
            transport.written.clear()
    for piece in pieces:
        if piece:
            client.write(piece)
        await _give(protocol, transport, outgoing.read())


async def _give(protocol: Any, transport: _Nowhere, data: bytes) -> None:
    while data and not transport.closing:
        room = protocol.get_buffer(len(data))
        size = min(len(room), len(data))
        room[:size] = data[:size]
        data = data[size:]
        protocol.buffer_updated(size)
    await _settled(1)


async def _settled(turns: int = 20) -> None:
    """The loop turns while it has something to do, so many times at most."""
    ready = house().loop._ready  # type: ignore[attr-defined]
    for _ in range(turns):
        if not ready:
            return
        await asyncio.sleep(0)


def _cut(first: int, data: bytes, size: int = 100) -> bytes:
    found = bytes((first,))
    for at in range(0, len(data), size):
        piece = data[at : at + size]
        found += bytes((len(piece),)) + piece
    return found


def _frame(payload: bytes, opcode: int = 2, final: bool = True) -> bytes:
    """A frame of a client, masked with zeros."""
    size = len(payload)
    length = bytes((0x80 | size,)) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
    return bytes((0x80 * final | opcode,)) + length + b"\0\0\0\0" + payload


def seeds() -> list[bytes]:
    """What each listener expects, whole and in pieces."""
    more = packet(0x32, prefixed(b"t") + b"\0\1x") + b"\xc0\0"
    framed = _frame(CONNECT + more[:5], final=False) + _frame(b"", 9) + _frame(more[5:], 0) + _frame(b"\x03\xe8", 8)
    hello = b"\x16\x03\x01\0\x05\1\0\0\1\3"
    return [
        _cut(0, CONNECT + more),
        _cut(0, hello),
        _cut(0, UPGRADE),
        _cut(1, UPGRADE + framed),
        _cut(1, UPGRADE + framed, 7),
        _cut(1, CONNECT),
        _cut(1, b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nabcdefghi"),
        _cut(2, CONNECT),
        _cut(2, hello),
        _cut(6, CONNECT + more),
        _cut(6, more, 3),
        _cut(7, UPGRADE + framed, 50),
        _cut(3, UPGRADE),
    ]
