"""paho-mqtt."""

import asyncio
from collections.abc import Sequence
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from .peer import TIMEOUT_S, Connection, Options, Peer, Said, need

# By the names of our `publish`.
NAMES = {
    "content_type": "ContentType",
    "response_topic": "ResponseTopic",
    "correlation_data": "CorrelationData",
    "expires_after_s": "MessageExpiryInterval",
    "payload_is_text": "PayloadFormatIndicator",
    "user_properties": "UserProperty",
    "subscription_identifiers": "SubscriptionIdentifier",
}


def block(kind: int, **values: Any) -> Properties | None:
    """Properties of a packet; None without any."""
    made = Properties(kind)
    for name, value in values.items():
        if value:
            setattr(made, NAMES.get(name, name), int(value) if value is True else value)
    return made if any(values.values()) else None


def properties_of(found: Properties | None) -> dict[str, Any]:
    """By our names."""
    named = {name: getattr(found, theirs) for name, theirs in NAMES.items() if hasattr(found, theirs)}
    if "payload_is_text" in named:
        named["payload_is_text"] = bool(named["payload_is_text"])
    return named


def connect_properties(options: Options) -> Properties | None:
    """Of CONNECT."""
    return block(
        PacketTypes.CONNECT,
        SessionExpiryInterval=options.session_expiry_s,
        ReceiveMaximum=options.receive_maximum,
        MaximumPacketSize=options.packet_size_max,
    )


def subscription(qos: int, options: dict[str, Any]) -> dict[str, Any]:
    """Arguments of `subscribe` in 5.0, by Connection's names of its options."""
    found = SubscribeOptions(
        qos,
        options.get("no_local", False),
        options.get("retain_as_published", False),
        options.get("retain_handling", 0),
    )
    identifier = block(PacketTypes.SUBSCRIBE, SubscriptionIdentifier=options.get("subscription_identifier", 0))
    return {"options": found, "properties": identifier}


class PahoConnection(Connection):
    """A paho client with its thread."""

    def __init__(self, options: Options) -> None:
        super().__init__()
        # It tells an application the empty topic of a message that came with an alias alone.
        need(not options.topic_alias_maximum, "takes no topic aliases")
        self._loop = asyncio.get_running_loop()
        self._options = options
        self._events: dict[str, asyncio.Queue[Any]] = {}
        self._is_closed = False
        client = self._client = paho.Client(
            paho.CallbackAPIVersion.VERSION2,
            options.client_id,
            clean_session=None if options.is_5 else options.clean,
            protocol=paho.MQTTv5 if options.is_5 else paho.MQTTv311,
            transport="websockets" if options.over == "ws" else "tcp",
            reconnect_on_failure=False,
        )
        if options.over == "tls":
            client.tls_set(ca_certs=options.ca)
        if will := options.will:
            delay = block(PacketTypes.WILLMESSAGE, WillDelayInterval=will.delay_s)
            client.will_set(will.topic, will.payload, will.qos, will.retain, delay)
        client.on_connect = self._on_connect
        client.on_message = self._on_message
        client.on_subscribe = lambda client, data, mid, codes, properties: self._tell("subscribed", codes)
        client.on_unsubscribe = lambda client, data, mid, codes, properties: self._tell("unsubscribed", codes)
        client.on_disconnect = lambda client, data, flags, code, properties: self._tell("ended", code)

    def _tell(self, what: str, value: Any) -> None:
        self._loop.call_soon_threadsafe(self._queue(what).put_nowait, value)

    def _queue(self, what: str) -> asyncio.Queue[Any]:
        return self._events.setdefault(what, asyncio.Queue())

    async def _event(self, what: str) -> Any:
        async with asyncio.timeout(TIMEOUT_S):
            return await self._queue(what).get()

    def _on_connect(self, client: paho.Client, data: Any, flags: Any, code: Any, properties: Any) -> None:
        self._tell("connected", (code.value, flags.session_present))

    def _on_message(self, client: paho.Client, data: Any, m: paho.MQTTMessage) -> None:
        said = Said(m.topic, m.payload, m.qos, m.retain, properties_of(m.properties))
        self._loop.call_soon_threadsafe(self.arrived.put_nowait, said)

    async def start(self) -> None:
        options = self._options
        more: dict[str, Any] = {}
        if options.is_5:
            more = {"clean_start": options.clean, "properties": connect_properties(options)}
        host = "localhost" if options.over == "tls" else "127.0.0.1"
        await asyncio.to_thread(self._client.connect, host, options.port, **more)
        self._client.loop_start()
        code, self.session_present = await self._event("connected")
        assert code == 0

    async def subscribe(self, topic_filter: str, qos: int, **options: Any) -> int:
        if self._options.is_5:
            self._client.subscribe(topic_filter, **subscription(qos, options))
        else:
            self._client.subscribe(topic_filter, qos)
        return int((await self._event("subscribed"))[0].value)

    async def unsubscribe(self, topic_filter: str) -> int | None:
        self._client.unsubscribe(topic_filter)
        codes = await self._event("unsubscribed")
        return int(codes[0].value) if self._options.is_5 else None

    async def publish(self, topic: str, payload: bytes, qos: int, retain: bool = False, **properties: Any) -> None:
        found = block(PacketTypes.PUBLISH, **properties) if self._options.is_5 else None
        info = self._client.publish(topic, payload, qos, retain, found)
        await asyncio.to_thread(info.wait_for_publish, TIMEOUT_S)
        assert info.is_published()

    async def publish_again(self, topic: str, payloads: Sequence[bytes]) -> None:
        for number, payload in enumerate(payloads):
            await self.publish("" if number else topic, payload, 1, TopicAlias=1)

    async def ended(self) -> int | None:
        code = await self._event("ended")
        return int(code.value) if self._options.is_5 else None

    async def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._client.disconnect()
            await asyncio.to_thread(self._client.loop_stop)


class Paho(Peer):
    """paho-mqtt."""

    name = "paho-mqtt"

    async def connect(self, options: Options) -> Connection:
        connection = PahoConnection(options)
        await connection.start()
        return connection
