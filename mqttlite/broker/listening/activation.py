"""Sockets on which systemd listens for this program, and hands over at its start (socket activation): while it is being
started again, nobody's connection is refused, and it may have ports below 1024.

The unit says the addresses (systemd/mqttlite-broker.socket), and so do the settings, as always: who listens on an
address that was handed over takes that socket instead of opening one. Each taker gets one of its own onto the same
queue, for a listener may be closed and opened again at a reload. Imports nothing of the broker.
"""

import os
import socket
import stat

_FDS_START = 3  # as sd_listen_fds counts

Address = tuple[str | int, ...] | tuple[int, bytes] | str


class Handed:
    """What was handed over; `environment`: where that is said. Read once: no child takes it for its own."""

    def __init__(self, environment: "os._Environ[str] | dict[str, str]", first: int = _FDS_START) -> None:
        self._sockets: list[socket.socket] = []
        self._taken: set[int] = set()
        pid = environment.pop("LISTEN_PID", "")
        count = environment.pop("LISTEN_FDS", "")
        environment.pop("LISTEN_FDNAMES", "")
        if pid == str(os.getpid()) and count.isdigit():
            for number in range(first, first + int(count)):
                os.set_inheritable(number, False)
                if stat.S_ISSOCK(os.fstat(number).st_mode):
                    self._sockets.append(socket.socket(fileno=number))

    @property
    def is_any(self) -> bool:
        """Whether there is one at all."""
        return bool(self._sockets)

    def take(self, family: int, address: Address) -> socket.socket | None:
        """The socket for an address to listen on, ready for use; None: systemd has not opened it."""
        for number, sock in enumerate(self._sockets):
            if _fits(sock, family, address):
                self._taken.add(number)
                found = sock.dup()
                found.setblocking(False)
                return found
        return None

    def has_file(self, path: str) -> bool:
        """Whether a Unix socket is systemd's: its file stays, whoever stops listening."""
        return any(sock.family == socket.AF_UNIX and sock.getsockname() == path for sock in self._sockets)

    def close(self) -> None:
        """Close them; systemd has its own."""
        for sock in self._sockets:
            sock.close()

    def unused(self) -> list[str]:
        """Addresses that systemd listens on and nobody here has taken: who connects there waits for ever."""
        left = (sock for number, sock in enumerate(self._sockets) if number not in self._taken)
        return [str(sock.getsockname()) for sock in left]


def _fits(sock: socket.socket, family: int, address: Address) -> bool:
    if isinstance(address, str):
        return sock.family == socket.AF_UNIX and sock.getsockname() == address
    if sock.family not in (socket.AF_INET, socket.AF_INET6) or sock.getsockname()[1] != address[1]:
        return False
    host = sock.getsockname()[0]
    if sock.family == family:
        return bool(host == address[0])
    # ListenStream=1883 is one socket for both families
    is_both = sock.family == socket.AF_INET6 and not sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    return is_both and host == "::" and address[0] == "0.0.0.0"


def taken_for(host: str, port: int) -> socket.socket | None:
    """The socket for a host and port, by number or name; None: systemd has not opened it."""
    if not handed().is_any:
        return None
    for family, _, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE):
        if found := handed().take(family, address):
            return found
    return None


_handed: Handed | None = None


def handed() -> Handed:
    """What systemd has handed to this process."""
    global _handed
    if _handed is None:
        _handed = Handed(os.environ)
    return _handed
