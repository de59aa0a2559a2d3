"""The client over WebSocket: to Mosquitto, and to a server of the `websockets` package, which says what it saw."""

import asyncio
import http
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from websockets.asyncio.server import Request, Response, ServerConnection, serve

from mqttlite import Client
from mqttlite.core.errors import ConnectError, MQTTError
from tests.certificates import Certificates
from tests.net.test_client_tls import there_and_back
from tests.peers import Mosquitto, free_port
from tests.statements import statement

CONNACK = b"\x20\x02\0\0"


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int, Path]]:
    """Ports of Mosquitto's listeners for ws:// and wss://, and the CA of the second."""
    folder = tmp_path_factory.mktemp("ws")
    made = Certificates(folder)
    pair = made.server()
    plain, secure = free_port(), free_port()
    files = f"certfile {pair.certificate}\nkeyfile {pair.key}"
    settings = {
        "# plain\nlistener": f"{plain} 127.0.0.1\nprotocol websockets",
        "# secure\nlistener": f"{secure} 127.0.0.1\nprotocol websockets\n{files}",
    }
    with Mosquitto(folder / "mosquitto", persistence=False, settings=settings):
        yield plain, secure, made.ca


@statement("3.1.1", "MQTT-6.0.0-1", "MQTT-6.0.0-3")
@statement("5.0", "MQTT-6.0.0-1", "MQTT-6.0.0-3")
async def test_messages_of_each_qos_go_through_a_websocket_to_mosquitto(ports: tuple[int, int, Path]) -> None:
    plain, secure, ca = ports
    size = 10_000  # its WebSockets take 4 KiB in 100 ms
    await there_and_back(f"ws://127.0.0.1:{plain}", size)
    await there_and_back(f"wss://127.0.0.1:{secure}/any?path=1", size, ca=ca)


async def test_tls_and_plain_websockets_are_told_apart(ports: tuple[int, int, Path]) -> None:
    plain, secure, _ = ports
    assert "speaks HTTP without TLS: MQTT over WebSockets is ws://" in await refused(f"wss://127.0.0.1:{plain}")
    assert "closes the connection when it is asked for a WebSocket" in await refused(f"ws://127.0.0.1:{secure}")
    assert "speaks HTTP: a web server, or MQTT over WebSockets" in await refused(f"mqtt://127.0.0.1:{plain}")


async def refused(url: str) -> str:
    with pytest.raises(MQTTError) as caught:
        async with Client(url, timeout_s=10):
            pass
    assert isinstance(caught.value, ConnectError)
    return str(caught.value)


Handler = Callable[[ServerConnection], Awaitable[None]]


@asynccontextmanager
async def foreign(handler: Handler, **options: object) -> AsyncIterator[int]:
    """A WebSocket server of another make; its port."""
    arguments = {"subprotocols": ["mqtt"], "compression": None, **options}
    async with serve(handler, "127.0.0.1", 0, **arguments) as server:  # type: ignore[arg-type]
        yield next(iter(server.sockets)).getsockname()[1]


@statement("3.1.1", "MQTT-6.0.0-2", "MQTT-6.0.0-3")
@statement("5.0", "MQTT-6.0.0-2", "MQTT-6.0.0-3")
async def test_packets_may_be_split_over_frames_and_fragments_in_any_way() -> None:
    seen: dict[str, object] = {}
    publish = b"\x30\x07\0\1a" + b"body"
    done = asyncio.Event()

    async def handler(peer: ServerConnection) -> None:
        assert peer.request
        seen["protocol"] = peer.subprotocol
        seen["path"] = peer.request.path
        seen["connect"] = await peer.recv()
        for at in range(4):  # a byte in each frame, an empty one between them
            await peer.send(CONNACK[at : at + 1])
            await peer.send(b"")
        await peer.send([publish[:3], b"", publish[3:] + publish])  # one message of three fragments, two packets
        await peer.ping(b"there?")
        await peer.send(publish[:-1])
        await peer.send(publish[-1:])
        await done.wait()

    async with foreign(handler) as port, Client(f"ws://127.0.0.1:{port}/a/b?c=1", clean_session=True) as client:
        assert [(await anext(client)).payload for _ in range(3)] == [b"body"] * 3
        done.set()
    assert seen["protocol"] == "mqtt"
    assert seen["path"] == "/a/b?c=1"
    connect = seen["connect"]
    assert isinstance(connect, bytes)  # a binary frame [MQTT-6.0.0-1]
    assert connect[:1] == b"\x10"


