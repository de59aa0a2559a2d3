"""A lean load for any broker of MQTT 3.1.1 or 5.0: publishers and subscribers in one process, over bare sockets.

Every message carries its number and its publisher's; each subscriber checks that it gets every one, in order and once.
A publisher has at most WINDOW messages unfinished, and at QoS 0, which is not acknowledged, at most WINDOW messages
that the slowest of its subscribers has not got, so that no broker has a reason to drop any.

    python -m benchmarks.broker_load PORT QOS PUBLISHERS SUBSCRIBERS MESSAGES WINDOW [LEVEL]

LEVEL: 4 for MQTT 3.1.1, or 5 for 5.0 (messages without properties). Each publisher has a topic, and subscribers are
dealt out to the topics in turn; where there are fewer subscribers, each of these has a topic, and publishers are dealt
out. MESSAGES is for each publisher. Prints the number of deliveries, all verified. Fails as soon as one is missing,
wrong, or late by TIMEOUT_S.
"""

import selectors
import socket
import sys
from collections import Counter

from mqttlite.core import wire5
from mqttlite.core.codec import acknowledgement, publish_head
from mqttlite.core.greeting import MQTT_5_0
from mqttlite.core.packet_types import PUBACK, PUBCOMP, PUBREC, PUBREL
from mqttlite.core.wire4 import encode_connect, encode_subscribe

PAYLOAD_BYTES = 64
WINDOW_QOS0 = 100
TIMEOUT_S = 30.0
READ_BYTES = 256 * 1024


def connected(port: int, client_id: str, level: int) -> socket.socket:
    """A socket on which the broker has answered CONNECT."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if level == MQTT_5_0:
        sock.sendall(wire5.encode_connect(client_id.encode(), True, 0))
        expect(sock, b"\x20")
        size = sock.recv(1)[0]
        expect(sock, b"\0\0")
        sock.recv(size - 2)
    else:
        sock.sendall(encode_connect(client_id.encode(), True, 0))
        expect(sock, b"\x20\2\0\0")
    return sock


def expect(sock: socket.socket, answer: bytes) -> None:
    """Read exactly `answer`."""
    got = b""
    while len(got) < len(answer):
        data = sock.recv(len(answer) - len(got))
        if not data:
            raise RuntimeError("the broker closed the connection")
        got += data
    if got != answer:
        raise RuntimeError(f"the broker answered {got.hex(' ')} instead of {answer.hex(' ')}")


class Subscriber:
    """Takes, verifies and acknowledges the messages of one topic."""

    def __init__(self, port: int, number: int, topic: bytes, qos: int, level: int) -> None:
        self.sock = connected(port, f"subscriber-{number}", level)
        self._properties = b"\0" if level == MQTT_5_0 else b""
        encode = wire5.encode_subscribe if level == MQTT_5_0 else encode_subscribe
        self.sock.sendall(encode(1, [(topic, qos)]))
        expect(self.sock, bytes((0x90, 3 + len(self._properties), 0, 1)) + self._properties + bytes((qos,)))
        self._qos = qos
        self._head = publish_head(qos << 1, topic, len(self._properties) + PAYLOAD_BYTES)
        self._rest = b""
        self.received: Counter[int] = Counter()  # by publisher

    def readable(self) -> None:
        """Process what has arrived."""
        data = self._rest + self.sock.recv(READ_BYTES)
        if len(data) == len(self._rest):
            raise RuntimeError("the broker closed a subscriber's connection")
        head, qos = self._head, self._qos
        at_id = len(head)
        at_payload = at_id + (2 if qos else 0) + len(self._properties)
        size = at_payload + PAYLOAD_BYTES
        at, end = 0, len(data)
        answers = bytearray()
        while at < end:
            if data[at] == PUBREL:
                if end - at < 4:
                    break
                answers += bytes((PUBCOMP,)) + data[at + 1 : at + 4]
                at += 4
                continue
            if end - at < size:
                break
            publisher = data[at + at_payload + 8]
            number = int.from_bytes(data[at + at_payload : at + at_payload + 8], "big")
            due = self.received[publisher]
            if number != due or not data.startswith(head, at):
                raise RuntimeError(f"message {number} arrived where {due} was due, or with another head")
            self.received[publisher] = number + 1
            if qos:
                answers += bytes((PUBACK if qos == 1 else PUBREC, 2)) + data[at + at_id : at + at_id + 2]
            at += size
        self._rest = data[at:]
        if answers:
            self.sock.sendall(answers)


class Publisher:
    """Publishes `count` numbered messages to one topic, as fast as the window allows."""

    def __init__(
        self, port: int, number: int, topic: bytes, qos: int, count: int, window: int, to: list[Subscriber], level: int
    ) -> None:
        self.sock = connected(port, f"publisher-{number}", level)
        self._properties = b"\0" if level == MQTT_5_0 else b""
        self._head = publish_head(qos << 1, topic, len(self._properties) + PAYLOAD_BYTES)
        self._number = number
        self._end = bytes((number,)) + b"." * (PAYLOAD_BYTES - 9)
        self._qos = qos
        self._count = count
        self._window = window
        self._to = to
        self._rest = b""
        self.sent = 0
        self.finished = 0

    def send(self) -> None:
        """Fill the window."""
        done = self.finished if self._qos else min(subscriber.received[self._number] for subscriber in self._to)
        until = min(self._count, done + self._window)
        if self.sent == until:
            return
        out = []
        for number in range(self.sent, until):
            out.append(self._head)
            if self._qos:
                out.append((number % 65535 + 1).to_bytes(2, "big"))
            out.append(self._properties + number.to_bytes(8, "big") + self._end)
        self.sent = until
        self.sock.sendall(b"".join(out))

    def readable(self) -> None:
        """Process acknowledgements."""
        data = self._rest + self.sock.recv(READ_BYTES)
        if len(data) == len(self._rest):
            raise RuntimeError("the broker closed a publisher's connection")
        whole = len(data) // 4 * 4
        self._rest = data[whole:]
        out = b""
        for at in range(0, whole, 4):
            if data[at] == PUBREC:
                out += acknowledgement(PUBREL, data[at + 2] << 8 | data[at + 3])
            else:
                self.finished += 1
        if out:
            self.sock.sendall(out)


def run(port: int, qos: int, publishers: int, subscribers: int, count: int, window: int, level: int = 4) -> int:
    """Send everything and wait until everything has arrived and is acknowledged; the number of deliveries."""
    topics = [f"bench/topic/{number}".encode() for number in range(min(publishers, subscribers))]
    among = len(topics)
    subs = [Subscriber(port, n, topics[n % among], qos, level) for n in range(subscribers)]
    pubs = [
        Publisher(port, n, topics[n % among], qos, count, window, subs[n % among :: among], level)
        for n in range(publishers)
    ]
    selector = selectors.DefaultSelector()
    ends: list[Publisher | Subscriber] = [*pubs, *subs]
    for end in ends:
        selector.register(end.sock, selectors.EVENT_READ, end)
    expected = count * max(publishers, subscribers)
    while True:
        for publisher in pubs:
            publisher.send()
        received = sum(sub.received.total() for sub in subs)
        if received == expected and (not qos or all(publisher.finished == count for publisher in pubs)):
            return received
        events = selector.select(TIMEOUT_S)
        if not events:
            raise RuntimeError(f"{received} of {expected} messages arrived, then nothing for {TIMEOUT_S:.0f} s")
        for key, _ in events:
            key.data.readable()


if __name__ == "__main__":
    print(run(*(int(word) for word in sys.argv[1:])))
