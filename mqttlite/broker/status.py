"""What the broker says about itself: retained messages below $SYS/broker/ (a custom, not part of the standard)."""

from typing import TYPE_CHECKING

from .. import __version__

if TYPE_CHECKING:
    from .engine import Engine

EVERY_MS = 10_000


class Status:
    """Publishes each value that has changed, every ten seconds, with QoS 0."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        self._said: dict[bytes, bytes] = {}
        self._next_at: int | None = None

    def update(self, now: int) -> None:
        """Publish what has changed, if it is time."""
        if self._next_at is not None and now < self._next_at:
            return
        self._next_at = now + EVERY_MS
        engine = self._engine
        stats = engine.stats
        for name, value in (
            (b"version", "mqttlite " + __version__),
            (b"clients/connected", sum(client.peer is not None for client in engine.sessions.values())),
            (b"clients/total", len(engine.sessions)),
            (b"messages/received", stats.messages_received),
            (b"messages/sent", stats.messages_sent),
            (b"messages/dropped", stats.messages_dropped),
            (b"retained messages/count", len(engine.router.retained)),
        ):
            payload = str(value).encode()
            if self._said.get(name) != payload:
                self._said[name] = payload
                engine.publish(b"$SYS/broker/" + name, payload, retain=True)
