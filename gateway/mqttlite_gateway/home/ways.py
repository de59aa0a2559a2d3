"""By which broker Home Assistant is told: the one inside (bridge mode), or the one above (forward mode)."""

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

from mqttlite.broker.inside import Inside, end_session
from mqttlite.broker.limits import LimitError
from mqttlite.client import Client, Message
from mqttlite.core.errors import MQTTError

from ..settings.home_assistant import HomeSettings
from .payloads import OFFLINE, ONLINE, online_topic

if TYPE_CHECKING:
    from mqttlite.broker import Broker

    from ..settings.whole import Config

SESSION = "home assistant"  # a blank: no upstream can be called so
SUBSCRIBED_S = 10.0
Hear = Callable[[str, bytes], None]
"""Called with topic and payload of what was retained, or of a birth message."""


class Way(Protocol):
    """A connection: `async with`; what is retained of configurations has been heard when the block begins."""

    async def publish(self, topic: str, payload: str, is_kept: bool) -> bool:
        """Retained and at QoS 1 where `is_kept`; whether it is published."""
        ...

    def ended(self) -> Awaitable[object]:
        """When it has ended by itself."""
        ...


def _filters(settings: HomeSettings) -> tuple[str, str]:
    return settings.birth_topic, f"{settings.prefix}/device/+/config"


@contextlib.asynccontextmanager
async def inside(broker: "Broker", settings: HomeSettings, hear: Hear) -> AsyncIterator[Way]:
    """The broker of bridge mode, in this process."""
    birth, configs = _filters(settings)
    for message in list(broker.engine.router.retained.matching(configs.encode())):
        if message is not None:
            hear(message.topic.decode(), message.payload)
    way = _OfBroker(broker)
    try:
        async with Inside(broker, SESSION, [(birth, 0)]) as session:
            listening = asyncio.create_task(_listen(session, hear), name="birth of Home Assistant")
            way.listening = listening
            await way.publish(online_topic(settings), ONLINE, True)
            try:
                yield way
            finally:
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)
                await way.publish(online_topic(settings), OFFLINE, True)
    finally:
        end_session(broker, SESSION)


async def _listen(session: Inside, hear: Hear) -> None:
    async for taken in session:
        hear(taken.topic, taken.payload)


class _OfBroker:
    listening: "asyncio.Task[None]"

    def __init__(self, broker: "Broker") -> None:
        self._broker = broker

    async def publish(self, topic: str, payload: str, is_kept: bool) -> bool:
        """As Way.publish."""
        router = self._broker.engine.router
        try:
            if is_kept:
                router.say(topic.encode(), payload.encode(), 1)
            else:
                router.publish(None, 0, topic.encode(), payload.encode())
        except LimitError:  # which the broker has said
            return False
        finally:
            self._broker.changed()
        return True

    def ended(self) -> Awaitable[object]:
        """As Way.ended."""
        return asyncio.shield(self.listening)


@contextlib.asynccontextmanager
async def above(config: "Config", settings: HomeSettings, hear: Hear) -> AsyncIterator[Way]:
    """The broker of forward mode, over a connection of the gateway's own, whose will says that the gateway is away."""
    lost = asyncio.Event()

    def on_connection(is_connected: bool, _reason: str) -> None:
        if not is_connected:
            lost.set()

    client = Client(
        config.upstream,
        client_id=f"mqttlite-home-{os.urandom(3).hex()}",
        clean_session=True,
        will=(online_topic(settings), OFFLINE, 1, True),
        on_connection=on_connection,
        **config.tls,
    )
    async with client:
        listening = asyncio.create_task(_take(client, hear), name="birth of Home Assistant")
        try:
            async with asyncio.timeout(SUBSCRIBED_S):
                for topic_filter in _filters(settings):
                    await client.subscribe(topic_filter, 1)
                # What is retained comes before what is published after it: this one shows that it has come.
                await _there_and_back(client, settings)
            way = _OfClient(client, lost)
            await way.publish(online_topic(settings), ONLINE, True)
            try:
                yield way
            finally:
                with contextlib.suppress(TimeoutError, MQTTError):
                    await asyncio.wait_for(client.publish(online_topic(settings), OFFLINE, qos=0, retain=True), 1)
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)


async def _there_and_back(client: Client, settings: HomeSettings) -> None:
    receipt = await client.publish(f"{settings.state_topic}/hello", json.dumps(None), qos=1)
    await receipt.completed()


async def _take(client: Client, hear: Hear) -> None:
    message: Message
    async for message in client:
        hear(message.topic, bytes(message.payload))


class _OfClient:
    def __init__(self, client: Client, lost: asyncio.Event) -> None:
        self._client = client
        self._lost = lost

    async def publish(self, topic: str, payload: str, is_kept: bool) -> bool:
        """As Way.publish."""
        if self._lost.is_set():
            return False
        try:
            await self._client.publish(topic, payload, qos=int(is_kept), retain=is_kept)
        except MQTTError:
            return False
        return True

    def ended(self) -> Awaitable[object]:
        """As Way.ended: what a broker has retained when it is back has to be looked at again."""
        return self._lost.wait()
