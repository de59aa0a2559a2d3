"""A broker with an upstream, and upstreams of several kinds to lead to."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from mqttlite.broker import Broker, Limits
from mqttlite.client import Client, Message
from mqttlite.ledger import Ledger
from mqttlite_gateway.bridge.uplink import BridgeUplink
from mqttlite_gateway.settings.upstream import Route, UpstreamSettings, with_upstreams
from tests.peers import Mosquitto

TIMEOUT_S = 30.0
LOCAL = ["mqtt://127.0.0.1:0"]
KINDS = ("mosquitto", "own")
VERSIONS = ("5.0", "3.1.1")


async def until(condition: Callable[[], Any]) -> None:
    """Let the loop run until `condition()` holds."""
    async with asyncio.timeout(TIMEOUT_S):
        while not condition():  # noqa: ASYNC110  # states of other programs: nothing announces them
            await asyncio.sleep(0.002)


def settings(url: str, **more: Any) -> UpstreamSettings:
    """Of an upstream that is tried at once and again soon."""
    fields: dict[str, Any] = {
        "name": "cloud",
        "url": url,
        "client_id": "site-7",
        "out": (Route("up/#", "site-7/"),),
        "start_jitter_s": 0,
        "reconnect_min_s": 0.02,
        "reconnect_max_s": 0.2,
    }
    return UpstreamSettings(**(fields | more))


@contextlib.asynccontextmanager
async def gateway(
    store: Path | None, of: UpstreamSettings, limits: Limits | None = None, ledger: Ledger | None = None
) -> AsyncIterator[tuple[Broker, BridgeUplink]]:
    """A broker with one upstream."""
    async with Broker(LOCAL, with_upstreams(limits or Limits(), [of]), store, ledger=ledger) as broker:
        uplink = BridgeUplink(of, broker)
        uplink.prepare()
        await uplink.start()
        try:
            yield broker, uplink
        finally:
            await uplink.stop()


@contextlib.asynccontextmanager
async def upstream(kind: str, folder: Path) -> AsyncIterator[str]:
    """The URL of a broker of this kind, which keeps its sessions."""
    if kind == "mosquitto":
        mosquitto = Mosquitto(folder / "mosquitto")
        with mosquitto:
            yield mosquitto.url
    else:
        async with Broker(LOCAL, store=folder / "upstream.db") as broker:
            yield broker.addresses[0]


class Reader:
    """Takes what comes for a filter, acknowledging it. `async with Reader(url, "site-7/#") as reader`."""

    def __init__(
        self, url: str, *filters: str, version: str = "5.0", client_id: str = "reader", is_kept: bool = False
    ) -> None:
        self._client = Client(url, client_id=client_id, version=version, clean_session=not is_kept)
        self._filters = filters
        self.messages: list[Message] = []
        self._task: asyncio.Task[None]

    async def __aenter__(self) -> "Reader":
        await self._client.__aenter__()
        for each in self._filters:
            await self._client.subscribe(each, 2)
        self._task = asyncio.create_task(self._take())
        return self

    async def _take(self) -> None:
        async for message in self._client:
            self.messages.append(message)

    async def __aexit__(self, *error: Any) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        await self._client.__aexit__(None, None, None)

    async def got(self, count: int) -> list[tuple[str, bytes]]:
        """(topic, payload) of all messages, once there are so many."""
        try:
            await until(lambda: len(self.messages) >= count)
        except TimeoutError:
            raise AssertionError(f"{len(self.messages)} of {count} messages have come") from None
        return [(each.topic, each.payload) for each in self.messages]
