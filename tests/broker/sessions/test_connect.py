"""CONNECT, CONNACK, keep alive, DISCONNECT, and client identifiers (3.1, 3.2, 3.12, 3.14)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqttlite.core.codec import packet, prefixed
from tests.broker.world import World
from tests.core.packets import encode, packets
from tests.statements import statement


def connect_packet(
    *, name: bytes = b"MQTT", level: int = 4, flags: int = 2, payload: bytes = prefixed(b"c"), first: int = 0x10
) -> bytes:
    """A CONNECT packet of any kind, with a keep alive of 0."""
    return packet(first, prefixed(name), bytes((level, flags, 0, 0)), payload)


@statement("3.1.1", "MQTT-3.1.4-4", "MQTT-3.2.0-1", "MQTT-3.2.2-1")
def test_a_valid_connect_is_answered_with_connack_0_before_anything_else() -> None:
    wire = World().open()
    wire.raw(connect_packet() + b"\xc0\0")
    assert wire.kinds() == ["connack", "pingresp"]
    assert not wire.closed


@statement("3.1.1", "MQTT-3.1.0-1")
@pytest.mark.parametrize("data", [b"\xc0\0", b"\x30\3\0\1t", b"\x82\6\0\1\0\1t\0", b"\xe0\0", b"GET / HTTP/1.1\r\n"])
def test_any_other_first_packet_ends_the_connection_without_an_answer(data: bytes) -> None:
    wire = World().open()
    wire.raw(data)
    assert wire.closed
    assert wire.packets() == []


@statement("3.1.1", "MQTT-3.1.0-2", "MQTT-4.8.0-1")
def test_a_second_connect_ends_the_connection() -> None:
    world = World()
    wire = world.connect("c")
    wire.raw(connect_packet())
    assert wire.closed
    assert world.stats.protocol_errors == 1


@statement("3.1.1", "MQTT-3.1.2-2", "MQTT-3.2.2-4", "MQTT-3.2.2-5")
@pytest.mark.parametrize("level", [3, 6, 0, 0x84])
def test_another_protocol_level_is_refused_with_connack_1(level: int) -> None:
    wire = World().open()
    wire.raw(connect_packet(level=level))
    assert wire.packets() == [("connack", {"session_present": False, "code": 1})]
    assert wire.closed


@statement("3.1.1", "MQTT-3.1.4-5")
def test_what_follows_a_refused_connect_is_not_processed() -> None:
    world = World()
    listener = world.connect("listener")
    listener.subscribe("#")
    world.open().raw(connect_packet(level=6) + b"\x30\3\0\1t")
    assert listener.messages() == []


@statement(
    "3.1.1",
    "MQTT-3.1.2-1",
    "MQTT-3.1.2-3",
    "MQTT-3.1.2-11",
    "MQTT-3.1.2-13",
    "MQTT-3.1.2-14",
    "MQTT-3.1.2-15",
    "MQTT-3.1.2-18",
    "MQTT-3.1.2-19",
    "MQTT-3.1.2-20",
    "MQTT-3.1.2-21",
    "MQTT-3.1.2-22",
    "MQTT-3.1.3-1",
    "MQTT-3.1.3-3",
    "MQTT-3.1.3-4",
    "MQTT-3.1.3-10",
    "MQTT-3.1.3-11",
    "MQTT-3.1.4-1",
    "MQTT-3.2.2-6",
)
@pytest.mark.parametrize(
    "data",
    [
        pytest.param(connect_packet(name=b"MQTTX"), id="protocol name"),
        pytest.param(connect_packet(flags=3), id="reserved flag"),
        pytest.param(connect_packet(first=0x11), id="reserved bits of the fixed header"),
        pytest.param(connect_packet(flags=2 | 8), id="will QoS without will"),
        pytest.param(connect_packet(flags=2 | 32), id="will retain without will"),
        pytest.param(connect_packet(flags=2 | 4 | 24, payload=prefixed(b"c") + prefixed(b"t") * 2), id="will QoS 3"),
        pytest.param(connect_packet(flags=2 | 4), id="will announced and missing"),
        pytest.param(connect_packet(flags=2 | 4, payload=prefixed(b"c") + prefixed(b"t")), id="will message missing"),
        pytest.param(connect_packet(payload=prefixed(b"c") + prefixed(b"t") * 2), id="will not announced"),
        pytest.param(connect_packet(flags=2 | 4, payload=prefixed(b"c") + prefixed(b"+") * 2), id="will to a wildcard"),
        pytest.param(
            connect_packet(flags=2 | 4, payload=prefixed(b"c") + prefixed(b"\xff") * 2), id="will topic UTF-8"
        ),
        pytest.param(connect_packet(flags=2 | 128), id="user name announced and missing"),
        pytest.param(connect_packet(payload=prefixed(b"c") + prefixed(b"u")), id="user name not announced"),
        pytest.param(connect_packet(flags=2 | 128, payload=prefixed(b"c") + prefixed(b"\xff")), id="user name UTF-8"),
        pytest.param(connect_packet(flags=2 | 64, payload=prefixed(b"c") * 2), id="password without user name"),
        pytest.param(connect_packet(flags=2 | 192, payload=prefixed(b"c") * 2), id="password announced and missing"),
        pytest.param(connect_packet(flags=2 | 128, payload=prefixed(b"c") * 3), id="password not announced"),
        pytest.param(connect_packet(payload=b""), id="no client identifier"),
        pytest.param(connect_packet(payload=prefixed(b"\xc0\xaf")), id="client identifier UTF-8"),
        pytest.param(connect_packet(payload=prefixed(b"a\0b")), id="client identifier with U+0000"),
    ],
)
def test_a_connect_that_does_not_conform_is_closed_without_connack(data: bytes) -> None:
    wire = World().open()
    wire.raw(data)
    assert wire.packets() == []
    assert wire.closed


@statement("3.1.1", "MQTT-3.1.3-5")
def test_client_identifiers_of_1_to_23_letters_and_digits_are_allowed() -> None:
    letters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    world = World()
    for client_id in (*letters, letters[:23], letters[-23:]):
        world.connect(client_id)
    assert len(world.engine.sessions) == len(letters) + 2


@statement("3.1.1", "MQTT-3.1.3-6")
def test_a_client_without_identifier_gets_one_that_nobody_has() -> None:
    world = World()
    one, two = world.connect(""), world.connect("")
    assert not one.closed
    assert not two.closed
    assert len(set(world.engine.sessions)) == 2
    assert b"" not in world.engine.sessions


@statement("3.1.1", "MQTT-3.1.3-7", "MQTT-3.1.3-8")
def test_a_persistent_session_without_client_identifier_is_refused_with_connack_2() -> None:
    world = World()
    wire = world.open()
    wire.raw(connect_packet(flags=0, payload=prefixed(b"")))
    assert wire.packets() == [("connack", {"session_present": False, "code": 2})]
    assert wire.closed
    assert world.stats.refused == 1


@statement("3.1.1", "MQTT-3.1.3-9")
def test_a_client_identifier_that_is_too_long_is_refused_with_connack_2() -> None:
    assert World(client_id_bytes=30).connect("x" * 31, code=2).closed


@statement("3.1.1", "MQTT-3.1.4-2")
def test_a_client_identifier_that_connects_again_takes_over() -> None:
    world = World()
    old = world.connect("c")
    old.subscribe("t")
    new = world.connect("c")
    assert old.closed
    assert not new.closed
    assert world.stats.takeovers == 1
    world.connect("p").publish("t", b"x")
    assert old.messages() == new.messages() == []


@statement("3.1.1", "MQTT-3.1.4-2", "MQTT-3.1.4-3", "MQTT-3.1.2-4")
def test_a_take_over_of_a_persistent_session_repeats_what_the_old_connection_left_unacknowledged() -> None:
    world = World()
    old = world.connect("c", clean=False)
    old.subscribe("t", qos=1)
    world.connect("p").publish("t", b"x", qos=1)
    assert old.payloads() == [b"x"]
    new = world.connect("c", clean=False, present=True)
    [(kind, fields)] = new.packets()
    assert (kind, fields["payload"], fields["dup"]) == ("publish", b"x", True)
    assert old.closed


def test_bytes_of_a_connection_that_was_taken_over_count_no_more() -> None:
    world = World()
    old = world.connect("c")
    world.connect("c").subscribe("t")
    old.publish("t", b"late")
    assert world.stats.messages_received == 0


@statement("3.1.1", "MQTT-3.1.2-24")
def test_a_client_silent_for_more_than_one_and_a_half_keep_alives_is_disconnected() -> None:
    world = World()
    wire = world.connect("c", keep_alive_s=10)
    world.wait(14_999)
    assert not wire.closed
    world.wait(1)
    assert wire.closed


@statement("3.1.1", "MQTT-3.12.4-1", "MQTT-3.1.2-23")
def test_pings_are_answered_and_keep_the_connection() -> None:
    world = World()
    wire = world.connect("c", keep_alive_s=10)
    for _ in range(5):
        world.wait(10_000)
        wire.send("pingreq")
    assert wire.kinds() == ["pingresp"] * 5
    assert not wire.closed


def test_without_keep_alive_a_silent_client_stays() -> None:
    world = World()
    wire = world.connect("c")
    world.wait(1_000_000_000)
    assert not wire.closed


def test_a_connection_without_connect_is_closed_after_ten_seconds() -> None:
    world = World()
    wire = world.open()
    wire.raw(connect_packet()[:5])
    world.wait(9999)
    assert not wire.closed
    world.wait(1)
    assert wire.closed


@statement("3.1.1", "MQTT-3.14.1-1", "MQTT-2.2.2-1", "MQTT-2.2.2-2", "MQTT-3.8.1-1", "MQTT-3.10.1-1", "MQTT-3.6.1-1")
@pytest.mark.parametrize("first", [0xE1, 0x80, 0xA0, 0x60, 0xC1, 0x4F, 0x51, 0x72])
def test_reserved_bits_that_are_wrong_end_the_connection(first: int) -> None:
    wire = World().connect("c")
    wire.raw(bytes((first, 2, 0, 1)))
    assert wire.closed


@statement("3.1.1", "MQTT-3.14.4-2")
def test_nothing_counts_that_follows_disconnect() -> None:
    world = World()
    listener = world.connect("listener")
    listener.subscribe("#")
    wire = world.connect("c")
    wire.raw(b"\xe0\0" + b"\x30\3\0\1t")
    assert wire.closed
    assert listener.messages() == []


@pytest.mark.source("replaces a method of RetainedMessages by a fault")
@statement("3.1.1", "MQTT-4.8.0-2")
def test_an_unexpected_error_closes_only_the_connection_that_it_happened_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world = World()
    other, wire = world.connect("other"), world.connect("c", clean=False)
    with monkeypatch.context() as patch:
        patch.setattr(world.engine.router.retained, "store", lambda *_: 1 / 0)
        wire.publish("t", b"x", qos=2, retain=True, packet_id=7)
    assert wire.closed
    assert not other.closed
    assert world.stats.failures == 1
    assert "ZeroDivisionError" in caplog.text
    # Nobody has got it, so its repeat is delivered.
    other.subscribe("t")
    again = world.connect("c", clean=False, present=True)
    again.publish("t", b"x", qos=2, dup=True, packet_id=7)
    assert again.kinds() == ["pubrec"]
    assert other.payloads() == [b"x"]


@given(
    st.lists(st.tuples(st.integers(0, 2), st.one_of(packets.map(encode), st.binary(max_size=20))), max_size=30),
    st.booleans(),
)
def test_whatever_clients_send_harms_nobody_else(sent: list[tuple[int, bytes]], connected: bool) -> None:
    world = World(hold_bytes=300, queue_bytes=2000, topic_levels=4, turn_work=5)
    witness = world.connect("the witness")
    witness.subscribe("the witness", qos=1)
    wires = [world.connect(f"c{n}", clean=n == 0) if connected else world.open() for n in range(3)]
    for number, data in sent:
        wires[number].raw(data)
        if wires[number].closed:
            wires[number] = world.open()
    world.wait(1000)
    assert world.stats.failures == 0
    assert not witness.closed
    witness.packets()
    world.connect("the publisher").publish("the witness", b"alive", qos=1)
    assert witness.payloads() == [b"alive"]
