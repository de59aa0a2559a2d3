"""How a client's messages leave in MQTT 5.0: aliases where they save bytes, and what has expired not at all."""

import random

from mqttlite.core import outbound5
from mqttlite.core import properties as props
from mqttlite.core.codec import publish_head
from mqttlite.core.session import EXPIRED, Session
from tests.core.test_client5 import Application
from tests.statements import statement

TOPIC = b"building/3/room/17"
ALIASES_10 = "22 00 0a"


def read(packets: list[tuple[int, bytes]], aliases: dict[int, bytes]) -> list[tuple[bytes, bytes, bytes]]:
    """Topic, properties without the alias, payload of each PUBLISH, as a broker with these aliases reads them."""
    found = []
    for first, body in packets:
        assert first & 0xF0 == 0x30
        at = 2 + int.from_bytes(body[:2], "big")
        topic = body[2:at]
        at += 2 if first & 6 else 0
        values: dict[int, int | bytes] = {}
        begin, end = props.check_properties(body, at, len(body), b"\x01\x02\x03\x08\x09\x23\x26", values)
        block = body[begin:end]
        alias = values.get(props.TOPIC_ALIAS)
        if alias is not None:
            assert isinstance(alias, int) and alias > 0
            if topic:
                aliases[alias] = topic
            topic = aliases[alias]
            block = props.without(block, props.TOPIC_ALIAS)
        assert topic
        found.append((topic, block, body[end:]))
    return found


@statement("5.0", "MQTT-3.3.2-8", "MQTT-3.3.2-10", "MQTT-3.3.2-12")
def test_a_topic_that_comes_again_gets_an_alias_and_what_is_kept_has_none() -> None:
    app = Application()
    app.online(ALIASES_10)
    for qos in (0, 1, 2):
        app.client.publish(qos << 1, TOPIC, b"x%d" % qos)
    written = app.written()
    sizes = [len(body) for _, body in written]
    assert sizes[2] < sizes[0] < sizes[1] and len(TOPIC) - 3 == sizes[1] - 3 - sizes[2]
    assert [message[::2] for message in read(written, {})] == [(TOPIC, b"x0"), (TOPIC, b"x1"), (TOPIC, b"x2")]
    assert [head[-len(TOPIC) :] for head, _, _ in app.client.session.messages.values()] == [TOPIC, TOPIC]


@statement("5.0", "MQTT-3.3.2-7")
def test_an_alias_ends_with_its_connection() -> None:
    app = Application()
    app.online(ALIASES_10)
    for number in range(3):
        app.client.publish(2, TOPIC, b"%d" % number)
    assert app.written()[2][1][:2] == b"\0\0"
    app.client.closed()
    again = app.online(ALIASES_10, present=True)
    assert [message[2] for message in read(again, {})] == [b"0", b"1", b"2"]  # a broker that knows none understands all
    assert all(first & 8 for first, _ in again)
    app.client.closed()
    assert all(body[:2] != b"\0\0" for _, body in app.online(present=True))


@statement("5.0", "MQTT-3.2.2-17", "MQTT-3.2.2-18")
def test_no_alias_is_sent_to_a_broker_that_takes_none_nor_one_above_its_maximum() -> None:
    app = Application()
    app.online()
    for _ in range(5):
        app.client.publish(0, TOPIC, b"")
    assert [body for _, body in app.written()] == [b"\0\x12" + TOPIC + b"\0"] * 5
    app = Application()
    app.online("22 00 02")
    aliases: dict[int, bytes] = {}
    for number in range(40):
        app.client.publish(0, TOPIC + b"/%d" % (number % 4), b"")
    assert len(read(app.written(), aliases)) == 40 and set(aliases) == {1, 2}


def test_an_alias_that_is_not_used_any_more_goes_to_a_topic_that_is() -> None:
    app = Application()
    app.online("22 00 01")
    aliases: dict[int, bytes] = {}
    topics = [b"first topic"] * 3 + [b"second topic"] * 20
    for topic in topics:
        app.client.publish(0, topic, b"")
    written = app.written()
    assert [message[0] for message in read(written, aliases)] == topics
    assert aliases == {1: b"second topic"} and written[-1][1][:2] == b"\0\0"


