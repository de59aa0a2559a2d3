"""The client end against packets from a broker, one by one, with time as an argument."""

import pytest

from mqttlite.core.errors import ConnectError, ProtocolError, RefusedError
from tests.core.ends import CLIENT_TIMEOUT_MS, Application, answer, online, refusal, written
from tests.core.packets import Packet
from tests.statements import statement


def subscribes(packets: list[Packet]) -> list[list[tuple[str, int]]]:
    return [packet.fields["subscriptions"] for packet in packets if packet.kind == "subscribe"]


# -- CONNECT and CONNACK


@statement("3.1.1", "MQTT-3.1.0-1")
def test_nothing_but_connect_leaves_before_connack() -> None:
    app = Application()
    client = app.client
    client.subscribe(b"a", 1)
    client.subscribe(b"b", -1)
    client.publish(2, b"t", b"before")
    client.connect(0)
    client.subscribe(b"c", 1)
    client.subscribe(b"d", -1)
    client.publish(4, b"t", b"while")
    assert client.publish(0, b"t", b"QoS 0") == -2
    client.tick(1)
    assert [p.kind for p in written(client)] == ["connect"]
    answer(app, "connack", session_present=False, code=0)
    kinds = [p.kind for p in written(client)]
    assert sorted(kinds) == ["publish", "publish", "subscribe", "unsubscribe", "unsubscribe"]
    assert kinds[:2] == ["publish", "publish"]


@statement("3.1.1", "MQTT-3.1.3-1", "MQTT-3.1.3-3", "MQTT-3.1.2-9")
def test_connect_carries_what_the_application_gave() -> None:
    will = (b"w", b"gone", 1, True)
    app = Application(client_id=b"id", clean_session=True, keep_alive_s=7, username=b"u", password=b"p", will=will)
    app.client.connect(0)
    [packet] = written(app.client)
    assert packet.fields == {
        "client_id": "id",
        "clean_session": True,
        "keep_alive_s": 7,
        "username": "u",
        "password": b"p",
        "will": ("w", b"gone", 1, True),
    }


@pytest.mark.parametrize("code", [1, 2, 3, 4, 5, 6, 255])
def test_a_refusal_is_an_error_with_its_code_and_says_what_to_do(code: int) -> None:
    app = Application()
    app.client.connect(0)
    error = refusal(lambda: app.client.receive(bytes((0x20, 2, 0, code)), 0))
    assert isinstance(error, RefusedError)
    assert error.code == code
    assert str(error).startswith("connection refused: ")
    assert app.told == []


@statement("3.1.1", "MQTT-3.2.0-1", "MQTT-4.8.0-1")
@pytest.mark.parametrize("packet", ["d000", "300400017478", "90030001 00", "40020001", "c000", "e000", "1000"])
def test_a_broker_that_begins_with_anything_but_connack_is_refused(packet: str) -> None:
    app = Application()
    app.client.connect(0)
    error = refusal(lambda: app.client.receive(bytes.fromhex(packet), 0))
    assert isinstance(error, ProtocolError)
    assert error.rule == "MQTT-3.2.0-1"


@statement("3.1.1", "MQTT-3.2.2-1")
def test_session_present_in_answer_to_a_clean_session_is_refused() -> None:
    app = Application(clean_session=True)
    app.client.connect(0)
    error = refusal(lambda: answer(app, "connack", session_present=True, code=0))
    assert isinstance(error, ProtocolError)
    assert error.rule == "MQTT-3.2.2-1"


def test_a_new_connection_starts_with_a_new_parser() -> None:
    app = Application()
    online(app)
    app.client.receive(b"\x30\x20\0", 0)  # a packet that never ends
    app.client.closed()
    online(app, session_present=True)
    assert app.take() == [("connected", False), ("connected", True)]


def test_what_was_not_written_is_not_written_on_the_next_connection_but_repeated() -> None:
    app = Application()
    online(app)
    app.client.publish(0, b"t", b"gone with the connection")
    app.client.publish(2, b"t", b"kept")
    app.client.closed()
    assert app.client.out == []
    again = online(app, session_present=True)
    assert [(p.fields["payload"], p.fields["dup"]) for p in again] == [(b"kept", True)]


