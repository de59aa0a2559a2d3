"""The broker's listeners for WebSocket: what the standard says, browsers, and those who want something else there."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, NegotiationError

from mqttlite import Client
from mqttlite.broker import Broker, Limits, Listener, Tls
from mqttlite.broker.listening.origins import _is_private
from mqttlite.core.errors import ConnectError
from mqttlite.core.wire4 import encode_connect
from tests.broker.raw import TIMEOUT_S, port_of
from tests.broker.test_server import until
from tests.certificates import Certificates
from tests.interop.paho_client import PahoClient
from tests.statements import statement

LOCAL = "ws://127.0.0.1:0"
CONNECT = encode_connect(b"web", True, 0, None, None, None)
CONNACK = b"\x20\x02\0\0"
PINGREQ, PINGRESP = b"\xc0\0", b"\xd0\0"


def opened(broker: Broker, path: str = "/mqtt", **options: Any) -> connect:
    """A WebSocket of the `websockets` package to the first listener."""
    arguments: dict[str, Any] = {"subprotocols": ["mqtt"], "compression": None, "open_timeout": TIMEOUT_S, **options}
    return connect(f"ws://127.0.0.1:{port_of(broker.addresses[0])}{path}", **arguments)


async def connected(web: ClientConnection) -> None:
    await web.send(CONNECT)
    assert await web.recv() == CONNACK


async def end_of(web: ClientConnection) -> int | None:
    """The code with which the broker closes it."""
    with pytest.raises(ConnectionClosed):
        while True:
            await asyncio.wait_for(web.recv(), TIMEOUT_S)
    return web.close_code


@statement("3.1.1", "MQTT-6.0.0-1", "MQTT-6.0.0-4")
@statement("5.0", "MQTT-6.0.0-1", "MQTT-6.0.0-4")
async def test_the_subprotocol_is_mqtt_and_what_comes_is_binary() -> None:
    async with Broker([LOCAL]) as broker, opened(broker, subprotocols=["chat", "mqtt", "mqttv3.1"]) as web:
        assert web.subprotocol == "mqtt"
        await web.send(CONNECT)
        assert isinstance(await web.recv(), bytes)


@statement("3.1.1", "MQTT-6.0.0-2")
@statement("5.0", "MQTT-6.0.0-2")
async def test_packets_lie_in_frames_and_fragments_in_any_way() -> None:
    async with Broker([LOCAL]) as broker, opened(broker) as web:
        for at in range(len(CONNECT)):  # a byte in each frame, and empty ones
            await web.send(CONNECT[at : at + 1])
            await web.send(b"")
        assert await web.recv() == CONNACK
        await web.send([PINGREQ[:1], b"", PINGREQ[1:] + PINGREQ + PINGREQ[:1]])  # a message of fragments
        await web.send(PINGREQ[1:])
        got = b""
        while len(got) < 6:
            got += bytes(await web.recv(decode=False))
        assert got == 3 * PINGRESP


@statement("3.1.1", "MQTT-6.0.0-1")
@statement("5.0", "MQTT-6.0.0-1")
async def test_a_frame_of_text_ends_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with Broker([LOCAL]) as broker, opened(broker) as web:
        await connected(web)
        await web.send("text")
        assert await end_of(web) == 1003
        await until(lambda: "it sent a frame of text, and MQTT is binary [MQTT-6.0.0-1]" in caplog.text)


async def test_pings_are_answered_and_closing_is_a_handshake() -> None:
    async with Broker([LOCAL]) as broker:
        async with opened(broker) as web:
            await connected(web)
            await asyncio.wait_for(await web.ping(b"there?"), TIMEOUT_S)
        assert web.close_code == 1000
        await until(lambda: not broker.connections)
        async with opened(broker) as web:
            await connected(web)
            await web.send(b"\xe0\0")  # DISCONNECT: then it is the broker that closes
            assert await end_of(web) == 1000
        await until(lambda: not broker.connections)


async def test_a_will_is_published_when_a_websocket_is_closed_without_disconnect() -> None:
    async with Broker([LOCAL, "mqtt://127.0.0.1:0"]) as broker, Client(broker.addresses[1]) as other:
        await other.subscribe("gone")
        async with opened(broker) as web:
            await web.send(encode_connect(b"web", True, 0, None, None, (b"gone", b"web", 0, False)))
            assert await web.recv() == CONNACK
        assert (await anext(other)).payload == b"web"


@pytest.mark.parametrize(
    ("listen", "paths", "others"),
    [
        (LOCAL, ["/mqtt", "/", "/mqtt?token=1"], ["/mqtt/", "/other"]),
        (LOCAL + "/deep/path", ["/deep/path"], ["/mqtt", "/", "/deep"]),
    ],
)
async def test_only_its_own_path_is_a_websocket(listen: str, paths: list[str], others: list[str]) -> None:
    async with Broker([listen]) as broker:
        assert broker.addresses[0].endswith(listen.partition(":0")[2])
        for path in paths:
            async with opened(broker, path) as web:
                await connected(web)
        for path in others:
            with pytest.raises(InvalidStatus) as caught:
                await opened(broker, path)
            assert caught.value.response.status_code == 404
            assert f"MQTT over WebSockets is at {paths[0]}.".encode() in (caught.value.response.body or b"")


async def test_without_the_subprotocol_it_is_refused() -> None:
    async with Broker([LOCAL]) as broker:
        for subprotocols in (None, ["chat"]):
            with pytest.raises((InvalidStatus, NegotiationError)) as caught:
                await opened(broker, subprotocols=subprotocols)
            assert isinstance(caught.value, InvalidStatus)
            assert caught.value.response.status_code == 400
            assert b"needs the subprotocol 'mqtt'" in (caught.value.response.body or b"")


@pytest.mark.parametrize(
    ("origins", "host", "origin", "is_taken"),
    [
        ([], "pi:8080", "http://pi", True),
        ([], "pi.local", "http://pi.local:3000", True),
        ([], "192.168.1.5:8080", "http://192.168.1.5", True),
        ([], "[::1]:8080", "http://[::1]:3000", True),
        ([], "192.168.1.5:8080", "http://evil.example", False),
        ([], "evil.example:8080", "http://evil.example:8080", False),  # its name made to point here
        ([], "pi", "null", False),
        ([], "pi", "http://[", False),
        (["null"], "pi", "null", True),
        (["https://dash.example/"], "broker.example", "https://dash.example", True),
        (["https://dash.example"], "broker.example", "https://dash.example:444", False),
        (["*"], "broker.example", "https://anything.example", True),
    ],
)
async def test_a_page_of_somebody_else_does_not_get_in(
    origins: list[str], host: str, origin: str, is_taken: bool
) -> None:
    async with Broker([Listener(LOCAL, origins=origins)]) as broker:
        request = (
            f"GET /mqtt HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\nConnection: keep-alive, Upgrade\r\n"
            "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            "Sec-WebSocket-Protocol: mqtt\r\n\r\n"
        )
        answer = await asked(broker, request.encode(), until_end=not is_taken)
        if is_taken:
            assert answer.startswith(b"HTTP/1.1 101 ")
            assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in answer  # as RFC 6455, 1.3 has it
        else:
            assert answer.startswith(b"HTTP/1.1 403 ")
            assert b"--origin '" in answer


def test_a_name_is_private_when_nobody_in_the_internet_can_own_it() -> None:
    assert all(map(_is_private, ("localhost", "pi", "a.local", "a.home.arpa", "10.0.0.1", "8.8.8.8", "::1", "x.lan.")))
    assert not any(map(_is_private, ("example.com", "local.example", "a.b", "1.2.3.4.example")))


async def asked(broker: Broker, data: bytes, until_end: bool = True) -> bytes:
    """What the first listener answers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(broker.addresses[0]))
    try:
        writer.write(data)
        async with asyncio.timeout(TIMEOUT_S):
            return await reader.read() if until_end else await reader.readuntil(b"\r\n\r\n")
    finally:
        writer.transport.abort()


