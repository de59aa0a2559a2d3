"""What a server of MQTT 5.0 has to do about connections, wills and sessions, statement by statement: byte sequences
against the broker's engine. What it refuses is in test_malformed5.py.
"""

import pytest

from mqttlite.broker.limits import Limits
from tests.broker.five import (
    AUTH,
    DISCONNECT,
    PUBACK,
    PUBCOMP,
    PUBLISH,
    PUBREC,
    PUBREL,
    SUBACK,
    UNSUBACK,
    Five,
    Got,
    packet,
    prefixed,
)
from tests.broker.world import World
from tests.conformance.clients5 import KEPT, LETTERS
from tests.statements import statement

# -- CONNECT and CONNACK


@statement("5.0", "MQTT-3.1.3-5", "MQTT-3.1.3-2")
def test_every_client_identifier_of_letters_and_digits_up_to_23_is_taken() -> None:
    world = World()
    for size in range(1, 24):
        client = Five(world, (LETTERS * 2)[size : 2 * size], **KEPT)
        client.wire.raw(b"\xc0\0")  # it knows of its session
        client.cut()
    for size in range(1, 24):
        Five(world, (LETTERS * 2)[size : 2 * size], clean=False, present=True)
    for start in range(0, len(LETTERS), 23):
        Five(world, LETTERS[start : start + 23])


@statement("5.0", "MQTT-3.1.3-8", "MQTT-3.2.2-7")
def test_a_client_identifier_that_is_not_accepted_is_refused_with_its_reason() -> None:
    client = Five(World(client_id_bytes=30), "c" * 31, code=0x85)
    assert client.closed


@statement("5.0", "MQTT-3.1.4-3")
def test_a_client_that_comes_again_ends_its_first_connection() -> None:
    world = World()
    first = Five(world, "c")
    second = Five(world, "c")
    assert ([got.plain for got in first.take()], first.closed) == ([Got(DISCONNECT, 0, b"\x8e")], True)
    assert not second.closed


@statement("5.0", "MQTT-3.2.2-19", "MQTT-3.2.2-20", "MQTT-3.4.2-2", "MQTT-3.4.2-3", "MQTT-3.5.2-2", "MQTT-3.5.2-3")
@statement("5.0", "MQTT-3.6.2-2", "MQTT-3.6.2-3", "MQTT-3.7.2-2", "MQTT-3.7.2-3", "MQTT-3.9.2-1", "MQTT-3.9.2-2")
@statement("5.0", "MQTT-3.11.2-1", "MQTT-3.11.2-2", "MQTT-3.14.2-3", "MQTT-3.14.2-4", "MQTT-3.1.2-29", "MQTT-3.1.2-24")
def test_no_answer_is_larger_than_its_client_takes_nor_says_what_it_does_not_want_to_hear() -> None:
    """User properties are in no answer at all; for Reason Strings see tests/broker/packets/test_reason_strings.py."""
    least = next(size for size in range(1, 100) if connack_of(size)[1] == 0)
    assert [connack_of(size) for size in range(1, 5)] == [(True, -1)] * 4
    assert [connack_of(size) for size in range(5, least)] == [(True, 0x95)] * (least - 5)
    world = World(filters=1, retained_message_bytes=1)
    client = Five(world, "c", MaximumPacketSize=least, RequestProblemInformation=0)
    publisher = Five(world, "p")
    assert client.subscribe("t", 2) == 2
    assert client.subscribe("u", 2) == 0x97
    assert client.unsubscribe("u") == 0x11
    for qos in (1, 2):
        client.publish("t", bytes(2), qos=qos, retain=True)
        client.publish("t", b"", qos=qos)
        publisher.publish("t", b"", qos=qos)
    client.ack(PUBREL, 9)
    for got in client.take():
        if got.kind == PUBLISH and got.flags & 4:
            client.ack(PUBREC, int.from_bytes(got.body[3:5], "big"))
        size = {PUBLISH: 6, PUBACK: 3, PUBREC: 3, PUBREL: 2, PUBCOMP: 2}[got.kind]
        assert len(got.body) <= size, got
    client.wire.raw(b"\x82\0")
    *_, word = client.take()
    assert word == Got(DISCONNECT, 0, b"\x81")


def connack_of(packet_max: int) -> tuple[bool, int]:
    """Whether the connection is closed, and the reason code; -1: there was no CONNACK."""
    wire = World().open()
    wire.raw(packet(0x10, b"\0\4MQTT\5\2\0\0\5\x27" + packet_max.to_bytes(4, "big") + prefixed(b"c")))
    data = bytes(wire._bytes)
    assert len(data) <= packet_max
    return wire.closed, data[3] if data else -1


@statement("5.0", "MQTT-3.1.2-24")
@pytest.mark.parametrize("count", [100, 2000])
def test_a_subscribe_whose_answer_the_client_would_not_take_is_a_packet_too_large(count: int) -> None:
    for kind, option in ((0x82, b"\0"), (0xA2, b"")):
        for least, reason in ((count + 5 + (count > 124), None), (count + 4 + (count > 124), 0x95)):
            client = Five(World(), "c", MaximumPacketSize=least)
            client.wire.raw(packet(kind, b"\0\1\0" + b"".join(prefixed(b"%d" % n) + option for n in range(count))))
            got = client.take()[-1]
            assert len(got.body) + 2 <= least
            assert got.reason == reason if reason else got.kind in (SUBACK, UNSUBACK)
            assert client.closed == bool(reason)