# -- subscriptions


def test_a_subscription_is_asked_for_once_and_answered() -> None:
    app = Application()
    online(app)
    app.client.subscribe(b"a/#", 2)
    [packet] = written(app.client)
    assert packet.fields["subscriptions"] == [("a/#", 2)]
    answer(app, "suback", packet_id=packet.fields["packet_id"], codes=[1])
    assert app.take() == [("connected", False), ("suback", b"a/#", 1)]


@statement("3.1.1", "MQTT-3.1.2-4", "MQTT-4.1.0-1")
def test_subscriptions_are_asked_for_again_when_the_broker_lost_the_session() -> None:
    app = Application()
    online(app)
    for topic_filter in (b"a", b"b"):
        app.client.subscribe(topic_filter, 1)
    for packet in written(app.client):
        answer(app, "suback", packet_id=packet.fields["packet_id"], codes=[1])
    app.client.closed()
    [asked] = subscribes(online(app, session_present=False))
    assert sorted(asked) == [("a", 1), ("b", 1)]


def test_with_the_session_present_only_unacknowledged_subscriptions_are_asked_for_again() -> None:
    app = Application()
    online(app)
    app.client.subscribe(b"a", 1)
    app.client.subscribe(b"b", 2)
    first, _ = written(app.client)
    answer(app, "suback", packet_id=first.fields["packet_id"], codes=[1])
    app.client.closed()
    assert subscribes(online(app, session_present=True)) == [[("b", 2)]]


def test_many_subscriptions_are_asked_for_in_several_packets() -> None:
    app = Application()
    for number in range(20):
        app.client.subscribe(b"%d" % number, 0)
    packets = online(app)
    assert [len(p.fields["subscriptions"]) for p in packets] == [8, 8, 4]
    for packet in packets:
        answer(app, "suback", packet_id=packet.fields["packet_id"], codes=[0] * len(packet.fields["subscriptions"]))
    assert len(app.take()) == 21
    app.client.closed()
    assert online(app, session_present=True) == []


def test_a_refused_subscription_is_not_asked_for_again() -> None:
    app = Application()
    online(app)
    app.client.subscribe(b"a", 1)
    [packet] = written(app.client)
    answer(app, "suback", packet_id=packet.fields["packet_id"], codes=[0x80])
    assert app.take()[-1] == ("suback", b"a", 0x80)
    app.client.closed()
    assert online(app) == []


def test_an_unsubscription_made_offline_is_sent_after_the_reconnect() -> None:
    app = Application()
    online(app)
    app.client.subscribe(b"a", 1)
    [packet] = written(app.client)
    answer(app, "suback", packet_id=packet.fields["packet_id"], codes=[1])
    app.client.closed()
    app.client.subscribe(b"a", -1)
    [packet] = online(app, session_present=True)
    assert packet.kind == "unsubscribe"
    assert packet.fields["topic_filters"] == ["a"]
    app.client.closed()  # before the answer
    [packet] = online(app, session_present=True)
    answer(app, "unsuback", packet_id=packet.fields["packet_id"])
    assert app.take()[-1] == ("unsuback", b"a")
    app.client.closed()
    assert online(app, session_present=True) == []


def test_who_asks_finds_the_answer_in_what_it_got_whatever_becomes_of_the_subscription() -> None:
    app = Application()
    online(app)
    refused, granted = app.client.subscribe(b"a", 2), app.client.subscribe(b"b", 2)
    for packet, code in zip(written(app.client), (0x80, 1), strict=True):
        assert refused.request or granted.request
        answer(app, "suback", packet_id=packet.fields["packet_id"], codes=[code])
    assert (refused.request, refused.code) == (0, 0x80)
    assert (granted.request, granted.code) == (0, 1)
    assert app.client.subscriptions == {b"b": granted}
    ended = app.client.subscribe(b"b", -1)
    app.client.closed()
    [packet] = online(app, session_present=True)
    answer(app, "unsuback", packet_id=packet.fields["packet_id"])
    assert ended.request == 0 and app.client.subscriptions == {}


