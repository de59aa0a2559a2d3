"""The server end against packets from a client, one by one, with time as an argument."""

import pytest

from mqttlite.core.errors import ProtocolError
from mqttlite.core.server import CONNECT_SIZE_MAX, CONNECT_TIMEOUT_MS, ServerConnection
from tests.core.ends import SIZE_MAX, Broker, refusal
from tests.core.packets import Packet, decode, encode
from tests.statements import statement


def connect_packet(**fields: object) -> bytes:
    wanted = {"client_id": "c", "clean_session": True, "keep_alive_s": 10, "username": None, "password": None}
    return encode(Packet("connect", wanted | {"will": None} | fields))


def connected(broker: "Broker | None" = None, **fields: object) -> ServerConnection:
    server = ServerConnection(broker or Broker(), 0, SIZE_MAX)
    server.receive(connect_packet(**fields), 0)
    [connack] = written(server)
    assert connack.fields["code"] == 0
    return server


def written(server: ServerConnection) -> list[Packet]:
    data = b"".join(server.out)
    server.out.clear()
    return decode(data)


def rule_of(server: ServerConnection, data: bytes) -> str:
    error = refusal(lambda: server.receive(data, 0))
    assert isinstance(error, ProtocolError)
    return error.rule


# -- CONNECT

VARIABLE = "00044d515454 04"  # protocol name and level


@statement("3.1.1", "MQTT-3.1.0-1", "MQTT-4.8.0-1")
@pytest.mark.parametrize(
    "packet", ["20020000", "3003000174", "40020001", "820600010001 6100", "c000", "d000", "e000", "62020001"]
)
def test_a_client_that_begins_with_anything_but_connect_is_refused_without_an_answer(packet: str) -> None:
    server = ServerConnection(Broker(), 0, SIZE_MAX)
    assert rule_of(server, bytes.fromhex(packet)) == "MQTT-3.1.0-1"
    assert server.out == []


