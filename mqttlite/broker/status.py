"""What the broker says about itself: retained messages below $SYS/broker/ (a custom, not part of the standard).

`clients/NAME/dropped` tells a subscriber of the gaps in what it was sent: a JSON object with how many messages were
dropped for its session, by the limit that was the cause. NAME is its client identifier, everything but letters, digits
and `_.-~` written as %XX, so that it is one level and has no wildcards. It is retained, is kept as the session is, and
goes with it. While a gap lasts it is told every ten seconds with QoS 0; when it is over, with QoS 1. (To an MQTT 5
client the next message can say the same in a user property: `_tell` is where.)
"""

import contextlib
import json
from typing import TYPE_CHECKING
from urllib.parse import quote

from .. import __version__
from .router import GAP, GAP_TOPICS, Router

if TYPE_CHECKING:
    from .peer import ClientSession
    from .stats import Stats

EVERY_MS = 10_000


def gap_topic(client_id: bytes) -> bytes:
    """Where a subscriber is told of what was dropped for it."""
    return GAP_TOPICS + quote(client_id, safe="").encode() + GAP


class Status:
    """Publishes each value that has changed, every ten seconds, with QoS 0; the end of a gap within a second."""

    def __init__(self, router: Router, sessions: "dict[bytes, ClientSession]", stats: "Stats") -> None:
        self._router = router
        self._sessions = sessions
        self._stats = stats
        self._said: dict[bytes, bytes] = {}
        self._next_at: int | None = None

    def update(self, now: int) -> None:
        """Publish what has changed, if it is time."""
        router = self._router
        backpressure = router.backpressure
        over = backpressure.over
        while over:
            self._tell(over.popitem()[0], 1)  # behind what it has got of its queue
        if self._next_at is not None and now < self._next_at:
            return
        self._next_at = now + EVERY_MS
        for client in list(backpressure.gaps):
            if client.dropped.total() != client.told:
                self._tell(client, 0)
        stats = self._stats
        backpressure.settle()
        for name, value in (
            (b"version", "mqttlite " + __version__),
            (b"clients/connected", sum(client.peer is not None for client in self._sessions.values())),
            (b"clients/total", len(self._sessions)),
            (b"messages/received", stats.messages_received),
            (b"messages/sent", stats.messages_sent),
            (b"messages/dropped", stats.messages_dropped),
            (b"retained messages/count", len(router.retained)),
            *((b"bytes/" + name.encode(), size) for name, size in router.ledger.accounts()),
        ):
            payload = str(value).encode()
            if self._said.get(name) != payload:
                self._said[name] = payload
                router.say(b"$SYS/broker/" + name, payload)

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
