"""How a client's messages leave in MQTT 5.0: with the time that they have left, and with topic aliases where those save
bytes. Session.form, and what `ClientProtocol.publish` asks at QoS 0. Both runtimes; no clock: `now_ms` tells the time.

Loaded with the first message that expires, or by who is connected to a broker that takes topic aliases. What is kept,
in memory and in a store, knows neither: it is as it was accepted, and its deadline stands in its key (records.py).

A message that has expired is not sent, also not again: that it is of no use any more is its sender's word, while
[MQTT-4.4.0-1] wants it sent again even then. At QoS 2 its identifier is given back with PUBREL, for the broker may have
had it already (docs/decisions/0039). Statement numbers in this file are those of 5.0.
"""

from . import const
from .codec import body_at, prefixed, remaining_length, repeated
from .features import HOST, STREAM
from .packet_types import PUBREL
from .properties import MESSAGE_EXPIRY, TOPIC_ALIAS, varint
from .records import is_streamed
from .session import EXPIRED, SPAN

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .session import Session

SET_CLOCK_MS = 1735689600000  # 2025 began then; a clock that says less is not set
ALIAS_MAX = const(32)  # topics that have one
ALIASED = const(6)  # bytes of a topic name from which on an alias pays: it costs 3, and its first use 3 more
HEADS_MAX = const(64)
PAYLOAD_MAX = const(4096)  # bytes; what is larger is not copied for the sake of a few


def expires(key: bytes) -> bool:
    """Whether a message with this key (records.py) has a deadline."""
    return key != b"" and key[0] & 4 != 0


def deadline_of(key: bytes) -> int:
    """When a message that expires does, in ms since 1970."""
    return int.from_bytes(key[-6:], "big")


def with_deadline(key: bytes, deadline: int) -> bytes:
    """`key` of a message that expires at `deadline`."""
    if expires(key):
        key = key[:-6]
    return bytes((key[0] | 4,)) + key[1:] + deadline.to_bytes(6, "big")


