"""What is promised for each message, and whether it was kept: the one definition of lost, twice and out of order.

Every message is known by its name ("device3 17", "message 1"), which are the first two words of its payload. Publishers
say when it was tried, accepted and confirmed; readers say when it was handled; the packets on the network say from when
to when a reader had its subscription. From these follows, for every pair of message and reader, what must be true in
the end. The rules stand in `_is_promised`, `_copies` and `_check_order`, each with its reason. Times are nanoseconds of
the world.

What is not promised any more when a store is lost, and what still is:

- A publisher that has lost its store (or had none, and died): what it had accepted and was not told the end of is gone
  with it. An application that publishes it again, with its own key, has all that was promised; without keys it does not
  know what was accepted. If it tries again all the same, the message may be handled once for each time.
- A broker that has lost its disk: with subscriptions and queues, what it had confirmed is gone, and no key brings it
  back. What reaches it when a reader has its subscription again must arrive. Without a key a message that was on its
  way may be handled once more: the broker does not know the identifier any more.
- A reader that has lost its client's store, and not the application's database: all is kept, receipts are in there.
"""

from collections import Counter
from typing import Any, NamedTuple

from ...core.session import WINDOW

FOREVER = 1 << 62
LONG_ENOUGH_S = 60  # of a message that expires: longer than what a fault lasts, and all that comes of it
LOST_STORE = "the publisher lost its store"


class Publisher(NamedTuple):
    """Who publishes: at which broker; with keys that are "none", "auto" (its client's), "app" (its own: it publishes
    again what is not confirmed). `clean`: each connection begins a session.
    """

    name: str
    broker: str
    keys: str = "none"
    clean: bool = False


class ToPublish(NamedTuple):
    """What is published. `stream`: within it, messages arrive in the order of their numbers; "": that of the topic.
    `more`: as Client.publish has it for 5.0.
    """

    name: str
    number: int
    topic: str
    payload: str
    qos: int
    key: tuple[str, int] | None = None
    stream: str = ""
    more: dict[str, Any] = {}  # noqa: RUF012 - nobody changes it


class Entry:
    """A message, as its publisher sees it. `sent_at`: when it was tried, or, where that is known, sent to the broker as
    a new one. `confirmed_at`: FOREVER until then. `void`: why its loss is no fault, "" when it would be one. `copies`:
    how often the broker may get it as a new message. `expires_s`: how long it is of use to anybody, -1: for ever.
    """

    __slots__ = (
        "accepted",
        "confirmed_at",
        "copies",
        "expires_s",
        "name",
        "number",
        "publisher",
        "qos",
        "sent_at",
        "size",
        "stream",
        "topic",
        "void",
    )

    def __init__(self, publisher: Publisher, message: ToPublish, now: int) -> None:
        self.name = message.name
        self.publisher = publisher
        self.number = message.number
        self.qos = message.qos
        self.topic = message.topic
        self.size = len(message.payload)
        # A topic of its own tells an empty message from others.
        topic = message.topic if self.size else message.topic.rpartition("/")[0]
        self.stream = f"{publisher.name} {message.stream or topic}"
        self.sent_at = now
        self.accepted = False
        self.confirmed_at = FOREVER
        self.void = ""
        self.copies = 1
        self.expires_s: int = message.more.get("expires_after_s", -1)

    @property
    def known_by(self) -> str:
        """What `name_in` finds in it."""
        return self.name if self.size else self.topic

    @property
    def keyed(self) -> bool:
        """Whether a key travels with it: not at QoS 0."""
        return self.qos > 0 and self.publisher.keys != "none"

    @property
    def is_counted(self) -> bool:
        """Whether it comes to its broker `copies` times without a key: QoS 2, in a session that both ends keep."""
        return self.qos == 2 and not self.publisher.clean


