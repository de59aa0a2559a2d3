"""What is promised for each message of a large world, and whether it was kept.

Every message is known by its text ("device3 17"). Publishers say when it was tried, accepted and confirmed; readers say
when it was handled; the packets on the network say from when to when a reader had its subscription. From these follows,
for every pair of message and reader, what must be true in the end. The rules stand in `_is_promised`, `_is_exact` and
`_check_order`, each with its reason. Times are nanoseconds of the world.
"""

from collections import Counter
from typing import NamedTuple

from .plan import BridgePlan, DevicePlan, Plan

WINDOW = 20  # messages that a broker has sent to a client and that are not finished
FOREVER = 1 << 62


class Entry:
    """A message, as its publisher sees it. `confirmed_at`: FOREVER until then. `void`: why its loss is no fault, ""
    when it would be one. `loose`: the session was lost before the end, and the message is published again.
    """

    __slots__ = (
        "accepted",
        "confirmed_at",
        "device",
        "loose",
        "name",
        "number",
        "qos",
        "size",
        "topic",
        "tried_at",
        "void",
    )

    def __init__(self, device: DevicePlan, number: int, qos: int, topic: str, size: int, now: int) -> None:
        self.name = f"{device.name} {number}"
        self.device = device
        self.number = number
        self.qos = qos
        self.topic = topic
        self.size = size
        self.tried_at = now
        self.accepted = False
        self.confirmed_at = FOREVER
        self.void = ""
        self.loose = False

    @property
    def keyed(self) -> bool:
        """Whether a key travels with it: not at QoS 0."""
        return self.qos > 0 and self.device.keys != "none"

    @property
    def is_single(self) -> bool:
        """Whether it comes to its broker once without a key: QoS 2, in a session that both ends have kept."""
        return self.qos == 2 and not self.loose and not self.device.clean


class Reading:
    """A reader, or the end of a bridge that reads. `since`: from when its subscription has been there without a break,
    None: it is not there. `spans`: earlier times that it was there, ended by UNSUBSCRIBE.
    """

    def __init__(
        self, name: str, broker: str, topic_filter: str, qos: int, inbox: bool, bridge: BridgePlan | None
    ) -> None:
        self.name = name
        self.broker = broker
        self.topic_filter = topic_filter
        self.qos = qos
        self.inbox = inbox
        self.bridge = bridge
        self.since: int | None = None
        self.spans: list[tuple[int, int]] = []
        self.may_lose_session = True  # the broker's disk was wiped, or there was no session yet
        self.first: dict[str, int] = {}  # when a message was handled for the first time
        self.effects: list[str] = []  # in order; of an inbox: what its database holds in the end
        self.deaths = 0  # of its process, lost stores included


class Missing(NamedTuple):
    """What a reader should have got."""

    reader: str
    name: str


