"""WebSocket as a layer (RFC 6455), by wsproto: frames are its affair, and what MQTT asks of them is this file's: binary
data alone [MQTT-6.0.0-1], packets across frames in any way [MQTT-6.0.0-2], the subprotocol "mqtt" [MQTT-6.0.0-3]
[MQTT-6.0.0-4]. Loaded by who has a ws:// or wss:// address.

A frame is handed up as it arrives, in pieces: its length costs no memory. Extensions are not offered or taken, so a
short frame never becomes a long message.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import NamedTuple

from ..core.errors import ConnectError
from .layer import READ_SIZE, Layer

try:
    from wsproto import ConnectionType, WSConnection
    from wsproto.connection import ConnectionState
    from wsproto.events import (
        AcceptConnection,
        BytesMessage,
        CloseConnection,
        Event,
        Ping,
        RejectConnection,
        RejectData,
        Request,
        TextMessage,
    )
    from wsproto.frame_protocol import CloseReason
    from wsproto.utilities import LocalProtocolError, RemoteProtocolError
except ImportError:
    raise ImportError("ws:// and wss:// need the package wsproto: pip install 'mqttlite[ws]'") from None

SUBPROTOCOL = "mqtt"
PONG_BEHIND_MAX = 65536  # bytes that have not left: a ping is answered no more, since its peer does not read

Data = bytes | bytearray | memoryview


class WebSocketError(ConnectError):
    """The other end does not speak WebSocket as MQTT needs it. `status`: of its HTTP answer, 0 when there was none."""

    def __init__(self, text: str, status: int = 0, body: bytes = b"", location: str = "") -> None:
        super().__init__(text)
        self.status = status
        self.body = body  # the beginning of what it has sent with it
        self.location = location  # where it sends us instead


class Refusal(NamedTuple):
    """Why a request is refused: the status of the answer, and words for whoever sent it."""

    status: HTTPStatus
    words: str


class WebSocketLayer(Layer):
    """What both ends have in common: frames."""

    def __init__(self, above: asyncio.BaseProtocol, kind: ConnectionType) -> None:
        super().__init__(above)
        self._ws = WSConnection(kind)
        self._events: Iterator[Event] | None = None  # of what has been read, and not looked at yet

    def pieces(self, data: bytes) -> Iterator[bytes]:
        if data and self._ws.state is not ConnectionState.CLOSED:
            self._receive(data)
        if self._events is None:
            self._events = self._ws.events()
        for event in self._events:
            yield self._piece(event)
        self._events = None

    def _receive(self, data: bytes) -> None:
        self._ws.receive_data(data)

    def _piece(self, event: Event) -> bytes:
        """What an event brings for the protocol above."""
        if isinstance(event, BytesMessage):
            return bytes(event.data)
        if isinstance(event, Ping):
            if self.below.get_write_buffer_size() < PONG_BEHIND_MAX:
                self._send(event.response())
        elif isinstance(event, CloseConnection):
            self._closed(event)
        elif isinstance(event, TextMessage):
            self._send(CloseConnection(CloseReason.UNSUPPORTED_DATA, "MQTT is binary"))
            raise WebSocketError("it sent a frame of text, and MQTT is binary [MQTT-6.0.0-1]")
        else:
            self._of_handshake(event)
        return b""

    def _closed(self, event: CloseConnection) -> None:
        if self._ws.state is ConnectionState.REMOTE_CLOSING:
            self._send(event.response())
        elif self._ws.state is not ConnectionState.CLOSED:  # wsproto's way to say that a frame is none
            self._send(event)
            raise WebSocketError(f"its frames are wrong: {event.reason}")
        self.has_ended()

    def _of_handshake(self, event: Event) -> None:
        """One of the opening handshake."""

    def _send(self, event: Event) -> None:
        if self.below.is_closing():
            return
        with contextlib.suppress(LocalProtocolError):  # closed in the meantime: there is nothing to say any more
            self.below.write(bytes(self._ws.send(event)))

    def write(self, data: Data) -> None:
        if self._ws.state is ConnectionState.OPEN:
            for at in range(0, len(data), READ_SIZE):  # some peers do not take frames of megabytes
                self._send(BytesMessage(bytes(data[at : at + READ_SIZE])))

    def _say_end(self) -> None:
        if self._ws.state is ConnectionState.OPEN:
            self._send(CloseConnection(CloseReason.NORMAL_CLOSURE))

    def write_eof(self) -> None:
        """The peer answers with the same, and then nothing more comes from either."""
        self._say_end()

    def close(self) -> None:
        self._say_end()
        self.below.close()


class WebSocketClientLayer(WebSocketLayer):
    """A client's end: asks `host` (as its header has it) for `target`."""

    def __init__(self, above: asyncio.BaseProtocol, host: str, target: str) -> None:
        super().__init__(above, ConnectionType.CLIENT)
        self._request = Request(host=host, target=target, subprotocols=[SUBPROTOCOL])  # [MQTT-6.0.0-3]
        self._refused: WebSocketError | None = None  # by an answer whose body is still coming

    def opened(self) -> None:
        self._send(self._request)

    def _receive(self, data: bytes) -> None:
        try:
            self._ws.receive_data(data)
        except RemoteProtocolError as error:
            raise self._refused or WebSocketError(str(error)) from None

    def _of_handshake(self, event: Event) -> None:
        if isinstance(event, AcceptConnection):
            if event.subprotocol != SUBPROTOCOL:
                raise WebSocketError(
                    f"takes WebSockets, but not for MQTT: it did not choose the subprotocol '{SUBPROTOCOL}'"
                )
            self.ready()
        elif isinstance(event, RejectConnection):
            location = next((value.decode("latin-1") for name, value in event.headers if name == b"location"), "")
            self._refused = WebSocketError("refused", event.status_code, b"", location)
            if not event.has_body:
                raise self._refused
        elif isinstance(event, RejectData) and self._refused:
            self._refused.body += event.data[:500]
            if event.body_finished or len(self._refused.body) >= 500:
                raise self._refused

    def eof_received(self) -> bool:
        if self._refused:
            self.fail(self._refused)
        return super().eof_received()


