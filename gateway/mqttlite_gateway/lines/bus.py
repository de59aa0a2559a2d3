"""A serial port with a bus of many devices, each of which is a line of the gateway: opened, served, opened again."""

import asyncio
import contextlib
import errno
import logging
import os
from collections.abc import Callable, Iterable

from mqttlite.core.shown import shown
from mqttlite.link.bus.master import BusMaster
from mqttlite.link.bus.occupied import Babbler
from mqttlite.link.bus.station import Station
from mqttlite.serial.clock import now_ms
from mqttlite.serial.line import Line
from mqttlite.serial.ports import HostPort, open_port

from ..settings.bus_port import RTS, BusPort
from ..settings.port import SerialPort
from .bus_line import BusLine
from .line import BYE_S, RECEIVE_WINDOW, REFUSED_S, REOPEN_S, SEND_BUFFER, TIME_LOOK_S
from .saying import Saying, without

log = logging.getLogger("mqttlite.gateway")

MASTERS_LEAST = 3  # questions of somebody else, before it is said that there is another master

MakeLine = Callable[[SerialPort, Station, "Bus"], BusLine]


class Bus:
    """The bus of `config`. `make`: a line for a device; `begins(line)`: it is one of the gateway's from now on: when it
    is heard for the first time, or at once where its address was given as one that is there.

    `trouble`: why the port is not open, "" when it is.
    """

    def __init__(self, config: BusPort, make: MakeLine, begins: Callable[[BusLine], object]) -> None:
        self.config = config
        self.path = config.path
        self.master = BusMaster(
            int.from_bytes(os.urandom(4)),
            config.asked,
            baud=config.baud,
            frames=config.frames,
            turnaround_ms=config.turnaround_ms,
            idle_ms=config.idle_ms,
            silent_ms=config.silent_ms,
            frame_size=config.frame_size,
            receive_window=RECEIVE_WINDOW,
            send_buffer=SEND_BUFFER,
        )
        self.say = Saying(log, config.path)
        self.trouble = ""
        self.lines = {
            address: make(config.port(address), station, self) for address, station in self.master.stations.items()
        }
        self._begins = begins
        self._begun: set[int] = set()
        self._babbler: Babbler | None = None
        self._masters = 0
        self._opened_at = 0
        self._news = asyncio.Event()

    def start(self) -> None:
        """The lines of devices that should be there begin."""
        for address in self.config.named:
            self.heard(self.lines[address])

    def heard(self, line: BusLine) -> None:
        """A device is there."""
        if line.station.address not in self._begun:
            self._begun.add(line.station.address)
            self._begins(line)

    def look(self) -> None:
        """Something was plugged in: if this waits for its port, it looks now."""
        self._news.set()

    def share_of(self, station: Station) -> float:
        """What part of the time since the port was opened a device had the bus."""
        return round(station.spent_ms / max(now_ms() - self._opened_at, 1), 4) if self._opened_at else 0.0

    def problem_of(self, address: int) -> tuple[str, str] | None:
        """What is wrong with a device that the others suffer from."""
        found = self._babbler
        return ("babbles", _babbling(found, self._name_of(address))) if found and found.address == address else None

    async def run(self) -> None:
        """Serve the port for ever."""
        try:
            while True:
                again_s = await self._serve()
                self._news.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._news.wait(), again_s)
        finally:
            self.say.close()

    async def _serve(self) -> float:
        """Open the port and serve it until it is gone; when to look again, in seconds."""
        config = self.config
        try:
            port = open_port(config.path, config.baud)
        except OSError as error:
            return self._not_open(error)
        if config.driver == RTS:
            try:
                port.drive_by_rts()
            except OSError as error:
                port.close()
                return self._not_open(error)
        self.trouble = ""
        self._opened_at = now_ms()
        for one in self.master.stations.values():
            one.spent_ms = one.missed_ms = 0
        addresses = f"{len(config.asked)} addresses" if len(config.asked) > 1 else f"address {config.asked[0]}"
        self.say.info("a bus at %d baud, open; asking %s", config.baud, addresses)
        watching = asyncio.create_task(self._watch())
        try:
            for line in self.lines.values():
                line.opened()
            await self._carry(port)
        except OSError as error:
            self.say.warning("%s", error)
        except Exception:  # a fault of ours: the other lines go on
            self.say.warning("internal error", trace=True)
        finally:
            watching.cancel()
            for line in self.lines.values():
                line.closed()
        return REOPEN_S

    def _not_open(self, error: OSError) -> float:
        again_s = REOPEN_S if error.errno == errno.ENOENT else REFUSED_S
        if str(error) != self.trouble:  # say it once, not at every attempt
            self.say.warning("%s; looking again every %g s", without(self.config.path, error), again_s)
        self.trouble = str(error)
        return again_s

    async def _carry(self, port: HostPort) -> None:
        """Until the port is gone (OSError); at the end everybody is told, and need not wait until this is silent."""
        carrying = asyncio.create_task(Line(self.master, port, self.config.baud).run())
        try:
            await asyncio.shield(carrying)
        finally:
            with contextlib.suppress(OSError):
                async with asyncio.timeout(BYE_S):  # TimeoutError is an OSError
                    await port.write(self.master.bye(now_ms()))
            carrying.cancel()
            await asyncio.gather(carrying, return_exceptions=True)

    async def _watch(self) -> None:
        """Tell the devices what time it is, and people who disturbs the others."""
        while True:
            for address in self._begun:
                self.lines[address].tell_time()
            self._look_for_babblers()
            if self.master.masters >= self._masters + MASTERS_LEAST:
                self._masters = self.master.masters
                self.say.warning("somebody else asks on this bus, too: only one gateway may, or another program")
            await asyncio.sleep(TIME_LOOK_S)

    def _look_for_babblers(self) -> None:
        found = self.master.babbler(now_ms())
        if found == self._babbler:
            return
        if found is None:
            self.say.info("nobody speaks without having been asked any more")
        else:
            self.say.warning("%s", _babbling(found, self._name_of(found.address)))
        self._babbler = found

    def _name_of(self, address: int) -> str:
        line = self.lines.get(address)
        name = f" ('{shown(line.device_id)}')" if line and line.device_id else ""
        return f"the device at address {address}{name}"


