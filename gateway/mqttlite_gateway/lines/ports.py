"""Which ports are served: those with a path, whether they are there or not, and those that fit a rule, as they are
plugged in.

A port that a rule has found is called by the name that survives unplugging (/dev/serial/by-id/, or by-path/ where two
adapters have one serial number), so it is the same line when it comes back. Gone for GONE_S, it is forgotten.
"""

import asyncio
import contextlib
import glob
import logging
import os
from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

from mqttlite.serial.ports import is_serial_device, users_of

from ..settings.port import PortRule, SerialPort
from .line import GatewayLine
from .udev import PortEvents

log = logging.getLogger("mqttlite.gateway")

LOOK_S = 0.5  # from one look for ports to the next, where the system does not say that there is a new one,
LOOK_SELDOM_S = 3.0  # and where it does
GONE_S = 3600.0
LOOKS = 3  # at once, where an adapter goes in the middle of one
STABLE_NAMES = ("/dev/serial/by-id/*", "/dev/serial/by-path/*")


class Plugged(NamedTuple):
    """A port that is there. `path`: its device; `usb`, `serial`: as of PortRule, "" where it is no USB adapter."""

    path: str
    usb: str = ""
    serial: str = ""


def plugged() -> list[Plugged]:
    """The serial ports of this machine."""
    from serial.tools.list_ports import comports

    for _ in range(LOOKS):
        with contextlib.suppress(OSError, TypeError, ValueError):  # an adapter went while it was looked at
            return [
                Plugged(
                    port.device,
                    f"{port.vid:04x}:{port.pid:04x}" if port.vid is not None else "",
                    port.serial_number or "",
                )
                for port in comports()
            ]
    return []


class Ports:
    """Keeps `lines` to what is wanted. `make`: a line for a port; `run`: starts it. `there`: as `plugged`.

    `asks`: the system is asked what is plugged in, and who else has a port. Without, as in a simulated world, ports of
    rules are looked for.

    `missing`: rules that no port fits, in words: an adapter is gone, or was never there. A pattern may fit nothing.
    """

    def __init__(
        self,
        lines: list[GatewayLine],
        make: Callable[[SerialPort], GatewayLine],
        run: Callable[[GatewayLine], "asyncio.Task[None]"],
        there: Callable[[], list[Plugged]] = plugged,
        asks: bool = True,
    ) -> None:
        self._asks = asks
        self._asking: set[asyncio.Task[None]] = set()
        self.missing: list[str] = []
        self._lines = lines
        self._make = make
        self._run = run
        self._there = there
        self._running: dict[str, tuple[GatewayLine, asyncio.Task[None]]] = {}  # by path
        self._serial: list[SerialPort] = []
        self._rules: list[PortRule] = []
        self._but: list[str] = []
        self._found_by: dict[str, PortRule] = {}  # by path
        self._gone_at: dict[str, float] = {}  # by path: since when a port that a rule has found is not there
        self._news = asyncio.Event()

    async def take(
        self, serial: Iterable[SerialPort], rules: Iterable[PortRule], *, but: Iterable[str] = (), anew: bool = False
    ) -> int:
        """Serve these from now on; how many lines have ended, begun, or begun anew for it. `but`: paths that no rule
        means, those of buses. `anew`: all of them begin anew.
        """
        if rules and not self._rules:  # `run` has had nothing to look for
            self._news.set()
        self._serial, self._rules, self._but = list(serial), list(rules), list(but)
        before = set(self._running)
        wanted = self._wanted()
        ends = [path for path, (line, _) in self._running.items() if anew or wanted.get(path) != line.config]
        await self._end(ends)
        self._begin(wanted)
        return len({*ends, *(path for path in self._running if path not in before)})

    async def run(self) -> None:
        """Look for ever for what is plugged in."""
        events = PortEvents(self._news.set)
        every_s = LOOK_SELDOM_S if self._asks and events.open() else LOOK_S
        try:
            while True:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._news.wait(), every_s if self._rules else None)
                is_said = self._news.is_set()
                self._news.clear()
                wanted = self._wanted()
                self._begin(wanted)
                await self._end([path for path in self._running if path not in wanted])
                if is_said:
                    for line in self._lines:
                        line.look()
        finally:
            events.close()

    async def close(self) -> None:
        """End all lines."""
        await self._end(list(self._running))

    def _begin(self, wanted: dict[str, SerialPort]) -> None:
        for path, port in wanted.items():
            if path not in self._running:
                line = self._make(port)
                if self._asks:
                    line.on_open = partial(self._opened, line)
                self._running[path] = line, self._run(line)
                self._lines.append(line)

    def _opened(self, line: GatewayLine) -> None:
        task = asyncio.create_task(_look_for_others(line))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def _end(self, paths: list[str]) -> None:
        ended = [self._running.pop(path) for path in paths]
        for path, (line, task) in zip(paths, ended, strict=True):
            task.cancel()
            self._lines.remove(line)
            self._gone_at.pop(path, None)
            self._found_by.pop(path, None)
        await asyncio.gather(*(task for _, task in ended), return_exceptions=True)

    def _wanted(self) -> dict[str, SerialPort]:
        """A port for each line that there should be, by path; each device once."""
        wanted = {port.path: port for port in self._serial}
        taken = {os.path.realpath(path) for path in (*wanted, *self._but)}
        missing = []
        there = self._there() if any(rule.usb or rule.serial for rule in self._rules) else []
        for rule in self._rules:
            fits = _fitting(rule, there)
            if not fits and not rule.pattern:
                missing.append(rule.words)
            for path in fits:
                if os.path.realpath(path) not in taken:
                    taken.add(os.path.realpath(path))
                    wanted[path] = rule.port(path)
                    self._found_by[path] = rule
        for words in missing:
            if words not in self.missing:
                found = ", ".join(f"{port.path} ({port.usb} {port.serial})" for port in there if port.usb)
                log.warning(
                    "no port with %s; it is served when it comes; there is %s", words, found or "no USB adapter"
                )
        self.missing = missing
        self._keep(wanted, taken)
        return wanted

    def _keep(self, wanted: dict[str, SerialPort], taken: set[str]) -> None:
        """Lines of rules whose ports went a moment ago: they may come back, if nobody else has them by then."""
        now = asyncio.get_running_loop().time()
        for path, (line, _) in self._running.items():
            if path in wanted:
                self._gone_at.pop(path, None)
                continue
            is_taken = os.path.realpath(path) in taken
            if (
                not is_taken
                and self._found_by.get(path) in self._rules
                and now - self._gone_at.setdefault(path, now) < GONE_S
            ):
                wanted[path] = line.config


async def _look_for_others(line: GatewayLine) -> None:
    """Say which programs had the port open before, without a lock: some of its bytes are theirs."""
    path = line.config.path
    if is_serial_device(path) and (others := await asyncio.to_thread(users_of, path, os.getpid())):
        line.say.warning("is open in %s, too: each misses what the other one reads", ", ".join(others))


def _fitting(rule: PortRule, there: list[Plugged]) -> list[str]:
    """The paths of the ports that are meant, as their lines are called."""
    if not (rule.usb or rule.serial):
        return sorted(filter(os.path.exists, glob.glob(rule.pattern)))
    names: dict[str, str] = {}
    for pattern in STABLE_NAMES:
        for name in sorted(glob.glob(pattern)):
            names.setdefault(os.path.realpath(name), name)
    return [names.get(os.path.realpath(port.path), port.path) for port in sorted(there) if rule.fits(*port)]
