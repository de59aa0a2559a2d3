"""A stream that arrives is cut off at each of its bytes, and comes again: it is taken whole once, acknowledged then."""

from typing import Any

import pytest

from mqttlite.core import wire4, wire5
from mqttlite.core.client import ClientProtocol
from mqttlite.core.codec import publish_head
from mqttlite.core.flowing import take_by
from mqttlite.core.packet_types import PUBACK, PUBREC
from mqttlite.core.session import Session
from tests.statements import statement

PAYLOAD = bytes(range(256))
TOPIC = b"firmware"
CONNACKS = {"3.1.1": b"\x20\x02\x01\x00", "5.0": b"\x20\x03\x01\x00\x00"}
ANEW = {"3.1.1": b"\x20\x02\x00\x00", "5.0": b"\x20\x03\x00\x00\x00"}


class Taker:
    """Takes what arrives, and what is told."""

    def __init__(self) -> None:
        self.begun = 0
        self.now = b""
        self.whole: list[bytes] = []
        self.to_handle: list[tuple[int, int]] = []
        self.read_past = 0

    def begin(self, flags: int, topic: bytes, size: int, properties: bytes) -> bool:
        assert (topic, size) == (TOPIC, len(PAYLOAD))
        self.begun += 1
        self.now = b""
        return True

    def take(self, piece: bytes) -> None:
        self.now += piece

    def complete(self, packet_id: int, generation: int, is_new: bool) -> None:
        assert is_new
        self.whole.append(self.now)
        self.to_handle.append((packet_id, generation))

    def on_connected(self, *_: Any) -> None: ...

    def on_finished(self, *_: Any) -> None: ...

    def on_message(self, *_: Any) -> None:
        raise AssertionError("it is larger than size_max")

    def on_large(self, *_: Any) -> None:
        self.read_past += 1


class World:
    def __init__(self, version: str) -> None:
        self.taker = Taker()
        self.version = version
        wire: Any = wire5 if version == "5.0" else wire4
        self.session = Session()
        fields = (b"me", False, 0, None, None, None)
        self.client = ClientProtocol(self.taker, fields, self.session, 40, 1000, wire, 1 << 20)  # type: ignore[arg-type]
        take_by(self.client, self.taker)

    def connect(self, present: bool = True) -> None:
        self.client.connect(0)
        self.client.out.clear()
        self.client.receive((CONNACKS if present else ANEW)[self.version], 0)

    def packet(self, qos: int, dup: bool, payload: bytes = PAYLOAD) -> bytes:
        before = b"\x05\x26\x00\x00\x00\x00" if self.version == "5.0" else b""
        before = b"\x00" if before else b""
        flags = qos << 1 | (8 if dup else 0)
        return publish_head(flags, TOPIC, len(before) + len(payload)) + b"\0\7" * (qos > 0) + before + payload

    def feed(self, data: bytes, step: int) -> None:
        for at in range(0, len(data), step):
            self.client.receive(data[at : at + step], 0)

    def handle(self) -> None:
        for delivery, generation in self.taker.to_handle:
            if delivery:
                self.session.handled(delivery, generation)
        self.taker.to_handle.clear()

    def answers(self) -> bytes:
        found = b"".join(self.client.out)
        self.client.out.clear()
        return found


@statement("3.1.1", "MQTT-4.3.3-2", "MQTT-4.4.0-1")
@pytest.mark.parametrize("version", ["3.1.1", "5.0"])
@pytest.mark.parametrize("step", [1, 7, 1000])
@pytest.mark.parametrize("qos", [1, 2])
def test_one_that_is_cut_off_anywhere_is_forgotten_and_taken_whole_once(qos: int, step: int, version: str) -> None:
    answer = bytes((PUBACK if qos == 1 else PUBREC, 2, 0, 7))
    size = len(World(version).packet(qos, False))
    for cut in range(size):
        world = World(version)
        world.connect()
        world.feed(world.packet(qos, False)[:cut], step)
        assert world.taker.whole == [] and world.answers() == b"" and world.session.inbound == {}
        world.client.closed()
        world.connect()
        world.feed(world.packet(qos, True), step)
        assert world.taker.whole == [PAYLOAD]
        assert world.answers() == b""  # not before it has been handled
        world.handle()
        assert world.answers() == answer
        if qos == 2:
            world.client.closed()  # PUBREC is lost
            world.connect()
            world.feed(world.packet(qos, True), step)
            assert world.taker.whole == [PAYLOAD]
            assert world.answers() == answer
        assert world.taker.read_past == 0


@statement("3.1.1", "MQTT-4.3.3-2")
def test_a_repeat_that_comes_while_it_is_being_handled_is_not_taken_again() -> None:
    world = World("3.1.1")
    world.connect()
    world.feed(world.packet(2, False), 50)
    world.client.closed()
    world.connect()
    world.feed(world.packet(2, True), 50)
    assert world.taker.whole == [PAYLOAD]
    world.handle()
    assert world.answers() == bytes((PUBREC, 2, 0, 7))


def test_another_message_under_an_identifier_that_is_held_is_asked_for_again_and_taken() -> None:
    world = World("3.1.1")
    world.connect()
    world.feed(world.packet(2, False), 50)
    world.handle()
    other = PAYLOAD[::-1]
    with pytest.raises(Exception, match="identifier 7 for another message"):
        world.feed(world.packet(2, False, other), 50)
    world.client.closed()
    world.connect()
    world.feed(world.packet(2, True, other), 50)
    assert world.taker.whole == [PAYLOAD, other]
    world.handle()
    assert world.answers() == bytes((PUBREC, 2, 0, 7))


def test_a_session_that_the_broker_has_lost_brings_a_new_message_under_the_same_identifier() -> None:
    world = World("3.1.1")
    world.connect()
    world.feed(world.packet(2, False), 50)
    world.handle()
    world.client.closed()
    world.connect(present=False)
    world.feed(world.packet(2, False), 50)
    assert world.taker.whole == [PAYLOAD, PAYLOAD]
