"""The client end in MQTT 5.0: packet by packet."""

from typing import Any

import pytest

from mqttlite.core import keys, wire5
from mqttlite.core import properties as props
from mqttlite.core.codec import packet, publish_head
from mqttlite.core.errors import ConnectError, MQTTError, ProtocolError, PublishError, RefusedError
from mqttlite.core.parser import Parser
from mqttlite.core.session import ASIDE, Session
from tests.core import ends
from tests.core.ends import SIZE_MAX, refusal
from tests.statements import statement

WILL = (b"w", b"gone", 1, False)


class Application(ends.Application):
    """Owner of a ClientProtocol in MQTT 5.0."""

    def __init__(self, session: Session | None = None, size_max: int = SIZE_MAX, **fields: Any) -> None:
        super().__init__(session=session, size_max=size_max, wire=wire5, **fields)

    def on_message(
        self, flags: int, topic: bytes, payload: bytes, packet_id: int, generation: int, properties: bytes, /
    ) -> None:
        self.told.append(("message", topic, payload, props.user_properties(properties)))
        if packet_id:
            self.client.session.handled(packet_id, generation)

    def on_large(self, flags: int, topic: bytes, size: int, packet_id: int, generation: int) -> None:
        self.told.append(("oversized", topic, size, packet_id if flags & 4 else 0))
        if packet_id:
            self.client.session.handled(packet_id, generation)

    def on_unsuback(self, topic_filter: bytes, code: int = 0, /) -> None:
        self.told.append(("unsuback", topic_filter, code))

    def written(self) -> list[tuple[int, bytes]]:
        """First byte and body of each packet that the client has written since the last call."""
        parser = Parser(SIZE_MAX)
        parser.feed(b"".join(self.client.out))
        self.client.out.clear()
        packets = []
        while first := parser.next():
            packets.append((first, parser.buf[parser.start : parser.end]))
        return packets

    def online(self, properties: str = "", present: bool = False) -> list[tuple[int, bytes]]:
        """Connects; returns what was written after CONNACK."""
        self.client.connect(0)
        assert [first for first, _ in self.written()] == [0x10]
        self.client.receive(connack(properties, present), 0)
        return self.written()


def connack(properties: str = "", present: bool = False, code: int = 0) -> bytes:
    return packet(0x20, bytes((present, code)), props.with_properties(bytes.fromhex(properties), b""))


def publish(flags: int, packet_id: int, properties: bytes, payload: bytes, topic: bytes = b"t") -> bytes:
    content = props.with_properties(properties, payload)
    identifier = packet_id.to_bytes(2, "big") if flags & 6 else b""
    return publish_head(flags, topic, len(content)) + identifier + content


def refused(app: Application, data: bytes) -> MQTTError:
    return refusal(lambda: app.client.receive(data, 0))


# -- CONNECT and CONNACK


@statement("5.0", "MQTT-3.1.0-1", "MQTT-3.1.2-9")
def test_connect_asks_for_a_session_that_is_kept_and_says_what_is_accepted() -> None:
    app = Application(Session(inbound_max=30), size_max=1000, will=WILL)
    app.client.connect(0)
    app.client.publish(2, b"t", b"waits for CONNACK")
    [(first, body)] = app.written()
    assert first == 0x10
    expected = wire5.encode_connect(b"c", False, 60, None, None, WILL, 30, 1000)
    assert body == expected[2:]


def test_a_packet_is_accepted_up_to_exactly_the_size_that_was_announced() -> None:
    app = Application(size_max=127)
    app.online()
    largest = publish(0, 0, b"", bytes(123))
    assert len(largest) == 129
    assert wire5.encode_connect(b"c", False, 60, None, None, None, 65535, 127) == (app.client.connect_packet)
    app.take()
    app.client.receive(largest, 0)
    app.client.receive(publish(0, 0, b"", bytes(124)), 0)
    assert [one[0] for one in app.take()] == ["message", "oversized"]


@statement("5.0", "MQTT-3.2.2-7")
def test_a_refusal_is_an_error_with_its_code_and_what_the_broker_said() -> None:
    app = Application()
    app.client.connect(0)
    error = refused(app, connack("1f00036e6f21", code=0x87))
    assert isinstance(error, RefusedError)
    assert error.code == 0x87
    assert "not authorised" in str(error)
    assert "no!" in str(error)


def test_a_broker_without_5_0_is_told_in_words() -> None:
    app = Application()
    app.client.connect(0)
    error = refused(app, b"\x20\2\0\1")
    assert isinstance(error, RefusedError)
    assert error.code == 0x84
    assert "use MQTT 3.1.1" in str(error)


