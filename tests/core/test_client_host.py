"""The client's end on CPython finds usual packets by a way of its own: it has to come to what the parser comes to."""

import random
from typing import Any

import pytest

from mqttlite.core import wire4, wire5
from mqttlite.core.client import ClientProtocol
from mqttlite.core.client_host import NAME_MAX, NAMES_MAX, HostProtocol
from mqttlite.core.codec import publish_head
from mqttlite.core.errors import MQTTError
from mqttlite.core.flowing import take_by
from mqttlite.core.packet_types import PUBACK, PUBCOMP, PUBREC, PUBREL
from mqttlite.core.parser import Parser
from mqttlite.core.session import Session
from mqttlite.core.session_host import HostSession

SIZE_MAX = 300
CONNACKS = {wire4: b"\x20\2\0\0", wire5: b"\x20\3\0\0\0"}


class Events:
    """Writes down whatever it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.many = 0  # messages that were told of together

    def take_many_from(self, client: HostProtocol) -> None:
        self.on_message = client.plain = lambda *what: self.told.append(("on_message", *what))
        client.make_message = lambda *what: what
        client.take_messages = self._take

    def _take(self, messages: list[Any]) -> None:
        for name, payload, first, packet_id, generation in messages:
            self.told.append(("on_message", first, name.encode(), payload, packet_id, generation, b""))
        self.many += len(messages)

    def __getattr__(self, name: str) -> Any:
        return lambda *what: self.told.append((name, *what))


def connected(kind: type[ClientProtocol], wire: Any = wire4) -> tuple[ClientProtocol, Events]:
    """A client that has published twelve messages, of which eight are under way."""
    events = Events()
    fields = (b"c", True, 60, None, None, None)
    session = HostSession(8, start=0) if kind is HostProtocol else Session(8, start=0)
    client = kind(events, fields, session, SIZE_MAX, 1000, wire)
    if isinstance(client, HostProtocol):
        events.take_many_from(client)
    client.connect(0)
    client.receive(CONNACKS[wire], 0)
    for number in range(12):
        client.publish((1 + number % 2) << 1, b"out", b"%d" % number)
    return client, events


def packets(dice: random.Random, wire: Any) -> bytes:
    """What a broker may send, and now and then what it may not."""
    stream = b""
    for _ in range(dice.randint(1, 30)):
        packet_id = dice.randint(0, 12).to_bytes(2, "big")
        what = dice.random()
        if what < 0.45:
            qos = dice.randint(0, 2)
            flags = qos << 1 | dice.randint(0, 1) | (8 if qos and dice.random() < 0.2 else 0)
            topic = dice.choice([b"a", b"room/1/state", "é".encode() * 60, b"t" * (NAME_MAX + 1), b"bad/#"][:4])
            payload = (b"\0" if wire is wire5 else b"") + bytes(dice.randint(0, dice.choice((3, 130, 400))))
            stream += publish_head(flags, topic, len(payload)) + (packet_id if qos else b"") + payload
        elif what < 0.9:
            stream += bytes((dice.choice((PUBACK, PUBREC, PUBREL, PUBCOMP)), 2)) + packet_id
        elif what < 0.98:
            stream += b"\xd0\0"
        else:
            stream += dice.randbytes(dice.randint(1, 5))
    return stream


def in_full_flow(dice: random.Random, wire: Any) -> bytes:
    """Many messages to few topics, and what interrupts them."""
    stream = b""
    for number in range(1, dice.randint(2, 60)):
        flags = dice.choice((0, 0, 2, 4, 1, 3, 10))
        topic = dice.choice([b"a", b"room/1/state", b"room/2/state"] + [b"new/%d" % number] * (dice.random() < 0.1))
        payload = bytes(dice.randint(0, dice.choice((3, 130))))
        if wire is wire5:
            payload = (b"\2\1\1" if dice.random() < 0.1 else b"\0") + payload
        packet_id = number if dice.random() < 0.97 else dice.randint(1, number)
        stream += publish_head(flags, topic, len(payload)) + (packet_id.to_bytes(2, "big") if flags & 6 else b"")
        stream += payload
        if dice.random() < 0.1:
            stream += dice.choice((b"\x62\2" + packet_id.to_bytes(2, "big"), b"\xd0\0", b"\x40\2\0\1"))
    return stream


def by_kind(out: list[bytes]) -> dict[int, list[bytes]]:
    """The packets that leave, those of each kind in their order [MQTT-4.6.0-2] [MQTT-4.6.0-3] [MQTT-4.6.0-4]: what is
    answered at once may leave before messages that have got room.
    """
    parser = Parser(1 << 20)
    parser.feed(b"".join(out))
    found: dict[int, list[bytes]] = {}
    while first := parser.next():
        found.setdefault(first & 0xF0, []).append(parser.buf[parser.start : parser.end])
    return found


def in_both_ways(seed: int, dice: random.Random, wire: Any, stream: bytes) -> tuple[str, int]:
    """The error with which it ends, if any, and how many messages were told of together."""
    cuts = sorted(dice.randint(0, len(stream)) for _ in range(dice.choice((0, 1, 5, 40))))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True) if a < b]
    ends = [connected(HostProtocol, wire), connected(ClientProtocol, wire)]
    errors = []
    for client, _ in ends:
        error = ""
        try:
            for now, piece in enumerate(pieces, 1):
                client.receive(piece, now)
        except MQTTError as found:
            error = repr(found)
        errors.append(error)
    (host, host_events), (other, other_events) = ends
    assert errors[0] == errors[1], seed
    assert host_events.told == other_events.told, seed
    assert by_kind(host.out) == by_kind(other.out), seed
    assert host.received_at == other.received_at or errors[0], seed
    assert host.session.inbound == other.session.inbound, seed
    assert host.session.messages == other.session.messages, seed
    return errors[0], host_events.many


@pytest.mark.parametrize("wire", [wire4, wire5], ids=["3.1.1", "5.0"])
def test_what_arrives_in_any_pieces_has_the_same_effects_as_through_the_parser_alone(wire: Any) -> None:
    complete = 0
    for seed in range(1500):
        dice = random.Random(seed)
        complete += not in_both_ways(seed, dice, wire, packets(dice, wire))[0]
    assert 100 < complete < 1400, "both kinds have been tried"


@pytest.mark.parametrize("wire", [wire4, wire5], ids=["3.1.1", "5.0"])
def test_messages_that_are_told_of_together_are_those_that_would_be_told_of_one_by_one(wire: Any) -> None:
    many = 0
    for seed in range(300):
        dice = random.Random(seed)
        many += in_both_ways(seed, dice, wire, in_full_flow(dice, wire))[1]
    assert many > 1000


def test_a_broker_that_sends_ever_new_topics_costs_no_more_memory_than_some() -> None:
    client, events = connected(HostProtocol)
    assert isinstance(client, HostProtocol)
    for number in range(3 * NAMES_MAX):
        topic = b"topic/%d" % number
        client.receive(publish_head(0, topic, 0) + publish_head(0, topic * 30, 0), 1)
        assert len(client.names) <= NAMES_MAX
        assert all(len(name) <= NAME_MAX for name in client.names)
    assert sum(told[0] == "on_message" for told in events.told) == 6 * NAMES_MAX


def test_heads_of_messages_that_are_alike_and_of_those_that_are_not_are_right() -> None:
    client, _ = connected(HostProtocol)
    client.out.clear()
    for flags, topic, size in [(0, b"a", 3), (0, b"a", 3), (1, b"a", 3), (1, b"b", 3), (1, b"b", 4), (0, b"a", 3)]:
        client.publish(flags, topic, bytes(size))
        assert client.out[-2:] == [publish_head(flags, topic, size), bytes(size)]


@pytest.mark.parametrize("wire", [wire4, wire5], ids=["3.1.1", "5.0"])
def test_a_topic_that_is_cut_off_by_the_end_of_its_packet_is_malformed_though_its_beginning_is_known(wire: Any) -> None:
    empty = b"\0" if wire is wire5 else b""
    for size in (9, 4, 65535):  # of the topic that the packet claims
        for behind in (b"", b"\xd0\0"):
            client, events = connected(HostProtocol, wire)
            client.receive(publish_head(0, b"abc", len(empty)) + empty, 1)
            count = len(events.told)
            with pytest.raises(MQTTError, match="topic name"):
                client.receive(b"\x30\5" + size.to_bytes(2, "big") + b"abc" + behind, 2)
            assert len(events.told) == count
            client.closed()
            client.connect(3)
            client.receive(CONNACKS[wire], 3)
            client.receive(publish_head(0, b"abcdefghi", len(empty) + 1) + empty + b"x", 4)
            told = events.told[-1]
            assert told[0] == "on_message" and told[2:4] == (b"abcdefghi", b"x"), "it is not the name that was cut off"


def test_what_is_taken_as_it_arrives_is_given_in_the_pieces_in_which_it_came() -> None:
    client, _ = connected(HostProtocol)
    given: list[bytes] = []

    class Streams:
        def begin(self, *_: Any) -> bool:
            return True

        def take(self, piece: bytes) -> None:
            given.append(piece)

        def complete(self, *_: Any) -> None: ...

    take_by(client, Streams())
    client.parser.make_large = client.make_large
    payload = bytes(range(256)) * 3
    packet = publish_head(0, b"a", len(payload)) + payload + b"\xd0\0"
    for at in range(0, len(packet), 200):
        client.receive(packet[at : at + 200], 1)
    assert b"".join(given) == payload
    assert len(given) == -(-len(packet) // 200)
