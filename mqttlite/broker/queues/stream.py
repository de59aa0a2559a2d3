"""A stream: `$stream/NAME/FILTER`. A log of what its filter matches, which any number of readers read, each where it
is. Imports means, taker, rules.

- Messages are numbered from 0 on, without gaps: their *offsets*. They stay until the log has come to its bounds (bytes,
  number, age); then the oldest go. Whoever has not read them by then goes on with the oldest that is there.
- A reader is a place in the log, and nothing else: it is sent a message when that can leave at once. So a slow one
  costs no memory, and a window of messages at most waits for it.
- No message is given to anybody before it is durable, not of QoS 0 either: its offset must not come to another one
  after a crash.
- A log that is lost or deleted begins at 0 again. So each has an *id*; an offset of another id counts for nothing.
"""

import logging

from ...core.codec import publish_head, topic_of
from ...core.properties import encode_user_properties
from ...store.tables.queue_tables import COLLECTED, READ_TO, TIME_SIZE, TRIMMED
from ..clients.client_session import ClientSession
from ..clients.peer import Peer
from ..counting.ledger import MESSAGE
from ..messages.extras import deadline_of, with_identifiers
from ..named_rules import NamedRule
from ..routing.delivery import IDENTIFIER, QOS
from ..routing.means import Means
from ..routing.taker import Taker
from ..topics.names import NamedError

log = logging.getLogger("mqttlite.broker")

OFFSET_PROPERTY = b"stream-offset"
TIMESTAMP_PROPERTY = b"stream-timestamp"
ID_PROPERTY = b"stream-id"

NUMBER_DIGITS = 13  # of an offset, or of a time in seconds


class Entry:
    """A message in a stream. `head`: of its PUBLISH, with the QoS that it was published with."""

    __slots__ = ("at", "extra", "head", "payload")

    def __init__(self, at: int, head: bytes, payload: bytes, extra: bytes) -> None:
        self.at = at  # ms, the broker's clock
        self.head = head
        self.payload = payload
        self.extra = extra

    @property
    def cost(self) -> int:
        """Bytes."""
        return len(self.head) + len(self.payload) + len(self.extra) + MESSAGE


class Reader:
    """A client's subscription to `stream`. `at`: the offset of what it is sent next."""

    __slots__ = ("at", "client", "stream", "topic_filter", "value")

    def __init__(self, client: ClientSession, stream: "Stream", topic_filter: bytes, value: int, at: int) -> None:
        self.client = client
        self.stream = stream
        self.topic_filter = topic_filter
        self.value = value
        self.at = at


