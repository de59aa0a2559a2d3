"""Serial ports, as [[serial]] and --serial name them."""

import fnmatch
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
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
        path, options = parted(text)
        try:
            return cls(path, **options)
        except ConfigError as error:
            raise ConfigError(f"{text}: {error}") from error


@dataclass
class PortRule:
    """Ports by what they are; each that fits is a line of its own, as it is plugged in.

    `usb`: vendor and product of the adapter, as "10c4:ea60". `serial`: its serial number. `pattern`: of paths, as in
    the shell. All that are given have to fit. `options`: those of the ports, as SerialPort has them.
    """

    usb: str = ""
    serial: str = ""
    pattern: str = ""
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.usb and not re.fullmatch("[0-9a-fA-F]{4}:[0-9a-fA-F]{4}", self.usb):
            raise ConfigError(f"usb '{shown(self.usb)}': must be VENDOR:PRODUCT as lsusb shows it, as in 10c4:ea60")
        self.usb = self.usb.lower()
        if self.pattern and not self.pattern.startswith("/"):
            raise ConfigError(f"pattern '{shown(self.pattern)}': must be one of devices, as in /dev/ttyUSB*")
        if not (self.usb or self.serial or self.pattern):
            raise ConfigError("usb, serial and pattern are empty: one of them has to say which ports")
        self.port("/dev/null")

    @property
    def words(self) -> str:
        """For people."""
        usb = self.usb and f"USB id {self.usb}"
        serial = self.serial and f"serial number {self.serial}"
        return ", ".join(filter(None, (usb, serial, self.pattern and f"path {self.pattern}")))

    def fits(self, path: str, usb: str, serial: str) -> bool:
        """Whether a port is meant: its path, the ids of its adapter, and that one's serial number."""
        return (
            (not self.usb or self.usb == usb)
            and (not self.serial or self.serial == serial)
            and (not self.pattern or fnmatch.fnmatchcase(path, self.pattern))
        )

    def port(self, path: str) -> SerialPort:
        """The line at such a port. ConfigError: its options cannot be."""
        return SerialPort(path, **self.options)

    @classmethod
    def parse(cls, text: str) -> "PortRule":
        """Ports as on the command line: usb:10c4:ea60, serial:0001, or a path with * or [; options as of a port."""
        what, options = parted(text)
        kind, _, value = what.partition(":")
        try:
            return cls(**{kind: value}, options=options) if kind in _KINDS else cls(pattern=what, options=options)
        except ConfigError as error:
            raise ConfigError(f"{text}: {error}") from error


_KINDS = ("usb", "serial")


def is_pattern(path: str) -> bool:
    """Whether it means ports by a pattern."""
    return "*" in path or "[" in path


def parsed(text: str) -> SerialPort | PortRule:
    """What one --serial says. ConfigError: nothing that could be."""
    what = text.partition("?")[0]
    is_rule = what.partition(":")[0] in _KINDS or is_pattern(what)
    return PortRule.parse(text) if is_rule else SerialPort.parse(text)


def parted(text: str, known: Iterable[str] = OPTIONS, texts: Iterable[str] = ()) -> tuple[str, dict[str, Any]]:
    """What stands before a question mark, and the options behind it: `known`, of which `texts` are no numbers."""
    what, _, query = text.partition("?")
    values: dict[str, Any] = {}
    for pair in query.split("&") if query else ():
        key, _, value = pair.partition("=")
        if key not in known:
            raise ConfigError(f"{text}: unknown option '{key}'; there are {', '.join(known)}")
        if key in values:
            raise ConfigError(f"{text}: {key} is given twice")
        if key in texts:
            values[key] = value
        elif key == "rtscts":
            if value not in _SWITCH:
                raise ConfigError(f"{text}: rtscts is 0 or 1")
            values[key] = _SWITCH[value]
        elif not re.fullmatch(r"-?\d+", value):
            raise ConfigError(f"{text}: {key} is not a number")
        else:
            values[key] = int(value)
    return what, values


def check_ports(paths: Iterable[str]) -> None:
    """ConfigError where two names are one port."""
    there: dict[str, str] = {}
    for path in paths:
        real = os.path.realpath(path)
        if real in there:
            twice = f"{path} is named twice" if there[real] == path else f"{path} and {there[real]} are one port"
            raise ConfigError(f"serial: {twice}")
        there[real] = path