@statement("5.0", "MQTT-3.2.0-1", "MQTT-3.14.0-1")
@pytest.mark.parametrize("data", ["e0018b", "d000", "3004 0001 74 00", "900401000000", "40020001"])
def test_a_broker_that_begins_with_anything_but_connack_is_refused(data: str) -> None:
    app = Application()
    app.client.connect(0)
    app.written()
    assert isinstance(refused(app, bytes.fromhex(data)), ProtocolError)
    assert app.written() == []


@statement("5.0", "MQTT-3.2.2-2", "MQTT-3.2.2-4")
def test_session_present_in_answer_to_a_clean_start_is_refused() -> None:
    app = Application(clean_session=True)
    app.client.connect(0)
    error = refused(app, connack(present=True))
    assert isinstance(error, ProtocolError)
    assert error.rule == "MQTT-3.2.2-1"  # as 3.1.1 numbers it


@statement("5.0", "MQTT-3.2.0-2")
def test_a_second_connack_is_refused() -> None:
    app = Application()
    app.online()
    assert isinstance(refused(app, connack()), ProtocolError)
    assert app.written() == [(0xE0, b"\x82")]


@statement("5.0", "MQTT-3.1.2-21", "MQTT-3.2.2-21")
def test_the_keep_alive_of_the_broker_counts_for_this_connection() -> None:
    app = Application(keep_alive_s=60)
    app.online("13000a")
    assert app.client.deadline() == 9000
    app.client.closed()
    app.online(present=True)
    assert app.client.deadline() == 54_000


@statement("5.0", "MQTT-3.2.2-16", "MQTT-3.1.3-2")
def test_the_session_goes_on_under_the_identifier_that_the_broker_assigned() -> None:
    app = Application(client_id=b"")
    app.online("1200036a6f65")
    assert app.client.connect_packet[-5:] == b"\0\3joe"
    app.client.closed()
    app.client.connect(0)
    assert isinstance(refused(app, connack("1200036a6f65")), ProtocolError)


@statement("5.0", "MQTT-3.3.4-7", "MQTT-4.9.0-1", "MQTT-4.9.0-2", "MQTT-3.3.4-8", "MQTT-4.9.0-3")
def test_the_receive_maximum_of_the_broker_is_never_exceeded() -> None:
    app = Application()
    app.online("210002")
    for _ in range(4):
        app.client.publish(2, b"t", b"")
    app.client.subscribe(b"s", 0)
    sent = app.written()
    assert [first for first, _ in sent] == [0x32, 0x32, 0x82]
    app.client.receive(b"\x40\2" + sent[0][1][3:5], 0)
    assert [first for first, _ in app.written()] == [0x32]
    app.client.closed()
    assert len(app.online("210001", present=True)) == 2, "SUBSCRIBE, and one message"
    app.client.closed()
    assert [first for first, _ in app.online(present=True)].count(0x3A) == 2, "the broker says nothing: all of them"


# -- limits


@statement("5.0", "MQTT-3.2.2-11", "MQTT-3.2.2-14", "MQTT-3.2.2-15")
@pytest.mark.parametrize(
    ("limit", "flags", "code"), [("2401", 4, 0x9B), ("2400", 2, 0x9B), ("2500", 1, 0x9A), ("270000000a", 0, 0x95)]
)
def test_what_the_broker_does_not_take_is_refused_at_once(limit: str, flags: int, code: int) -> None:
    app = Application()
    app.online(limit)
    with pytest.raises(PublishError) as error:
        app.client.publish(flags, b"topic", b"xx")
    assert error.value.code == code
    assert "message to 'topic' not accepted" in str(error.value)
    assert app.written() == []
    assert app.client.publish(0, b"t", b"") == -1, "and everything else is accepted"


@statement("5.0", "MQTT-3.2.2-11")
def test_what_was_accepted_before_the_limit_was_known_is_refused_when_it_is() -> None:
    app = Application()
    app.client.publish(2, b"t", b"fits")
    app.client.publish(4, b"t", b"does not")
    app.client.publish(2, b"t", b"fits, too")
    assert [first for first, _ in app.online("2401")] == [0x32, 0x32]
    assert app.take() == [("finished", 1, ASIDE | 0x9B), ("connected", False)]
    app.client.receive(b"\x40\2\0\1\x40\2\0\3", 0)
    assert app.take() == [("finished", 0, 0), ("finished", 2, 0)]
    assert app.client.session.unfinished == 0


