"""The layers by themselves, both ends in memory: whatever the pieces in which bytes come, whoever stops reading when,
what goes in at one end comes out at the other, nothing waits that the peer decides the size of, and an end is seen.
"""

import asyncio
import random
import ssl
from typing import Any

import pytest

from mqttlite.core.errors import MQTTError
from mqttlite.net.layer import PIECES_MAX, READ_SIZE, Layer
from mqttlite.net.tls import TlsLayer
from mqttlite.net.websocket import PONG_BEHIND_MAX, WebSocketClientLayer, WebSocketServerLayer
from tests.certificates import Certificates

KINDS = ("tls", "ws", "wss")


class Wire(asyncio.Transport):
    """A transport whose bytes lie in `out` until they are moved."""

    def __init__(self) -> None:
        super().__init__()
        self.out = bytearray()
        self.is_paused = self.is_closed = self.has_eof = False

    def write(self, data: Any) -> None:
        assert not self.has_eof
        self.out += data

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False

    def write_eof(self) -> None:
        self.has_eof = True

    def close(self) -> None:
        self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed

    def get_write_buffer_size(self) -> int:
        return len(self.out)


class Top(asyncio.BufferedProtocol):
    """What stands above all layers."""

    def __init__(self) -> None:
        self.got = bytearray()
        self.ended = False
        self.buffer = bytearray(1000)

    def connection_made(self, transport: Any) -> None:
        self.transport: asyncio.Transport = transport

    def get_buffer(self, sizehint: int) -> bytearray:
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.got += self.buffer[:nbytes]

    def eof_received(self) -> bool:
        self.ended = True
        return True


class End:
    """One end: what stands above, its layers, and the wire below."""

    def __init__(self, kind: str, is_server: bool, context: ssl.SSLContext) -> None:
        self.top = Top()
        self.wire = Wire()
        self.layer: Any = self.top
        if kind != "tls":
            if is_server:
                self.layer = WebSocketServerLayer(self.layer, lambda request: None)
            else:
                self.layer = WebSocketClientLayer(self.layer, "localhost", "/mqtt")
        self.upper = self.layer
        if kind != "ws":
            name = None if is_server else "localhost"
            self.layer = TlsLayer(self.layer, context, is_server=is_server, server_name=name)
        if kind == "tls":
            self.upper = self.layer
        assert isinstance(self.layer, Layer)
        self.layer.connection_made(self.wire)

    def take(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            room = memoryview(self.layer.get_buffer(len(view)))
            size = min(len(room), len(view))
            room[:size] = view[:size]
            view = view[size:]
            self.layer.buffer_updated(size)


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    made = Certificates(tmp_path_factory.mktemp("layers"))
    pair = made.server()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pair.certificate, pair.key)
    return server, ssl.create_default_context(cafile=made.ca)