class Reading:
    """A reader, or the end of a bridge that reads and publishes at the broker `target`. `since`: from when its
    subscription has been there without a break, None: it is not there. `spans`: earlier times that it was there, ended
    by UNSUBSCRIBE. `share`: of whose members one gets each message. `ends`: how often its session has ended, of which
    it can know. `is_named`: it reads a named queue (then that is its share, too) or a stream, which keep messages
    whoever is subscribed.
    """

    def __init__(
        self,
        name: str,
        broker: str,
        topic_filter: str,
        qos: int,
        inbox: bool,
        target: str,
        share: str = "",
        is_named: bool = False,
    ) -> None:
        self.name = name
        self.broker = broker
        self.topic_filter = topic_filter
        self.qos = qos
        self.inbox = inbox
        self.target = target
        self.share = share
        self.is_named = is_named
        self.ends = 0
        self.since: int | None = None
        self.spans: list[tuple[int, int]] = []
        self.first: dict[str, int] = {}  # when a message was handled for the first time
        self.effects: list[str] = []  # in order; of an inbox: what its database holds in the end
        self.deaths = 0  # of its process, lost stores included


class Missing(NamedTuple):
    """What a reader should have got."""

    reader: str
    name: str


class Ledger:
    """Of one world. `noticed`: what is wrong at once."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.noticed: list[str] = []
        self.statuses: dict[str, int] = {}  # by device: the retained value that must be there at least
        self.unsure: dict[str, list[int]] = {}  # by device: values accepted, and not confirmed yet
        self.wiped_at: dict[str, int] = {}
        self.in_doubt: set[str] = set()  # what clients have said of earlier lives: names, topics of empty messages
        self.readings: dict[str, Reading] = {}
        self._told: dict[str, str] = {}  # brokers of devices with retained values

    def add(
        self,
        name: str,
        broker: str,
        topic_filter: str,
        qos: int,
        inbox: bool = True,
        target: str = "",
        share: str = "",
        is_named: bool = False,
    ) -> Reading:
        """Somebody who reads, as Reading has it."""
        reading = self.readings[name] = Reading(name, broker, topic_filter, qos, inbox, target, share, is_named)
        return reading

    # -- publishers

    def try_(self, publisher: Publisher, message: ToPublish, now: int) -> Entry:
        """About to be published, perhaps for another time."""
        entry = self.entries.get(message.name)
        if entry is None:
            entry = self.entries[message.name] = Entry(publisher, message, now)
        elif not entry.keyed:
            entry.copies += 1
            if entry.void == LOST_STORE:
                entry.void = ""
        return entry

    def told(self, publisher: Publisher, value: int, at: int, confirmed: bool) -> None:
        """A retained value was accepted, or is confirmed; it was published at `at`."""
        self._told[publisher.name] = publisher.broker
        unsure = self.unsure.setdefault(publisher.name, [])
        if not confirmed:
            unsure.append(value)
        elif at > self.wiped_at.get(publisher.broker, -1):
            self.statuses[publisher.name] = max(value, self.statuses.get(publisher.name, 0))
            unsure[:] = [other for other in unsure if other > value]

    def producer_lost(self, publisher: Publisher) -> None:
        """A publisher has lost its store, or had none, and died."""
        self.unsure.pop(publisher.name, None)
        for entry in self.entries.values():
            if entry.publisher == publisher and entry.confirmed_at == FOREVER:
                if publisher.keys == "app":
                    entry.copies += 1
                elif not entry.void:
                    entry.void = LOST_STORE
                    entry.accepted = False

    def broker_lost(self, broker: str, now: int) -> None:
        """A broker's disk is gone: subscriptions, queues, received identifiers and retained messages with it."""
        for entry in self.entries.values():
            if entry.confirmed_at == FOREVER:
                entry.copies += 1
        for reading in self.readings.values():
            if reading.broker == broker:
                reading.since = None
                reading.spans = []
        self.wiped_at[broker] = now
        for device, its in self._told.items():
            if its == broker:
                self.statuses.pop(device, None)
                self.unsure.pop(device, None)  # one may be confirmed, and the publisher not know it yet

    # -- readers

    def subscribed(self, client: str, now: int) -> None:
        """SUBACK was written to a client."""
        reading = self.readings.get(client)
        if reading and reading.since is None:
            reading.since = now

    def session_ended(self, client: str) -> None:
        """A client is told that it has a new session, and had one before."""
        reading = self.readings.get(client)
        if reading and reading.since is not None:
            reading.ends += 1
            if not reading.is_named:
                reading.since = None
                reading.spans = []

    def unsubscribes(self, client: str, now: int) -> None:
        """A client is about to unsubscribe."""
        reading = self.readings[client]
        if reading.since is not None:
            reading.spans.append((reading.since, now))
            reading.since = None

    def handled(self, reader: str, topic: str, payload: bytes, now: int) -> str:
        """A handler was entered; the message's name, "" for what does not count (wills, retained messages)."""
        bare = topic.removeprefix("b/")
        if bare.startswith(("w/", "r/")):
            return ""
        name = name_in(bare, payload)
        if not payload:
            _, device, _, _, number = bare.split("/")
            name = f"{device} {number}"
        entry = self.entries.get(name)
        if entry is None or entry.topic != bare or len(payload) != entry.size:
            self.noticed.append(f"never published: {topic} {payload[:40]!r} of {len(payload)} bytes, at {reader}")
            return ""
        self.readings[reader].first.setdefault(name, now)
        return name

    # -- what must hold

    def missing(self, final: bool = False) -> list[Missing]:
        """Everything that should have been handled, and was not yet. `final`: all effects are known: that a handler was
        entered is not enough.
        """
        return [
            Missing(reading.name, entry.name)
            for reading in self.readings.values()
            for done in (self._done(reading, final),)
            for entry in self.entries.values()
            if entry.name not in done and self._is_promised(entry, reading)
        ]

    def _done(self, reading: Reading, final: bool) -> set[str]:
        """What a reader has got, or another member of its share."""
        members = [other for other in self.readings.values() if other is reading or self._share(other, reading)]
        return {name for member in members for name in (member.effects if final else member.first)}

    def _share(self, one: Reading, other: Reading) -> bool:
        return bool(one.share) and (one.share, one.broker) == (other.share, other.broker)

    def _is_promised(self, entry: Entry, reading: Reading) -> bool:
        """Whether the message must come to this reader."""
        if not entry.accepted or entry.void:
            return False  # not accepted: nothing promised
        if 0 <= entry.expires_s < LONG_ENOUGH_S:
            return False  # it may have expired before there was a way for it; check/times.py looks at when
        source, is_bridged = self.way(entry, reading)
        if source is None:
            return False
        if is_bridged:
            if not entry.qos:
                return False  # it may have been lost on its way to the bridge, or in a handler that was not committed
            # The bridge has taken it over, and its outbox keeps it. When it reached the second broker is not
            # known, so only a subscription that has been there ever since counts.
            begun = source.first.get(entry.name)
            # A handler was entered, and may not have committed: the first broker still had the message, and lost it.
            was_wiped = begun is not None and begun <= self.wiped_at.get(source.broker, -1)
            if begun is None or (was_wiped and entry.name not in source.effects):
                return self._is_promised(entry, source) and reading.since is not None and reading.qos > 0
            return reading.qos > 0 and reading.since is not None and reading.since <= begun
        if not entry.qos or not reading.qos:
            return False  # at most once
        # Published while the subscription was there, and it is there still ...
        if reading.since is not None and reading.since <= entry.sent_at:
            return True
        # ... or the broker had taken it over (confirmed) before the subscription ended: it is queued, and stays so.
        return any(since <= entry.sent_at and entry.confirmed_at <= until for since, until in reading.spans)

    def way(self, entry: Entry, reading: Reading) -> tuple[Reading | None, bool]:
        """How a message comes to a reader: (the bridge, True), (the reader itself, False), (None, False): not."""
        if reading.broker == entry.publisher.broker:
            if reading.topic_filter in ("#", entry.topic) or entry.topic.startswith("p/"):
                return reading, False
            return None, False
        if reading.topic_filter == "#":
            for other in self.readings.values():
                if other.target == reading.broker and other.broker == entry.publisher.broker:
                    return other, True
        return None, False

    def _copies(self, entry: Entry, reading: Reading) -> int:
        """How often the message may be handled by this reader; FOREVER: any number of times."""
        source, is_bridged = self.way(entry, reading)
        if source is None:
            return 1
        if is_bridged:
            # Each message that the bridge's inbox has handled has one number in the outbox, and that is its key.
            return self._copies(entry, source) if reading.inbox and reading.qos > 0 else FOREVER
        if not entry.qos:
            return 1  # sent once, never stored
        of_session = entry.copies if entry.is_counted else FOREVER
        if not reading.qos:
            return of_session  # as often as the broker has got it: no receipt is kept of QoS 0
        if not reading.inbox:
            return FOREVER  # a death between handling and acknowledging has it come again: `_check_repeats` bounds that
        if reading.is_named and reading.share:  # what it has not acknowledged comes again when its session ends
            of_session += reading.ends
        # A key is recognised whatever happened; an identifier, as long as nobody lost the session that it belongs to.
        return 1 if entry.keyed else of_session if reading.qos == 2 else FOREVER

    def problems(self, dropped: Counter[str] | None = None) -> list[str]:
        """What was promised and does not hold. `dropped`: by broker, messages that it says it had no room for."""
        found = list(self.noticed)
        dropped = dropped or Counter()
        by_broker: dict[str, list[Missing]] = {}
        for missing in self.missing(final=True):
            by_broker.setdefault(self.readings[missing.reader].broker, []).append(missing)
        for broker, lost in by_broker.items():
            if len(lost) > dropped[broker]:  # every drop is counted
                texts = [(f"{name} (QoS {self.entries[name].qos}) at {reader}", name) for reader, name in lost[:20]]
                found += [
                    f"confirmed, and lost: {text}" for text, name in texts if self.entries[name].confirmed_at < FOREVER
                ]
                found += [f"lost: {text}" for text, _ in texts]
        for reading in self.readings.values():
            found += self._check_repeats(reading) + self._check_shares(reading)
            late = self._check_order(reading)
            if len(late) > dropped[reading.broker]:  # what was dropped may be sent again, behind later ones
                found += late
        return found

    def _check_repeats(self, reading: Reading) -> list[str]:
        found = []
        repeats = 0
        for name, count in Counter(reading.effects).items():
            entry = self.entries[name]
            if count > self._copies(entry, reading):
                found.append(f"{count} times: {name} (QoS {entry.qos}) at {reading.name}")
            elif count > entry.copies and entry.is_counted and reading.qos == 2 and not reading.inbox:
                repeats += count - entry.copies
        if repeats > WINDOW * reading.deaths:  # what is handled and not acknowledged, at each death
            found.append(
                f"{repeats} repeats of QoS 2 messages at {reading.name}, which has died {reading.deaths} times"
            )
        return found

    def _check_shares(self, reading: Reading) -> list[str]:
        """Of a share each message goes to one member; to another only when the session of the first has ended."""
        members = [other for other in self.readings.values() if self._share(other, reading)]
        if not members or members[0] is not reading:
            return []
        ends = sum(member.ends for member in members)
        counts = Counter(name for member in members for name in set(member.effects))
        return [
            f"shared: {name} was handled by {count} members of {reading.share}"
            for name, count in counts.items()
            if self.entries[name].is_counted and count > 1 + ends
        ]

    def _check_order(self, reading: Reading) -> list[str]:
        """Messages of one publisher and topic (each QoS has its own) are first handled in the order of publishing."""
        if reading.share:
            return []  # what a member had when its session ended comes to another later
        found = []
        last: dict[str, int] = {}
        for name in dict.fromkeys(reading.effects):
            entry = self.entries[name]
            is_single = entry.is_counted and entry.copies == 1
            if not reading.qos and entry.qos and not (is_single and not self.way(entry, reading)[1]):
                continue  # its first copy may have been lost on its last hop, and it was sent again behind later ones
            # Published while nobody had subscribed, and sent again later.
            was_missed = reading.spans and entry.qos and not self._is_promised(entry, reading)
            if entry.number < last.get(entry.stream, -1) and not was_missed:
                found.append(f"out of order: {name} at {reading.name}, after {last[entry.stream]}")
            last[entry.stream] = max(entry.number, last.get(entry.stream, -1))
        return found


def name_in(topic: str, payload: bytes) -> str:
    """What tells a message from others: its name, or the topic of an empty one."""
    return " ".join(str(payload[:60], "utf-8", "replace").split(" ", 2)[:2]) if payload else topic