@statement("5.0", "MQTT-3.15.2-2", "MQTT-3.15.2-3", "MQTT-3.1.2-24")
def test_auth_says_nothing_but_its_method_and_data_and_is_not_too_large() -> None:
    from tests.broker.access.test_auth5 import Asking, Client

    def long(_: object) -> object:
        yield bytes(200)
        return b""

    world = Asking(long)  # type: ignore[arg-type]
    (got,) = Client(world, "m").take()
    assert got == Got(AUTH, 0, b"\x18" + b"\xcf\1" + b"\x15\0\1m" + b"\x16\0\xc8" + bytes(200))
    wire = world.open()
    wire.raw(packet(0x10, b"\0\4MQTT\5\2\0\0\x09\x27\0\0\0\x64\x15\0\1m" + prefixed(b"c")))
    assert (bytes(wire._bytes), wire.closed) == (b"\x20\3\0\x95\0", True)


@statement("5.0", "MQTT-3.2.2-21", "MQTT-3.2.2-22", "MQTT-3.1.2-22")
@pytest.mark.parametrize(("asked_s", "told_s"), [(10, None), (5, None), (11, 10), (0, 10), (65535, 10)])
def test_a_keep_alive_that_is_too_long_is_shortened_and_the_client_is_told(asked_s: int, told_s: int | None) -> None:
    world = World(keep_alive_ms=10_000)
    client = Five(world, "c", keep_alive_s=asked_s)
    assert client.announced.get("ServerKeepAlive") == told_s
    world.wait((told_s or asked_s) * 1500 - 1)
    assert not client.closed
    world.wait(1)
    assert client.closed


def test_a_limit_of_the_keep_alive_that_connack_has_no_room_for_is_the_longest_that_it_has() -> None:
    client = Five(World(keep_alive_ms=24 * 3600 * 1000), "c", keep_alive_s=0)
    assert client.announced["ServerKeepAlive"] == 65535


@statement("5.0", "MQTT-3.2.2-22")
def test_without_a_server_keep_alive_that_of_the_client_holds() -> None:
    world = World()
    client = Five(world, "c", keep_alive_s=65535)
    assert "ServerKeepAlive" not in client.announced
    world.wait(65535 * 1500 - 1)
    assert not client.closed


def test_a_client_for_whom_there_is_no_room_is_told_of_another_server() -> None:
    world = World(persistent_sessions=0)
    assert Five(world, "c", code=0x88, **KEPT).announced.keys() == {"ReasonString"}
    world.engine.server_reference = b"other:1883"
    assert Five(world, "c", code=0x9C, **KEPT).announced == {"ServerReference": "other:1883"}
    assert not Five(world, "c", code=0x9C, MaximumPacketSize=17, **KEPT).announced
    world.connect("c", clean=False, code=3)
    client, small = Five(world, "d"), Five(world, "e", MaximumPacketSize=30)
    world.engine.server_reference *= 3
    world.engine.shut_down()
    world.flush()
    assert client.take() == [Got(DISCONNECT, 0, b"\x9c\x21\x1c\0\x1e" + b"other:1883" * 3)]
    assert small.take() == [Got(DISCONNECT, 0, b"\x9c\0")]


# -- wills


@statement("5.0", "MQTT-3.1.2-7", "MQTT-3.1.2-8", "MQTT-3.1.2-14", "MQTT-3.1.2-15", "MQTT-3.1.3-10")
@pytest.mark.parametrize("retain", [False, True])
def test_a_will_is_published_with_its_retain_flag_and_its_user_properties_in_their_order(retain: bool) -> None:
    world = World()
    watcher = Five(world, "w")
    watcher.subscribe("w", 2, options=8)
    pairs = [("b", "2"), ("a", "1"), ("b", "1"), ("", "")]
    Five(world, "c", will=("w", b"gone", 2, retain), will_properties={"UserProperty": pairs}).cut()
    (message,) = watcher.messages()
    assert message[:4] == ("w", b"gone", 2, retain)
    assert message.properties == {"UserProperty": pairs}
    late = Five(world, "late")
    late.subscribe("w")
    assert [(m.payload, m.properties["UserProperty"]) for m in late.messages()] == [(b"gone", pairs)] * retain


# -- sessions


@statement("5.0", "MQTT-4.1.0-1", "MQTT-4.1.0-2", "MQTT-3.1.2-23")
def test_a_session_stays_while_it_is_connected_and_ends_when_its_time_is_over() -> None:
    world = World(session_expiry_ms=100_000)
    client = Five(world, "c", SessionExpiryInterval=10)
    client.subscribe("t", 1)
    world.wait(1_000_000)
    Five(world, "p").publish("t", b"x", qos=1)
    assert client.payloads() == [b"x"]
    client.cut()
    world.wait(9_999)
    assert b"c" in world.engine.sessions
    world.wait(1)
    assert b"c" not in world.engine.sessions
    Five(world, "c", clean=False, present=False, SessionExpiryInterval=10)


@statement("5.0", "MQTT-3.12.4-1")
def test_a_ping_is_answered() -> None:
    client = Five(World(), "c")
    client.wire.raw(b"\xc0\0")
    assert client.take() == [Got(13, 0, b"")]


def test_ten_minutes_are_the_longest_keep_alive_by_default() -> None:
    assert Limits().keep_alive_ms == 600_000
