"""Our own client."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

from mqttlite import Client, MQTTError, Will

from .peer import Connection, Options, Peer, Said

_MESSAGE = (
    "content_type",
    "response_topic",
    "correlation_data",
    "expires_after_s",
    "payload_is_text",
    "user_properties",
    "subscription_identifiers",
)


class OurConnection(Connection):
    """A Client, and a task that takes its messages."""

    def __init__(self, options: Options) -> None:
        super().__init__()
        self._is_5 = options.is_5
        scheme = {"tcp": "mqtt", "tls": "mqtts", "ws": "ws"}[options.over]
        path = "/mqtt" if options.over == "ws" else ""
        url = f"{scheme}://{'localhost' if options.over == 'tls' else '127.0.0.1'}:{options.port}{path}"
        more: dict[str, Any] = {"version": options.version, "client_id": options.client_id}
        more["clean_session"] = options.clean and not options.session_expiry_s
        if options.ca:
            more["ca"] = options.ca
        if will := options.will:
            delay = {"delay_s": will.delay_s} if will.delay_s else {}
            more["will"] = Will(will.topic, will.payload, will.qos, will.retain, **delay)  # type: ignore[arg-type]
        if options.packet_size_max:
            more["size_max"] = options.packet_size_max
        for name in ("session_expiry_s", "receive_maximum", "topic_alias_maximum"):
            if options.is_5 and (value := getattr(options, name)):
                more[name] = value
        self._lost: asyncio.Queue[str] = asyncio.Queue()
        more["on_connection"] = lambda is_connected, reason: is_connected or self._lost.put_nowait(reason)
        self._client = Client(url, **more)
        self._taking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self._client.start()
        self.session_present = self._client.session_present
        self._taking = asyncio.create_task(self._take())

    async def _take(self) -> None:
        async for message in self._client:
            properties = {name: getattr(message, name) for name in _MESSAGE} if self._is_5 else {}
            properties = {name: value for name, value in properties.items() if value not in ("", b"", None, [], False)}
            self.arrived.put_nowait(
                Said(message.topic, bytes(message.payload), message.qos, message.retain, properties)
            )

    async def subscribe(self, topic_filter: str, qos: int, **options: Any) -> int:
        return await self._client.subscribe(topic_filter, qos, **options)

    async def unsubscribe(self, topic_filter: str) -> int | None:
        await self._client.unsubscribe(topic_filter)
        return None

    async def publish(self, topic: str, payload: bytes, qos: int, retain: bool = False, **properties: Any) -> None:
        await (await self._client.publish(topic, payload, qos, retain, **properties))

    async def publish_again(self, topic: str, payloads: Sequence[bytes]) -> None:
        for payload in payloads:  # the client takes an alias by itself
            await self.publish(topic, payload, 1)

    async def ended(self) -> int | None:
        await self._lost.get()
        return None

    async def close(self) -> None:
        with contextlib.suppress(MQTTError):
            await self._client.close()
        if self._taking:
            self._taking.cancel()
            await asyncio.gather(self._taking, return_exceptions=True)


class Ours(Peer):
    """mqttlite."""

    name = "mqttlite"

    async def connect(self, options: Options) -> Connection:
        connection = OurConnection(options)
        await connection.start()
        return connection
