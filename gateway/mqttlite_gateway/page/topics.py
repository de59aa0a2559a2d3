"""Topics that somebody looks at, and messages that somebody publishes for a trial: through the broker inside, or in
forward mode over a connection of its own to the broker upstream.

Whoever looks receives what the broker's rules let that user receive, and publishes what they let it publish.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from mqttlite.broker.access.access import Access
from mqttlite.broker.access.guard import Guard
from mqttlite.broker.access.identity import ANONYMOUS, PASSWORD, Identity
from mqttlite.broker.access.rule import PUBLISH, RECEIVE, SUBSCRIBE
from mqttlite.client import Client
from mqttlite.core.errors import MQTTError
from mqttlite.core.text import check_topic_filter, check_topic_name, to_utf8

from .payload import shown
from .people import Visitor

if TYPE_CHECKING:
    from mqttlite.broker import Broker

CONNECT_S = 10.0
PUBLISH_S = 10.0
UNKNOWN = "published with QoS 0: nobody says whether somebody has received it"
FILTER_BYTES = 1024
PAYLOAD_MAX = 128 << 10  # of what is published from the page

Show = Callable[[dict[str, Any]], None]


class Topics(Protocol):
    """Where they come from. Both raise ValueError, which says why not."""

    async def watch(self, topic_filter: str, visitor: Visitor, show: Show) -> Callable[[], None]:
        """`show` each message that comes from now on, until what this returns is called."""

    async def publish(self, topic: str, payload: bytes, qos: int, retain: bool, visitor: Visitor) -> str:
        """Publish it; what became of it, in words."""


def seen(topic: str, payload: bytes, qos: int, retain: bool) -> dict[str, Any]:
    """A message as a browser is told of it."""
    return {"at_ms": int(time.time() * 1000), "topic": topic, "qos": qos, "retain": retain, **shown(payload)}


def checked_filter(text: str) -> str:
    """ValueError where it is none."""
    try:
        data = to_utf8(text, "topic filter")
        check_topic_filter(data)
    except (MQTTError, ValueError) as error:
        raise ValueError(f"{text[:80]!a} is no topic filter: {error}") from None
    if len(data) > FILTER_BYTES:
        raise ValueError(f"a topic filter has at most {FILTER_BYTES} bytes here")
    return text


def checked_topic(text: str) -> str:
    """ValueError where nothing can be published there."""
    try:
        check_topic_name(to_utf8(text, "topic"))
    except (MQTTError, ValueError) as error:
        raise ValueError(f"{text[:80]!a} is no topic: {error}") from None
    if text.startswith("$"):
        raise ValueError("topics that begin with $ are the broker's own")
    return text


class InsideTopics:
    """Of the broker in this process."""

    def __init__(self, broker: "Broker") -> None:
        self._broker = broker

    async def watch(self, topic_filter: str, visitor: Visitor, show: Show) -> Callable[[], None]:
        """As Topics.watch."""
        from mqttlite.broker.inside import Connection, subscribe, taken_of

        checked_filter(topic_filter)
        identity = _identity(visitor)
        if not self._guard.may(identity, SUBSCRIBE, topic_filter.encode()):
            raise ValueError(f"the broker's rules do not let you subscribe to {topic_filter[:80]!a}")

        def received(packets: list[tuple[int, bytes]]) -> None:
            nonlocal identity
            for first, body in packets:
                if first & 0xF0 == 0x30:
                    taken = taken_of(first, body)
                    identity = self._as_now(identity)
                    if self._guard.may(identity, RECEIVE, taken.topic.encode()):
                        show(seen(taken.topic, taken.payload, taken.qos, taken.retain))

        connection = Connection(self._broker, received, lambda why: None)
        connection.connect(_name(), clean=True)
        if connection.client is None:
            connection.close()
            raise ValueError("the broker has no room for another client now")
        subscribe(connection, [(topic_filter, 0)])
        return connection.close

    async def publish(self, topic: str, payload: bytes, qos: int, retain: bool, visitor: Visitor) -> str:
        """As Topics.publish."""
        checked_topic(topic)
        if not self._guard.may(_identity(visitor), PUBLISH, topic.encode()):
            raise ValueError(f"the broker's rules do not let you publish on {topic[:80]!a}")
        return await _Publication(self._broker).run(topic, payload, qos, retain)

    @property
    def _guard(self) -> Guard:
        return self._broker.guard

    def _as_now(self, identity: Identity) -> Identity:
        """With the groups that the user is in by now: a reload may have changed them."""
        guard = self._guard
        groups = guard.groups_of(identity.user) if isinstance(guard, Access) else identity.groups
        return identity if groups == identity.groups else replace(identity, groups=groups, rights=None)


class _Publication:
    """One message, from the page to the broker inside, with the whole handshake of its QoS."""

    def __init__(self, broker: "Broker") -> None:
        from mqttlite.broker.inside import Connection

        self._done: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._connection = Connection(broker, self._received, self._ended)

    async def run(self, topic: str, payload: bytes, qos: int, retain: bool) -> str:
        """Publish it; what became of it."""
        from mqttlite.core.codec import publish_head

        connection = self._connection
        try:
            connection.connect(_name(), clean=True)
            if connection.client is None:
                raise ValueError("the broker has no room for another client now")
            name = topic.encode()
            size = len(payload) + 1  # the block of properties of 5.0, empty
            identifier = b"\0\1" if qos else b""
            connection.send(publish_head(qos << 1 | retain, name, size) + identifier + b"\0" + payload)
            if not qos:
                return UNKNOWN
            async with asyncio.timeout(PUBLISH_S):
                return await self._done
        except TimeoutError:
            raise ValueError(f"no acknowledgement within {PUBLISH_S:g} s") from None
        finally:
            connection.close()

    def _received(self, packets: list[tuple[int, bytes]]) -> None:
        for first, body in packets:
            code = body[2] if len(body) > 2 else 0
            if first in (0x40, 0x50) and code >= 0x80:
                self._end(f"the broker has refused it (0x{code:02X})", ValueError)
            elif first == 0x50:
                self._connection.send(b"\x62\2" + body[:2])  # PUBREL
            elif first in (0x40, 0x70):
                words = "PUBACK" if first == 0x40 else "PUBREC, PUBREL, PUBCOMP"
                nobody = ", and nobody has subscribed to it" if code == 0x10 else ""
                self._end(f"the broker has taken it ({words}){nobody}")

    def _ended(self, why: str) -> None:
        self._end(f"the broker has closed the connection: {why}", ValueError)

    def _end(self, words: str, error: type[Exception] | None = None) -> None:
        if self._done.done():
            return
        if error:
            self._done.set_exception(error(words))
            self._done.exception()  # where nobody waits for it any more
        else:
            self._done.set_result(words)


def _name() -> str:
    """Of a session of the page: it ends with its connection."""
    import secrets

    return f"page-{secrets.token_hex(6)}"


def _identity(visitor: Visitor) -> Identity:
    how = ANONYMOUS if visitor.name is None else PASSWORD
    return Identity(visitor.name, visitor.groups, how, visitor.address, "mqttlite-page")


class UpstreamTopics:
    """Of the broker that a gateway in forward mode leads to, with the gateway's own user."""

    def __init__(self, url: str, tls: dict[str, Any]) -> None:
        self._url = url
        self._tls = tls

    def _client(self) -> Client:
        return Client(self._url, client_id=f"mqttlite-{_name()}", clean_session=True, **self._tls)

    async def watch(self, topic_filter: str, visitor: Visitor, show: Show) -> Callable[[], None]:
        """As Topics.watch."""
        checked_filter(topic_filter)
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(self._take(topic_filter, show, ready), name="page: topics")
        try:
            async with asyncio.timeout(CONNECT_S):
                await asyncio.shield(ready)
        except (MQTTError, OSError, TimeoutError) as error:
            task.cancel()
            raise ValueError(f"the broker cannot be asked: {error or 'no answer'}") from None
        return lambda: void(task.cancel())

    async def _take(self, topic_filter: str, show: Show, ready: "asyncio.Future[None]") -> None:
        try:
            async with self._client() as client:
                await client.subscribe(topic_filter, qos=0)
                if not ready.done():
                    ready.set_result(None)
                async for message in client:
                    show(seen(message.topic, message.payload, message.qos, message.retain))
        except (MQTTError, OSError) as error:
            if not ready.done():
                ready.set_exception(error)

    async def publish(self, topic: str, payload: bytes, qos: int, retain: bool, visitor: Visitor) -> str:
        """As Topics.publish."""
        checked_topic(topic)
        try:
            async with asyncio.timeout(PUBLISH_S):
                async with self._client() as client:
                    receipt = await client.publish(topic, payload, qos=qos, retain=retain)
                    if qos:
                        await receipt.completed()
        except (MQTTError, OSError, TimeoutError) as error:
            raise ValueError(f"not published: {error or 'no answer in time'}") from None
        return "the broker has taken it" if qos else UNKNOWN


def void(_: object) -> None:
    """Of what is called for what it does."""