@statement("3.1.1", "MQTT-3.1.4-1", "MQTT-3.1.2-1", "MQTT-3.1.2-3", "MQTT-3.1.2-11", "MQTT-3.1.2-13")
@statement("3.1.1", "MQTT-3.1.2-14", "MQTT-3.1.2-15", "MQTT-3.1.2-22", "MQTT-3.1.3-3", "MQTT-3.1.3-4")
@statement("3.1.1", "MQTT-3.1.3-10", "MQTT-3.1.3-11", "MQTT-1.5.3-1", "MQTT-1.5.3-2", "MQTT-3.1.2-9")
@statement("3.1.1", "MQTT-3.1.2-18", "MQTT-3.1.2-19", "MQTT-3.1.2-20", "MQTT-3.1.2-21")
@pytest.mark.parametrize(
    ("body", "rule"),
    [
        ("", "1.5.3"),
        ("0004 4d5154", "1.5.3"),
        ("0004 4d515458 04 02 0000 0000", "MQTT-3.1.2-1"),
        ("0004 6d717474 04 02 0000 0000", "MQTT-3.1.2-1"),
        ("0006 4d5149736470 03 02 0000 0000", "MQTT-3.1.2-1"),  # MQTT 3.1
        ("0000 04 02 0000 0000", "MQTT-3.1.2-1"),
        (VARIABLE + "02 00", "3.1.2"),
        (VARIABLE + "02 0000", "1.5.3"),  # no client identifier
        (VARIABLE + "02 0000 0002 63", "1.5.3"),  # it is shorter than it says
        (VARIABLE + "02 0000 0001 63 00", "MQTT-3.1.4-1"),  # bytes behind it
        (VARIABLE + "03 0000 0001 63", "MQTT-3.1.2-3"),
        (VARIABLE + "0a 0000 0001 63", "MQTT-3.1.2-13"),
        (VARIABLE + "12 0000 0001 63", "MQTT-3.1.2-13"),
        (VARIABLE + "1a 0000 0001 63", "MQTT-3.1.2-14"),
        (VARIABLE + "22 0000 0001 63", "MQTT-3.1.2-15"),
        (VARIABLE + "1e 0000 0001 63 0001 77 0000", "MQTT-3.1.2-14"),
        (VARIABLE + "42 0000 0001 63 0001 70", "MQTT-3.1.2-22"),
        (VARIABLE + "06 0000 0001 63", "1.5.3"),  # a will is announced
        (VARIABLE + "06 0000 0001 63 0001 77", "1.5.3"),  # and its message
        (VARIABLE + "06 0000 0001 63 0000 0000", "MQTT-4.7.3-1"),
        (VARIABLE + "06 0000 0001 63 0001 2b 0000", "MQTT-3.3.2-2"),
        (VARIABLE + "06 0000 0001 63 0001 ff 0000", "MQTT-1.5.3-1"),
        (VARIABLE + "82 0000 0001 63", "1.5.3"),  # a user name is announced
        (VARIABLE + "82 0000 0001 63 0001 c0", "MQTT-1.5.3-1"),
        (VARIABLE + "82 0000 0001 63 0001 00", "MQTT-1.5.3-2"),
        (VARIABLE + "c2 0000 0001 63 0001 75", "1.5.3"),  # and a password
        (VARIABLE + "82 0000 0001 63 0001 75 0001 70", "MQTT-3.1.4-1"),  # a password is not announced
        (VARIABLE + "02 0000 0001 63 0001 77 0000", "MQTT-3.1.4-1"),  # a will is not announced
        (VARIABLE + "02 0000 0003 eda080", "MQTT-1.5.3-1"),
        (VARIABLE + "02 0000 0002 c080", "MQTT-1.5.3-1"),
        (VARIABLE + "02 0000 0003 610062", "MQTT-1.5.3-2"),
    ],
)
def test_a_connect_that_breaks_a_rule_gets_no_connack(body: str, rule: str) -> None:
    broker = Broker()
    server = ServerConnection(broker, 0, SIZE_MAX)
    data = bytes.fromhex(body)
    assert rule_of(server, bytes((0x10, len(data))) + data) == rule
    assert server.out == []
    assert broker.told == []


@statement("3.1.1", "MQTT-3.1.2-2", "MQTT-3.2.2-5")
@pytest.mark.parametrize("level", [0, 3, 5, 0x84, 255])
def test_another_protocol_level_is_answered_with_code_1_and_nothing_after_it_counts(level: int) -> None:
    broker = Broker()
    server = ServerConnection(broker, 0, SIZE_MAX)
    packet = bytearray(connect_packet())
    packet[8] = level
    server.receive(bytes(packet) + connect_packet() + b"\xc0\0", 0)
    assert b"".join(server.out) == b"\x20\x02\0\x01"
    assert server.finished
    assert broker.told == []


@statement("3.1.1", "MQTT-3.1.3-8", "MQTT-3.1.3-9", "MQTT-3.2.2-4", "MQTT-3.2.2-5")
def test_a_kept_session_without_client_identifier_is_answered_with_code_2() -> None:
    broker = Broker()
    server = ServerConnection(broker, 0, SIZE_MAX)
    server.receive(bytes.fromhex("100c" + VARIABLE + "00 0000 0000") + b"\xc0\0", 0)
    assert b"".join(server.out) == b"\x20\x02\0\x02"
    assert server.finished
    assert broker.told == []


@statement("3.1.1", "MQTT-3.1.4-5", "MQTT-3.2.2-4", "MQTT-3.1.2-12")
def test_nothing_counts_after_a_refusal() -> None:
    broker = Broker()
    broker.refuse_with = 5
    server = ServerConnection(broker, 0, SIZE_MAX)
    will = ("w", b"", 0, False)
    server.receive(connect_packet(will=will) + encode_publish(1) + b"\xc0\0" + connect_packet(), 0)
    assert b"".join(server.out) == b"\x20\x02\0\x05"
    assert broker.told == [("connect", b"c")]
    assert server.will is None


