"""The broker's end for a receiver that is measured: messages, at most WINDOW of them unfinished, to whoever subscribes.

Mosquitto cannot be it. With a publisher at the same time, both compete for the processor; with messages that it has
queued before, 2.0.11 leaves its window: 20 messages, then 400, then the rest. As Mosquitto does, this end answers
packet by packet, each in a write of its own.
"""

import contextlib
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import IO

from benchmarks.client_worker import PAYLOAD, TOPIC, WINDOW
from mqttlite.core.codec import acknowledgement, publish_head

TIMEOUT_S = 60

_PUBACK = 0x40
_PUBREC = 0x50
_PUBREL = 0x62
_PUBCOMP = 0x70
_DISCONNECT = 0xE0


@contextlib.contextmanager
def feeding(qos: int, count: int) -> Iterator[int]:
    """A client may connect and subscribe, once; the port. Who has received all has acknowledged all but a window."""
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as thread:
        server.settimeout(TIMEOUT_S)
        result = thread.submit(_feed, server, qos, count)
        port: int = server.getsockname()[1]
        yield port
        result.result()


def _feed(server: socket.socket, qos: int, count: int) -> None:
    """Serve one client until it disconnects; with the last messages it may do so in the middle of a handshake."""
    connection, _ = server.accept()
    with connection, connection.makefile("rb") as stream, contextlib.suppress(ConnectionError):
        head = publish_head(qos << 1, TOPIC.encode(), len(PAYLOAD))
        connection.settimeout(TIMEOUT_S)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _packet(stream)  # CONNECT
        connection.sendall(b"\x20\2\0\0")  # CONNACK: no session here
        _, request = _packet(stream)  # SUBSCRIBE
        connection.sendall(b"\x90\3" + request[:2] + bytes((qos,)))
        unfinished: set[int] = set()
        sent = 0
        while True:
            while sent < count and len(unfinished) < WINDOW:
                sent += 1
                packet_id = sent % 65535 + 1
                unfinished.add(packet_id)
                connection.sendall(head + packet_id.to_bytes(2, "big") + PAYLOAD)
            first, body = _packet(stream)
            if first == _DISCONNECT:
                return
            packet_id = int.from_bytes(body[:2], "big")
            if first == _PUBREC:
                connection.sendall(acknowledgement(_PUBREL, packet_id))
            elif first in (_PUBACK, _PUBCOMP):
                unfinished.remove(packet_id)


def _packet(stream: IO[bytes]) -> tuple[int, bytes]:
    """The first byte of the next packet, and what follows its length; all that come here are short."""
    first, length = stream.read(2)
    assert length < 128
    return first, stream.read(length)
