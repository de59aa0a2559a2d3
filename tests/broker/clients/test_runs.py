"""What comes in one read and is alike is done in one step: with the same result as if each packet took the long way."""

import random
from binascii import crc32
from collections import Counter
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

import pytest

from mqttlite.broker.clients import parking, peer, runs
from mqttlite.broker.packets import answers
from mqttlite.core import wire5
from mqttlite.core.codec import acknowledgement, publish_head
from mqttlite.core.packet_types import PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL
from mqttlite.core.session import SPAN
from tests.statements import statement

from ..world import Wire, World

TOPICS = (b"a", b"a/b", b"c")
# In whose place each packet takes the long way: where they are called, and what they are.
STEPS: list[tuple[ModuleType, str, Callable[..., int]]] = [
    (peer, "publish_all", runs.publish_all),
    (peer, "acknowledge_all", runs.acknowledge_all),
    (peer, "park_all", parking.park_all),
    (parking, "unpark_all", parking.unpark_all),
]
ROOMY: dict[str, int] = {}
NARROW = {"hold_bytes": 3000, "queue_bytes": 9000, "inbound": 30}
TIGHT = {"queues_bytes": 20_000}


def split(data: bytes) -> list[bytes]:
    """Whole packets."""
    found = []
    at = 0
    while at < len(data):
        size, start = 0, at + 1
        for shift in (0, 7, 14, 21):
            byte = data[start]
            start += 1
            size |= (byte & 127) << shift
            if byte < 128:
                break
        found.append(data[at : start + size])
        at = start + size
    return found


class Side:
    """A broker and its clients. `is_quick`: it may take what is alike in one step."""

    clean = True

    def __init__(self, is_quick: bool, limits: dict[str, int], world: World | None = None) -> None:
        self.is_quick = is_quick
        self.runs: Counter[str] = Counter()  # how often something was taken in one step
        self.world = world or World(**limits)
        self.wires: list[Wire] = []
        self.got: list[list[bytes]] = []
        for number in range(6):
            wire = self.world.open(str(number))
            level = 5 if number % 3 == 2 else 4
            if level == 5:
                wire.raw(wire5.encode_connect(b"%d" % number, self.clean, 0))
            else:
                wire.send(
                    "connect",
                    client_id=str(number),
                    clean_session=self.clean,
                    keep_alive_s=0,
                    username=None,
                    password=None,
                    will=None,
                )
            self.wires.append(wire)
            self.got.append([])
        for number, (topic_filter, qos) in enumerate((("#", 2), ("a/+", 1), ("a/b", 2), ("+", 0), ("c", 1))):
            if number % 3 == 2:
                self.wires[number].raw(wire5.encode_subscribe(1, [(topic_filter.encode(), qos)]))
            else:
                self.wires[number].subscribe(topic_filter, qos=qos)
        self.wires[5].raw(wire5.encode_subscribe(1, [(b"a", 0)]))
        self.take()

    def take(self) -> list[list[bytes]]:
        """What has come, by client."""
        found = []
        for wire, got in zip(self.wires, self.got, strict=True):
            packets = split(bytes(wire._bytes))
            wire._bytes.clear()
            got += packets
            found.append(packets)
        return found

    def send(self, number: int, packets: list[bytes]) -> None:
        wire = self.wires[number]
        if wire.closed:
            return
        with pytest.MonkeyPatch.context() as patch:
            for home, name, take in STEPS:
                patch.setattr(home, name, partial(self.counted, name, take) if self.is_quick else lambda *_: 0)
            wire.raw(b"".join(packets))

    def counted(self, name: str, take: Callable[..., int], *args: Any) -> int:
        found = take(*args)
        self.runs[name] += found > 0
        return found

    def state(self) -> Any:
        """All that there is to compare: messages and acknowledgements each in their order."""
        engine = self.world.engine
        engine.backpressure.settle()
        sessions = {
            client.client_id: (
                session.messages,
                session.inbound,
                (session.first, session.sent, session.next, session.unfinished, session.room),
                dict(client.dropped),
                client.hold_left,
            )
            for client in engine.sessions.values()
            for session in (client.session,)
        }
        got = [([p for p in g if p[0] & 0xF0 == PUBLISH], [p for p in g if p[0] & 0xF0 != PUBLISH]) for g in self.got]
        stats = engine.stats
        counts = (stats.messages_received, stats.messages_sent, stats.messages_dropped, dict(stats.limits))
        closed = [(wire.closed, wire.held, wire.peer.closed_because) for wire in self.wires]
        return sessions, got, counts, closed, engine.ledger.accounts()


