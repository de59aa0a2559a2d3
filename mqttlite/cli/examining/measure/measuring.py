"""One run after the other, until the last one has ended, or Ctrl-C."""

import asyncio
import contextlib
import logging
import secrets
import signal
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

from ....client import Client
from ....core.errors import MQTTError, SubscribeError
from ...streams import one_line
from .figures import Figures
from .load import Load, Run
from .report import HEAD

SAYS_S = 0.5  # for a broker to say who it is


class Measuring:
    """What was asked for, and what has been found so far.

    `tell`: gets the figures of each run when it has ended; `say`: what else there is to say. `topic`: below which it
    publishes. `far`: the port at the other end of a serial line.
    """

    def __init__(
        self,
        options: dict[str, Any],
        loads: Sequence[Load],
        tell: Callable[[Figures], None],
        say: Callable[[str], None],
        topic: str,
        *,
        far: str | None = None,
        is_one_client: bool = False,
    ) -> None:
        self._options = options
        self._loads = loads
        self._tell = tell
        self._say = say
        self._far = far
        self._is_one_client = is_one_client
        self._topic = f"{topic}/{secrets.token_hex(4)}"
        self._clients = 0
        self._run: Run | None = None
        self._task: asyncio.Task[Any] | None = None
        self.found: list[Figures] = []
        self.broker = ""  # its version, as it says of itself
        self.is_stopped = False
        self.signal = 0  # which has stopped it
        self.error: Exception | None = None  # which ended it, after the first run

    async def run(self) -> None:
        """Raises MQTTError, OSError when nothing could be measured."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop, number)
        try:
            async with self._other_end():
                if not self._is_one_client:
                    await self._ask()
                self._say(HEAD)
                for load in self._loads:
                    if self.is_stopped:
                        return
                    await self._one(load)
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    async def _ask(self) -> None:
        """Who the broker is, if it says so; raises as `run` when there is no connection."""
        self._task = asyncio.create_task(version_of(self._client_options()))
        try:
            self.broker = await self._task
        except asyncio.CancelledError:
            if not self.is_stopped:
                raise
        if self.broker:
            self._say(f"it says of itself: {self.broker}")

    async def _one(self, load: Load) -> None:
        run = self._run = Run(load, f"{self._topic}/{len(self.found)}", self._client_options, self._is_one_client)
        self._task = asyncio.create_task(run.measure())
        try:
            figures = await self._task
        except asyncio.CancelledError:
            if not self.is_stopped:
                raise
            return  # while it was connecting
        except (MQTTError, OSError) as error:
            run.figures.is_whole = False
            if not self.found and not run.figures.arrived:
                raise
            self.error = error
            self.is_stopped = True
            figures = run.figures
        if figures.seconds:
            self.found.append(figures)
            self._tell(figures)

    def _stop(self, number: int) -> None:
        """The first signal ends the run that is under way, and what it has measured counts; the second one, or the
        first while nothing is measured, ends it where it is.
        """
        if self._task and (self.is_stopped or not (self._run and self._run.measures)):
            self._task.cancel()
        self.is_stopped = True
        self.signal = number
        if self._run:
            self._run.stop()

    def _client_options(self) -> dict[str, Any]:
        self._clients += 1
        prefix = self._options["client_id"]
        return {
            **self._options,
            "client_id": f"{prefix}-{self._clients}" if prefix else "",
            "clean_session": True,
        }

    @contextlib.asynccontextmanager
    async def _other_end(self) -> AsyncIterator[None]:
        """With `far`: a gateway on that port and a broker, both in this program."""
        if self._far is None:
            yield
            return
        from mqttlite_gateway.config import Config, SerialPort
        from mqttlite_gateway.gateway import run as run_gateway

        from ....broker import Broker

        with tempfile.TemporaryDirectory() as folder:
            address = f"unix://{Path(folder) / 'broker'}"
            config = Config()
            config.serial = [SerialPort.parse(self._far)]
            config.upstream = address
            config.check()
            async with Broker([address]):
                gateway = asyncio.create_task(run_gateway(config))
                try:
                    yield
                finally:
                    logging.getLogger("mqttlite.gateway").setLevel(logging.CRITICAL)  # that its port is closed
                    gateway.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await gateway


async def version_of(options: dict[str, Any]) -> str:
    """What a broker says about itself on $SYS/broker/version; "" where it says nothing within a moment."""
    with contextlib.suppress(SubscribeError, TimeoutError):
        async with Client(**options) as client, asyncio.timeout(SAYS_S):
            await client.subscribe("$SYS/broker/version", qos=0)
            async for message in client:
                return one_line(message.payload.decode("utf-8", "replace"))[:80]
    return ""
