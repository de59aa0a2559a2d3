"""The whole gateway: serial lines, in bridge mode the broker inside and its uplinks, and what looks after them."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from mqttlite.broker.audit import audit
from mqttlite.broker.operating.rereading import Rereading

from . import status
from .lines.console_socket import ConsoleSocket, default_path
from .lines.line import GatewayLine, SetUp
from .lines.names import Names
from .lines.ports import Ports
from .lines.upstream import Upstream
from .reloading import BESIDE, check_same
from .settings.whole import Config

if TYPE_CHECKING:
    from mqttlite.broker import Broker
    from mqttlite.broker.clients.broker_store import BrokerStore
    from mqttlite.ledger import Ledger
    from mqttlite.link.bus.station import Station

    from .lines.bus import Bus, Buses
    from .lines.bus_line import BusLine
    from .lines.forward import Broker as Leading
    from .settings.port import SerialPort
    from .uplink import Uplink

log = logging.getLogger("mqttlite.gateway")


class Gateway:
    """`async with Gateway(config) as gateway: await gateway.finished()`, of a checked configuration.

    `path`: the file that says it, None without. `read`: the configuration as it is now, for `reload`. `check`: say at
    once whether the broker of forward mode is there. `asks`: as of lines.ports.Ports. `store`: of the broker inside,
    instead of the configuration's. `set_up`: gives boards that wait for them their settings.

    `lines`, `uplinks`: what there is, each with `describe`. `ports`: which there are, and which are
    missed. `broker`: the one inside; None in forward mode.
    `started_at_s`: when, since 1970.
    """

    def __init__(
        self,
        config: Config,
        *,
        path: Path | None = None,
        read: Callable[[], Config] | None = None,
        check: bool = False,
        asks: bool = True,
        store: "BrokerStore | None" = None,
        set_up: SetUp | None = None,
    ) -> None:
        self.config = config
        self.path = path
        self.lines: list[GatewayLine] = []
        self.broker: Broker | None = None
        self.uplinks: list[Uplink] = []
        self.ledger: Ledger | None = None
        self.started_at_s = time.time()
        self._read = read
        self._reloading = Rereading(self._take, log) if read else None
        self._status: asyncio.Task[None] | None = None
        self._check = check
        self._asks = asks
        self._store = store
        self._set_up = set_up
        self._upstream: Upstream | None = None
        self._names: Names[GatewayLine] = Names()
        self._buses: Buses | None = None
        self.ports = Ports(self.lines, self._line, self._run_line, asks=asks)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        async with AsyncExitStack() as stack:
            if self.config.is_bridge:
                await self._start_broker(stack)
            await self._start_lines(stack)
            await self._start_beside(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()
        if self._ended.done() and not self._ended.cancelled():
            self._ended.exception()  # whoever awaits `finished` is told

    async def run(self) -> None:
        """Until cancelled; raises what `finished` does. systemd is told, where it is there."""
        from .operating.service import service_of

        async with self, service_of(self):
            await self.finished()

    async def finished(self) -> None:
        """Wait for ever; raises what has ended it from inside, such as a store that fails."""
        await asyncio.shield(self._ended)

    def hang_up(self) -> None:
        """SIGHUP."""
        if self._reloading is None:
            log.info("SIGHUP: goes on as it is; to read the settings again, restart it")
        else:
            self._reloading.hang_up()

    async def reload(self, by: str) -> str:
        """Read the configuration again, for `by`; what has come of it, in words. ValueError: why nothing is changed."""
        if self._reloading is None:
            raise ValueError("nothing is changed: there is nothing to read")
        return await self._reloading.reload(by)

    # -- bridge mode

    async def _start_broker(self, stack: AsyncExitStack) -> None:
        """The broker inside; the queues of its uplinks, before anybody can publish; what is asked of it."""
        from mqttlite.broker.operating.control import Control
        from mqttlite.broker.operating.control_path import default_path as default_control

        from .inside import embedded
        from .inside.left import leave
        from .uplinks import uplink_of

        settings = self.config.broker
        access = embedded.access_of(settings)
        self.broker = broker = await stack.enter_async_context(embedded.embedded(self.config, access, self._store))
        broker.failed.add_done_callback(lambda failed: self._fail(failed.result()))
        self.ledger = broker.ledger
        for each in self.config.upstreams:
            self._add(uplink_of(each, broker))
        leave(broker, [uplink.name for uplink in self.uplinks])
        stack.push_async_callback(self._end_uplinks, self.uplinks)
        limits = embedded.limits_of(settings, self.config.upstreams)
        await broker.reload(
            embedded.listeners_of(settings, broker, self.config.upstreams), limits, access, by="the gateway"
        )
        if settings.control is not None:
            control = settings.control or default_control()
            if control:
                from .operating.answer import answer
                from .operating.aside import AsideActions
                from .operating.health import reasons

                asked = Control(broker, control, self.reload, lambda: "; ".join(reasons(self)))
                asked.also("gateway", lambda: answer(self))
                AsideActions(self).add_to(asked)
                await stack.enter_async_context(asked)
        for uplink in self.uplinks:
            await uplink.start()

    def _add(self, uplink: "Uplink") -> None:
        uplink.prepare()
        self.uplinks.append(uplink)

    async def _end_uplinks(self, uplinks: "list[Uplink]") -> None:
        ended = list(uplinks)
        for uplink in ended:
            self.uplinks.remove(uplink)
        await asyncio.gather(*(uplink.stop() for uplink in ended))

    # -- another configuration

    async def _take(self, by: str) -> int:
        """Read it, and have it hold; how many things have changed. What can fail comes first, and changes nothing."""
        assert self._read is not None
        config = await asyncio.to_thread(self._read)
        before = self.config
        check_same(before, config)
        count = 0
        if self.broker is not None:
            count += await self._take_inside(self.broker, before, config, by)
        is_led_elsewhere = self.broker is None and (before.upstream, before.tls) != (config.upstream, config.tls)
        if is_led_elsewhere:
            self._upstream = Upstream(config.upstream, config.tls)
            log.info("forwarding to %s from now on", self._upstream.name)
        self.config = config
        count += await self._take_ports(config, anew=is_led_elsewhere)
        count += await self._take_buses(config, anew=is_led_elsewhere)
        is_said_otherwise = (before.status_topic, before.status_every_s) != (config.status_topic, config.status_every_s)
        if is_said_otherwise or is_led_elsewhere:
            self._say_status()
        count += is_said_otherwise
        return count + len([name for name in BESIDE if getattr(before, name) != getattr(config, name)])

    async def _take_inside(self, broker: "Broker", before: Config, after: Config, by: str) -> int:
        """What is about the broker inside and the uplinks. Of those, the ones with the same settings go on."""
        from .inside import embedded
        from .inside.left import leave
        from .uplinks import uplink_of

        same = [each for each in before.upstreams if each in after.upstreams]
        new = [uplink_of(each, broker) for each in after.upstreams if each not in same]
        access = await asyncio.to_thread(embedded.access_of, after.broker)
        limits = embedded.limits_of(after.broker, after.upstreams)
        count = await broker.reload(embedded.listeners_of(after.broker, broker, after.upstreams), limits, access, by=by)
        if broker.store is not None and broker.store.size_max < limits.store_bytes:
            log.warning(
                "the store has %d bytes until a restart, and is to have %d with the queues of all upstreams",
                broker.store.size_max,
                limits.store_bytes,
            )
        stays = {each.name for each in same}
        gone = [uplink for uplink in self.uplinks if uplink.name not in stays]
        await self._end_uplinks(gone)
        for uplink in new:
            self._add(uplink)
            await uplink.start()
        leave(broker, [uplink.name for uplink in self.uplinks])
        names = dict.fromkeys(uplink.name for uplink in (*gone, *new))
        for name in names:
            is_old = any(each.name == name for each in gone)
            is_new = any(each.name == name for each in new)
            what = "has other settings" if is_old and is_new else "is added" if is_new else "is removed"
            audit(by, f"upstream {name} {what}")
        return count + len(names)

    # -- lines

    async def _start_lines(self, stack: AsyncExitStack) -> None:
        config = self.config
        if self.broker is None:
            self._upstream = upstream = Upstream(config.upstream, config.tls)
            log.info("forwarding %d serial port(s) to %s", len(config.serial) + len(config.wanted), upstream.name)
            if self._check:
                await stack.enter_async_context(self._beside(upstream.check(), "look whether the broker is there"))
        else:
            log.info("%d serial port(s), to the broker inside", len(config.serial) + len(config.wanted))
        stack.push_async_callback(self.ports.close)
        await self._take_ports(config)
        stack.push_async_callback(self._end_buses)
        await self._take_buses(config)
        if self._asks or config.wanted:
            await stack.enter_async_context(self._beside(self.ports.run(), "look for ports"))

    def _line(self, port: "SerialPort") -> GatewayLine:
        """One line, and where its device's connections go."""
        line = GatewayLine(port, self._way(port, lambda: line.device_id), self._names, self._set_up)
        return line

    def _bus_line(self, port: "SerialPort", station: "Station", bus: "Bus") -> "BusLine":
        """The same for one device of a bus."""
        from .lines.bus_line import BusLine

        line = BusLine(port, station, bus, self._way(port, lambda: line.device_id), self._names)
        return line

    def _way(self, port: "SerialPort", name: Callable[[], str]) -> "Leading":
        """The broker, for the device on `port`, which calls itself `name()`."""
        if self._upstream is not None:
            return self._upstream
        from .inside.joined import Joined
        from .inside.wired import vouching

        assert self.broker is not None
        return Joined(self.broker, f"serial line {port.path}", vouching(self.broker, port, name))

    async def _take_ports(self, config: Config, *, anew: bool = False) -> int:
        """Serve the ports of this configuration from now on; how many lines have changed. No rule means a bus."""
        buses = [bus.path for bus in config.buses]
        return await self.ports.take(config.serial, config.wanted, but=buses, anew=anew)

    async def _take_buses(self, config: Config, *, anew: bool = False) -> int:
        """Serve the buses of this configuration from now on; how many have changed."""
        if self._buses is None:
            if not config.buses:
                return 0
            from .lines.bus import Buses

            self._buses = Buses(
                self._bus_line,
                self.lines.append,
                self.lines.remove,
                lambda bus: self._task(bus.run(), f"bus {bus.config.path}"),
            )
        return await self._buses.take(config.buses, anew=anew)

    @property
    def bus_troubles(self) -> list[str]:
        """Why ports of buses are not open: one whose devices were never heard has no line that could say it."""
        return self._buses.troubles if self._buses is not None else []

    async def _end_buses(self) -> None:
        if self._buses is not None:
            await self._buses.close()

    def _run_line(self, line: GatewayLine) -> "asyncio.Task[None]":
        return self._task(line.run(), f"line {line.config.path}")

    async def _start_beside(self, stack: AsyncExitStack) -> None:
        """What looks at the lines, for people and programs."""
        config = self.config
        socket = default_path() if config.console == "auto" else Path(config.console) if config.console else None
        if socket:
            console = ConsoleSocket(socket, self.lines)
            await stack.enter_async_context(self._beside(console.run(), "console socket"))
        self._say_status()
        stack.push_async_callback(self._end_status)
        if self.broker is not None or config.page is not None:
            from .radio.announce import announce_for_ever

            await stack.enter_async_context(self._beside(announce_for_ever(self), "mDNS"))
        if config.home_assistant is not None or self.path is not None:  # which a reload may bring
            from .home.home import tell_for_ever

            await stack.enter_async_context(self._beside(tell_for_ever(self), "Home Assistant"))
        if config.broker.metrics:
            from .operating.metrics import metrics_page

            await stack.enter_async_context(metrics_page(self, config.broker.metrics))
        if config.page is not None:
            from .page.start import page_of

            await stack.enter_async_context(page_of(self, config.page))

    def _say_status(self) -> None:
        """Publish how the lines are, from now on where the configuration says."""
        config = self.config
        if self._status is not None:
            self._status.cancel()
            self._status = None
        if config.status_topic:
            if self.broker is None:
                saying = status.publish_for_ever(config, self.lines)
            else:
                saying = status.say_for_ever(self.broker, config, self.lines, self.uplinks)
            self._status = self._task(saying, "status")

    async def _end_status(self) -> None:
        if self._status is not None:
            await _ended([self._status])

    @contextlib.asynccontextmanager
    async def _beside(self, work: Coroutine[Any, Any, None], name: str) -> AsyncIterator[None]:
        """`work` goes on until the gateway ends."""
        task = self._task(work, name)
        try:
            yield
        finally:
            await _ended([task])

    def _task(self, work: Coroutine[Any, Any, None], name: str) -> "asyncio.Task[None]":
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._look_at)
        return task

    def _look_at(self, task: "asyncio.Task[None]") -> None:
        error = None if task.cancelled() else task.exception()
        if error:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if not self._ended.done():
            self._ended.set_exception(error)


async def _ended(tasks: "list[asyncio.Task[None]]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def run(config: Config, *, check: bool = False, set_up: SetUp | None = None) -> None:
    """Serve all ports of a checked configuration until cancelled; as Gateway."""
    await Gateway(config, check=check, asks=False, set_up=set_up).run()
