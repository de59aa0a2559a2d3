"""One serial port, as [[serial]] and --serial name it."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from mqttlite.core.shown import shown

from .errors import ConfigError

NAME = "name"  # a device on a wire is who it says that it is (inside/wired.py)
PASSWORD = "password"  # or who it shows to be, as over a network
TRUST = (NAME, PASSWORD)
OPTIONS = ("baud", "frame_size", "window", "rtscts")  # behind a question mark
_SWITCH = {"0": False, "1": True}


@dataclass
class SerialPort:
    """One serial line.

    `path`: device, best one of /dev/serial/by-id/, which keeps its name. `baud`: bit/s, as on the board.
    `frame_size`: bytes of the largest frame, 32 to 255. `window`: frames in flight, 1 to 16. `rtscts`: hardware flow
    control. In bridge mode `user`: who its device is, whatever it calls itself; `trust`: NAME or PASSWORD.
    """

    path: str
    baud: int = 115200
    frame_size: int = 128
    window: int = 8
    rtscts: bool = False
    user: str = ""
    trust: str = NAME

    def __post_init__(self) -> None:
        if not self.path.startswith("/"):
            raise ConfigError(f"path '{shown(self.path)}': must be a device such as /dev/ttyUSB0")
        if self.path != self.path.strip() or not self.path.isprintable():
            raise ConfigError(f"path '{shown(self.path)}': a blank at its end, or a sign that cannot be seen")
        if not 300 <= self.baud <= 4000000:
            raise ConfigError(f"baud {self.baud}: must be 300 to 4000000")
        if not 32 <= self.frame_size <= 255:
            raise ConfigError(f"frame_size {self.frame_size}: must be 32 to 255")
        if not 1 <= self.window <= 16:
            raise ConfigError(f"window {self.window}: must be 1 to 16")
        if self.trust not in TRUST:
            raise ConfigError(f"trust '{shown(self.trust)}': must be {' or '.join(TRUST)}")

    @classmethod
    def parse(cls, text: str) -> "SerialPort":
        """A port as on the command line: a path, with options behind a question mark:
        /dev/ttyUSB0?baud=921600&window=16.
        """
        path, _, query = text.partition("?")
        values: dict[str, Any] = {"path": path}
        for pair in query.split("&") if query else ():
            key, _, value = pair.partition("=")
            if key not in OPTIONS:
                raise ConfigError(f"{text}: unknown option '{key}'; there are {', '.join(OPTIONS)}")
            if key in values:
                raise ConfigError(f"{text}: {key} is given twice")
            try:
                values[key] = _SWITCH[value] if key == "rtscts" else int(value)
            except KeyError:
                raise ConfigError(f"{text}: rtscts is 0 or 1") from None
            except ValueError:
                raise ConfigError(f"{text}: {key} is not a number") from None
        try:
            return cls(**values)
        except ConfigError as error:
            raise ConfigError(f"{text}: {error}") from error


def check_ports(ports: Iterable[SerialPort]) -> None:
    """ConfigError where two names are one port."""
    there: dict[str, str] = {}
    for path in (port.path for port in ports):
        real = os.path.realpath(path)
        if real in there:
            twice = f"{path} is named twice" if there[real] == path else f"{path} and {there[real]} are one port"
            raise ConfigError(f"serial: {twice}")
        there[real] = path
