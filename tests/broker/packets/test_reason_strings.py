"""Reason Strings (5.0): what a client is told in words when it is refused something, and what it is not told."""

import logging
import re
from collections.abc import Generator
from typing import Any

import pytest

from mqttlite.broker.access.authentication import Arriving, Refusal
from mqttlite.broker.limits import Limits, QueueRule
from mqttlite.broker.packets.reason_strings import MOST, explained
from mqttlite.core.greeting import MQTT_5_0, Connect
from mqttlite.core.wire5_server import encode_connack, encode_disconnect, encode_suback
from tests.broker.access.guarded import SUBSCRIBE, Guarded, allow, deny
from tests.broker.five import DISCONNECT, PUBACK, PUBREC, SUBACK, Five, Got, packet, prefixed, unpacked
from tests.broker.world import World
from tests.statements import statement

KEPT = {"SessionExpiryInterval": 60}


def said(client: Five, kind: int) -> str:
    """The words of the last packet of this kind."""
    return [got for got in client.take_all() if got.kind == kind][-1].said


def connack(world: World, code: int, client_id: str = "c", **more: Any) -> str:
    words: str = Five(world, client_id, code=code, **more).announced.get("ReasonString", "")
    return words


@pytest.mark.parametrize("kind", [PUBACK, PUBREC])
@pytest.mark.parametrize("more", [{}, {"UserProperty": [("a", "b")]}])
def test_a_message_that_is_refused_is_answered_with_the_words_of_the_log(kind: int, more: dict[str, Any]) -> None:
    world = Guarded(allow("#", user="anna"), deny("b", user="anna"), limits={"retained_message_bytes": 3})
    anna = world.five("anna")
    for topic, payload, words in (
        ("b", b"", "user 'anna' may not publish to 'b': the broker's rules do not allow it"),
        ("a", b"long!", "bytes for 'a': retained_message_bytes is 3; what was retained before stays"),
        ("a/" * 16, b"", "topic name with more than 16 levels"),
        ("a\t", b"", r"topic name 'a\t' has U+0009"),
        ("$queue/q/t", b"", "'$queue/q/t' is a topic of the broker itself, to which nobody publishes"),
        ("$delayed/4294968/a", b"", "a delay of 4294968 s: delay_ms is 4294967000, so 4294967 s at most"),
    ):
        if topic[0] == "$":
            world.set(allow("#"), allow("$queue/#"))
        anna.publish(topic, payload, qos=kind - 3, retain=True, **more)
        (got,) = anna.take()
        assert (got.kind, got.reason >= 0x80) == (kind, True)
        assert words in got.said
        assert not anna.closed


def test_what_is_granted_has_no_words_and_no_property_more() -> None:
    world = World()
    client = Five(world, "c")
    assert "ReasonString" not in client.announced
    client.publish("t", b"", qos=1)
    client.publish("t", b"", qos=2)
    client.wire.raw(packet(0x82, b"\0\x09\0" + prefixed(b"t") + b"\1"))
    client.publish("t", b"", qos=1)
    got = client.take()
    assert [each.body for each in got if each.kind != 3] == [b"\0\1\x10", b"\0\2\x10", b"\0\x09\0\1", b"\0\3"]


def subscribed(client: Five, *filters: bytes) -> Got:
    client.wire.raw(packet(0x82, b"\0\x09\0" + b"".join(prefixed(each) + b"\0" for each in filters)))
    return next(got for got in client.take() if got.kind == SUBACK)


@statement("5.0", "MQTT-3.8.4-6")
def test_suback_says_why_and_of_several_filters_how_many_and_why_the_last_one() -> None:
    world = Guarded(allow("#"), deny("secret/#", SUBSCRIBE), limits={"filters": 2, "topic_bytes": 30})
    client = world.five("anna")
    for topic_filter, code, words in (
        (b"secret/a", 0x87, "user 'anna' may not subscribe to 'secret/a': the broker's rules do not allow it"),
        (b"a" * 31, 0x8F, "a topic filter of 31 bytes; at most 30 are accepted here"),
        (b"a/" * 15 + b"a", 0x8F, "a topic filter of 31 bytes; at most 30 are accepted here"),
        (b"a\x07", 0x8F, r"topic filter 'a\x07' has U+0007, which is not accepted here"),
        (b"$queue/q q", 0x8F, "'$queue/q q': $queue/NAME/FILTER: NAME is 1 to 64 letters, digits and _ - ."),
    ):
        got = subscribed(client, topic_filter)
        assert (got.reason, got.body[-1], got.said) == (got.reason, code, words)
    got = subscribed(client, b"a", b"secret/a", b"b", b"c")
    assert got.body[-4:] == b"\0\x87\0\x97"
    assert got.said == "2 topic filters are refused; the last one: no room for one more topic filter: 'c' (filters)"