def published(chance: random.Random, level: int, ids: list[int]) -> list[bytes]:
    """Up to 60 messages, most of them to one topic with identifiers that count up."""
    packets = []
    topic, qos, size = chance.choice(TOPICS), chance.choice((0, 1, 2)), chance.choice((0, 9, 64, 200))
    for _ in range(chance.randrange(60)):
        if chance.random() < 0.06:
            topic, qos = chance.choice(TOPICS), chance.choice((0, 1, 2))
        if chance.random() < 0.1:
            ids[0] += chance.randrange(3)
        payload = bytes((chance.randrange(256),)) * (size if chance.random() < 0.8 else chance.randrange(300))
        block = b""
        if level == 5:
            block = b"\5\x26\0\0\0\0" if chance.random() < 0.05 else b"\0"
        number = b""
        if qos:
            ids[0] = ids[0] % SPAN + 1
            number = ids[0].to_bytes(2, "big")
        flags = qos << 1 | (chance.random() < 0.03) | (8 if qos and chance.random() < 0.03 else 0)
        head = publish_head(flags, topic, len(block) + len(payload))
        packets.append(head + number + block + payload)
    return packets


ANSWER = {PUBREC: PUBREL, PUBREL: PUBCOMP}


def answered(packets: list[bytes], salt: int) -> list[bytes]:
    """What a client says to them, first to messages; now and then it leaves one out."""
    found = []
    for data in sorted(packets, key=lambda data: data[0] & 0xF0 != PUBLISH):
        first = data[0]
        if crc32(data, salt) % 50 == 0:
            continue
        if first & 0xF0 == PUBLISH and first & 6:
            at = 2 if data[1] < 128 else 3
            at += 2 + (data[at] << 8 | data[at + 1])
            number = data[at] << 8 | data[at + 1]
            found.append(acknowledgement(PUBACK if first & 6 == 2 else PUBREC, number))
        elif first in ANSWER:
            found.append(acknowledgement(ANSWER[first], data[2] << 8 | data[3]))
    return found


@pytest.mark.source("what it is compared with is put in its place")
@statement("3.1.1", "MQTT-4.6.0-2", "MQTT-4.6.0-3", "MQTT-4.6.0-5", "MQTT-4.6.0-6")
@pytest.mark.parametrize("limits", [ROOMY, NARROW, TIGHT], ids=["roomy", "narrow", "tight"])
@pytest.mark.parametrize("seed", range(8))
def test_a_run_is_what_it_would_be_packet_by_packet(seed: int, limits: dict[str, int]) -> None:
    chance = random.Random(seed)
    sides = [Side(True, limits), Side(False, limits)]
    ids = [[chance.choice((0, 100, SPAN - 50))] for _ in range(6)]
    levels = [5 if number % 3 == 2 else 4 for number in range(6)]
    for step in range(60):
        number = chance.randrange(6)
        packets = published(chance, levels[number], ids[number])
        for side in sides:
            side.send(number, packets)
        if step % 7 == 6:
            for side in sides:
                side.world.wait(1000)
        owed = [side.take() for side in sides]
        for number in range(6):
            if chance.random() < 0.7:
                for side, came in zip(sides, owed, strict=True):
                    side.send(number, answered(came[number], seed))
        assert sides[0].state() == sides[1].state(), f"step {step}"
    assert sides[0].runs.total() > 20
    if limits is NARROW:
        assert sides[0].runs["park_all"] > 1  # publishers are held back
    assert sides[0].world.stats.messages_sent > 200


@pytest.mark.parametrize("first", [PUBACK, PUBREC, PUBREL, PUBCOMP])
def test_a_run_of_acknowledgements_is_as_long_as_identifiers_count_up(first: int) -> None:
    for begin in (1, 255, 65_500, SPAN):
        for count in (1, 2, 19, 20, 37, 300):
            numbers = [number for number in range(begin, begin + count) if number <= SPAN]
            data = b"".join([acknowledgement(first, number) for number in numbers])
            assert answers.run(first, begin, len(numbers)) == data
            for rest in (b"", data[:3], data[:4], b"\xd0\0", data[:1] + b"\3\0\0\0"):
                found = answers.length(b"xy" + data + rest, 2, first, begin)
                assert found == min(len(numbers), answers.LONGEST)


@pytest.mark.parametrize("sizes", [(5000, 1, 5000, 5000), (1, 5000, 5000, 5000)])
def test_large_messages_of_a_run_count_until_they_are_written_whichever_comes_first(sizes: tuple[int, ...]) -> None:
    world = World()
    subscriber, publisher = world.connect("s"), world.connect("p")
    subscriber.subscribe("t")
    publisher.publish("t")  # from now on its route is known
    publisher.raw(b"".join([publish_head(0, b"t", size) + bytes(size) for size in sizes]))
    assert subscriber.payloads() == [b"", *map(bytes, sizes)]
    assert world.engine.router.unwritten >= 15_000
