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

from . import status
from .config import Config
from .lines.console_socket import ConsoleSocket, default_path
from .lines.line import GatewayLine, SetUp
from .lines.names import Names
from .lines.upstream import Upstream

if TYPE_CHECKING:
    from mqttlite.broker import Broker
    from mqttlite.ledger import Ledger

    from .config import SerialPort
    from .lines.forward import Broker as Leading
    from .uplink import Uplink

log = logging.getLogger("mqttlite.gateway")


class Gateway:
    """`async with Gateway(config) as gateway: await gateway.finished()`, of a checked configuration.

    `path`: the file that says it, None without. `read`: the configuration as it is now, for `reload`. `check`: say at
    once whether the broker of forward mode is there. `set_up`: gives boards that wait for them their settings.

    `lines`, `uplinks`: what there is, each with `describe`. `broker`: the one inside; None in forward mode.
    `started_at_s`: when, since 1970.
    """

    def __init__(
        self,
        config: Config,
        *,
        path: Path | None = None,
        read: Callable[[], Config] | None = None,
        check: bool = False,
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
        self._check = check
        self._set_up = set_up
        self._names: Names[GatewayLine] = Names()
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
        """Until cancelled; raises what `finished` does."""
        async with self:
            await self.finished()

    async def finished(self) -> None:
        """Wait for ever; raises what has ended it from inside, such as a store that fails."""
        await asyncio.shield(self._ended)

    def hang_up(self) -> None:
        """SIGHUP."""
        log.info("SIGHUP: goes on as it is; to read the settings again, restart it")

    async def reload(self, by: str) -> str:
        """Read the configuration again, for `by`; what has come of it, in words. ValueError: why nothing is changed."""
        raise ValueError("to read the settings again, restart it")

    async def _start_broker(self, stack: AsyncExitStack) -> None:
        """The broker inside and what is asked of it; then the uplinks."""
        from mqttlite.broker.operating.control import Control
        from mqttlite.broker.operating.control_path import default_path as default_control

        from .inside.embedded import embedded

        settings = self.config.broker
        self.broker = broker = await stack.enter_async_context(embedded(settings))
        self.ledger = broker.ledger
        broker.failed.add_done_callback(lambda failed: self._fail(failed.result()))
        if settings.control is not None:
            control = settings.control or default_control()
            if control:
                await stack.enter_async_context(Control(broker, control, self.reload))
        for uplink in self.uplinks:
            await uplink.start()
            stack.push_async_callback(uplink.stop)

    async def _start_lines(self, stack: AsyncExitStack) -> None:
        config = self.config
        if self.broker is None:
            upstream = Upstream(config.upstream, config.tls)
            log.info("forwarding %d serial port(s) to %s", len(config.serial), upstream.name)
            if self._check:
                await stack.enter_async_context(self._beside(upstream.check(), "look whether the broker is there"))
        else:
            upstream = None
            log.info("%d serial port(s), to the broker inside", len(config.serial))
        self.lines += [self._line(port, upstream) for port in config.serial]
        running = [self._task(line.run(), f"line {line.config.path}") for line in self.lines]
        stack.push_async_callback(_ended, running)

    def _line(self, port: "SerialPort", upstream: "Leading | None") -> GatewayLine:
        """One line, and where its device's connections go."""
        if upstream is not None:
            return GatewayLine(port, upstream, self._names, self._set_up)
        from .inside.joined import Joined
        from .inside.wired import vouching

        assert self.broker is not None
        joined = Joined(self.broker, f"serial line {port.path}", vouching(self.broker, port, lambda: line.device_id))
        line = GatewayLine(port, joined, self._names, self._set_up)
        return line

    async def _start_beside(self, stack: AsyncExitStack) -> None:
        """What looks at the lines, for people and programs."""
        config = self.config
        socket = default_path() if config.console == "auto" else Path(config.console) if config.console else None
        if socket:
            console = ConsoleSocket(socket, self.lines)
            await stack.enter_async_context(self._beside(console.run(), "console socket"))
        if config.status_topic:
            if self.broker is None:
                saying = status.publish_for_ever(config, self.lines)
            else:
                saying = status.say_for_ever(self.broker, config, self.lines)
            await stack.enter_async_context(self._beside(saying, "status"))
        if config.page is not None:
            from .page.start import page_of

            await stack.enter_async_context(page_of(self, config.page))

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
    await Gateway(config, check=check, set_up=set_up).run()
