"""What the tests of sinks take place in: the broker inside, with a sink behind a queue of it, and a client that
publishes there.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

from mqttlite import Client
from mqttlite.broker import Broker, Limits
from mqttlite_gateway.settings.upstream import Route, UpstreamSettings, with_upstreams
from mqttlite_gateway.sinks import sink_of
from mqttlite_gateway.sinks.base import Message, Settle, Sink, SinkError
from mqttlite_gateway.sinks.uplink import SinkUplink
from tests.peers import RUN_TIMEOUT_S

OUT = (Route("s/#", to="site/", strip="s/"),)
SOON: dict[str, Any] = {"start_jitter_s": 0, "reconnect_min_s": 0.01, "reconnect_max_s": 0.05}


def settings(url: str, **more: Any) -> UpstreamSettings:
    """Of an upstream that is tried again at once."""
    return UpstreamSettings(**({"name": "sink", "url": url, "out": OUT} | SOON | more))


@contextlib.asynccontextmanager
async def broker(folder: Path, *upstreams: UpstreamSettings) -> AsyncIterator[Broker]:
    """The one inside, with its store."""
    limits = with_upstreams(Limits(), upstreams)
    async with Broker(["mqtt://127.0.0.1:0"], limits, folder / "gateway.db") as running:
        yield running


@contextlib.asynccontextmanager
async def uplink(
    inside: Broker, of: UpstreamSettings, make: Callable[[UpstreamSettings, str], Sink] = sink_of
) -> AsyncIterator[SinkUplink]:
    """A sink at work."""
    made = SinkUplink(of, inside, make)
    made.prepare()
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


@contextlib.asynccontextmanager
async def publisher(inside: Broker, **options: Any) -> AsyncIterator[Client]:
    """A client of the broker inside."""
    async with Client(inside.addresses[0], client_id="board", **options) as client:
        yield client


async def publish(client: Client, *payloads: bytes, topic: str = "s/x", qos: int = 1) -> None:
    """Returns when the broker inside has all of it."""
    for receipt in [await client.publish(topic, payload, qos) for payload in payloads]:
        await receipt


async def until(condition: Callable[[], object]) -> None:
    """Wait for what nobody announces."""
    async with asyncio.timeout(RUN_TIMEOUT_S):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.002)


class Notebook:
    """A sink in this process. `refuses`: why it does not take a message; `fails`: how often `put` ends with SinkError
    when it has written so many of a batch, and `forgets` to say so; `mute`: it never says anything.
    """

    kind = "notebook"

    def __init__(self) -> None:
        self.written: list[Message] = []
        self.refuses: Callable[[Message], str] = lambda message: ""
        self.fails: list[int] = []
        self.forgets = False
        self.is_away = False
        self.mute = False
        self.opened = self.aborted = 0

    def make(self, of: UpstreamSettings, source: str) -> "Notebook":
        """For `uplink`."""
        self.source = source
        return self

    @property
    def payloads(self) -> list[bytes]:
        return [message.payload for message in self.written]

    async def open(self) -> str:
        self.opened += 1
        if self.is_away:
            raise SinkError("the notebook is away")
        return "page 1"

    async def put(self, batch: Sequence[Message], settle: Settle) -> None:
        if self.mute:
            await asyncio.Event().wait()
        left = self.fails.pop(0) if self.fails else len(batch)
        for message in batch[:left]:
            why = self.refuses(message)
            if not why:
                self.written.append(message)
            if not self.forgets:
                settle(message, why)
        if left < len(batch) or self.forgets:
            self.forgets = False
            raise SinkError("the pencil broke")

    def abort(self) -> None:
        self.aborted += 1

    async def close(self) -> None:
        pass