@pytest.mark.parametrize("acknowledged", [1, 2, 3])
def test_a_subscription_made_again_counts_as_made_only_when_its_own_answer_is_there(acknowledged: int) -> None:
    """Subscribe, unsubscribe, subscribe; the answer to the third may be lost together with the third."""
    app = Application()
    online(app)
    app.client.subscribe(b"a", 1)
    app.client.subscribe(b"a", -1)
    app.client.subscribe(b"a", 1)
    requests = written(app.client)
    for packet in requests[:acknowledged]:
        if packet.kind == "subscribe":
            answer(app, "suback", packet_id=packet.fields["packet_id"], codes=[1])
        else:
            answer(app, "unsuback", packet_id=packet.fields["packet_id"])
    app.client.closed()
    assert subscribes(online(app, session_present=True)) == ([] if acknowledged == 3 else [[("a", 1)]])


def test_a_subscription_with_another_qos_counts_as_made_only_when_its_own_answer_is_there() -> None:
    app = Application()
    online(app)
    app.client.subscribe(b"a", 0)
    app.client.subscribe(b"a", 2)
    first, _ = written(app.client)
    answer(app, "suback", packet_id=first.fields["packet_id"], codes=[0])
    app.client.closed()
    assert subscribes(online(app, session_present=True)) == [[("a", 2)]]


def test_an_unsubscription_made_again_counts_as_made_only_when_its_own_answer_is_there() -> None:
    app = Application()
    online(app)
    app.client.subscribe(b"a", -1)
    app.client.subscribe(b"a", 2)
    app.client.subscribe(b"a", -1)
    first, second, _ = written(app.client)
    answer(app, "unsuback", packet_id=first.fields["packet_id"])
    answer(app, "suback", packet_id=second.fields["packet_id"], codes=[2])
    app.client.closed()
    assert [p.kind for p in online(app, session_present=True)] == ["unsubscribe"]


def test_a_refusal_of_a_subscription_that_was_made_again_since_leaves_the_new_one() -> None:
    app = Application()
    online(app)
    app.client.subscribe(b"a", 2)
    app.client.subscribe(b"a", 0)
    first, second = written(app.client)
    answer(app, "suback", packet_id=first.fields["packet_id"], codes=[0x80])
    answer(app, "suback", packet_id=second.fields["packet_id"], codes=[0])
    app.client.closed()
    assert subscribes(online(app, session_present=False)) == [[("a", 0)]]


@statement("3.1.1", "MQTT-2.3.1-2", "MQTT-2.3.1-7", "MQTT-3.8.4-2", "MQTT-3.8.4-5", "MQTT-3.9.3-2", "MQTT-4.8.0-1")
@pytest.mark.parametrize(
    ("packet", "rule"),
    [
        ("9003 0009 00", "MQTT-2.3.1-7"),  # never asked
        ("b002 0009", "MQTT-2.3.1-7"),
        ("b002 0001", "MQTT-2.3.1-7"),  # that was a SUBSCRIBE
        ("9003 0002 00", "MQTT-2.3.1-7"),  # that was an UNSUBSCRIBE
        ("9002 0001", "MQTT-3.8.4-5"),
        ("9004 0001 0000", "MQTT-3.8.4-5"),
        ("9003 0001 03", "MQTT-3.9.3-2"),
        ("9003 0000 00", "MQTT-2.3.1-1"),
        ("9001 00", "2.3.1"),
        ("b003 000200", "2.2.3"),
        ("d001 00", "3.13"),
        ("2002 0000", "4.8"),  # a second CONNACK
        ("8206 0001 0001 61 00", "4.8"),
        ("a205 0001 0001 61", "4.8"),
        ("c000", "4.8"),
        ("e000", "4.8"),
        ("100c 00044d515454 04 02 0000 0000", "4.8"),
        ("4002 0000", "MQTT-2.3.1-1"),
        ("4001 00", "2.2.3"),
        ("4003 000100", "2.2.3"),
        ("5000", "2.2.3"),
        ("6203 000100", "2.2.3"),
        ("3000", "MQTT-3.3.2-1"),
        ("3002 0000", "MQTT-4.7.3-1"),
        ("3003 000261", "1.5.3"),
        ("3203 000161", "2.3.1"),
        ("3205 000161 0000", "MQTT-2.3.1-1"),
        ("3003 000123", "MQTT-3.3.2-2"),
        ("3003 0001ff", "MQTT-1.5.3-1"),
        ("3003 000100", "MQTT-1.5.3-2"),
    ],
)
def test_a_broker_that_breaks_a_rule_is_told_which(packet: str, rule: str) -> None:
    app = Application()
    online(app)
    app.client.subscribe(b"a", 1)
    app.client.subscribe(b"b", -1)
    written(app.client)
    app.take()
    error = refusal(lambda: app.client.receive(bytes.fromhex(packet), 0))
    assert isinstance(error, ProtocolError)
    assert error.rule == rule
    assert app.told == []
    app.client.closed()
    assert len(online(app, session_present=True)) == 2, "both requests are made again"