def encode_publish(qos: int, packet_id: int = 1, dup: bool = False) -> bytes:
    fields = {"topic": "t", "payload": b"x", "qos": qos, "dup": dup, "retain": False, "packet_id": packet_id}
    return encode(Packet("publish", fields))


@statement("3.1.1", "MQTT-3.1.0-2", "MQTT-4.8.0-1")
def test_a_second_connect_is_refused() -> None:
    server = connected()
    assert rule_of(server, connect_packet()) == "MQTT-3.1.0-2"
    assert server.out == []


@statement("3.1.1", "MQTT-3.2.0-1", "MQTT-3.1.4-4")
def test_connack_comes_first_and_packets_may_follow_connect_at_once() -> None:
    server = ServerConnection(Broker(), 0, SIZE_MAX)
    server.receive(connect_packet() + b"\xc0\0" + encode_publish(1), 0)
    assert [p.kind for p in written(server)] == ["connack", "pingresp", "puback"]


def test_before_connect_only_a_small_packet_is_accepted_and_after_it_a_large_one() -> None:
    server = ServerConnection(Broker(), 0, SIZE_MAX)
    assert rule_of(server, b"\x10\x81\x40") == "4.8"
    assert CONNECT_SIZE_MAX + 1 == 0x40 << 7 | 1
    server = connected()
    payload = bytes(SIZE_MAX - 3)
    fields = {"topic": "t", "payload": payload, "qos": 0, "dup": False, "retain": False, "packet_id": None}
    server.receive(encode(Packet("publish", fields)), 0)
    assert rule_of(server, encode(Packet("publish", fields | {"payload": payload + b"x"}))[:4]) == "4.8"


# -- time


def test_connect_must_come_in_time() -> None:
    server = ServerConnection(Broker(), 500, SIZE_MAX)
    assert server.deadline() == 500 + CONNECT_TIMEOUT_MS
    server.receive(connect_packet()[:5], 9000)
    server.tick(499 + CONNECT_TIMEOUT_MS)
    error = refusal(lambda: server.tick(500 + CONNECT_TIMEOUT_MS))
    assert isinstance(error, ProtocolError)
    assert error.rule == "3.1.4"


@statement("3.1.1", "MQTT-3.1.2-24")
def test_a_client_silent_for_one_and_a_half_keep_alives_is_cut_off() -> None:
    server = connected(keep_alive_s=10)
    assert server.deadline() == 15_000
    server.receive(b"\xc0\0", 14_999)
    assert server.deadline() == 29_999
    server.tick(29_998)
    error = refusal(lambda: server.tick(29_999))
    assert isinstance(error, ProtocolError)
    assert error.rule == "MQTT-3.1.2-24"


def test_a_keep_alive_of_0_never_ends_a_connection() -> None:
    server = connected(keep_alive_s=0)
    assert server.deadline() is None
    server.tick(10**12)


# -- the client's requests


@statement("3.1.1", "MQTT-3.12.4-1")
def test_pingreq_is_answered() -> None:
    server = connected()
    server.receive(b"\xc0\0\xc0\0", 0)
    assert written(server) == [Packet("pingresp", {})] * 2


@statement("3.1.1", "MQTT-3.8.4-1", "MQTT-3.8.4-2", "MQTT-3.8.4-4", "MQTT-3.9.3-1", "MQTT-3.8.4-5", "MQTT-2.3.1-7")
def test_subscribe_is_answered_with_a_code_for_each_filter_in_order() -> None:
    broker = Broker()
    server = connected(broker)
    fields = {"packet_id": 300, "subscriptions": [("a", 2), ("b/#", 0), ("+", 1)]}
    server.receive(encode(Packet("subscribe", fields)), 0)
    assert written(server) == [Packet("suback", {"packet_id": 300, "codes": [2, 0, 1]})]
    assert broker.told[-1] == ("subscribe", [(b"a", 2), (b"b/#", 0), (b"+", 1)])