async def test_a_ping_is_answered_and_the_end_is_a_closing_handshake() -> None:
    seen: list[object] = []
    closed = asyncio.Event()
    ponged = asyncio.Event()

    async def handler(peer: ServerConnection) -> None:
        await peer.recv()
        await peer.send(CONNACK)
        await (await peer.ping(b"are you there"))  # the pong with the same content
        seen.append("pong")
        ponged.set()
        seen.append(await peer.recv())
        await peer.wait_closed()
        seen.append(peer.close_code)
        closed.set()

    async with foreign(handler) as port:
        async with Client(f"ws://127.0.0.1:{port}"):
            await ponged.wait()
        await closed.wait()
    assert seen == ["pong", b"\xe0\0", 1000]  # DISCONNECT, then a close frame


@statement("3.1.1", "MQTT-6.0.0-1")
@statement("5.0", "MQTT-6.0.0-1")
async def test_a_frame_of_text_ends_the_connection() -> None:
    codes: list[int | None] = []
    closed = asyncio.Event()

    async def handler(peer: ServerConnection) -> None:
        await peer.recv()
        await peer.send(CONNACK.decode("latin-1"))
        await peer.wait_closed()
        codes.append(peer.close_code)
        closed.set()

    async with foreign(handler) as port:
        assert "speaks WebSocket, but it sent a frame of text, and MQTT is binary [MQTT-6.0.0-1]" in await refused(
            f"ws://127.0.0.1:{port}"
        )
        await closed.wait()
    assert codes == [1003]


async def nothing(peer: ServerConnection) -> None:
    await peer.wait_closed()


async def test_a_server_that_does_not_choose_the_subprotocol_is_none_for_mqtt() -> None:
    async with foreign(nothing, subprotocols=None) as port:
        said = await refused(f"ws://127.0.0.1:{port}")
    assert "takes WebSockets, but not for MQTT: it did not choose the subprotocol 'mqtt'" in said


@pytest.mark.parametrize(
    ("status", "body", "headers", "words"),
    [
        (404, "no such page", {}, "has no WebSocket at the path /mqtt (404 Not Found): give the right one in the URL"),
        (403, "go away", {}, "refuses the WebSocket at /mqtt (403 Forbidden); it says: 'go away'"),
        (401, "", {}, "refuses the WebSocket at /mqtt (401 Unauthorized): it wants to know who asks"),
        (302, "", {"Location": "wss://x/mqtt"}, "elsewhere (302 Found), to wss://x/mqtt: use that address"),
        (200, "<html>hello</html>", {}, "is a web server, and makes no WebSocket at /mqtt (200 OK): are port and path"),
        (502, "", {}, "is a proxy whose broker does not answer (502 Bad Gateway)"),
        (400, "The plain HTTP request was sent to HTTPS port", {}, "speaks TLS: use wss:// for this port"),
    ],
)
async def test_a_refused_upgrade_is_explained_by_its_status(
    status: int, body: str, headers: dict[str, str], words: str
) -> None:
    def answer(peer: ServerConnection, request: Request) -> Response:
        response = peer.respond(http.HTTPStatus(status), body)
        for name, value in headers.items():
            response.headers[name] = value
        return response

    async with foreign(nothing, process_request=answer) as port:
        said = await refused(f"ws://127.0.0.1:{port}")
    assert said.startswith(f"127.0.0.1:{port} ")
    assert words in said


@pytest.mark.parametrize(
    ("first", "words"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "is an SSH server"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "speaks TLS: use wss:// for this port"),
        (CONNACK, "does not speak HTTP, with which a WebSocket begins: use mqtt:// for MQTT's own port"),
        (b"", "closes the connection when it is asked for a WebSocket: is this its port for WebSockets?"),
    ],
)
async def test_what_is_no_web_server_is_named(first: bytes, words: str) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(first)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        said = await refused(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    assert words in said