class Outbound:
    """Of one client's `session`. `alias_max`: how many topic aliases the broker takes; to be set with each connection
    by `connected`.
    """

    def __init__(self, session: "Session", now_ms: "Callable[[], int] | None") -> None:
        self._session = session
        self.now_ms: "Any" = now_ms  # None: nothing expires here
        # Of topic aliases, which no board has:
        self._alias_max = 0
        self._aliases: "dict[bytes, int]" = {}  # by topic
        self._used: "dict[int, int]" = {}  # by alias: when it was, counted in messages
        self._once: "set[bytes]" = set()  # topics that were published once
        self._heads: "dict[bytes, tuple[bytes, bytes, int]]" = {}  # what follows from a head that comes again
        self._count = 0
        self._packet_max = 0
        # Its owner's, who has an event loop: the task that calls `sweep`, and when it will.
        self.watch: "Any" = None
        self.looks_at = 0

    def connected(self, alias_max: int, packet_max: int) -> None:
        """Another connection: it knows no alias [MQTT-3.3.2-7], and takes so many [MQTT-3.2.2-17] [MQTT-3.2.2-18], in
        packets of so many bytes [MQTT-3.2.2-15].
        """
        self._alias_max = min(alias_max, ALIAS_MAX)
        self._packet_max = packet_max
        self._heads.clear()
        self._aliases.clear()
        self._used.clear()
        self._once.clear()

    def __call__(self, seq: int, message: "tuple[bytes, bytes, bytes]") -> "tuple[bytes, ...] | None":
        """As Session.form: the pieces of a PUBLISH; None: it has expired."""
        head, payload, key = message
        session = self._session
        is_repeat = seq < session.sent_before
        if expires(key):
            left_ms = deadline_of(key) - self.now_ms()
            if left_ms <= 0:
                if is_repeat and head[0] & 4:
                    session._send(PUBREL, seq % SPAN + 1)
                return None
            payload = with_left(payload, (left_ms + 999) // 1000)
        if is_repeat:
            head = repeated(head)  # [MQTT-3.3.1-1]
        if HOST and not (STREAM and is_streamed(key)):
            head, payload = self.aliased(head, payload)
        return head, (seq % SPAN + 1).to_bytes(2, "big"), payload

    def aliased(self, head: bytes, payload: bytes) -> "tuple[bytes, bytes]":
        """Head and payload of a message as they go over this connection."""
        if not self._alias_max or len(payload) > PAYLOAD_MAX:
            return head, payload
        self._count += 1
        known = self._heads.get(head)
        if known and not payload[0]:
            head, start, alias = known
            self._used[alias] = self._count
            return head, start + payload[1:]
        topic = head[body_at(head) + 2 :]
        if len(topic) < ALIASED or len(head) + len(payload) + 8 > self._packet_max:
            return head, payload
        alias = self._aliases.get(topic, 0) or self._new(topic)
        if not alias:
            return head, payload
        is_first = alias not in self._used
        self._used[alias] = self._count
        size, at = varint(payload, 0, len(payload))
        start = remaining_length(size + 3) + bytes((TOPIC_ALIAS, alias >> 8, alias & 255))
        payload = start + payload[at:]
        if not is_first:
            topic = b""
        whole = len(topic) + len(payload) + (4 if head[0] & 6 else 2)
        short = head[:1] + remaining_length(whole) + prefixed(topic)
        if not topic and len(start) == 4 and start[0] == 3:
            if len(self._heads) >= HEADS_MAX:
                self._heads.clear()
            self._heads[head] = short, start, alias
        return short, payload

    def _new(self, topic: bytes) -> int:
        """An alias for a topic that comes for the second time; 0: it gets none."""
        if topic not in self._once:
            if len(self._once) >= 2 * self._alias_max:
                self._once.clear()
            self._once.add(topic)
            return 0
        aliases = self._aliases
        alias = len(aliases) + 1  # [MQTT-3.3.2-8] [MQTT-3.3.2-10]
        if alias > self._alias_max:
            oldest = min(aliases, key=lambda name: self._used[aliases[name]])
            alias = aliases[oldest]
            if self._count - self._used[alias] < 4 * self._alias_max:
                return 0  # all are in use
            del aliases[oldest], self._used[alias]
            self._heads.clear()
        aliases[topic] = alias
        self._once.discard(topic)
        return alias

    def sweep(self) -> int:
        """End what has expired and was never sent; in how many ms the next one will, -1: there is none."""
        session = self._session
        now = self.now_ms()
        waits = -1
        for seq in sorted(session.messages):
            key = session.messages[seq][2]
            if seq >= session.sent and seq >= session.sent_before and expires(key):
                left = deadline_of(key) - now
                if left <= 0:
                    session.give_up(seq, EXPIRED)
                elif waits < 0 or left < waits:
                    waits = left
        return waits

    def load(self) -> bool:
        """Whether something that a store has kept expires. Where the clock cannot tell how long it was kept, its time
        begins anew: later, never early.
        """
        messages = self._session.messages
        now = self.now_ms()
        found = False
        for seq in messages:
            head, payload, key = messages[seq]
            if expires(key):
                found = True
                whole = 1000 * whole_s(payload)
                deadline = deadline_of(key)
                if deadline < SET_CLOCK_MS or deadline - now > whole:
                    messages[seq] = (head, payload, with_deadline(key, now + whole))
        return found


def whole_s(payload: bytes) -> int:
    """The message expiry interval with which a message was accepted: it is its first property."""
    _, at = varint(payload, 0, len(payload))
    return int.from_bytes(payload[at + 1 : at + 5], "big")


def with_left(payload: bytes, left_s: int) -> bytes:
    """A payload with so many seconds as its message expiry interval."""
    _, at = varint(payload, 0, len(payload))
    assert payload[at] == MESSAGE_EXPIRY
    return payload[: at + 1] + left_s.to_bytes(4, "big") + payload[at + 5 :]