def ends(kind: str, contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> tuple[End, End]:
    return End(kind, True, contexts[0]), End(kind, False, contexts[1])


def move(one: End, two: End, size: int | None = None) -> bool:
    """Bring `size` bytes from one end to the other, unless it does not read; whether there were any."""
    if two.wire.is_paused or not one.wire.out:
        return False
    data = bytes(one.wire.out[: size or len(one.wire.out)])
    del one.wire.out[: len(data)]
    two.take(data)
    return True


async def settle(server: End, client: End) -> None:
    """Move all that can be moved."""
    still = 0
    while still < 3:
        moved = move(server, client) | move(client, server)
        still = 0 if moved else still + 1
        await asyncio.sleep(0)


async def ready(kind: str, contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> tuple[End, End]:
    server, client = ends(kind, contexts)
    await settle(server, client)
    for end in (server, client):
        assert end.upper.established.done()
        assert end.upper.established.exception() is None
    return server, client


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(4))
async def test_what_goes_in_comes_out_in_whatever_pieces_it_comes(
    kind: str, seed: int, contexts: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    rnd = random.Random(seed)
    server, client = ends(kind, contexts)
    sent = {server: bytearray(), client: bytearray()}
    total = 150_000
    while any(len(data) < total for data in sent.values()) or server.wire.out or client.wire.out:
        one, two = (server, client) if rnd.random() < 0.5 else (client, server)
        if len(sent[one]) < total and one.upper.established.done() and rnd.random() < 0.3:
            data = rnd.randbytes(rnd.choice((1, 2, 125, 126, 5000, 70_000)))
            sent[one] += data
            one.top.transport.write(memoryview(data) if rnd.random() < 0.5 else data)
        move(one, two, rnd.choice((1, 2, 7, 300, 5000, 100_000)))
        if rnd.random() < 0.1:
            if rnd.random() < 0.5:
                two.top.transport.pause_reading()
                before = len(two.top.got)
                move(one, two)
                assert len(two.top.got) == before  # nothing while it does not read
            two.top.transport.resume_reading()
        await asyncio.sleep(0)
    for end in (server, client):
        end.top.transport.resume_reading()
    await settle(server, client)
    assert client.top.got == sent[server]
    assert server.top.got == sent[client]


@pytest.mark.parametrize("kind", KINDS)
async def test_while_nobody_reads_nothing_more_is_taken_from_below(
    kind: str, contexts: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    server, client = await ready(kind, contexts)
    server.top.transport.pause_reading()
    client.top.transport.write(bytes(1_000_000))
    await settle(server, client)
    assert server.wire.is_paused
    assert len(client.wire.out) >= 1_000_000  # nobody has taken it: it counts where TCP has it
    assert client.top.transport.get_write_buffer_size() == len(client.wire.out)
    assert not server.top.got
    server.top.transport.resume_reading()
    await settle(server, client)
    assert len(server.top.got) == 1_000_000


@pytest.mark.parametrize("kind", KINDS)
async def test_an_end_of_one_direction_arrives_behind_what_was_written_and_the_other_goes_on(
    kind: str, contexts: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    server, client = await ready(kind, contexts)
    server.top.transport.write(b"the last words")
    server.top.transport.write_eof()
    client.top.transport.write(b"still talking")
    move(server, client)
    assert client.top.got == b"the last words"
    assert client.top.ended
    await settle(server, client)
    assert server.top.got == b"still talking"


@pytest.mark.parametrize("kind", KINDS)
async def test_an_end_in_the_middle_of_a_handshake_is_told_to_who_waits_for_it(
    kind: str, contexts: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    _, client = ends(kind, contexts)
    client.layer.connection_lost(None)
    with pytest.raises(ConnectionResetError):
        await client.upper.established


async def test_tiny_frames_take_many_turns_of_the_loop(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    server, client = await ready("ws", contexts)
    for _ in range(3 * PIECES_MAX):
        client.top.transport.write(b"x")
    move(client, server)
    assert len(server.top.got) == PIECES_MAX
    assert server.wire.is_paused
    await settle(server, client)
    assert len(server.top.got) == 3 * PIECES_MAX
    assert not server.wire.is_paused


async def test_pings_of_a_peer_that_does_not_read_are_not_answered_for_ever(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    server, _ = await ready("ws", contexts)
    ping = b"\x89\xfd" + bytes(4) + bytes(125)
    server.take(b"")
    for _ in range(2000):
        server.take(ping)
    assert PONG_BEHIND_MAX <= len(server.wire.out) < PONG_BEHIND_MAX + 200


async def test_a_frame_is_handed_up_as_it_comes_however_long_it_says_it_is(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    server, _ = await ready("ws", contexts)
    server.take(b"\x82\xff" + (1 << 40).to_bytes(8, "big") + bytes(4))  # 1 TiB, masked with zeros
    for _ in range(3):
        server.take(b"y" * READ_SIZE)
    assert len(server.top.got) == 3 * READ_SIZE


@pytest.mark.parametrize(
    "data",
    [
        b"\x82\x05hello",  # not masked: of a client it has to be
        b"\xf2\x80\0\0\0\0",  # reserved bits
        b"\x83\x80\0\0\0\0",  # no opcode
        b"\x80\x80\0\0\0\0",  # continues nothing
        b"\x09\x80\0\0\0\0",  # a ping in fragments
        b"\x89\xfe\0\xff" + bytes(4),  # a ping of 255 bytes
        b"\x88\x81\0\0\0\0x",  # a close frame with half a code
    ],
)
async def test_frames_that_are_none_end_the_connection(
    data: bytes, contexts: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    server, _ = await ready("ws", contexts)
    server.take(data)
    assert server.wire.is_closed
    assert server.top.got == b""


@pytest.mark.parametrize("seed", range(40))
async def test_noise_ends_a_connection_and_nothing_else(
    seed: int, contexts: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    """Before the handshake, and bytes turned over behind it: the connection ends or goes on, and nothing is raised."""
    rnd = random.Random(seed)
    for kind in KINDS:
        two = ends(kind, contexts)
        one, other = two if rnd.random() < 0.5 else two[::-1]
        for _ in range(rnd.randrange(3)):
            move(other, one)
            move(one, other)
        if other.upper.established.done():
            await settle(one, other)
            other.top.transport.write(rnd.randbytes(3000))
        data = bytearray(other.wire.out or rnd.randbytes(300))
        for _ in range(rnd.randrange(1, 5)):
            data[rnd.randrange(len(data))] = rnd.randrange(256)
        one.take(bytes(data))
        one.take(rnd.randbytes(rnd.randrange(1, 20_000)))
        await settle(one, other)
        for end in two:
            assert end.upper.error is None or isinstance(end.upper.error, (OSError, MQTTError))
            end.layer.connection_lost(None)