class WebSocketServerLayer(WebSocketLayer):
    """A server's end. `judge(request)` says what it has against a request; None: nothing."""

    def __init__(self, above: asyncio.BaseProtocol, judge: "Callable[[Request], Refusal | None]") -> None:
        super().__init__(above, ConnectionType.SERVER)
        self._judge = judge

    def _receive(self, data: bytes) -> None:
        try:
            self._ws.receive_data(data)
        except RemoteProtocolError as error:
            if self.established.done():
                raise
            if self.first[:1].isalpha():
                self._refuse(
                    Refusal(
                        HTTPStatus.UPGRADE_REQUIRED,
                        f"This is an MQTT broker: it speaks MQTT over WebSockets (subprotocol {SUBPROTOCOL}) here, "
                        "and serves no pages.",
                    ),
                    f"an HTTP request that asks for no WebSocket: {error}",
                )
            raise WebSocketError("the client does not speak HTTP, with which a WebSocket begins") from None

    def _of_handshake(self, event: Event) -> None:
        if not isinstance(event, Request):
            return
        refusal = self._judge(event)
        if refusal is None and SUBPROTOCOL not in event.subprotocols:
            refusal = Refusal(
                HTTPStatus.BAD_REQUEST,
                f"MQTT over WebSockets needs the subprotocol '{SUBPROTOCOL}', and the request does not offer it.",
            )
        if refusal:
            self._refuse(refusal, f"WebSocket refused: {refusal.status} {refusal.words}")
        self._send(AcceptConnection(subprotocol=SUBPROTOCOL))  # [MQTT-6.0.0-4]
        self.ready()

    def _refuse(self, refusal: Refusal, words: str) -> None:
        body = refusal.words.encode() + b"\n"
        headers = [
            (b"Content-Type", b"text/plain; charset=utf-8"),
            (b"Content-Length", str(len(body)).encode()),
            (b"Connection", b"close"),
        ]
        if refusal.status is HTTPStatus.UPGRADE_REQUIRED:
            headers.append((b"Upgrade", b"websocket"))
        self._send(RejectConnection(status_code=refusal.status, headers=headers, has_body=True))
        self._send(RejectData(data=body))
        raise WebSocketError(words)