class Ledger:
    """Of one large world. `noticed`: what is wrong at once."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.entries: dict[str, Entry] = {}
        self.noticed: list[str] = []
        self.statuses: dict[str, int] = {}  # by device: the retained value that must be there at least
        self.unsure: dict[str, list[int]] = {}  # by device: values accepted, and not confirmed yet
        self.wiped_at: dict[str, int] = {}
        self.doubted = 0
        self.in_doubt: set[str] = set()  # what clients have said of earlier lives: names, topics of empty messages
        self.readings: dict[str, Reading] = {}
        for reader in plan.readers:
            self._add(reader.name, reader.broker, reader.topic_filter, reader.qos, reader.inbox, None)
        for bridge in plan.bridges:
            self._add(bridge.name, bridge.source, "#", 2, True, bridge)

    def _add(self, name: str, broker: str, topic_filter: str, qos: int, inbox: bool, bridge: BridgePlan | None) -> None:
        self.readings[name] = Reading(name, broker, topic_filter, qos, inbox, bridge)

    # -- publishers

    def try_(self, device: DevicePlan, number: int, qos: int, topic: str, size: int, now: int) -> Entry:
        """About to be published, perhaps for another time."""
        entry = self.entries.get(f"{device.name} {number}")
        if entry is None:
            entry = Entry(device, number, qos, topic, size, now)
            self.entries[entry.name] = entry
        return entry

    def told(self, device: DevicePlan, value: int, at: int, confirmed: bool) -> None:
        """A retained value was accepted, or is confirmed; it was published at `at`."""
        unsure = self.unsure.setdefault(device.name, [])
        if not confirmed:
            unsure.append(value)
        elif at > self.wiped_at.get(device.broker, -1):
            self.statuses[device.name] = max(value, self.statuses.get(device.name, 0))
            unsure[:] = [other for other in unsure if other > value]

    def producer_lost(self, device: DevicePlan) -> None:
        """A publisher has lost its store (or had none, and died): what it had accepted and was not told the end of may
        be gone. An application with keys of its own publishes it again.
        """
        self.unsure.pop(device.name, None)
        for entry in self.entries.values():
            if entry.device is device and entry.confirmed_at == FOREVER:
                if device.keys == "app":
                    entry.loose = True
                else:
                    entry.void = entry.void or "the publisher lost its store"

    def broker_lost(self, broker: str, now: int) -> None:
        """A broker's disk is gone: subscriptions, queues, received identifiers and retained messages with it."""
        for entry in self.entries.values():
            if entry.confirmed_at == FOREVER:
                entry.loose = True
        for reading in self.readings.values():
            if reading.broker == broker:
                reading.since = None
                reading.spans = []
                reading.may_lose_session = True
        self.wiped_at[broker] = now
        for device in self.plan.devices:
            if device.broker == broker:
                self.statuses.pop(device.name, None)
                self.unsure.pop(device.name, None)  # one may be confirmed, and the publisher not know it yet

    # -- readers

    def connected(self, client: str, present: bool) -> None:
        """CONNACK was written to a client."""
        reading = self.readings.get(client)
        if reading and not present:
            if not reading.may_lose_session:
                self.noticed.append(f"the broker has forgotten the session of {client}")
            reading.since = None

    def subscribed(self, client: str, now: int) -> None:
        """SUBACK was written to a client."""
        reading = self.readings.get(client)
        if reading and reading.since is None:
            reading.since = now
            reading.may_lose_session = False

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
        if payload:
            words = str(payload[:60], "utf-8", "replace").split(" ", 2)
            name = " ".join(words[:2])
        else:
            _, device, _, _, number = bare.split("/")
            name = f"{device} {number}"
        entry = self.entries.get(name)
        if entry is None or entry.topic != bare or len(payload) != entry.size:
            self.noticed.append(f"{reader} got something else: {topic} {payload[:40]!r} of {len(payload)} bytes")
            return ""
        self.readings[reader].first.setdefault(name, now)
        return name

    # -- what must hold

    def missing(self) -> list[Missing]:
        """Everything that should have been handled, and was not yet."""
        return [
            Missing(reading.name, entry.name)
            for reading in self.readings.values()
            for entry in self.entries.values()
            if entry.name not in reading.first and self._is_promised(entry, reading)
        ]

    def _is_promised(self, entry: Entry, reading: Reading) -> bool:
        """Whether the message must come to this reader."""
        if not entry.accepted or entry.void:
            return False  # not accepted: nothing promised
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
        if reading.since is not None and reading.since <= entry.tried_at:
            return True
        # ... or the broker had taken it over (confirmed) before the subscription ended: it is queued, and stays so.
        return any(since <= entry.tried_at and entry.confirmed_at <= until for since, until in reading.spans)

    def way(self, entry: Entry, reading: Reading) -> tuple[Reading | None, bool]:
        """How a message comes to a reader: (the bridge, True), (the reader itself, False), (None, False): not."""
        if reading.broker == entry.device.broker:
            if reading.topic_filter == "#" or entry.topic.startswith("p/"):
                return reading, False
            return None, False
        if reading.topic_filter == "#":
            for other in self.readings.values():
                if other.bridge and other.bridge.target == reading.broker and other.broker == entry.device.broker:
                    return other, True
        return None, False

    def _is_exact(self, entry: Entry, reading: Reading) -> bool:
        """Whether the message may be handled only once by this reader."""
        source, is_bridged = self.way(entry, reading)
        if source is None:
            return True
        if is_bridged:
            # Each message that the bridge's inbox has handled has one number in the outbox, and that is its key.
            return reading.inbox and reading.qos > 0 and self._is_exact(entry, source)
        if not entry.qos:
            return True  # sent once, never stored
        if not reading.qos:
            return entry.is_single  # as often as the broker has got it: no receipt is kept of QoS 0
        if not reading.inbox:
            return False  # a death between handling and acknowledging has it come again: `_check_repeats` bounds that
        # A key is recognised whatever happened; an identifier, as long as nobody lost the session that it belongs to.
        return entry.keyed or (entry.is_single and reading.qos == 2)

    def problems(self, dropped: Counter[str]) -> list[str]:
        """What was promised and does not hold. `dropped`: by broker, messages that it says it had no room for."""
        found = list(self.noticed)
        by_broker: dict[str, list[str]] = {}
        for reader, name in self.missing():
            entry = self.entries[name]
            what = "confirmed, and lost" if entry.confirmed_at < FOREVER else "lost"
            by_broker.setdefault(self.readings[reader].broker, []).append(
                f"{what}: {name} (QoS {entry.qos}) at {reader}"
            )
        for broker, lost in by_broker.items():
            if len(lost) > dropped[broker]:  # every drop is counted
                found += lost[:20]
        for reading in self.readings.values():
            found += self._check_repeats(reading)
            late = self._check_order(reading)
            if len(late) > dropped[reading.broker]:  # what was dropped may be sent again, behind later ones
                found += late
        return found

    def _check_repeats(self, reading: Reading) -> list[str]:
        found = []
        repeats = 0
        for name, count in Counter(reading.effects).items():
            if count > 1:
                entry = self.entries[name]
                if self._is_exact(entry, reading):
                    found.append(f"{count} times: {name} (QoS {entry.qos}) at {reading.name}")
                elif entry.is_single and reading.qos == 2 and not reading.inbox:
                    repeats += count - 1
        if repeats > WINDOW * reading.deaths:  # what is handled and not acknowledged, at each death
            found.append(
                f"{repeats} repeats of QoS 2 messages at {reading.name}, which has died {reading.deaths} times"
            )
        return found

    def _check_order(self, reading: Reading) -> list[str]:
        """Messages of one publisher and topic (each QoS has its own) are first handled in the order of publishing."""
        found = []
        last: dict[str, int] = {}
        for name in dict.fromkeys(reading.effects):
            entry = self.entries[name]
            if not reading.qos and entry.qos and not (entry.is_single and not self.way(entry, reading)[1]):
                continue  # its first copy may have been lost on its last hop, and it was sent again behind later ones
            stream = entry.topic if entry.size else entry.topic.rpartition("/")[0]
            # Published while nobody had subscribed, and sent again later.
            was_missed = reading.spans and entry.qos and not self._is_promised(entry, reading)
            if entry.number < last.get(stream, -1) and not was_missed:
                found.append(f"out of order at {reading.name}: {name} after {last[stream]}")
            last[stream] = max(entry.number, last.get(stream, -1))
        return found
