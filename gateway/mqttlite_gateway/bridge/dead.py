"""What an upstream refuses, set aside in a named queue of the broker inside: durable in one commit with the end of its
handshake, to be listed, tried again or dropped. Imports mapping, relay, settings.
"""

import logging
from typing import Any

from mqttlite.broker import Broker
from mqttlite.broker.connections.turns import now_ms
from mqttlite.broker.counting.ledger import MESSAGE
from mqttlite.broker.inside import session_of
from mqttlite.broker.messages.extras import extra_of, properties_of
from mqttlite.broker.queues.named_queue import Item, NamedQueue
from mqttlite.broker.topics.names import ASIDE_CAUSE
from mqttlite.core.codec import publish_head, topic_of
from mqttlite.core.properties import encode_user_properties, user_property, without_user
from mqttlite.core.shown import sendable, shown

from ..settings.upstream import UpstreamSettings
from .mapping import Ways
from .relay import Full, Message

log = logging.getLogger("mqttlite.gateway")

WAY = b"bridge-way"  # out or in, and whether it was a retained one
SAID_MS = 10_000
CAUSE_MAX = 1000  # characters of why it was refused, which may be the upstream's own words
SHOWN_MAX = 4096  # bytes of a payload that are shown


class DeadLetters:
    """Those of one upstream, by number."""

    def __init__(self, broker: Broker, settings: UpstreamSettings) -> None:
        self._broker = broker
        self._settings = settings
        self._in = Ways(settings.inwards)
        self._unsaid = 0
        self._said_at = 0

    @property
    def _queue(self) -> NamedQueue:
        found = self._broker.engine.depot.queues.get(self._settings.dead_queue.encode())
        if found is None:
            raise Full  # the broker was not made with with_upstreams()
        return found

    def __len__(self) -> int:
        found = self._broker.engine.depot.queues.get(self._settings.dead_queue.encode())
        return len(found.items) if found else 0

    def set_aside(self, message: Message, cause: str) -> None:
        """Keep a message of QoS 1 or 2. Full: there is no room."""
        queue = self._queue
        cause = sendable(cause)[:CAUSE_MAX]
        way = (b"in" if message.is_inward else b"out") + (b" retained" if message.retain else b"")
        words = encode_user_properties([(ASIDE_CAUSE, cause.encode()), (WAY, way)])
        router = self._broker.engine.router
        extra = (extra_of(message.block, router.clock()) or b"\0") + words
        size = len(message.topic) + len(message.payload) + len(extra) + MESSAGE + 8
        store = self._broker.store
        if queue.lacks_room(size) or (store is not None and not store.has_room(size)):
            raise Full
        queue.take(None, message.qos << 1, message.topic, message.payload, extra)
        self._say(message, cause)

    def _say(self, message: Message, cause: str) -> None:
        """The first one, and then not more than one in SAID_MS, with how many there were."""
        self._unsaid += 1
        now = now_ms()
        if self._said_at and now - self._said_at < SAID_MS:
            return
        self._said_at = now
        more = f", and {self._unsaid - 1} before it" if self._unsaid > 1 else ""
        self._unsaid = 0
        log.warning(
            "upstream %s: a message of topic %s is set aside%s: %s",
            self._settings.name,
            shown(message.topic, 100),
            more,
            cause,
        )

    def listed(self) -> list[dict[str, Any]]:
        """The oldest first, as plain data."""
        return [self._described(number, item) for number, item in self._items().items()]

    def _items(self) -> dict[int, Item]:
        found = self._broker.engine.depot.queues.get(self._settings.dead_queue.encode())
        return dict(found.items) if found else {}

    def _described(self, number: int, item: Item) -> dict[str, Any]:
        block = properties_of(item.extra)
        way = (user_property(block, WAY) or b"out").decode()
        return {
            "id": number,
            "topic": topic_of(item.head).decode(),
            "payload": item.payload[:SHOWN_MAX].decode("utf-8", "replace"),
            "hex": item.payload[:SHOWN_MAX].hex(),  # what it is, where it is no text
            "bytes": len(item.payload),
            "qos": item.head[0] >> 1 & 3,
            "retain": "retained" in way,
            "way": way.partition(" ")[0],
            "cause": (user_property(block, ASIDE_CAUSE) or b"").decode(),
            "at_s": item.at / 1000,
        }

    def _item(self, number: int) -> Item:
        item = self._items().get(number)
        if item is None:
            raise ValueError(f"{self._settings.name}: there is no message {number} set aside")
        return item

    def retry(self, number: int) -> None:
        """It goes to the end of the queue, or is published here. ValueError says why not; then it stays."""
        item = self._item(number)
        engine = self._broker.engine
        router = engine.router
        router.now = now_ms()
        block = properties_of(item.extra)
        way = (user_property(block, WAY) or b"out").decode()
        size = len(block)
        rest = without_user(without_user(block, ASIDE_CAUSE), WAY)
        start = item.extra[: len(item.extra) - size] if item.extra else b""
        extra = start + rest if rest or (start and start != b"\0") else b""
        topic = topic_of(item.head)
        flags = (item.head[0] & 6) | ("retained" in way)
        if way.startswith("in"):
            found = self._in.find(topic)
            if found is None:
                raise ValueError(f"{self._settings.name}: no filter of in is for {topic.decode()!a}")
            router.publish(None, flags, found[0], item.payload, extra)
        else:
            client = session_of(self._broker, self._settings.name)
            head = publish_head(flags, topic, len(item.payload))
            if client is None or not router.give(client, head, item.payload, extra):
                raise ValueError(f"{self._settings.name}: its queue is full")
        self._queue.finish(number, True)
        self._broker.changed()

    def drop(self, number: int) -> None:
        """It is deleted. ValueError: it is not there."""
        self._item(number)
        self._broker.engine.router.now = now_ms()
        self._queue.finish(number, True)
        self._broker.changed()