class Stream(Taker):
    """`number`: in the store; `made_at`: when (ms, the broker's clock), which is its id. `is_configured`: it exists
    always.
    """

    def __init__(
        self,
        name: bytes,
        topic_filter: bytes,
        rule: NamedRule,
        number: int,
        made_at: int,
        is_configured: bool,
        means: Means,
    ) -> None:
        self.name = name
        self.filter = topic_filter
        self.rule = rule
        self.number = number
        self.made_at = made_at
        self.id = b"%x" % made_at
        self.is_configured = is_configured
        self.means = means
        self.first = 0  # offset of the oldest message that is there
        self.next = 0
        self.entries: dict[int, Entry] = {}
        self.bytes = 0
        self.readers: dict[Reader, None] = {}
        self.used_at = 0
        self._trimmed = 0  # below that, the store has been told

    def __str__(self) -> str:
        return f"stream {self.name.decode()!a}"

    # -- what comes

    def take(self, publisher: Peer | None, flags: int, topic: bytes, payload: bytes, extra: bytes) -> None:
        """As Taker.take."""
        means = self.means
        entry = Entry(means.router.clock(), publish_head(flags & 6, topic, len(payload)), payload, extra)
        cost = entry.cost
        rule = self.rule
        while self.entries and (
            self.bytes + cost > rule.max_bytes
            or (rule.max_messages and len(self.entries) >= rule.max_messages)
            or means.is_full(self.bytes, cost)
        ):
            self._let_go()
        if cost > rule.max_bytes or means.is_full(self.bytes, cost):
            means.stats.dropped_queue_full += 1
            means.watch.hit(
                "named_queue_full", self, "has no room for a message of that size: dropped", means.router.now
            )
            return
        offset = self.next
        self._put(offset, entry)
        stored = entry.at.to_bytes(TIME_SIZE, "big") + extra
        means.note(self.number, COLLECTED, offset, entry.head, payload, stored, waits=True)
        for reader in self.readers:
            if reader.at == offset:
                self.read(reader)

    def _put(self, offset: int, entry: Entry) -> None:
        if not self.entries:
            self.first = offset
        self.entries[offset] = entry
        self.next = offset + 1
        self.bytes += entry.cost
        self.means.router.ledger.named += entry.cost

    def _let_go(self) -> None:
        """Of the oldest message."""
        entry = self.entries.pop(self.first)
        self.first += 1
        self.bytes -= entry.cost
        self.means.router.ledger.named -= entry.cost

    # -- what goes

    def read(self, reader: Reader) -> None:
        """Send a reader what can be sent at once, as much as a turn allows."""
        means = self.means
        router = means.router
        client = reader.client
        if reader.topic_filter in client.suspended:
            return
        enough = router.work + means.limits.turn_work
        room = means.limits.write_buffer_bytes
        began = reader.at
        while reader.at < self.next and client.peer is not None:
            if reader.at < self.first:
                words = f"{reader.client} has missed {self.first - reader.at} messages: they were let go of before"
                means.watch.hit("stream_missed", self, words, router.now)
                reader.at = self.first
                continue
            if router.work >= enough or room <= 0:
                means.awake[client] = None
                break
            entry = self.entries[reader.at]
            topic = topic_of(entry.head)
            is_over = 0 <= deadline_of(entry.extra) <= router.clock()
            if not is_over and router.may_receive(client, topic):
                qos = min(entry.head[0] >> 1 & 3, reader.value & QOS)
                peer = client.peer
                if qos and not means.is_free(client, entry.cost):
                    break
                if not qos and (not peer.writable or peer.has_request):
                    break
                room -= entry.cost
                self._send(reader, qos, topic, entry)
            router.work += 1
            reader.at += 1
        if reader.at > began and client.store:
            client.store.record(READ_TO, reader.at, reader.topic_filter)

    def _send(self, reader: Reader, qos: int, topic: bytes, entry: Entry) -> None:
        extra = entry.extra
        if reader.value >> IDENTIFIER:
            extra = with_identifiers(extra, [reader.value >> IDENTIFIER])
        words = [
            (OFFSET_PROPERTY, b"%d" % reader.at),
            (TIMESTAMP_PROPERTY, b"%d" % entry.at),
            (ID_PROPERTY, self.id),
        ]
        extra = (extra or b"\0") + encode_user_properties(words)
        self.means.router.give(reader.client, publish_head(qos << 1, topic, len(entry.payload)), entry.payload, extra)

    def start(self, text: bytes, of_id: bytes = b"") -> int:
        """The offset that a text means: earliest, latest (or next), last, a number, or @ and a time in seconds since
        1970; "" is next. `of_id`: of which log a number is; "": of this one. NamedError.
        """
        if text in (b"earliest", b"first"):
            return self.first
        if text in (b"", b"latest", b"next"):
            return self.next
        if text == b"last":
            return max(self.first, self.next - 1)
        number = text[1:] if text.startswith(b"@") else text
        whole, _, fraction = number.partition(b".")
        if not (whole.isdigit() and len(whole) <= NUMBER_DIGITS and (fraction.isdigit() or not fraction)):
            raise NamedError(
                "where to begin is earliest, latest, next, last, an offset, or @ and a time in seconds since 1970,"
                f" not {text[:40].decode()!a}"
            )
        if text.startswith(b"@"):
            return self._at_time(int(float(number) * 1000))
        if of_id and of_id != self.id:  # of a log that was lost
            return self.first
        return min(max(int(whole), self.first), self.next)

    def _at_time(self, at: int) -> int:
        low, high = self.first, self.next
        while low < high:
            middle = (low + high) // 2
            if self.entries[middle].at < at:
                low = middle + 1
            else:
                high = middle
        return low

    # -- from one life to the next

    def load(self, offset: int, entry: Entry) -> None:
        """A message that the store has kept."""
        self._put(offset, entry)

    def loaded(self, after: int) -> None:
        """All are. `after`: the offset of the next one, whatever is left of the log."""
        if not self.entries:
            self.first = after
        self.next = max(self.next, after)
        self._trimmed = self.first

    def look(self) -> None:
        """Once a second: what is too old goes, and the store is told of what has gone."""
        rule = self.rule
        if rule.max_age_s:
            oldest = self.means.router.clock() - rule.max_age_s * 1000
            while self.entries and self.entries[self.first].at <= oldest:
                self._let_go()
        if self.first > self._trimmed:
            self._trimmed = self.first
            self.means.note(self.number, TRIMMED, self.first)

    def end(self) -> None:
        """It is deleted, with what is in it."""
        self.means.router.ledger.named -= self.bytes
        self.entries.clear()
        self.readers.clear()
        self.bytes = 0
