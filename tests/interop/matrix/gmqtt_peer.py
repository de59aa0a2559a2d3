"""gmqtt."""

import asyncio
import ssl
from collections.abc import Sequence
from typing import Any

import gmqtt

from .peer import TIMEOUT_S, Connection, Options, Peer, Said, need

NAMES = {
    "content_type": "content_type",
    "response_topic": "response_topic",
    "correlation_data": "correlation_data",
    "expires_after_s": "message_expiry_interval",
    "payload_is_text": "payload_format_id",
    "user_properties": "user_property",
}


class GmqttConnection(Connection):
    """A gmqtt client that does not come back by itself."""

    def __init__(self, options: Options) -> None:
        super().__init__()
        need(options.over != "ws", "no WebSocket")
        need(not (options.packet_size_max and options.is_5), "leaves the number out of CONNECT")
        self._options = options
        more: dict[str, Any] = {}
        if options.is_5:
            for name, theirs in (
                ("session_expiry_s", "session_expiry_interval"),
                ("receive_maximum", "receive_maximum"),
                ("topic_alias_maximum", "topic_alias_maximum"),
            ):
                if value := getattr(options, name):
                    more[theirs] = value
        if will := options.will:
            delay = {"will_delay_interval": will.delay_s} if will.delay_s else {}
            more["will_message"] = gmqtt.Message(will.topic, will.payload, will.qos, will.retain, **delay)
        self._client = client = gmqtt.Client(options.client_id, clean_session=options.clean, **more)
        client.set_config({"reconnect_retries": 0})
        self._subscribed: asyncio.Queue[Any] = asyncio.Queue()
        self._unsubscribed: asyncio.Queue[Any] = asyncio.Queue()
        self._ended: asyncio.Queue[Any] = asyncio.Queue()
        self._is_closed = False
        client.on_message = self._on_message
        client.on_connect = self._on_connect
        client.on_subscribe = lambda client, mid, qos, properties: self._subscribed.put_nowait(qos)
        client.on_unsubscribe = lambda client, mid, *codes: self._unsubscribed.put_nowait(codes)
        client.on_disconnect = lambda client, packet, exc=None: self._ended.put_nowait(packet)

    def _on_connect(self, client: Any, flags: int, result: int, properties: Any) -> None:
        self.session_present = bool(flags & 1)

    def _on_message(self, client: Any, topic: str, payload: bytes, qos: int, found: dict[str, Any]) -> int:
        properties = {}
        for name, theirs in NAMES.items():
            if values := found.get(theirs):
                properties[name] = values if name == "user_properties" else values[0]
        if "payload_is_text" in properties:
            properties["payload_is_text"] = bool(properties["payload_is_text"])
        if identifiers := found.get("subscription_identifier"):
            properties["subscription_identifiers"] = identifiers
        self.arrived.put_nowait(Said(topic, payload, qos, bool(found["retain"]), properties))
        return 0

    async def start(self) -> None:
        options = self._options
        context = ssl.create_default_context(cafile=options.ca) if options.over == "tls" else False
        host = "localhost" if options.over == "tls" else "127.0.0.1"
        version = gmqtt.constants.MQTTv50 if options.is_5 else gmqtt.constants.MQTTv311
        await self._client.connect(host, options.port, context, version=version)

    async def subscribe(self, topic_filter: str, qos: int, **options: Any) -> int:
        found = gmqtt.Subscription(
            topic_filter,
            qos,
            options.get("no_local", False),
            options.get("retain_as_published", False),
            options.get("retain_handling", 0),
            options.get("subscription_identifier"),
        )
        self._client.subscribe(found)
        async with asyncio.timeout(TIMEOUT_S):
            [code] = await self._subscribed.get()
        return int(code)

    async def unsubscribe(self, topic_filter: str) -> int | None:
        self._client.unsubscribe(topic_filter)
        async with asyncio.timeout(TIMEOUT_S):
            await self._unsubscribed.get()
        return None

    async def publish(self, topic: str, payload: bytes, qos: int, retain: bool = False, **properties: Any) -> None:
        more = {NAMES.get(name, name): int(value) if value is True else value for name, value in properties.items()}
        self._client.publish(gmqtt.Message(topic, payload, qos, retain, **more))
        async with asyncio.timeout(TIMEOUT_S):
            await self._client._persistent_storage.wait_empty()

    async def publish_again(self, topic: str, payloads: Sequence[bytes]) -> None:
        for number, payload in enumerate(payloads):
            await self.publish("" if number else topic, payload, 1, topic_alias=1)

    async def ended(self) -> int | None:
        async with asyncio.timeout(TIMEOUT_S):
            packet = await self._ended.get()
        return packet[0] if packet and self._options.is_5 else None

    async def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            await self._client.disconnect()


class Gmqtt(Peer):
    """gmqtt."""

    name = "gmqtt"

    async def connect(self, options: Options) -> Connection:
        connection = GmqttConnection(options)
        await connection.start()
        return connection