class Buses:
    """All of a gateway. `make` and `begins`: as of Bus; `ends(line)`: it is none of the gateway's any more; `run`:
    starts a task.
    """

    def __init__(
        self,
        make: MakeLine,
        begins: Callable[[BusLine], object],
        ends: Callable[[BusLine], object],
        run: Callable[[Bus], "asyncio.Task[None]"],
    ) -> None:
        self._make = make
        self._begins = begins
        self._ends = ends
        self._run = run
        self._running: dict[str, tuple[Bus, asyncio.Task[None]]] = {}
        self._tasks: dict[BusLine, asyncio.Task[None]] = {}

    async def take(self, buses: Iterable[BusPort], *, anew: bool = False) -> int:
        """Serve these from now on; how many have ended, begun, or begun anew for it."""
        wanted = {config.path: config for config in buses}
        gone = [path for path, (bus, _) in self._running.items() if anew or wanted.get(path) != bus.config]
        before = set(self._running)
        await self._end(gone)
        for path, config in wanted.items():
            if path not in self._running:
                bus = Bus(config, self._make, self._begin)
                self._running[path] = bus, self._run(bus)
                bus.start()
        return len({*gone, *(path for path in self._running if path not in before)})

    @property
    def troubles(self) -> list[str]:
        """Why ports are not open, a sentence each."""
        return [bus.trouble for bus, _ in self._running.values() if bus.trouble]

    async def close(self) -> None:
        """End all."""
        await self._end(list(self._running))

    def _begin(self, line: BusLine) -> None:
        self._tasks[line] = asyncio.create_task(line.run())
        self._begins(line)

    async def _end(self, paths: list[str]) -> None:
        for path in paths:
            bus, task = self._running.pop(path)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            for line in bus.lines.values():
                own = self._tasks.pop(line, None)
                if own:
                    own.cancel()
                    await asyncio.gather(own, return_exceptions=True)
                    self._ends(line)


def _babbling(found: Babbler, name: str) -> str:
    """Words for people."""
    if found.is_sure:
        return f"{name} speaks without having been asked, and garbles what others say: look at its program"
    if not found.address:
        return (
            "somebody speaks all the time, and nobody else is understood: take one device after the other off the bus"
        )
    return (
        f"somebody speaks all the time, and nobody else is understood; it began when {name} had spoken: take that one "
        "off the bus, and see; a driver whose DE stays high does this, too"
    )