@statement("3.1.1", "MQTT-3.10.4-4", "MQTT-3.10.4-5", "MQTT-3.10.4-6", "MQTT-2.3.1-7")
def test_unsubscribe_is_answered_even_where_there_was_nothing() -> None:
    server = connected()
    server.receive(encode(Packet("unsubscribe", {"packet_id": 300, "topic_filters": ["a", "b"]})), 0)
    assert written(server) == [Packet("unsuback", {"packet_id": 300})]


@statement("3.1.1", "MQTT-3.3.4-1", "MQTT-4.3.2-2", "MQTT-4.3.3-2", "MQTT-2.3.1-6")
def test_a_message_is_taken_and_answered_according_to_its_qos() -> None:
    broker = Broker()
    server = connected(broker)
    broker.take()
    server.receive(encode_publish(0) + encode_publish(1, 7) + encode_publish(2, 8) + encode_publish(2, 8, True), 0)
    assert broker.take() == [("publish", qos << 1, b"t", b"x") for qos in (0, 1, 2)]
    expected = [Packet("puback", {"packet_id": 7}), *[Packet("pubrec", {"packet_id": 8})] * 2]
    assert written(server) == expected
    server.receive(encode(Packet("pubrel", {"packet_id": 8})) * 2, 0)
    assert written(server) == [Packet("pubcomp", {"packet_id": 8})] * 2


@statement("3.1.1", "MQTT-3.8.3-1", "MQTT-3.8.3-3", "MQTT-3.10.3-1", "MQTT-3.10.3-2", "MQTT-2.3.1-1", "MQTT-4.8.0-1")
@statement("3.1.1", "MQTT-3.3.2-1", "MQTT-3.3.2-2", "MQTT-3.14.1-1")
@pytest.mark.parametrize(
    ("packet", "rule"),
    [
        ("8200", "2.3.1"),
        ("8201 00", "2.3.1"),
        ("8202 0001", "MQTT-3.8.3-3"),
        ("8206 0000 0001 61 00", "MQTT-2.3.1-1"),
        ("8203 0001 00", "1.5.3"),
        ("8205 0001 0002 61", "1.5.3"),
        ("8205 0001 0001 61", "3.8.3"),  # no QoS
        ("8206 0001 0001 61 03", "3.8.3"),
        ("8206 0001 0001 61 04", "3.8.3"),
        ("8206 0001 0001 61 81", "3.8.3"),
        ("8205 0001 0000 00", "MQTT-4.7.3-1"),
        ("8206 0001 0001 ff 00", "MQTT-1.5.3-1"),
        ("8206 0001 0001 00 00", "MQTT-1.5.3-2"),
        ("8207 0001 0002 2361 00", "MQTT-4.7.1-2"),
        ("8207 0001 0002 2b61 00", "MQTT-4.7.1-3"),
        ("8207 0001 0001 61 00 00", "1.5.3"),  # a byte behind the last filter
        ("820a 0001 0001 61 00 0001 ff 00", "MQTT-1.5.3-1"),  # the second of two: none is taken
        ("a200", "2.3.1"),
        ("a202 0001", "MQTT-3.10.3-2"),
        ("a205 0000 0001 61", "MQTT-2.3.1-1"),
        ("a204 0001 0000", "MQTT-4.7.3-1"),
        ("a205 0001 0002 61", "1.5.3"),
        ("a205 0001 0001 c1", "MQTT-1.5.3-1"),
        ("a206 0001 0001 61 00", "1.5.3"),
        ("c001 00", "3.12"),
        ("e001 00", "3.14"),
        ("e100", "MQTT-2.2.2-2"),
        ("d000", "2.1.2"),
        ("2002 0000", "2.1.2"),
        ("9003 0001 00", "2.1.2"),
        ("b002 0001", "2.1.2"),
        ("3000", "MQTT-3.3.2-1"),
        ("3001 00", "MQTT-3.3.2-1"),
        ("3002 0000", "MQTT-4.7.3-1"),
        ("3003 0002 61", "1.5.3"),
        ("3003 0001 2b", "MQTT-3.3.2-2"),
        ("3005 0003 eda080", "MQTT-1.5.3-1"),
        ("3003 0001 00", "MQTT-1.5.3-2"),
        ("3203 0001 61", "2.3.1"),
        ("3204 0001 61 00", "2.3.1"),
        ("3205 0001 61 0000", "MQTT-2.3.1-1"),
        ("3405 0001 61 0000", "MQTT-2.3.1-1"),
        ("3605 0001 61 0001", "MQTT-3.3.1-4"),
        ("3803 0001 61", "MQTT-3.3.1-2"),
        ("4000", "2.2.3"),
        ("4002 0000", "MQTT-2.3.1-1"),
        ("5003 000100", "2.2.3"),
        ("6002 0001", "MQTT-2.2.2-2"),
        ("6202 0000", "MQTT-2.3.1-1"),
        ("7001 00", "2.2.3"),
        ("0000", "2.2.1"),
        ("f000", "2.2.1"),
        ("3080808080", "2.2.3"),
        ("30ffffff7f", "4.8"),
    ],
)
def test_a_client_that_breaks_a_rule_is_told_which_and_nothing_of_the_packet_counts(packet: str, rule: str) -> None:
    broker = Broker()
    server = connected(broker)
    broker.take()
    assert rule_of(server, bytes.fromhex(packet)) == rule
    assert broker.told == []
    assert server.out == []
    assert server.session is not None
    assert server.session.inbound == {}