# -- messages


@statement("3.1.1", "MQTT-3.3.4-1", "MQTT-4.5.0-2", "MQTT-4.3.2-2", "MQTT-4.3.3-2")
def test_messages_are_acknowledged_when_the_application_has_handled_them() -> None:
    app = Application(handles=False)
    online(app)
    fields = {"topic": "t", "dup": False, "retain": True}
    answer(app, "publish", qos=0, packet_id=None, payload=b"0", **fields)
    answer(app, "publish", qos=1, packet_id=7, payload=b"1", **fields)
    answer(app, "publish", qos=2, packet_id=8, payload=b"2", **fields)
    assert app.take()[1:] == [("message", b"t", b"%d" % qos, 0x31 | qos << 1) for qos in (0, 1, 2)]
    assert written(app.client) == []
    app.client.session.handled(7, app.client.session.generation)
    app.client.session.handled(app.client.session.inbound[8] >> 4 << 16 | 8, app.client.session.generation)
    assert written(app.client) == [Packet("puback", {"packet_id": 7}), Packet("pubrec", {"packet_id": 8})]


def test_a_topic_name_that_is_none_is_not_accepted_from_the_application() -> None:
    app = Application()
    for topic, rule in ((b"", "MQTT-4.7.3-1"), (b"a/#", "MQTT-3.3.2-2"), (b"\xff", "MQTT-1.5.3-1")):
        error = refusal(lambda topic=topic: app.client.publish(2, topic, b""))  # type: ignore[misc]
        assert isinstance(error, ProtocolError)
        assert error.rule == rule
    error = refusal(lambda: app.client.publish(2, b"x" * 65536, b""))
    assert isinstance(error, ProtocolError)
    assert error.rule == "MQTT-4.7.3-3"
    assert not app.client.session.messages


@statement("3.1.1", "MQTT-3.14.4-1", "MQTT-3.14.4-2")
def test_nothing_leaves_after_disconnect() -> None:
    app = Application(handles=False)
    online(app)
    publish = {"topic": "t", "dup": False, "retain": False, "payload": b""}
    answer(app, "publish", qos=1, packet_id=7, **publish)
    app.client.publish(4, b"t", b"waits for PUBREC")
    app.client.disconnect()
    assert [p.kind for p in written(app.client)] == ["publish", "disconnect"]
    app.client.publish(2, b"t", b"for the next connection")
    app.client.publish(0, b"t", b"too late")
    app.client.subscribe(b"a", 0)
    app.client.subscribe(b"b", -1)
    app.client.session.handled(7, app.client.session.generation)
    answer(app, "pubrec", packet_id=1)
    answer(app, "pubrel", packet_id=9)
    answer(app, "publish", qos=2, packet_id=8, **publish)
    app.client.tick(1_000_000)
    assert written(app.client) == []
    app.client.closed()
    again = online(app, session_present=True)
    payloads = [p.fields["payload"] for p in again if p.kind == "publish"]
    assert b"for the next connection" in payloads
    assert {"subscribe", "unsubscribe"} < {p.kind for p in again}


# -- keep alive


