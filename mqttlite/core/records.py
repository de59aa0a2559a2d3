"""Records: what changes in a session's state, and the state that they add up to. Shared by all stores; both runtimes.

A record is `(kind, number, head, payload, key)`. The session and its client tell them to a `Recorder`, in the order of
what happens; a store is one: it makes them durable in that order and hands back their sum, a `State`, when it is opened
again. **Nothing leaves before the records made until then are durable**: that is the store's one promise
(store/base.py).

    kind          number               head, payload, key
    ACCEPTED      sequence number      as in core/session.py; key: as below, b"" for none
    RELEASED      sequence number      PUBREC has come: the peer owns the message
    DONE          sequence number      finished, or its doubt is settled: forget it
    DOUBT         sequence number      the peer lost the session after PUBREC; kept until the application settles it
    HELD          packet identifier,   a QoS 2 message was handled: recognise its repeats until FREED. Above 16 bits,
                  digest               26 bits of a digest of its content; 0: not known (session.py)
    FREED         packet identifier    PUBREL has come
    LOST          0                    the peer has lost the session: no identifier is HELD any more
    SUBSCRIBED    QoS                  head: topic filter
    UNSUBSCRIBED  0                    head: topic filter
    IDENTITY      epoch                head: client identifier; the first record of a store
    NEXT          sequence number      of the next message (a store need not keep what is finished)
    CLEARING      1, 0; or how far     what the peer holds of a life before this store has to be cleared, is cleared
                                       (earlier_life.py)
    ORIGIN        number               head: producer; the highest number that the application has published as it
    SEEN          sequence             head: producer and epoch; handled. payload: the whole window (core/keys), or b""

A key is one byte of flags (1: it travels with the message; 2: the payload is behind the properties of 5.0; 4: the
message expires; 8: its payload was the application's to give, piece by piece, and is not here: streamed.py) and, when
the application gave it, its number in 8 bytes and its producer's name. The last 6 bytes of one that expires are its
deadline, in ms since 1970.
"""

from . import const
from .codec import released
from .features import V5

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Protocol

    Record = tuple[int, int, bytes, bytes, bytes]

    class Recorder(Protocol):
        """Who is told what changes in a session: a store, or a session's face of one."""

        def record(self, kind: int, number: int, head: bytes = b"", payload: bytes = b"", key: bytes = b"") -> None:
            """Take a record."""


ACCEPTED = const(1)
RELEASED = const(2)
DONE = const(3)
DOUBT = const(4)
HELD = const(5)
FREED = const(6)
LOST = const(7)
SUBSCRIBED = const(8)
UNSUBSCRIBED = const(9)
IDENTITY = const(10)
NEXT = const(11)
ORIGIN = const(12)
SEEN = const(13)
CLEARING = const(14)

STREAMED = const(8)  # flag of a key


def is_streamed(key: bytes) -> bool:
    """Whether the payload of the message with this key is not here (streamed.py)."""
    return key != b"" and key[0] & STREAMED != 0


def bare(key: bytes) -> bytes:
    """A key without the deadline."""
    return key[:-6] if key and key[0] & 4 else key


class State:
    """What a session was when its records end."""

    def __init__(self) -> None:
        self.client_id = b""  # empty: a new store
        self.epoch = 0
        self.next = -1  # sequence number of the next message; -1: none yet
        self.clearing = 0
        self.messages: "dict[int, tuple[bytes, bytes, bytes]]" = {}  # by sequence number; released: QoS bits of head 3
        self.doubts: "dict[int, tuple[bytes, bytes, bytes]]" = {}
        self.held: "dict[int, int]" = {}  # digest by packet identifier
        self.subscriptions: "dict[bytes, int]" = {}  # QoS by topic filter
        self.origins: "dict[bytes, int]" = {}
        self.seen: "dict[bytes, list[int]]" = {}  # window by producer and epoch (core/keys.py)

    def apply(self, kind: int, number: int, head: bytes = b"", payload: bytes = b"", key: bytes = b"") -> None:
        """Add a record."""
        messages = self.messages
        if kind == ACCEPTED:
            messages[number] = (head, payload, key)
            self.next = max(self.next, number + 1)
            self.note(key)
        elif kind == RELEASED:
            if number in messages:
                head, payload, key = messages[number]
                messages[number] = (released(head), payload, key)
        elif kind == DONE:
            messages.pop(number, None)
            self.doubts.pop(number, None)
        elif kind == DOUBT:
            if number in messages:
                self.doubts[number] = messages.pop(number)
        elif kind == HELD:
            self.held[number & 0xFFFF] = number >> 16
        elif kind == FREED:
            self.held.pop(number, None)
        elif kind == LOST:
            self.held.clear()
        elif kind == SUBSCRIBED:
            self.subscriptions[head] = number
        elif kind == UNSUBSCRIBED:
            self.subscriptions.pop(head, None)
        elif kind == IDENTITY:
            self.client_id = head
            self.epoch = number
        elif kind == NEXT:
            self.next = max(self.next, number)
        elif kind == CLEARING:
            self.clearing = number
        elif kind == ORIGIN:
            self.origins[head] = number
        elif kind == SEEN:
            from .keys import see, window_of  # only who uses keys loads them

            window = window_of(self.seen, head)
            if payload:
                window[:] = [number, int.from_bytes(payload, "big")]
            else:
                see(window, number)

    def note(self, key: bytes) -> None:
        """A message with this key has been accepted."""
        if V5:
            key = bare(key)
        if len(key) > 9:
            self.origins[key[9:]] = int.from_bytes(key[1:9], "big")

    def records(self) -> "Iterator[Record]":
        """Few records with the same sum."""
        if self.client_id:
            yield IDENTITY, self.epoch, self.client_id, b"", b""
        if self.next >= 0:
            yield NEXT, self.next, b"", b"", b""
        if self.clearing:
            yield CLEARING, self.clearing, b"", b"", b""
        for topic_filter, qos in self.subscriptions.items():
            yield SUBSCRIBED, qos, topic_filter, b"", b""
        for packet_id in self.held:
            yield HELD, self.held[packet_id] << 16 | packet_id, b"", b"", b""
        for seq in sorted(self.messages):  # one that is released says so in its head
            yield (ACCEPTED, seq) + self.messages[seq]
        for seq in sorted(self.doubts):
            yield (ACCEPTED, seq) + self.doubts[seq]
            yield DOUBT, seq, b"", b"", b""
        for producer, number in self.origins.items():
            yield ORIGIN, number, producer, b"", b""
        for producer, window in self.seen.items():
            yield SEEN, window[0], producer, window[1].to_bytes(max(1, (len(bin(window[1])) + 5) // 8), "big"), b""


def encode(kind: int, number: int, head: bytes = b"", payload: bytes = b"", key: bytes = b"") -> bytes:
    """A record as bytes, for stores that keep them one after the other. Of a number, 48 bits."""
    data = bytes((kind,)) + number.to_bytes(6, "big")
    if head or payload or key:
        data += len(head).to_bytes(3, "big") + len(key).to_bytes(2, "big") + head + key + payload
    return data


def decode(data: bytes) -> "Record":
    """The record that `encode` made these bytes from."""
    number = int.from_bytes(data[1:7], "big")
    if len(data) < 12:
        return data[0], number, b"", b"", b""
    key = 12 + int.from_bytes(data[7:10], "big")
    payload = key + int.from_bytes(data[10:12], "big")
    return data[0], number, data[12:key], data[payload:], data[key:payload]
