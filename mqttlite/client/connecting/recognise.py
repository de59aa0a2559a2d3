"""What answers at a port that is not MQTT's: recognised by its first bytes. CPython only, for client and gateway.

Whoever types a wrong port meets one of these, and to be told of reserved flags is no help then. All words are the rest
of a sentence that begins with the address.
"""

import asyncio
import contextlib
from collections.abc import Callable

from ...core.errors import MQTTError
from .dialing import open_streams
from .sockets import FIRST_BYTES

PROBE_S = 2  # for connecting once more, and an answer to a TLS handshake

_TLS = (
    "speaks TLS: use mqtts:// for this port (or wss:// for WebSockets), or the broker's port without TLS (usually 1883)"
)
_HTTP = (
    "speaks HTTP: a web server, or MQTT over WebSockets; that is ws:// with the right path, as in ws://host:port/mqtt. "
    "MQTT's own port is usually 1883"
)
_PORT = "use the port of the MQTT broker (usually 1883)"

TLS_PORTS = (443, 8443, 8883, 8884, 8885, 8886, 8887)  # 8884 to 8887: as at test.mosquitto.org
WEB_PORTS = (80, 8000, 8080, 8081, 8083, 8084, 8090, 8091, 9001)


def _is_tls(data: bytes) -> bool:
    """A TLS record (RFC 8446, 5.1): alert or handshake, version 3.x, length."""
    return len(data) > 2 and data[0] in (0x15, 0x16) and data[1] == 3 and data[2] <= 4


def _is_smtp_or_ftp(data: bytes) -> bool:
    return data[:3] in (b"220", b"120", b"421", b"500", b"502", b"530", b"554") and data[3:4] in (b" ", b"-")


def _is_mysql(data: bytes) -> bool:
    """A handshake packet: length of three bytes, number 0, protocol 10, and a version; or its refusal, 0xFF."""
    return len(data) > 5 and data[3] == 0 and data[4] in (10, 255) and int.from_bytes(data[:3], "little") < 512


_KNOWN: tuple[tuple[Callable[[bytes], bool], str], ...] = (
    (_is_tls, _TLS),
    (lambda data: data.startswith(b"SSH-"), f"is an SSH server; {_PORT}"),
    (lambda data: data.startswith(b"AMQP"), f"is an AMQP broker; {_PORT}: RabbitMQ needs its MQTT plugin for that"),
    (lambda data: data.startswith(b"RFB "), f"is a VNC server; {_PORT}"),
    (lambda data: data[:4] in (b"+OK ", b"* OK"), f"is a mail server (POP3 or IMAP); {_PORT}"),
    (lambda data: data.startswith(b"-ERR"), f"is a Redis or POP3 server; {_PORT}"),
    (lambda data: data.startswith(b"INFO {"), f"is a NATS server; {_PORT}: NATS needs its MQTT gateway for that"),
    (lambda data: data[:1] == b"\xff" and data[1:2] in b"\xfb\xfc\xfd\xfe", f"is a Telnet server; {_PORT}"),
    (_is_smtp_or_ftp, f"is a mail or FTP server; {_PORT}"),
    (_is_mysql, f"is a MySQL server; {_PORT}"),
)


def recognise(data: bytes) -> str:
    """What sends `data` as its first bytes, and what to do about it; "" when it may be MQTT or is not known."""
    if data.startswith(b"HTTP/") or data[:1].isspace() or data[:1] == b"<":
        head = data.lstrip().lower()
        if head.startswith((b"http/", b"<!doctype", b"<html", b"<?xml")):
            return _TLS if b"https port" in head or b"ssl-enabled" in head else _HTTP  # nginx, Apache
    for matches, words in _KNOWN:
        if matches(data):
            return words
    return ""


def not_mqtt(data: bytes) -> str:
    """As `recognise`, for bytes that have been found not to be MQTT: those that nobody knows are shown."""
    return recognise(data) or f"does not speak MQTT: it sent {ascii(bytes(data[:24]))[1:]}; {_PORT}"


def silent(port: int, waited_s: float | None, is_secure: bool = False) -> str:
    """For a peer that answers CONNECT with nothing at all: it has closed (`waited_s` None), or the time is up.
    `is_secure`: TLS, or a WebSocket, was made with it before.
    """
    if waited_s is None:
        did = "closes the connection without a word"
    else:
        did = f"takes the connection, but does not answer CONNECT within {waited_s:g} s"
    if is_secure:
        return f"{did}: is an MQTT broker behind it, and does its log say why it does not want this client?"
    if port in TLS_PORTS:
        return f"{did}: port {port} is usually TLS; try mqtts://, or the port without it (1883)"
    if port in WEB_PORTS:
        return f"{did}: port {port} is usually for WebSockets or HTTP; try ws://, or the broker's TCP port (1883)"
    if waited_s is None:
        return (
            f"{did}: is it an MQTT broker, without TLS or WebSocket, and does its log say why it refuses this client?"
        )
    return f"{did}: is it an MQTT broker, without TLS?"


async def probe(host: str, port: int) -> bytes:
    """What a peer that has closed at CONNECT, without a word, answers to a TLS handshake on a connection of its own:
    b"" when that is nothing, or cannot be asked.

    Mosquitto closes a connection without TLS at its TLS port like this.
    """
    try:
        async with asyncio.timeout(PROBE_S):
            reader, writer = await open_streams(host, port, FIRST_BYTES)
            try:
                writer.write(_client_hello())
                return await reader.read(FIRST_BYTES)
            finally:
                writer.transport.abort()
    except (OSError, MQTTError, ImportError):  # TimeoutError is an OSError
        return b""


def _client_hello() -> bytes:
    import ssl  # not every Python has it

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # nothing is sent to it
    wire = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), wire).do_handshake()
    return wire.read()