@statement("3.1.1", "MQTT-3.1.2-23")
def test_a_silent_client_pings_before_its_keep_alive_is_over() -> None:
    app = Application(keep_alive_s=10)
    online(app, now=1_000_000)
    client = app.client
    assert client.deadline() == 1_009_000
    client.tick(1_008_999)
    assert written(client) == []
    client.tick(1_009_000)
    assert written(client) == [Packet("pingreq", {})]
    client.sent_at = 1_009_000
    assert client.deadline() == 1_009_000 + CLIENT_TIMEOUT_MS
    client.tick(1_013_000)
    answer(app, "pingresp", now=1_013_999)
    assert client.deadline() == 1_018_000
    assert written(client) == []


@statement("3.1.1", "MQTT-3.1.2-23")
def test_a_client_that_waits_for_pingresp_is_not_silent_for_longer_than_its_keep_alive() -> None:
    """It is behind what is not read, or on a slow line behind what comes first."""
    app = Application(keep_alive_s=10)
    online(app)
    publish = {"topic": "t", "dup": False, "retain": False, "payload": b"", "qos": 0, "packet_id": None}
    pings = []
    for now in range(0, 60_000, 1000):
        answer(app, "publish", now=now, **publish)
        app.client.tick(now)
        if written(app.client):
            pings.append(now)
            app.client.sent_at = now
    assert pings[0] == 9000
    assert len(pings) > 6
    assert all(later - earlier <= 9000 for earlier, later in zip(pings, [*pings[1:], 60_000], strict=True))


@statement("3.1.1", "MQTT-3.1.2-23")
def test_a_client_that_only_receives_pings_all_the_same() -> None:
    app = Application(keep_alive_s=10)
    online(app)
    publish = {"topic": "t", "dup": False, "retain": False, "payload": b"", "qos": 0, "packet_id": None}
    for now in range(1000, 9001, 1000):
        answer(app, "publish", now=now, **publish)
        app.client.tick(now)
    assert written(app.client) == [Packet("pingreq", {})]


def test_a_client_that_only_sends_finds_out_that_nobody_answers() -> None:
    app = Application(keep_alive_s=10)
    online(app)
    client = app.client
    for now in range(1000, 9000, 1000):
        client.publish(0, b"t", b"")
        written(client)
        client.sent_at = now
        client.tick(now)
    client.tick(9000)
    assert written(client) == [Packet("pingreq", {})]
    client.sent_at = 9000
    with pytest.raises(ConnectError, match="PINGREQ"):
        client.tick(9000 + CLIENT_TIMEOUT_MS)


def test_packets_that_arrive_before_pingresp_are_signs_of_life_as_well() -> None:
    app = Application(keep_alive_s=10)
    online(app)
    client = app.client
    client.tick(9000)
    assert written(client) == [Packet("pingreq", {})]
    publish = {"topic": "t", "dup": False, "retain": False, "payload": b"", "qos": 0, "packet_id": None}
    for now in range(10_000, 40_000, 3000):  # what the broker had sent before, on a slow line
        answer(app, "publish", now=now, **publish)
        client.tick(now)
    assert client.deadline() == 37_000 + CLIENT_TIMEOUT_MS
    with pytest.raises(ConnectError, match="PINGREQ"):
        client.tick(37_000 + CLIENT_TIMEOUT_MS)


def test_a_keep_alive_of_0_never_pings() -> None:
    app = Application(keep_alive_s=0)
    online(app)
    assert app.client.deadline() is None
    app.client.tick(10**9)
    assert written(app.client) == []


def test_a_first_ping_comes_a_keep_alive_after_connect_even_if_the_clock_started_long_ago() -> None:
    app = Application(keep_alive_s=10)
    app.client.connect(500_000)
    answer(app, "connack", now=500_100, session_present=False, code=0)
    written(app.client)
    assert app.client.deadline() == 509_000
    app.client.tick(500_100)
    assert written(app.client) == []


def test_connack_must_come_in_time() -> None:
    app = Application()
    assert app.client.deadline() is None
    app.client.connect(1000)
    assert app.client.deadline() == 1000 + CLIENT_TIMEOUT_MS
    app.client.tick(999 + CLIENT_TIMEOUT_MS)
    with pytest.raises(ConnectError, match="CONNECT within 5000 ms"):
        app.client.tick(1000 + CLIENT_TIMEOUT_MS)
    app.client.closed()
    assert app.client.deadline() is None