def test_what_was_sent_already_and_fits_no_more_is_set_aside() -> None:
    app = Application()
    app.online()
    app.client.publish(4, b"t", b"")
    app.client.closed()
    app.take()
    assert app.online("2401", present=True) == []
    assert app.take() == [("finished", 0, ASIDE | 0x9B), ("connected", True)]


@statement("5.0", "MQTT-4.4.0-1")
def test_what_the_broker_owns_already_is_released_whatever_the_limits() -> None:
    app = Application()
    app.online()
    app.client.publish(4, b"t", b"")
    app.client.receive(b"\x50\2\0\1", 0)
    app.client.closed()
    assert app.online("2401", present=True) == [(0x62, b"\0\1")]


@statement("5.0", "MQTT-3.2.2-15")
def test_subscriptions_are_asked_for_in_packets_that_the_broker_takes() -> None:
    app = Application()
    for number in range(5):
        app.client.subscribe(b"topic/%d" % number, 1)
    sent = app.online("2700000018")
    assert [first for first, _ in sent] == [0x82] * 5
    assert max(len(body) + 2 for _, body in sent) <= 24
    with pytest.raises(ProtocolError, match="too long"):
        app.client.subscribe(b"a topic filter that is longer", 1)


# -- subscriptions


@statement("5.0", "MQTT-3.8.4-2", "MQTT-3.8.4-6", "MQTT-3.10.4-5")
def test_subscriptions_are_answered_with_reason_codes() -> None:
    app = Application()
    app.client.subscribe(b"a", 2)
    app.client.subscribe(b"b", 1)
    [(first, body)] = app.online()
    assert first == 0x82
    codes = b"\x02\x87" if body.index(b"a") < body.index(b"b") else b"\x87\x02"
    app.client.receive(packet(0x90, body[:2], b"\0", codes), 0)
    assert sorted(app.take()) == [("connected", False), ("suback", b"a", 2), ("suback", b"b", 0x87)]
    app.client.subscribe(b"a", -1)
    [(first, body)] = app.written()
    assert (first, body[2:]) == (0xA2, b"\0\0\1a")
    app.client.receive(packet(0xB0, body[:2], b"\0", b"\x11"), 0)
    assert app.take() == [("unsuback", b"a", 0)]
    assert app.client.subscriptions == {}


def test_a_subscription_that_the_broker_will_not_end_is_told_so_and_not_asked_about_again() -> None:
    app = Application()
    app.online()
    app.client.subscribe(b"a", -1)
    [(_, body)] = app.written()
    app.client.receive(packet(0xB0, body[:2], b"\0", b"\x87"), 0)
    assert app.take()[1:] == [("unsuback", b"a", 0x87)]
    app.client.closed()
    assert app.online(present=True) == []


@statement("5.0", "MQTT-3.9.3-2", "MQTT-3.8.4-6", "MQTT-2.2.1-6")
@pytest.mark.parametrize("end", ["", "0000", "03", "7f"])
def test_an_answer_that_does_not_fit_the_request_is_refused(end: str) -> None:
    app = Application()
    app.client.subscribe(b"a", 2)
    [(_, body)] = app.online()
    assert isinstance(refused(app, packet(0x90, body[:2], b"\0", bytes.fromhex(end))), ProtocolError)
    assert app.written() == [(0xE0, b"\x82")]


# -- messages


@statement("5.0", "MQTT-4.3.3-8", "MQTT-4.3.3-10", "MQTT-4.3.3-11", "MQTT-1.5.7-1")
def test_a_message_comes_with_its_properties_and_is_delivered_once() -> None:
    app = Application()
    app.online()
    block = props.encode_user_properties([(b"n", b"v")])
    data = publish(4, 9, b"\x01\x01" + block + b"\x0b\x07\x0b\x08", b"payload")
    app.client.receive(data, 0)
    app.client.receive(bytes((data[0] | 8,)) + data[1:], 0)
    app.client.receive(b"\x62\3\0\x09\x92", 0)
    assert app.take()[1:] == [("message", b"t", b"payload", [(b"n", b"v")])]
    assert app.written() == [(0x50, b"\0\x09"), (0x50, b"\0\x09"), (0x70, b"\0\x09")]


@statement("5.0", "MQTT-4.3.2-4", "MQTT-4.3.2-5")
def test_messages_of_every_qos_are_delivered_and_acknowledged() -> None:
    app = Application()
    app.online()
    app.client.receive(publish(0, 0, b"", b"0") + publish(2, 1, b"", b"1") + publish(2, 1, b"", b"2"), 0)
    assert [told[2] for told in app.take()[1:]] == [b"0", b"1", b"2"]
    assert app.written() == [(0x40, b"\0\1"), (0x40, b"\0\1")]


