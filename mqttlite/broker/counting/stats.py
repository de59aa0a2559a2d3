"""Counters of the broker, and the log lines of its limits. Imports nothing of the broker."""

import logging
from collections import Counter
from dataclasses import dataclass, field

log = logging.getLogger("mqttlite.broker")

LOG_EVERY_MS = 10_000  # a limit that bites for every message must not fill the disk


@dataclass(slots=True)
class Stats:
    """Since start. `limits`: how often each limit has bitten, by its name in `Limits`."""

    messages_received: int = 0  # PUBLISH from clients, repeats not counted
    messages_sent: int = 0  # one for each client that a message was sent to or queued for
    dropped_slow: int = 0  # QoS 0, client connected, its write buffer full
    dropped_offline: int = 0  # QoS 0, client not connected: never queued
    dropped_queue_full: int = 0  # QoS 1 and 2, the session's queue at its budget, or all queues together
    dropped_refused: int = 0  # retained messages of QoS 0 and wills for which a limit or the store has no room
    dropped_reserved: int = 0  # a client published to $SYS, $queue, $stream, $dead or $bridge
    dropped_denied: int = 0  # no right to publish it, or not any more to receive it
    dropped_expired: int = 0  # the message expiry interval was over before it could be sent (5.0)
    repeats: int = 0  # of producers with keys: acknowledged, and not delivered again
    dead_letters: int = 0  # published because a named queue has tried them often enough
    dropped_too_large: int = 0  # larger than the largest packet that its client takes (5.0)
    dropped_operator: int = 0  # its operator has dropped it (mqttlite ctl drop)
    sockets: int = 0  # network connections, whether CONNECT came over them or not
    bytes_received: int = 0  # over all of them ...
    bytes_sent: int = 0  # ... and given to the operating system to send
    connections: int = 0  # accepted with CONNACK 0
    connected: int = 0  # of these, the ones that have not ended
    expired: int = 0  # sessions whose time was over
    refused: int = 0  # CONNACK other than 0
    takeovers: int = 0
    protocol_errors: int = 0
    failures: int = 0  # unexpected exceptions; each closed one connection
    wills: int = 0
    limits: Counter[str] = field(default_factory=Counter)

    @property
    def messages_dropped(self) -> int:
        """All deliveries that did not take place."""
        return (
            self.dropped_slow
            + self.dropped_offline
            + self.dropped_queue_full
            + self.dropped_refused
            + self.dropped_reserved
            + self.dropped_denied
            + self.dropped_expired
            + self.dropped_too_large
            + self.dropped_operator
        )


class Watch:
    """Counts how often each limit bites and logs it: at once, then at most every LOG_EVERY_MS a limit."""

    def __init__(self, stats: Stats) -> None:
        self._counts = stats.limits
        self._logged: dict[str, tuple[int, int]] = {}  # limit: when, and the count then

    def counted(self, limit: str) -> None:
        """`limit` has bitten, and another line of the log says whom."""
        self._counts[limit] += 1

    def hit(self, limit: str, who: object, what: str, now: int) -> None:
        """`limit` has bitten `who`; `what` says what happened. Cheap when it is not logged."""
        self._counts[limit] += 1
        at, count = self._logged.get(limit, (now - LOG_EVERY_MS, 0))
        if now - at >= LOG_EVERY_MS:
            total = self._counts[limit]
            self._logged[limit] = (now, total)
            again = f" ({total - count} times since the last such line)" if total - count > 1 else ""
            fields = {"event": "limit", "fields": {"limit": limit, "count": total}}
            log.warning("limit %s: %s: %s%s", limit, who, what, again, extra=fields)
