"""A broker made for comparisons: what it sends depends on nothing but what it has received, and it fails on command.

It has a session for each client identifier and plays one conversation with each (apps/faults.py is the other end). At
its *event* number `cut` (a packet that it has received, or one that it has sent, counted over all connections) it ends
the connection, or falls silent: an event is either seen by both ends or lost, and there is nothing in between, so all
numbers together are all faults that one loss can be. It sends nothing while an answer is due, so two runs of one
program can differ in nothing that time decides. All bytes received are kept, for each connection.
"""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Iterable
from typing import NamedTuple

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK = range(1, 12)
DISCONNECT = 14
ANSWERS = {PUBREC: PUBREL, PUBREL: PUBCOMP}

DOWN = (("first", b"\0\xff", 0), ("second/é", b"once or more", 1), ("third", b"once", 2))


class Fault(NamedTuple):
    """Events after which something happens: the connection ends, or (`silent`) nothing is said any more."""

    events: tuple[int, ...]
    silent: bool = False


class Outgoing(NamedTuple):
    """A message to the client."""

    topic: str
    payload: bytes
    qos: int


def field(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data


def packet(first: int, body: bytes) -> bytes:
    """One packet with its fixed header."""
    size = len(body)
    length = bytearray()
    while size > 127:
        length.append(size & 127 | 128)
        size >>= 7
    length.append(size)
    return bytes([first, *length]) + body


def split(data: bytearray) -> "tuple[int, bytes] | None":
    """Takes the first packet out of `data`, if it is complete: its first byte, and what is behind its fixed header."""
    size = 0
    for at in range(1, min(len(data), 5)):
        size |= (data[at] & 127) << 7 * (at - 1)
        if not data[at] & 128:
            if len(data) < at + 1 + size:
                return None
            found = data[0], bytes(data[at + 1 : at + 1 + size])
            del data[: at + 1 + size]
            return found
    return None


def requested(body: bytes) -> bytes:
    """The QoS that is asked for with each topic filter of a SUBSCRIBE, all of them granted."""
    granted = bytearray()
    while body:
        end = 2 + int.from_bytes(body[:2], "big")
        granted.append(body[end])
        body = body[end + 1 :]
    return bytes(granted)


class Session:
    """What the peer knows of one client, and the rules by which it goes on."""

    def __init__(self, name: str, fault: Fault) -> None:
        self.name = name
        self.connections: list[bytearray] = []
        self.messages: list[tuple[bytes, bytes, int, bool]] = []  # received: topic, payload, QoS, retain; QoS 2 once
        self.events = 0
        self.is_silent = False
        self.ended = False  # with DISCONNECT
        self._faults = list(fault.events)
        self._silent = fault.silent
        self._exists = False
        self._held: list[bytes] | None = []  # until the application is ready
        self._received: set[int] = set()  # packet identifiers of QoS 2
        self._step = -1  # the last one that is complete
        self._down: list[Outgoing] = []
        self._current = 0  # packet identifier of the message under way
        self._released = False
        self._writer: asyncio.StreamWriter | None = None

    # -- events

    def _event(self) -> bool:
        """Count one; whether the connection is still to be used."""
        self.events += 1
        if self._faults and self.events == self._faults[0]:
            del self._faults[0]
            if self._silent:
                self.is_silent = True
            else:
                assert self._writer is not None
                self._writer.write_eof()  # what was sent arrives; a reset might take it back
            self._writer = None
        return self._writer is not None

    def _send(self, data: bytes) -> bool:
        if self._writer is None:
            return False
        if self._held is not None and data[0] >> 4 not in (CONNACK, SUBACK, UNSUBACK):
            self._held.append(data)
            return True
        self._writer.write(data)
        return self._event()

    # -- the conversation

    async def serve(self, data: bytearray, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from the CONNECT in `data` to its end."""
        self._writer = writer
        received = bytearray(data)
        self.connections.append(received)
        if self._held is not None:
            self._held = []
        while True:
            while self._writer and (found := split(data)):
                self._event()
                self._take(*found)  # seen, though an answer may not leave any more
            if self._writer is None:
                size = len(received) - len(data)  # what is behind was sent into the void
                del received[size:]
                break
            chunk = await reader.read(65536)
            if not chunk:
                break
            data += chunk
            received += chunk
        self._writer = None

    def new_life(self) -> None:
        """The client was killed, and begins again."""
        self.is_silent = False
        self._held = []
        if not self._down and self._step >= 0:  # it may not have been told before it died
            self._down = [self._go()]

    def _go(self) -> Outgoing:
        return Outgoing("go", b"%d" % self._step, 0)

    def _take(self, first: int, body: bytes) -> None:
        kind = first >> 4
        packet_id = int.from_bytes(body[:2], "big")
        if kind == CONNECT:
            present = self._exists
            self._exists = True
            if self._send(packet(CONNACK << 4, bytes([present, 0]))) and self._held is None:
                self._go_on()
        elif kind == PUBLISH:
            self._publish(first, body)
        elif kind == PUBREL:
            self._received.discard(packet_id)
            if self._send(packet(PUBCOMP << 4, body)):
                self._step_on()
        elif kind == SUBSCRIBE:
            self._send(packet(SUBACK << 4, body[:2] + requested(body[2:])))
            if b"ready/" in body and self._held is not None:
                held, self._held = self._held, None
                for answer in held:
                    self._send(answer)
                self._go_on()
        elif kind == UNSUBSCRIBE:
            self._send(packet(UNSUBACK << 4, body[:2]))
        elif kind in (PUBACK, PUBREC, PUBCOMP):
            self._answered(kind, packet_id)
        elif kind == DISCONNECT:
            self.ended = True
        else:
            raise AssertionError(f"packet {first:x} from {self.name}")

    def _publish(self, first: int, body: bytes) -> None:
        qos = first >> 1 & 3
        end = 2 + int.from_bytes(body[:2], "big")
        topic, packet_id, payload = body[2:end], body[end : end + 2], body[end + 2 :]
        number = int.from_bytes(packet_id, "big")
        if not qos:
            payload = body[end:]
        if qos < 2 or number not in self._received:
            self.messages.append((topic, payload, qos, first & 1 == 1))
            if payload.startswith(b"end "):
                assert int(payload[4:]) == self._step + 1
                self._step += 1
                self._down = [
                    Outgoing(f"down/{self.name}/{topic}", payload + b" %d" % self._step, qos)
                    for topic, payload, qos in DOWN
                ]
                self._down.append(self._go())
        if qos == 1:
            self._send(packet(PUBACK << 4, packet_id))
        elif qos == 2:
            self._received.add(number)
            self._send(packet(PUBREC << 4, packet_id))

    def _step_on(self) -> None:
        """Nothing is under way from the client: its turn to receive."""
        if not self._received and not self._current and self._down and self._held is None:
            self._next()

    def _go_on(self) -> None:
        """After CONNACK: what was under way to the client, again."""
        if self._released:
            self._send(packet(PUBREL << 4 | 2, self._current.to_bytes(2, "big")))
        elif self._current:
            self._send(self._message(8))
        elif not self._received and self._down:
            self._next()

    def _message(self, dup: int = 0) -> bytes:
        topic, payload, qos = self._down[0]
        identifier = self._current.to_bytes(2, "big") if qos else b""
        return packet(PUBLISH << 4 | dup | qos << 1, field(topic.encode()) + identifier + payload)

    def _next(self) -> None:
        """Send what waits for the client, until an answer is due."""
        while self._down:
            if self._down[0].qos:
                self._current = len(self._down) + 4 * (self._step + 1)
                self._send(self._message())
                return
            if not self._send(self._message()):
                if self._down[0].topic != "go":  # this one is said again
                    del self._down[0]
                return
            del self._down[0]

    def _answered(self, kind: int, packet_id: int) -> None:
        assert packet_id == self._current
        if kind == PUBREC:
            self._released = True
            self._send(packet(PUBREL << 4 | 2, packet_id.to_bytes(2, "big")))
            return
        self._current = 0
        self._released = False
        del self._down[0]
        self._next()


class Peer:
    """Listens on `port`; `sessions` by client identifier."""

    def __init__(self, faults: Iterable[tuple[str, Fault]]) -> None:
        self.sessions = {name: Session(name, fault) for name, fault in faults}
        self.port = 0
        self.changed = asyncio.Event()
        self._connections: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator["Peer"]:
        """Listens inside of this block."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, backlog=512)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in self._connections:
                task.cancel()
            await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            data = bytearray()
            while (found := split(bytearray(data))) is None:
                if not (chunk := await reader.read(65536)):
                    return
                data += chunk
            _, connect = found
            session = self.sessions[connect[12 : 12 + connect[11]].decode()]
            await session.serve(data, reader, writer)
            self.changed.set()
            while await reader.read(65536):
                pass  # nobody listens
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._connections.discard(task)
            writer.close()

    async def silent(self) -> None:
        """Returns when every session with a fault has fallen silent, or has ended before it came to that."""
        while not all(session.is_silent or session.ended for session in self.sessions.values()):
            self.changed.clear()
            await self.changed.wait()


def names(prefix: str, count: int) -> list[str]:
    """Client identifiers of the same length."""
    return [f"{prefix}{number:03}" for number in itertools.islice(itertools.count(), count)]
