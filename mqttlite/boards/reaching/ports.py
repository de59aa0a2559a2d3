"""Which serial port a board is at, and opening it for this program alone."""

import errno
import fcntl
import os
import struct
import termios
from typing import Any, NamedTuple

from ...serial.ports import PortError, explained, ports_there, systems_own
from ..extras import need

_GATEWAY = (
    "; if that is a gateway, end it first (systemctl stop mqttlite-gateway, or Ctrl-C where it runs), and start it "
    "again afterwards"
)


class NoPortError(ValueError):
    """There is no port, or more than one that it could be (`is_choice`); lists them."""

    def __init__(self, text: str, *, is_choice: bool = False) -> None:
        super().__init__(text)
        self.is_choice = is_choice


class Candidate(NamedTuple):
    """A port that a board may be at."""

    path: str
    what: str  # the adapter, in words


def candidates() -> list[Candidate]:
    """The USB ports of this machine; those of its own UARTs only where there is no other."""
    found = [Candidate(port.device, " ".join(filter(None, (port.manufacturer, port.product)))) for port in _usb_ports()]
    return sorted(found) or [Candidate(path, "") for path in ports_there()]


def usb_ids(path: str) -> tuple[int, int] | None:
    """Vendor and product of the USB adapter behind a port."""
    there = os.path.realpath(path)
    return next(((port.vid, port.pid) for port in _usb_ports() if os.path.realpath(port.device) == there), None)


def _usb_ports() -> list[Any]:
    return [port for port in need("serial.tools.list_ports").comports() if port.vid is not None]


def choose(given: str | None) -> str:
    """The port: the one given, else the only one that there is. Raises NoPortError."""
    if given:
        return given
    found = candidates()
    if not found:
        raise NoPortError(
            "no serial port: plug the board in with a cable that carries data (some only charge); if it is plugged "
            "in, its adapter needs a driver, or this user may not see it (sudo usermod -aG dialout $USER, then log in "
            "again)"
        )
    if len(found) > 1:
        lines = "".join(f"\n    --port {port.path}{f'   {port.what}' if port.what else ''}" for port in found)
        raise NoPortError(f"there are {len(found)} serial ports; say which one the board is at:{lines}", is_choice=True)
    return found[0].path


def identity(path: str) -> tuple[int, int] | None:
    """What a port is now: another number means that it was unplugged meanwhile. None: it is not there."""
    try:
        info = os.stat(path)
    except OSError:
        return None
    return info.st_rdev, info.st_ctime_ns if not os.path.islink(path) else os.lstat(path).st_ino


def opened(path: str, baud: int, **options: Any) -> Any:
    """pyserial's port. Raises PortError."""
    try:
        return need("serial").Serial(path, baud, exclusive=True, **options)
    except OSError as error:
        raise explained(path, systems_own(error)) from None


def why_not_open(error: PortError) -> str:
    """Its words, and what to do where a gateway has the port."""
    return f"{error}{_GATEWAY}" if error.errno in (errno.EBUSY, errno.EAGAIN) else str(error)


def has_lines(port: Any) -> bool:
    """Whether a port has the lines DTR and RTS, which reset a board: a pseudo-terminal has not."""
    try:
        fcntl.ioctl(port.fileno(), termios.TIOCMGET, struct.pack("I", 0))
    except (OSError, ValueError, AttributeError):
        return False
    return True
