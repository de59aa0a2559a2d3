"""Addresses to listen on: `mqtt://HOST:PORT`, `mqtts://`, `ws://HOST:PORT/PATH`, `wss://` and `unix:///PATH`, as
listening sockets. One that systemd has opened is taken instead (activation.py). Imports only that and core.

Errors say what to do: who has the port, which option to change.
"""

import errno
import ipaddress
import os
import socket
import stat
from pathlib import Path
from urllib.parse import urlsplit

from ...core.errors import MQTTError
from .activation import handed

# That wait to be let in, as many as Linux has by default: a flood of them must not drop who comes between, whose system
# tries again after a second.
BACKLOG = 4096
LET_IN = 512  # of these in one turn of asyncio's loop
HOW = "--listen, or listen in its file"
PORTS = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}


class ListenError(MQTTError):
    """The broker cannot listen on an address."""


def open_sockets(url: str, is_shared: bool = False) -> list[socket.socket]:
    """Listening sockets for `url`: several where a host name has several addresses. ListenError says why not.
    `is_shared`: another socket of this process, which is about to be closed and has SO_REUSEPORT, may have the port.
    """
    path, found = _resolved(url)
    if path:
        return [_unix_socket(url, path)]
    sockets: list[socket.socket] = []
    try:
        for family, address in found:
            sockets.append(_tcp_socket(url, family, address, is_shared))
    except ListenError:
        for sock in sockets:
            sock.close()
        raise
    return sockets


_Address = tuple[str | int, ...] | tuple[int, bytes]


def _resolved(url: str) -> tuple[str, list[tuple[int, _Address]]]:
    """The path of a Unix socket, or families and addresses of TCP. ListenError: `url` is no address to listen on."""
    _check(url)
    try:
        parts = urlsplit(url)
        port = parts.port if parts.port is not None else PORTS.get(parts.scheme, 0)
    except ValueError:
        raise ListenError(
            f"cannot listen on {url}: the port has to be a number from 0 to 65535, an IPv6 address in brackets"
        ) from None
    if parts.scheme == "unix" and parts.path and not parts.netloc:
        return parts.path, []
    has_path = parts.path not in ("", "/") and parts.scheme not in ("ws", "wss")
    if parts.scheme not in PORTS or not parts.hostname or has_path:
        raise ListenError(
            f"cannot listen on {url}: an address looks like mqtt://127.0.0.1:1883, mqtts://0.0.0.0:8883, "
            "ws://127.0.0.1:8080/mqtt or unix:///run/mqtt.sock"
        )
    try:
        found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise ListenError(f"cannot listen on {url}: {parts.hostname}: {error.strerror}") from None
    return "", [(family, address) for family, _, _, _, address in dict.fromkeys(found)]


def is_local_url(url: str) -> bool:
    """Whether only programs on this machine could connect there. ListenError: it is no address to listen on."""
    path, found = _resolved(url)
    return bool(path) or all(ipaddress.ip_address(str(address[0])).is_loopback for _, address in found)


def _check(url: str) -> None:
    """ListenError for what `urlsplit` passes over, and a broker would ignore."""
    scheme, _, rest = url.partition("://")
    address = rest.partition("/")[0]
    if "@" in address:  # nothing of it is shown
        raise ListenError(f"cannot listen on {scheme}://…@…: an address to listen on has no user name and password")
    unseen = [sign for sign in url if not sign.isprintable() or (sign.isspace() and scheme != "unix")]
    if unseen or url != url.strip():
        raise ListenError(f"cannot listen on {url!a}: it holds a blank or another sign that nobody sees; remove it")
    if scheme in ("ssl", "tls", "http", "https"):
        instead = {"http": "ws", "https": "wss"}.get(scheme, "mqtts")
        raise ListenError(f"cannot listen on {url}: write {instead}:// instead")
    if "?" in rest or ("#" in rest and scheme != "unix"):
        raise ListenError(f"cannot listen on {url}: an address to listen on has no options")


def _tcp_socket(url: str, family: int, address: _Address, is_shared: bool) -> socket.socket:
    if given := handed().take(family, address):
        return given
    sock = socket.socket(family, socket.SOCK_STREAM)
    port = int(address[1])
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a restart need not wait for old connections
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # 0.0.0.0 is a socket of its own
        if is_shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(address)
        sock.listen(BACKLOG)
        sock.setblocking(False)
        if is_shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 0)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            why = f"port {port} is in use{_by_whom(port)}; stop that program or choose another port ({HOW})"
        elif error.errno == errno.EACCES:
            why = f"port {port} needs root; choose one from 1024 on ({HOW})"
        elif error.errno == errno.EADDRNOTAVAIL:
            why = f"{address[0]!s} is not an address of this machine; choose another ({HOW})"
        else:
            why = str(error.strerror)
        raise ListenError(f"cannot listen on {url}: {why}") from None
    return sock


def _unix_socket(url: str, path: str) -> socket.socket:
    if given := handed().take(socket.AF_UNIX, path):
        return given
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if os.path.lexists(path):
            _remove_stale(url, path)
        sock.bind(path)
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise ListenError(f"cannot listen on {url}: {error.strerror or error}") from None
    except ListenError:
        sock.close()
        raise
    return sock


def _remove_stale(url: str, path: str) -> None:
    """Remove a socket that an earlier broker left behind; never anything else."""
    if not stat.S_ISSOCK(os.lstat(path).st_mode):
        raise ListenError(f"cannot listen on {url}: the file is there and is no socket; choose another path ({HOW})")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
        else:
            raise ListenError(f"cannot listen on {url}: another program listens there; choose another path ({HOW})")


def url_of(sock: socket.socket, url: str = "mqtt://") -> str:
    """The address on which `sock` listens for `url`, its port filled in."""
    if sock.family == socket.AF_UNIX:
        return f"unix://{sock.getsockname()}"
    host, port = sock.getsockname()[:2]
    parts = urlsplit(url)
    path = parts.path if parts.path != "/" else ""
    return f"{parts.scheme}://[{host}]:{port}{path}" if ":" in host else f"{parts.scheme}://{host}:{port}{path}"


def is_local(sock: socket.socket) -> bool:
    """Whether only programs on this machine can connect to `sock`."""
    return sock.family == socket.AF_UNIX or ipaddress.ip_address(sock.getsockname()[0]).is_loopback


def remove_file(sock: socket.socket) -> None:
    """Remove the file of a Unix socket that will be closed, unless it is systemd's."""
    if sock.family == socket.AF_UNIX and not handed().has_file(sock.getsockname()):
        Path(sock.getsockname()).unlink(missing_ok=True)


def _by_whom(port: int) -> str:
    """ " by NAME (process PID)" for the program that listens on `port`, as far as Linux tells this user; or ""."""
    try:
        inodes = set()
        for table in ("/proc/net/tcp", "/proc/net/tcp6"):
            for line in Path(table).read_text(encoding="ascii").splitlines()[1:]:
                fields = line.split()
                if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:  # 0A: listening
                    inodes.add(f"socket:[{fields[9]}]")
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if any(os.readlink(file) in inodes for file in (process / "fd").iterdir()):
                    return f" by {(process / 'comm').read_text().strip()} (process {process.name})"
            except OSError:  # it has ended, or is somebody else's
                continue
    except OSError:
        pass
    return ""