@statement("5.0", "MQTT-3.1.2-27", "MQTT-3.3.2-1", "MQTT-3.3.2-2", "MQTT-4.12.0-6")
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("30 02 0001", 0x81),  # topic name longer than the packet
        ("30 03 0001 74", 0x81),  # no properties
        ("30 03 0000 00", 0x82),  # no topic name
        ("30 04 0001 23 00", 0x82),  # a wildcard
        ("32 04 0001 74 00", 0x81),  # no packet identifier
        ("34 06 0001 74 0000 00", 0x82),  # packet identifier 0
        ("30 07 0001 74 03 23 0001", 0x94),  # a topic alias, and none was announced
        ("f0 00", 0x81),  # AUTH
    ],
)
def test_a_message_that_may_not_be_is_refused_and_the_broker_told(data: str, reason: int) -> None:
    app = Application()
    app.online()
    app.take()
    assert isinstance(refused(app, bytes.fromhex(data)), ProtocolError)
    assert app.take() == []
    assert app.client.session.inbound == {}
    assert app.written() == [(0xE0, bytes((reason,)))]


def test_a_broker_that_sends_more_than_was_announced_is_told_so() -> None:
    app = Application(Session(inbound_max=1))
    app.online()
    app.client.receive(publish(4, 1, b"", b""), 0)
    app.written()
    assert isinstance(refused(app, publish(4, 2, b"", b"")), ProtocolError)
    assert app.written() == [(0xE0, b"\x93")]


@statement("5.0", "MQTT-2.2.2-1", "MQTT-3.3.1-1", "MQTT-4.3.3-2", "MQTT-4.3.3-4")
def test_a_message_goes_with_its_properties_first_and_again() -> None:
    app = Application()
    app.online()
    key = (b"p", 1, 2)
    block = props.encode_user_properties([(keys.PROPERTY, keys.to_text(key))])
    app.client.publish(4, b"t", b"payload", b"\1", block)
    [(first, body)] = app.written()
    app.client.closed()
    [(again, same)] = app.online(present=True)
    assert (first, again) == (0x34, 0x3C)
    assert body == same == b"\0\1t\0\1" + props.with_properties(block, b"payload")
    app.client.receive(b"\x50\3\0\1\x10", 0)
    assert app.written() == [(0x62, b"\0\1")]
    app.client.receive(b"\x70\4\0\1\0\0", 0)
    assert app.take()[-1] == ("finished", 0, 0)


@statement("5.0", "MQTT-4.4.0-2", "MQTT-4.3.3-4", "MQTT-4.9.0-2")
@pytest.mark.parametrize(("flags", "answer"), [(2, 0x40), (4, 0x50)])
def test_a_message_that_the_broker_refuses_is_finished_with_the_reason_code(flags: int, answer: int) -> None:
    app = Application()
    app.online("210001")
    app.client.publish(flags, b"t", b"1")
    app.client.publish(flags, b"t", b"2")
    app.written()
    app.client.receive(bytes((answer, 3, 0, 1, 0x97)), 0)
    assert app.take()[1:] == [("finished", 0, 0x97)]
    assert [first for first, _ in app.written()] == [0x30 | flags], "no PUBREL; the next one"
    app.client.closed()
    [(_, body)] = app.online(present=True)
    assert body[-1:] == b"2"


def test_a_qos_0_message_is_sent_with_properties_or_not_at_all() -> None:
    app = Application()
    assert app.client.publish(0, b"t", b"x") == -2
    app.online()
    assert app.client.publish(0, b"t", b"x") == -1
    assert app.written() == [(0x30, b"\0\1t\0x")]


# -- the end


@statement("5.0", "MQTT-4.13.2-1", "MQTT-3.14.4-1")
def test_a_broker_that_ends_the_connection_says_why() -> None:
    app = Application()
    app.online()
    error = refused(app, b"\xe0\1\x8e")
    assert isinstance(error, ConnectError)
    assert "another connection uses the same client identifier" in str(error)
    assert app.written() == []


def test_an_orderly_end_keeps_the_session() -> None:
    app = Application()
    app.online()
    app.client.disconnect()
    assert app.written() == [(0xE0, b"")]
    app.client.receive(publish(2, 1, b"", b"left to be repeated"), 0)
    assert app.take()[1:] == []
