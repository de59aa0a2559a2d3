"""What a broker's address is called, and why nothing answers there. CPython."""

import errno
import socket

from ...core.errors import RefusedError
from ..url import Url

_WANTS_USER = (4, 5, 0x86, 0x87)  # codes of CONNACK in 3.1.1 and 5.0
_USER = "it stands in the URL, as in mqtt://NAME:PASSWORD@HOST, or in username= and password="
PORTS = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}


def where(url: Url) -> str:
    """What a broker's address is called."""
    return url.path if url.scheme in ("unix", "serial") else f"{url.host or 'localhost'}:{port_of(url)}"


def port_of(url: Url) -> int:
    """The port, or the usual one of the scheme; 0 where it has none."""
    return url.port or PORTS.get(url.scheme, 0)


def why_unreachable(url: Url, error: Exception) -> str:
    """Why no connection to `url` could be made, and what to do about it."""
    if isinstance(error, socket.gaierror):
        return f"cannot find the host '{url.host}' ({error.strerror}); check the name"
    if not isinstance(error, OSError):
        return str(error)
    if error.errno == errno.ECONNREFUSED or isinstance(error, ConnectionRefusedError):
        return f"nothing listens at {where(url)}; is the broker running, and is this its port?"
    if error.errno == errno.ENOENT:
        return f"there is no {where(url)}; is the broker running?"
    return f"cannot reach {where(url)}: {error.strerror or error}"


def without_user(error: RefusedError) -> RefusedError:
    """The error of who has given no user name; it says how, where the broker may want one."""
    if error.code in _WANTS_USER:
        words = str(error).replace("; check the password, and the rights of this user and client identifier", "")
        error.args = (f"{words}; no user name was given: {_USER}",)
    return error