@statement("3.1.1", "MQTT-4.8.0-1")
@pytest.mark.parametrize(
    ("setup", "packet"),
    [
        (1, "50020001"),  # PUBREC for QoS 1
        (1, "70020001"),  # PUBCOMP for QoS 1
        (2, "40020001"),  # PUBACK for QoS 2
        (2, "70020001"),  # PUBCOMP before PUBREC
    ],
)
def test_an_acknowledgement_that_the_state_forbids_is_refused(setup: int, packet: str) -> None:
    server = connected()
    assert server.session
    server.session.publish(encode_publish(setup)[:5], b"x")
    written(server)
    assert rule_of(server, bytes.fromhex(packet)) == "4.3"


@statement("3.1.1", "MQTT-3.14.4-3", "MQTT-3.1.2-10", "MQTT-3.14.4-2")
def test_disconnect_clears_the_will_and_what_follows_it_is_ignored() -> None:
    broker = Broker()
    server = connected(broker, will=("w", b"gone", 1, True))
    assert server.will == (b"w", b"gone", 1, True)
    broker.take()
    server.receive(b"\xe0\0" + encode_publish(1) + b"\xc0\0\xe0\0" + connect_packet(), 0)
    assert broker.take() == [("disconnect",)]
    assert server.will is None
    assert server.finished
    assert server.out == []


@statement("3.1.1", "MQTT-3.1.2-8")
def test_without_disconnect_the_will_stays() -> None:
    server = connected(will=("w", b"gone", 1, True))
    refusal(lambda: server.receive(b"\x00", 0))
    server.closed()
    assert server.will == (b"w", b"gone", 1, True)


def test_what_came_before_a_broken_packet_counts_and_is_answered() -> None:
    broker = Broker()
    server = connected(broker)
    assert rule_of(server, encode_publish(1) + b"\xf0\0" + encode_publish(1, 2)) == "2.2.1"
    assert written(server) == [Packet("puback", {"packet_id": 1})]
    assert [told[0] for told in broker.told] == ["connect", "publish"]


def test_an_owner_may_close_the_connection_while_it_takes_a_message() -> None:
    broker = Broker()
    server = connected(broker)
    session = server.session
    assert session
    broker.on_publish = lambda connection, *message: connection.closed()  # type: ignore[method-assign]
    server.receive(encode_publish(2), 0)
    assert server.out == []
    assert session.out is None
