"""Clients that do nothing wrong, and measure what an attack on their broker costs them: in threads, over blocking
sockets, so that nothing but the broker is between a message and its answer.
"""

import socket
import threading
import time

from .attacks import HOUSE, OWNED
from .wire import connect, packet, publish, subscribe

PATIENCE_S = 10.0


class Honest:
    """Some clients, each from an address of its own in 127/8 (or of `host`, when this is none).

    - One publishes at QoS 1, and one gets it: ten times a second, `latency_ms`.
    - One connects anew each time, with a clean session or a persistent one: `connect_ms`, and `refused`.
    - One holds OWNED, and comes back when it has been thrown out: `owner_away_ms`, the longest that it was not in.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._stop = threading.Event()
        self._sockets: list[socket.socket] = []
        self._number = 1
        self.latency_ms = 0.0
        self.connect_ms = 0.0
        self.owner_away_ms = 0.0
        self.machine_ms = 0.0  # how much later than it wanted this program got the processor, at most
        self.messages = 0
        self.connects = 0
        self.refused: list[str] = []
        self.lost: list[str] = []
        self._threads = [
            threading.Thread(target=run, daemon=True) for run in (self._pair, self._newcomer, self._owner, self._clock)
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End."""
        self._stop.set()
        for thread in self._threads:
            thread.join(2 * PATIENCE_S)
        for sock in self._sockets:
            sock.close()

    @property
    def greatest_ms(self) -> float:
        """The longest that anything took."""
        return max(self.latency_ms, self.connect_ms)

    def _socket(self, last: int) -> socket.socket:
        sock = socket.socket(socket.AF_INET6 if ":" in self._host else socket.AF_INET)
        self._sockets.append(sock)
        sock.settimeout(PATIENCE_S)
        if self._host.startswith("127."):
            sock.bind((f"127.0.1.{last}", 0))
        sock.connect((self._host, self._port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def _connected(self, last: int, client_id: str, clean: bool = True) -> socket.socket:
        sock = self._socket(last)
        sock.sendall(connect(client_id, clean, 60))
        answer = _take(sock, 4)
        if answer[3]:
            sock.close()
            raise ConnectionRefusedError(f"CONNACK {answer[3]}")
        return sock

    def _pair(self) -> None:
        sink = source = None
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                if sink is None or source is None:
                    sink, source = self._connected(1, "sink"), self._connected(2, "source")
                    sink.sendall(subscribe(HOUSE, qos=0))
                    _take(sink, 5)
                    began = time.monotonic()
                self._number += 1
                payload = b"%08d" % self._number
                source.sendall(publish(HOUSE, payload, 1, self._number % 60_000 + 1))
                _take(source, 4)
                while _take(sink, len(publish(HOUSE, payload)))[-8:] != payload:
                    pass
            except OSError as error:
                self.lost.append(repr(error))
                for sock in (sink, source):
                    if sock:
                        sock.close()
                sink = source = None
            self.messages += 1
            self.latency_ms = max(self.latency_ms, (time.monotonic() - began) * 1000)
            time.sleep(0.1)

    def _newcomer(self) -> None:
        while not self._stop.is_set():
            self.connects += 1
            began = time.monotonic()
            try:
                persistent = self.connects % 2 == 0
                sock = self._connected(3, f"new{self.connects}", clean=not persistent)
                sock.sendall(publish(HOUSE + "/new", b"", 1, 1) + b"\xe0\0")
                _take(sock, 4)
                sock.close()
            except OSError as error:
                self.refused.append(repr(error))
            self.connect_ms = max(self.connect_ms, (time.monotonic() - began) * 1000)
            time.sleep(0.1)

    def _clock(self) -> None:
        while not self._stop.is_set():
            began = time.monotonic()
            time.sleep(0.02)
            self.machine_ms = max(self.machine_ms, (time.monotonic() - began) * 1000 - 20)

    def _owner(self) -> None:
        away_since = time.monotonic()
        sock = None
        while not self._stop.is_set():
            try:
                if sock is None:
                    sock = self._connected(4, OWNED, clean=False)
                    self.owner_away_ms = max(self.owner_away_ms, (time.monotonic() - away_since) * 1000)
                sock.sendall(packet(0xC0))
                _take(sock, 2)
                away_since = time.monotonic()
            except OSError:
                if sock:
                    sock.close()
                sock = None
            time.sleep(0.1)
        if sock is None:
            self.owner_away_ms = max(self.owner_away_ms, (time.monotonic() - away_since) * 1000)


def _take(sock: socket.socket, size: int) -> bytes:
    got = b""
    while len(got) < size:
        data = sock.recv(size - len(got))
        if not data:
            raise ConnectionResetError("closed by the broker")
        got += data
    return got
