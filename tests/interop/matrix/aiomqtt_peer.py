"""aiomqtt: asyncio around paho-mqtt."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

import aiomqtt
from paho.mqtt.packettypes import PacketTypes

from .paho_peer import block, connect_properties, properties_of, subscription
from .peer import Connection, Options, Peer, Said, UnableError, need


class AiomqttConnection(Connection):
    """A client in its context."""

    def __init__(self, options: Options) -> None:
        super().__init__()
        need(not options.topic_alias_maximum, "takes no topic aliases")
        self._is_5 = options.is_5
        more: dict[str, Any] = {}
        if options.is_5:
            more["clean_start"] = options.clean
            more["properties"] = connect_properties(options)
        else:
            more["clean_session"] = options.clean
        if options.over == "tls":
            more["tls_params"] = aiomqtt.TLSParameters(ca_certs=options.ca)
        if options.over == "ws":
            more["websocket_path"] = "/mqtt"
        if will := options.will:
            delay = block(PacketTypes.WILLMESSAGE, WillDelayInterval=will.delay_s)
            more["will"] = aiomqtt.Will(will.topic, will.payload, will.qos, will.retain, delay)
        self._client = aiomqtt.Client(
            "localhost" if options.over == "tls" else "127.0.0.1",
            options.port,
            identifier=options.client_id or None,
            protocol=aiomqtt.ProtocolVersion.V5 if options.is_5 else aiomqtt.ProtocolVersion.V311,
            transport="websockets" if options.over == "ws" else "tcp",
            **more,
        )
        self._taking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self._client.__aenter__()
        self._taking = asyncio.create_task(self._take())

    async def _take(self) -> None:
        async for message in self._client.messages:
            payload = bytes(message.payload) if isinstance(message.payload, (bytes, bytearray)) else b""
            said = Said(str(message.topic), payload, message.qos, message.retain, properties_of(message.properties))
            self.arrived.put_nowait(said)

    async def subscribe(self, topic_filter: str, qos: int, **options: Any) -> int:
        if self._is_5:
            [code] = await self._client.subscribe(topic_filter, **subscription(qos, options))
        else:
            [code] = await self._client.subscribe(topic_filter, qos)
        return int(getattr(code, "value", code))  # type: ignore[call-overload, no-any-return]

    async def unsubscribe(self, topic_filter: str) -> int | None:
        await self._client.unsubscribe(topic_filter)
        return None

    async def publish(self, topic: str, payload: bytes, qos: int, retain: bool = False, **properties: Any) -> None:
        found = block(PacketTypes.PUBLISH, **properties) if self._is_5 else None
        await self._client.publish(topic, payload, qos, retain, found)

    async def publish_again(self, topic: str, payloads: Sequence[bytes]) -> None:
        for number, payload in enumerate(payloads):
            await self.publish("" if number else topic, payload, 1, TopicAlias=1)

    async def ended(self) -> int | None:
        assert self._taking
        with contextlib.suppress(aiomqtt.MqttError):
            await self._taking
        return None

    async def close(self) -> None:
        if self._taking:
            self._taking.cancel()
            await asyncio.gather(self._taking, return_exceptions=True)
            self._taking = None
            with contextlib.suppress(aiomqtt.MqttError):
                await self._client.__aexit__(None, None, None)


class Aiomqtt(Peer):
    """aiomqtt."""

    name = "aiomqtt"

    async def connect(self, options: Options) -> Connection:
        connection = AiomqttConnection(options)
        try:
            await connection.start()
        except aiomqtt.MqttError as error:
            raise UnableError(str(error)) from error
        return connection
