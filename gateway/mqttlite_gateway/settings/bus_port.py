"""Ports with a bus of many devices, as [[bus]] and --bus name them."""

from dataclasses import dataclass, field
from typing import Any

from mqttlite.core.shown import shown
from mqttlite.link.bus.addressed import ADDRESS_MAX
from mqttlite.link.bus.master import FRAMES_MAX

from .errors import ConfigError
from .port import NAME, SerialPort, parted

ADAPTER = "adapter"  # switches its driver itself
RTS = "rts"  # the kernel switches it by RTS
DRIVERS = (ADAPTER, RTS)
OPTIONS = ("addresses", "baud", "frames", "frame_size", "turnaround_ms", "idle_ms", "silent_ms", "driver")
_TEXTS = ("addresses", "driver")
_LONGEST_MS = 60_000


@dataclass
class BusPort:
    """A port with a bus. `path`, `baud`, `frame_size`, `trust`: as of SerialPort.

    `addresses`: "1-32", "1-8, 20", or a list. `frames`: of a turn at most: more for goodput, fewer for short waiting.
    `turnaround_ms`: from an answer's end to the next question. `idle_ms`, `silent_ms`: how seldom a device is asked at
    most that has nothing to say, and one that does not answer. `driver`: who switches it, ADAPTER or RTS.
    """

    path: str
    addresses: Any = "1-32"
    baud: int = 115200
    frames: int = 4
    frame_size: int = 128
    turnaround_ms: int = 2
    idle_ms: int = 100
    silent_ms: int = 5000
    driver: str = ADAPTER
    trust: str = NAME
    asked: list[int] = field(default_factory=list, init=False)  # all addresses
    named: set[int] = field(default_factory=set, init=False)  # those given one by one: they should be there

    def __post_init__(self) -> None:
        SerialPort(self.path, self.baud, self.frame_size, trust=self.trust)
        self.asked, self.named = _addresses(self.addresses)
        if not 1 <= self.frames <= FRAMES_MAX:
            raise ConfigError(f"frames {self.frames}: must be 1 to {FRAMES_MAX}")
        for name in ("turnaround_ms", "idle_ms", "silent_ms"):
            if not 0 <= getattr(self, name) <= _LONGEST_MS:
                raise ConfigError(f"{name} {getattr(self, name)}: must be 0 to {_LONGEST_MS}")
        if self.driver not in DRIVERS:
            raise ConfigError(f"driver '{shown(self.driver)}': must be {' or '.join(DRIVERS)}")

    @classmethod
    def parse(cls, text: str) -> "BusPort":
        """A bus as on the command line: /dev/ttyUSB0?addresses=1-8,20&frames=8."""
        path, values = parted(text, OPTIONS, _TEXTS)
        try:
            return cls(path, **values)
        except ConfigError as error:
            raise ConfigError(f"{text}: {error}") from error

    def port(self, address: int) -> SerialPort:
        """The line of one device, as others know lines."""
        return SerialPort(f"{self.path}/{address}", self.baud, self.frame_size, trust=self.trust)


def _addresses(value: Any) -> tuple[list[int], set[int]]:
    """All addresses in order, and those that were given one by one."""
    pieces = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else None
    if not pieces or any(isinstance(piece, bool) or not isinstance(piece, str | int) for piece in pieces):
        raise ConfigError('addresses: must be a text as "1-32" or "1-8, 20", or a list of numbers')
    asked: set[int] = set()
    named: set[int] = set()
    for piece in pieces:
        first, dash, last = str(piece).partition("-")
        try:
            low, high = int(first), int(last if dash else first)
        except ValueError:
            raise ConfigError(f"addresses '{shown(str(piece))}': must be a number, or two with a dash") from None
        if not 1 <= low <= high <= ADDRESS_MAX:
            raise ConfigError(f"addresses {shown(str(piece).strip())}: must be 1 to {ADDRESS_MAX}, the lower one first")
        asked.update(range(low, high + 1))
        if not dash:
            named.add(low)
    return sorted(asked), named