def test_an_answer_to_very_many_filters_has_words_too() -> None:
    client = Five(World(filters=1), "c")
    got = subscribed(client, *[b"filter/%d" % number for number in range(300)])
    assert (got.body[-300:], got.said[:38]) == (b"\0" + b"\x97" * 299, "299 topic filters are refused; the las")


def test_connack_says_why_as_far_as_a_stranger_may_know() -> None:
    world = Guarded(allow("a"), limits={"client_id_bytes": 8, "persistent_sessions": 0, "takeovers_a_minute": 1})
    assert connack(world, 0x85, "much too long") == "a client identifier of 13 bytes; at most 8 are accepted here"
    assert "choose another" in connack(world, 0x85, "$bridge/1")
    assert connack(world, 0x8C, AuthenticationMethod="X") == (
        "the broker has no authentication methods; connect without one"
    )
    words = connack(world, 0x88, **KEPT)
    assert words.startswith("the broker has no room for one more persistent session; try again later, or ask for none")
    for will, told in (
        (("b", b"", 0, False), "a client without a user name may not have a will for 'b': the broker's rules do"),
        (("$SYS/x", b"", 0, False), "the will topic '$SYS/x' is the broker's own; choose another"),
    ):
        assert connack(world, 0x87, will=will).startswith(told)
    assert connack(world, 0x97, will=("a" * 600, b"", 0, False)) == (
        "topic name of 600 bytes; at most 512 are accepted here"
    )
    for _ in range(5):
        Five(world, "shared")
    words = connack(world, 0x88, "shared")
    assert words == "too many connections take this client identifier from each other; each client needs its own"


def test_the_log_says_which_user_may_not_subscribe(caplog: pytest.LogCaptureFixture) -> None:
    world = Guarded(allow("a", user="anna"))
    assert world.enter("anna").subscribe("b") == [0x80]
    assert ": user 'anna' may not subscribe to 'b'" in caplog.text


def test_the_log_has_the_code_that_the_client_has_got(caplog: pytest.LogCaptureFixture) -> None:
    world = Guarded(allow("a"), limits={"client_id_bytes": 8, "persistent_sessions": 0})
    connack(world, 0x85, "much too long")
    connack(world, 0x87, will=("b", b"", 0, False))
    connack(world, 0x88, **KEPT)
    world.connect("c", code=5, will=("b", b"", 0, False))
    assert re.findall(r"refused: CONNACK (\d+), ", caplog.text) == ["133", "135", "136", "5"]


def test_nobody_learns_from_the_words_who_else_there_is() -> None:
    world = Guarded(allow("#"), anonymous=False)
    told = {connack(world, 0x86, user=user, password=b"wrong") for user in ("anna", "nobody")}
    assert told == {"unknown user or wrong password"}
    assert connack(world, 0x87) == "the broker wants a user name and password"
    world.five("bert", "mine", **KEPT)
    words = connack(world, 0x87, "mine", user="anna", password=b"anna"[::-1])
    assert words == "user 'anna' may not have this client identifier; choose another"


def test_neither_who_is_behind_nor_what_is_collected_is_told() -> None:
    world = World(queues=(QueueRule("secret-*", "refuse", 200),))
    Five(world, "secret-1", **KEPT).subscribe("t", 1)
    world.engine.sessions[b"secret-1"].peer.handle.cut()
    client = Five(world, "c")
    for _ in range(3):
        client.publish("t", bytes(60), qos=1)
    assert said(client, PUBACK) == "the queue of a subscriber is full (queue_bytes); try again later"
    Five(world, "d").subscribe("$queue/q/hidden/topic", 1)
    words = "queue q collects other topics: subscribe to $queue/q, or take another name"
    assert subscribed(client, b"$queue/q/a").said == f"'$queue/q/a': {words}"


def test_a_long_filter_leaves_room_for_the_cause() -> None:
    client = Five(World(named_queues=0), "c")
    words = subscribed(client, b"$queue/q/" + b"x" * 250).said
    assert "...': no room for one more queue" in words


def test_a_program_that_says_who_may_connect_says_what_the_client_reads() -> None:
    def authenticate(who: Arriving) -> Generator[bytes, bytes, bytes]:
        raise Refusal(0x87, "the log's words", "pay your bill") if who.username else Refusal(0x83, "the log's words")
        yield b""

    world = World(authenticate=authenticate)
    assert connack(world, 0x87, user="anna") == "pay your bill"
    assert connack(world, 0x83) == ""