def test_whatever_is_published_arrives_under_its_topic() -> None:
    draw = random.Random(5)
    for maximum in (1, 2, 5, 40):
        app = Application(Session(window=60000))
        app.online(f"22 00 {maximum:02x}")
        aliases: dict[int, bytes] = {}
        sent = []
        for _ in range(3000):
            topic = b"topic/%d" % int(draw.paretovariate(0.7)) if draw.random() < 0.9 else b"t"
            block = props.encode_user_properties([(b"n", b"v" * 100)]) if draw.random() < 0.2 else b""
            payload = bytes(draw.choice((0, 1, 100, 130, 5000)))
            sent.append((topic, block, payload))
            app.client.publish(draw.choice((0, 2)), topic, payload, properties=block)
        assert read(app.written(), aliases) == sent
        assert len(aliases) <= min(maximum, outbound5.ALIAS_MAX)


@statement("5.0", "MQTT-3.2.2-15")
def test_an_alias_makes_no_packet_larger_than_the_broker_takes() -> None:
    app = Application()
    app.online(ALIASES_10 + "27 00 00 00 40")
    room = 0x40 - len(publish_head(0, TOPIC, 1)) - 1
    for _ in range(4):
        app.client.publish(0, TOPIC, bytes(room))
    assert {len(body) + 2 for _, body in app.written()} == {0x40}


def expiring(app: Application, now: list[int], qos: int, left_s: int, payload: bytes) -> int:
    app.client.wall_ms = lambda: now[0]
    app.client.get_outbound()
    key = b"\6" + (now[0] + 1000 * left_s).to_bytes(6, "big")
    return app.client.publish(qos << 1, TOPIC, payload, key, b"\2" + left_s.to_bytes(4, "big") + b"\1\1")


def test_the_time_that_has_passed_is_taken_off_at_each_sending() -> None:
    app = Application()
    now = [1_800_000_000_000]
    expiring(app, now, 1, 100, b"x")
    now[0] += 10_500
    [(first, body)] = app.online()
    assert first == 0x32 and read([(first, body)], {}) == [(TOPIC, b"\2\0\0\0\x5a\1\1", b"x")]
    app.client.closed()
    now[0] += 80_000
    [(first, body)] = app.online(present=True)
    assert first == 0x3A and read([(first, body)], {}) == [(TOPIC, b"\2\0\0\0\x0a\1\1", b"x")]


def test_what_has_expired_is_not_sent_and_not_sent_again_and_its_identifier_is_given_back() -> None:
    app = Application()
    now = [1_800_000_000_000]
    app.online()
    numbers = [expiring(app, now, qos, 5, b"x") for qos in (1, 2)]
    assert [first for first, _ in app.written()] == [0x32, 0x34]
    app.client.closed()
    numbers.append(expiring(app, now, 2, 5, b"never sent"))
    last = app.client.publish(2, b"t", b"stays")
    now[0] += 5000
    written = app.online(present=True)
    assert [first for first, _ in written] == [0x62, 0x32]  # PUBREL for the one at QoS 2; the message that stays
    assert written[0][1] == (numbers[1] % 65535 + 1).to_bytes(2, "big")
    assert [told for told in app.told if told[0] == "finished"] == [("finished", seq, EXPIRED) for seq in numbers]
    app.client.receive(b"\x70\x02" + written[0][1], 0)  # PUBCOMP for it is nothing new
    assert list(app.client.session.messages) == [last]
    app.client.session.check()


def test_who_looks_ends_what_was_never_sent_and_knows_when_to_look_again() -> None:
    app = Application(Session(window=1))
    now = [1_800_000_000_000]
    app.online()
    numbers = [expiring(app, now, 1, left_s, b"x") for left_s in (5, 7, 9)]
    outbound = app.client.get_outbound()
    assert outbound.sweep() == 7000  # the first was sent
    now[0] += 8000
    assert outbound.sweep() == 1000
    assert list(app.client.session.messages) == [numbers[0], numbers[2]]
    app.client.session.check()
    now[0] += 1000
    assert outbound.sweep() == -1
