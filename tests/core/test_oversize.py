"""A PUBLISH larger than the client takes is read past in any pieces, acknowledged, told, and the next one arrives."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqttlite.core.codec import packet, prefixed
from mqttlite.core.errors import ProtocolError
from mqttlite.core.packet_types import GONE_BY
from mqttlite.core.parser import Parser
from mqttlite.core.server import ServerConnection
from tests.core.test_client5 import Application

LIMIT = 40


class World5(Application):
    """A connected client that takes LIMIT bytes; properties are empty, so that packets are those of both versions."""

    def __init__(self) -> None:
        super().__init__(size_max=LIMIT)
        self.online()
        self.take()

    def receive(self, data: bytes, step: int = 1 << 20) -> None:
        for at in range(0, len(data), step):
            self.client.receive(data[at : at + step], 0)


def publish(flags: int, topic: bytes, packet_id: int, size: int) -> bytes:
    """A PUBLISH with a Remaining Length of `size`."""
    body = prefixed(topic) + (packet_id.to_bytes(2, "big") if flags & 6 else b"") + b"\0"
    return packet(0x30 | flags, body + bytes(size - len(body)))


def small(flags: int = 0, packet_id: int = 0) -> bytes:
    return publish(flags, b"small", packet_id, 20)


@pytest.mark.parametrize("step", [1, 2, 3, 7, 50, 1 << 20])
@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("size", [LIMIT + 1, 127, 128, 5000, 20_000])
def test_it_is_read_past_in_any_pieces_and_the_next_ones_arrive(step: int, qos: int, size: int) -> None:
    app = World5()
    large = publish(qos << 1, b"cam/snapshot", 9 if qos else 0, size)
    app.receive(small() + large + small() + large + small(), step)
    told = [one[:3] for one in app.take()]
    message = ("message", b"small", bytes(12))
    again = 2 if qos < 2 else 1  # the identifier is held, so the second one is a repeat
    assert told == [
        message,
        ("oversized", b"cam/snapshot", size),
        message,
        *[("oversized", b"cam/snapshot", size)] * (again - 1),
        message,
    ]
    acknowledgement = {0: [], 1: [(0x40, b"\0\t")], 2: [(0x50, b"\0\t")]}[qos]
    assert app.written() == acknowledgement * 2


def test_at_qos_2_the_handshake_is_finished() -> None:
    app = World5()
    app.receive(publish(4, b"t", 5, 100))
    assert app.written() == [(0x50, b"\0\5")]
    app.receive(b"\x62\2\0\5")
    assert app.written() == [(0x70, b"\0\5")]
    assert not app.client.session.inbound


@given(st.integers(1, 700), st.integers(1, 60_000), st.integers(0, 2), st.integers(1, 300))
def test_a_long_topic_is_told_by_its_beginning_and_its_identifier_is_found(
    length: int, packet_id: int, qos: int, step: int
) -> None:
    app = World5()
    topic = ("é" * length).encode()
    app.receive(publish(qos << 1, topic, packet_id, 2 * length + 100) + small(), step)
    large, after = app.take()
    assert topic.startswith(large[1].removesuffix("…".encode()))
    assert large[1] == topic or len(large[1]) > 250
    large[1].decode()
    assert after[1] == b"small"
    if qos:
        assert app.written() == [(0x40 if qos == 1 else 0x50, packet_id.to_bytes(2, "big"))]


@pytest.mark.parametrize("step", [1, 33, 4096])
def test_nothing_of_it_is_held(step: int) -> None:
    app = World5()
    data = publish(2, b"t", 1, 100_000)
    for at in range(0, len(data) - 1, step):
        app.client.receive(data[at : min(at + step, len(data) - 1)], 0)
        parser = app.client.parser
        held = len(parser.buf) + sum(map(len, parser._pieces)) + len(parser.large.body if parser.large else b"")
        assert held <= step + 270
    assert app.take() == []
    app.client.receive(data[-1:], 0)
    assert app.take() == [("oversized", b"t", 100_000, 0)]


def test_a_cut_in_its_middle_leaves_nothing_behind() -> None:
    app = World5()
    data = publish(2, b"t", 1, 1000)
    app.client.receive(data[:500], 0)
    app.client.closed()
    app.online(present=True)
    app.take()
    app.receive(small() + data + small())
    assert [one[0] for one in app.take()] == ["message", "oversized", "message"]
    assert app.written() == [(0x40, b"\0\1")]


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (packet(0x30, prefixed(b"a" * 50)[:-1]), "1.5.3"),  # a topic name longer than the packet
        (packet(0x32, prefixed(b"a" * 50) + b"\0"), "1.5.3"),  # no room for the identifier
        (publish(2, b"t", 0, 100), "MQTT-2.3.1-1"),
        (publish(0, b"a/#", 0, 100), "MQTT-3.3.2-2"),
        (publish(0, b"\xff", 0, 100), "MQTT-1.5.3-1"),
        (publish(0, b"a" * 200 + b"\xff" * 300, 0, 1000), "MQTT-1.5.3-1"),
        (packet(0x90, bytes(100)), "4.8"),  # SUBACK: not to be done without
    ],
)
def test_what_is_wrong_with_it_ends_the_connection_as_ever(data: bytes, rule: str) -> None:
    app = World5()
    with pytest.raises(ProtocolError) as error:
        app.receive(data)
    assert error.value.rule == rule


def test_a_server_refuses_it_as_soon_as_its_header_shows_it() -> None:
    server = ServerConnection(type("Owner", (), {"check_topic": None})(), 0, LIMIT)  # type: ignore[arg-type]
    server.parser.size_max = LIMIT
    with pytest.raises(ProtocolError) as error:
        server.receive(b"\x30\x29", 0)
    assert error.value.rule == "4.8"


def test_no_other_packet_begins_as_its_end_is_marked() -> None:
    for first in range(1, 256):
        parser = Parser(10)
        parser.feed(bytes((first, 0)))
        try:
            assert parser.next() != GONE_BY
        except ProtocolError:
            continue