def test_disconnect_says_which_rule_is_broken_and_that_somebody_else_has_the_identifier() -> None:
    world = World()
    first = Five(world, "c")
    Five(world, "c")
    words = "another connection has come with this client identifier; each client needs its own"
    assert (said(first, DISCONNECT), first.closed) == (words, True)
    wrong = Five(world, "wrong")
    wrong.wire.raw(packet(0x82, b"\0\1\0"))
    assert said(wrong, DISCONNECT) == "SUBSCRIBE without topic filter [MQTT-3.8.3-2]"
    for _ in range(2):
        world.engine.shut_down()
    assert wrong.closed


@statement("5.0", "MQTT-3.1.2-29")
def test_who_wants_no_words_has_none() -> None:
    world = Guarded(deny("#"), limits={"client_id_bytes": 5})
    none = {"RequestProblemInformation": 0}
    assert connack(world, 0x85, "too long", **none) == ""
    quiet = world.five("anna", **none)
    for qos in (1, 2):
        quiet.publish("t", b"", qos=qos)
        quiet.publish("t", b"", qos=qos, ContentType="x")
    assert quiet.subscribe("t") == 0x87
    quiet.wire.raw(packet(0x82, b"\0\1\0"))
    assert [got.body for got in quiet.take_all()] == [
        *(b"\0%c\x87" % number for number in (1, 2, 3, 4)),
        b"\x82",
    ]
    loud = world.five("anna", "loud", RequestProblemInformation=1)
    loud.publish("t", b"", qos=1)
    assert said(loud, PUBACK)


@statement("5.0", "MQTT-3.2.2-19", "MQTT-3.4.2-2", "MQTT-3.5.2-2", "MQTT-3.9.2-1", "MQTT-3.14.2-3")
@pytest.mark.parametrize("count", [1, 120, 130])
def test_words_go_where_the_packet_is_as_large_as_its_client_takes_and_not_where_it_would_be_larger(count: int) -> None:
    for answer, at in (
        (encode_connack(False, 0x87), 2),
        (encode_connack(False, 0x9C, properties=b"\x1c\0\x05a:123"), 2),
        (b"\x40\3\0\1\x87", 3),
        (b"\x50\3\0\1\x87", 3),
        (encode_suback(1, b"\1" * count + b"\x87"), 2),
        (encode_disconnect(0x82), 1),
    ):
        connect = Connect(b"c", True, 0, None, None, None)
        connect.level = MQTT_5_0
        whole = explained(connect, answer, "wórds")
        start = 2 if whole[1] < 128 else 3
        values, _ = unpacked(answer[0] >> 4, whole[start + at :])
        assert values.pop("ReasonString") == "wórds"
        assert values == ({"ServerReference": "a:123"} if b"a:123" in answer else {})
        assert Got(answer[0] >> 4, 0, whole[start:]).plain.body == answer[2 if answer[1] < 128 else 3 :]
        connect.packet_max = len(whole)
        assert explained(connect, answer, "wórds") == whole
        connect.packet_max -= 1
        assert explained(connect, answer, "wórds") == answer


@pytest.mark.parametrize("size", range(20, 110))
def test_a_client_of_any_maximum_packet_size_gets_no_larger_packet(size: int) -> None:
    world = Guarded(deny("#"))
    client = Five.__new__(Five)
    client.wire = world.open()
    limit = b"\x27" + size.to_bytes(4, "big")
    client.wire.raw(packet(0x10, b"\0\4MQTT\5\2\0\0\5" + limit + prefixed(b"c")))
    client.wire.raw(packet(0x32, prefixed(b"t") + b"\0\1\0"))
    client.wire.raw(packet(0x82, b"\0\2\0" + prefixed(b"t") + b"\0"))
    got = client.take()
    assert all(len(each.body) + 2 <= size for each in got)
    words = "a client without a user name may not %s 't': the broker's rules do not allow it"
    if not got[0].body[1]:  # CONNACK was accepted
        fits = [size >= len(words % verb) - 2 + more for verb, more in (("publish to", 11), ("subscribe to", 11))]
        assert [(each.kind, bool(each.said)) for each in got][1:] == [(PUBACK, fits[0]), (SUBACK, fits[1])]


def test_words_are_short_and_plain() -> None:
    connect = Connect(b"c", True, 0, None, None, None)
    connect.level = MQTT_5_0
    values, _ = unpacked(PUBACK, explained(connect, b"\x40\3\0\1\x87", "\x1b[31m" + "x" * 500)[6:])
    assert values["ReasonString"].startswith(r"\x1b[31mxxx")
    assert len(values["ReasonString"]) == MOST


def test_a_client_of_3_1_1_has_no_words_and_the_log_says_as_much_as_before(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "mqttlite.broker")
    world = Guarded(deny("#"), anonymous=False)
    world.connect("c", code=5)
    assert "it has shown no user name and password, and has to" in caplog.text
    anna = world.enter("anna")
    assert anna.subscribe("t") == [0x80]
    assert Limits().ack_properties_bytes > MOST  # as much as a client of ours takes itself
