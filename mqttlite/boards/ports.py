"""Which serial port a board is at."""

import os
from typing import NamedTuple

from ..serial.ports import ports_there
from .extras import need


class NoPortError(ValueError):
    """There is no port, or more than one that it could be; lists them."""


class Candidate(NamedTuple):
    """A port that a board may be at."""

    path: str
    what: str  # the adapter, in words
    usb: tuple[int, int] | None


def candidates() -> list[Candidate]:
    """The USB ports of this machine; those of its own UARTs only where there is no other."""
    found = [
        Candidate(port.device, " ".join(filter(None, (port.manufacturer, port.product))), (port.vid, port.pid))
        for port in need("serial.tools.list_ports").comports()
        if port.vid is not None
    ]
    return sorted(found) or [Candidate(path, "", None) for path in ports_there()]


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
        raise NoPortError(f"there are {len(found)} serial ports; say which one the board is at:{lines}")
    return found[0].path


def identity(path: str) -> tuple[int, int] | None:
    """What a port is now: another number means that it was unplugged meanwhile. None: it is not there."""
    try:
        info = os.stat(path)
    except OSError:
        return None
    return info.st_rdev, info.st_ctime_ns if not os.path.islink(path) else os.lstat(path).st_ino