@pytest.mark.parametrize(
    "request_line", [b"GET / HTTP/1.1", b"HEAD /mqtt HTTP/1.1", b"POST /mqtt HTTP/1.1\r\nContent-Length: 3"]
)
async def test_a_request_that_is_no_upgrade_gets_a_short_true_answer(request_line: bytes) -> None:
    async with Broker([LOCAL]) as broker:
        answer = await asked(broker, request_line + b"\r\nHost: x\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 426 ")
        assert b"\r\nupgrade: websocket\r\n" in answer.lower()
        if not request_line.startswith(b"HEAD"):
            assert answer.endswith(b"speaks MQTT over WebSockets (subprotocol mqtt) here, and serves no pages.\n")
        assert len(answer) < 400
        await until(lambda: not broker.connections)


@pytest.mark.parametrize(
    ("first", "words"),
    [
        (b"\x10\x0c\0\4MQTT\4\2\0\0\0\0\r\n\r\n", "the client does not speak HTTP, with which a WebSocket begins"),
        (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\r\n\r\n", "the client does not speak HTTP"),
        (b"GET /mqtt HTTP/1.1\r\nX: " + b"x" * 70_000, "an HTTP request that asks for no WebSocket"),
    ],
)
async def test_what_is_no_request_ends_and_is_logged(
    first: bytes, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with Broker([LOCAL]) as broker:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(broker.addresses[0]))
        writer.write(first)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await reader.read()
        except ConnectionResetError:
            pass  # it was still being sent
        finally:
            writer.transport.abort()
        await until(lambda: words in caplog.text and not broker.connections)


PORT_OF = {
    ("mqtt", "mqtts"): "beginning of TLS: is this its port for TLS? Without TLS it is mqtt://",
    ("mqtt", "ws"): "when it is asked for a WebSocket: is this its port for WebSockets?",
    ("mqtt", "wss"): "beginning of TLS: is this its port for TLS? Without TLS it is ws://",
    ("mqtts", "mqtt"): "speaks TLS: use mqtts:// for this port",
    ("mqtts", "wss"): "is this its port for WebSockets? MQTT's own port is reached with mqtts://",
    ("ws", "mqtt"): "closes the connection without a word",
    ("ws", "wss"): "Without TLS it is ws://",
    ("wss", "mqtt"): "speaks TLS: use mqtts:// for this port (or wss:// for WebSockets)",
    ("wss", "mqtts"): "closes the connection without a word: is an MQTT broker behind it",
}


async def test_whoever_takes_the_wrong_of_our_ports_is_told_what_it_may_be(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = Certificates(tmp_path)
    pair = made.server()
    schemes = ("mqtt", "mqtts", "ws", "wss")
    async with Broker([f"{each}://127.0.0.1:0" for each in schemes], tls=Tls(pair.certificate, pair.key)) as broker:
        ports = dict(zip(schemes, map(port_of, broker.addresses), strict=True))
        for (there, scheme), words in PORT_OF.items():
            options = {"ca": made.ca} if scheme in ("mqtts", "wss") else {}
            with pytest.raises(ConnectError) as caught:
                async with Client(f"{scheme}://127.0.0.1:{ports[there]}", **options):  # type: ignore[arg-type]
                    pass
            assert words in str(caught.value)
        await until(lambda: "it speaks TLS: the client needs mqtt:// (or this listener mqtts://)" in caplog.text)
        await until(lambda: "it speaks HTTP: a browser needs a listener of ws:// or wss://" in caplog.text)


async def test_paho_speaks_websocket_to_it() -> None:
    async with Broker([LOCAL]) as broker:
        client = PahoClient(port_of(broker.addresses[0]), "paho", transport="websockets")
        async with client:
            await client.subscribe("a", 2)
            for qos in range(3):
                await client.publish("a", bytes(100_000), qos)
                message = await client.message()
                assert (len(message.payload), message.qos) == (100_000, qos)


async def test_a_packet_too_large_is_refused_before_it_is_there() -> None:
    """A frame is no unit of anything: what counts is the length that the packet says."""
    async with Broker([LOCAL], Limits(packet_bytes=1000)) as broker, opened(broker) as web:
        await connected(web)
        publish = b"\x30\xff\xff\x03" + bytes(30_000)  # says 65,535 bytes, and half of them come
        await web.send(publish)
        assert await end_of(web) == 1000
        await until(lambda: not broker.connections)
