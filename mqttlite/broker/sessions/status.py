"""What the broker says about itself: retained messages below $SYS/broker/ (a custom, not part of the standard).

`clients/NAME/dropped` tells a subscriber of the gaps in what it was sent: a JSON object with how many messages were
dropped for its session, by the limit that was the cause. NAME is its client identifier, everything but letters, digits
and `_.-~` written as %XX, so that it is one level and has no wildcards. It is retained, is kept as the session is, and
goes with it. While a gap lasts it is told every ten seconds with QoS 0; when it is over, with QoS 1. (To an MQTT 5
client the next message can say the same in a user property: `_tell` is where.)

What Mosquitto says there has its names and meaning, but for `messages/received` and `messages/sent`, which count
PUBLISH alone, as `publish/messages/...` does, and `store/messages/bytes` and `heap/...`, which are what the ledger has.
Not there: `publish/bytes/...`. `held/NAME` are the accounts of the ledger, `heap/current` is all of them together.
"""

import contextlib
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import quote

from ... import __version__
from ..counting.load_averages import LoadAverages
from ..routing.retaining import GAP
from ..routing.router import Router
from ..routing.subscribing import GAP_TOPICS

if TYPE_CHECKING:
    from ..clients.client_session import ClientSession
    from ..counting.stats import Stats
    from .census import Census

EVERY_MS = 10_000


def gap_topic(client_id: bytes) -> bytes:
    """Where a subscriber is told of what was dropped for it."""
    return GAP_TOPICS + quote(client_id, safe="").encode() + GAP


class Status:
    """Publishes each value that has changed, every ten seconds, with QoS 0; the end of a gap within a second."""

    def __init__(
        self, router: Router, sessions: "dict[bytes, ClientSession]", stats: "Stats", census: "Census"
    ) -> None:
        self._router = router
        self._sessions = sessions
        self._stats = stats
        self._census = census
        self._said: dict[str, bytes] = {}
        self._next_at: int | None = None
        self._began_at = 0  # ms
        self._clients_max = 0
        self._held_max = 0  # bytes
        self._loads = LoadAverages()

    def update(self, now: int) -> None:
        """Publish what has changed, if it is time."""
        router = self._router
        backpressure = router.backpressure
        over = backpressure.over
        while over:
            self._tell(over.popitem()[0], 1)  # behind what it has got of its queue
        if self._next_at is None:
            self._began_at = now
        elif now < self._next_at:
            return
        self._next_at = now + EVERY_MS
        for client in list(backpressure.gaps):
            if client.dropped.total() != client.told:
                self._tell(client, 0)
        for name, value in self._values(now):
            payload = str(value).encode()
            if self._said.get(name) != payload:
                self._said[name] = payload
                topic = b"$SYS/broker/" + name.encode()
                router.retained.own.add(topic)
                router.say(topic, payload)

    def _values(self, now: int) -> Iterator[tuple[str, object]]:
        stats = self._stats
        router = self._router
        connected = stats.connected
        clients = len(self._sessions)
        self._clients_max = max(self._clients_max, clients)
        yield "version", "mqttlite " + __version__
        yield "uptime", f"{(now - self._began_at) // 1000} seconds"
        for name in ("connected", "active"):
            yield f"clients/{name}", connected
        for name in ("disconnected", "inactive"):
            yield f"clients/{name}", clients - connected
        yield "clients/total", clients
        yield "clients/maximum", self._clients_max
        yield "clients/expired", stats.expired
        for name in ("messages", "publish/messages"):
            yield f"{name}/received", stats.messages_received
            yield f"{name}/sent", stats.messages_sent
            yield f"{name}/dropped", stats.messages_dropped
        yield "bytes/received", stats.bytes_received
        yield "bytes/sent", stats.bytes_sent
        yield "subscriptions/count", router.subscriptions
        yield "shared_subscriptions/count", router.shared_subscriptions
        yield "retained messages/count", len(router.retained)
        stored = len(router.retained) + self._census.messages
        yield "messages/stored", stored
        yield "store/messages/count", stored
        yield "store/messages/bytes", router.ledger.queued + router.ledger.retained
        for name, size in router.ledger.accounts():
            yield f"held/{name}", size
        held = router.ledger.total
        self._held_max = max(self._held_max, held)
        yield "heap/current", held
        yield "heap/maximum", self._held_max
        counters = {
            "messages/received": stats.messages_received,
            "messages/sent": stats.messages_sent,
            "publish/received": stats.messages_received,
            "publish/sent": stats.messages_sent,
            "publish/dropped": stats.messages_dropped,
            "bytes/received": stats.bytes_received,
            "bytes/sent": stats.bytes_sent,
            "sockets": stats.sockets,
            "connections": stats.connections,
        }
        for name, average in self._loads.update(counters, now):
            yield f"load/{name}", f"{average:.2f}"

    def _tell(self, client: "ClientSession", qos: int) -> None:
        client.told = client.dropped.total()
        payload = json.dumps(client.dropped, separators=(",", ":")).encode()
        self._router.say(gap_topic(client.client_id), payload, qos)

    def load(self) -> None:
        """What was said of sessions before a restart still holds."""
        for client in self._sessions.values():
            message = self._router.retained.get(gap_topic(client.client_id))
            if message:
                with contextlib.suppress(ValueError, TypeError, AttributeError):  # whatever a salvaged store has
                    client.dropped.update({name: int(n) for name, n in json.loads(message.payload).items()})

    def forget(self, client: "ClientSession") -> None:
        """The session has ended."""
        if client.dropped:
            self._router.say(gap_topic(client.client_id), b"")
