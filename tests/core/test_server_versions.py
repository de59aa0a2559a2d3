"""The server end speaks MQTT 3.1.1 and 5.0: clients of both at one owner, our own and paho's, in memory."""

from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from mqttlite.core import properties as props
from mqttlite.core import reason_codes, wire4, wire5, wire5_server
from mqttlite.core.codec import packet, prefixed, publish_head
from mqttlite.core.errors import ConnectError, ProtocolError, RefusedError
from mqttlite.core.packet_types import CONNECT, DISCONNECT, SUBSCRIBE, UNSUBSCRIBE
from mqttlite.core.parser import Parser
from mqttlite.core.server import ServerConnection
from mqttlite.core.session import Session
from tests.core.ends import SIZE_MAX, refusal
from tests.core.test_codec_peers import Paho
from tests.core.two_versions import BOTH, Guest, House
from tests.statements import statement

BLOCK = props.encode_user_properties([(b"n", b"v")])


def read(server: ServerConnection) -> list[tuple[int, bytes]]:
    """First byte and body of each packet that the server has written."""
    parser = Parser(SIZE_MAX)
    parser.feed(b"".join(server.out))
    server.out.clear()
    packets = []
    while first := parser.next():
        packets.append((first, parser.buf[parser.start : parser.end]))
    return packets


def connect5(block: str = "", flags: int = 2, payload: bytes = b"\0\1c", level: int = 5) -> bytes:
    body = b"\0\4MQTT" + bytes((level, flags, 0, 60)) + props.with_properties(bytes.fromhex(block), payload)
    return packet(CONNECT, body)


def online(house: House, block: str = "", **fields: Any) -> ServerConnection:
    server = ServerConnection(house, 0, SIZE_MAX, BOTH)
    server.receive(connect5(block, **fields), 0)
    server.out.clear()
    house.take()
    return server


# -- CONNECT


@statement("5.0", "MQTT-3.2.0-1", "MQTT-3.1.4-4", "MQTT-3.1.4-5")
def test_connack_of_5_0_says_how_many_messages_and_how_large_ones_are_taken() -> None:
    house = House()
    house.announced = b"\x25\0"  # no retained messages
    server = ServerConnection(house, 0, 1000, BOTH)
    server.receive(connect5(), 0)
    [(first, body)] = read(server)
    assert (first, body[:2]) == (0x20, b"\0\0")
    found: dict[int, int | bytes] = {}
    props.check_properties(body, 2, len(body), wire5.IN_CONNACK, found)
    assert found == {props.MAXIMUM_PACKET_SIZE: 1003, props.RETAIN_AVAILABLE: 0}
    assert house.take() == [("connect", 5, b"c")]


def test_both_versions_are_spoken_on_one_port_and_each_client_gets_its_own() -> None:
    house = House()
    old, new = Guest(house, b"old", wire4).arrive(), Guest(house, b"new", wire5).arrive()
    assert old.take() == new.take() == [("connected", False)]
    assert house.take() == [("connect", 4, b"old"), ("connect", 5, b"new")]
    assert old.client.limits is None
    assert new.client.limits and new.client.limits.packet_max == SIZE_MAX + 4


@statement("3.1.1", "MQTT-3.1.2-2")
@pytest.mark.parametrize(("levels", "level"), [(b"\4", 5), (b"\4\5", 3), (b"\4\5", 6), (b"\5", 4)])
def test_a_version_that_is_not_spoken_is_refused_as_3_1_1_does_it(levels: bytes, level: int) -> None:
    house = House()
    server = ServerConnection(house, 0, SIZE_MAX, levels)
    server.receive(connect5(level=level), 0)
    assert read(server) == [(0x20, b"\0\1")]
    assert server.finished
    assert not house.take()


def test_by_default_a_client_of_5_0_is_told_that_the_server_does_not_speak_it() -> None:
    guest = Guest(House(), b"c")
    error = refusal(lambda: guest.arrive(b"\4"))
    assert isinstance(error, RefusedError)
    assert error.code == reason_codes.UNSUPPORTED_VERSION


@statement("5.0", "MQTT-4.12.0-1")
def test_an_authentication_in_several_packets_is_refused_with_its_reason() -> None:
    server = ServerConnection(House(), 0, SIZE_MAX, BOTH)
    server.receive(connect5("15000161"), 0)
    assert read(server) == [(0x20, b"\0\x8c\0")]
    assert server.finished


@statement("5.0", "MQTT-3.1.4-1", "MQTT-3.1.2-3", "MQTT-3.1.2-11", "MQTT-3.1.2-12")
@pytest.mark.parametrize(
    "data",
    [
        connect5(flags=3),
        connect5(flags=2 | 24),
        connect5(flags=2 | 32),
        connect5("0100"),  # a property of PUBLISH
        connect5("1100000001 1100000001"),
        connect5("210000"),
        connect5(payload=b""),
        connect5(payload=b"\0\1c\0"),
        connect5(flags=2 | 4, payload=b"\0\1c" + prefixed(b"t") * 2),  # will without properties
        connect5(flags=2 | 4, payload=b"\0\1c\2\x25\1" + prefixed(b"t") * 2),
        connect5(flags=2 | 4, payload=b"\0\1c\0" + prefixed(b"+") * 2),
    ],
)
def test_a_connect_that_may_not_be_is_refused_without_an_answer(data: bytes) -> None:
    server = ServerConnection(House(), 0, SIZE_MAX, BOTH)
    assert isinstance(refusal(lambda: server.receive(data, 0)), ProtocolError)
    assert not server.out


def test_what_only_5_0_has_in_connect_is_there_for_the_owner() -> None:
    server = online(House(), "11 0000000a 21 0005 26 0001 6e 0001 76", flags=2 | 4 | 64, payload=b"".join(
        (b"\0\0", b"\5\x18\0\0\0\7", prefixed(b"w"), prefixed(b"gone"), prefixed(b"password alone"))
    ))  # fmt: skip
    connect = server.connect
    assert connect
    assert (connect.client_id, connect.password, connect.username) == (b"", b"password alone", None)
    assert (connect.session_expiry_s, connect.receive_maximum) == (10, 5)
    assert connect.will == server.will == (b"w", b"gone", 0, False)
    assert connect.will_properties == b"\x18\0\0\0\7"


@statement("5.0", "MQTT-3.3.4-9")
def test_no_more_messages_are_on_their_way_than_the_client_takes_at_once() -> None:
    house = House()
    guest = Guest(house, b"c", session=Session(inbound_max=2)).arrive()
    for number in range(3):
        house.send(b"c", 1, b"t", b"%d" % number)
    assert house.sessions[b"c"].unfinished == 2
    guest.run()
    assert [told[2] for told in guest.take()[1:]] == [b"0", b"1", b"2"]


# -- messages


@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("block", [b"", BLOCK])
def test_a_message_goes_there_and_back_with_its_properties(qos: int, block: bytes) -> None:
    house = House()
    guest = Guest(house, b"c").arrive()
    guest.client.subscribe(b"#", 2)
    guest.run()
    guest.take(), house.take()
    guest.client.publish(qos << 1, b"t", b"payload", properties=block)
    guest.run()
    assert house.take() == [("publish", qos << 1, b"t", b"payload", block)]
    got = guest.take()
    assert ("message", b"t", b"payload", block) in got
    assert len(got) == 1 + (qos > 0)
    assert not guest.client.session.messages and not house.sessions[b"c"].messages


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_clients_of_both_versions_hear_each_other(qos: int) -> None:
    house = House()
    old, new = Guest(house, b"old", wire4).arrive(), Guest(house, b"new", wire5).arrive()
    for guest in (old, new):
        guest.client.subscribe(b"t/+", 2)
        guest.run().take()
    new.client.publish(qos << 1, b"t/1", b"from 5.0", properties=BLOCK)
    new.run()
    old.run()
    assert ("message", b"t/1", b"from 5.0", b"") in old.take()
    assert ("message", b"t/1", b"from 5.0", BLOCK) in new.take()
    old.client.publish(qos << 1, b"t/2", b"from 3.1.1")
    old.run()
    new.run()
    assert ("message", b"t/2", b"from 3.1.1", b"") in old.take()
    assert ("message", b"t/2", b"from 3.1.1", b"") in new.take()


@statement("5.0", "MQTT-4.4.0-1", "MQTT-4.3.3-6", "MQTT-4.3.3-10")
@pytest.mark.parametrize("size", range(0, 80, 3))
def test_a_cut_anywhere_loses_and_doubles_nothing_at_qos_2(size: int) -> None:
    house = House()
    guest = Guest(house, b"c").arrive()
    guest.client.subscribe(b"#", 2)
    guest.run().take()
    for number in range(3):
        guest.client.publish(4, b"t", b"%d" % number, properties=BLOCK)
    guest.up(size)
    guest.leave()
    guest.arrive()
    assert [told[2] for told in guest.take() if told[0] == "message"] == [b"0", b"1", b"2"]
    assert not guest.client.session.messages and not house.sessions[b"c"].inbound


@statement("5.0", "MQTT-4.3.3-9", "MQTT-4.4.0-2")
@pytest.mark.parametrize("qos", [1, 2])
def test_a_message_that_the_owner_refuses_ends_with_its_reason_code_and_the_identifier_is_free(qos: int) -> None:
    house = House()
    guest = Guest(house, b"c").arrive()
    house.answer = reason_codes.NOT_AUTHORISED
    guest.client.publish(qos << 1, b"t", b"x")
    guest.run()
    assert guest.take()[1:] == [("finished", reason_codes.NOT_AUTHORISED)]
    assert not house.sessions[b"c"].inbound and not guest.client.session.messages
    house.answer = None
    guest.client.publish(qos << 1, b"t", b"y")
    guest.run()
    assert guest.take() == [("finished", 0)]


@statement("3.1.1", "MQTT-3.3.5-2")
@pytest.mark.parametrize("qos", [1, 2])
def test_in_3_1_1_a_message_that_the_owner_refuses_is_acknowledged(qos: int) -> None:
    house = House()
    house.answer = reason_codes.NOT_AUTHORISED
    guest = Guest(house, b"c", wire4).arrive()
    guest.client.publish(qos << 1, b"t", b"x")
    guest.run()
    assert guest.take()[1:] == [("finished", 0)]


@statement("5.0", "MQTT-3.3.4-6", "MQTT-3.3.2-8")
@pytest.mark.parametrize("block", ["0b01", "230001", "1100000001"])
def test_properties_that_only_a_server_or_nobody_may_send_in_publish_are_refused(block: str) -> None:
    house = House()
    server = online(house)
    content = props.with_properties(bytes.fromhex(block), b"x")
    refusal(lambda: server.receive(publish_head(0, b"t", len(content)) + content, 0))
    assert read(server) == [(DISCONNECT, bytes((reason_codes.MALFORMED,)))]
    assert not house.take()


# -- requests


@statement("5.0", "MQTT-3.8.4-1", "MQTT-3.8.4-6", "MQTT-3.10.4-4", "MQTT-3.11.3-1", "MQTT-3.12.4-1")
def test_requests_are_answered_with_a_reason_code_for_each_topic_filter() -> None:
    house = House()
    guest = Guest(house, b"c").arrive()
    guest.client.subscribe(b"a", 1)
    guest.client.subscribe(b"forbidden", 2)
    guest.run()
    assert guest.take()[1:] == [("suback", b"a", 1), ("suback", b"forbidden", reason_codes.NOT_AUTHORISED)]
    guest.client.subscribe(b"a", -1)
    guest.client.ping(0)
    guest.run()
    assert guest.take() == [("unsuback", b"a", 0)]
    assert guest.client.waiting_since is None
    server = online(house)
    server.receive(packet(UNSUBSCRIBE, b"\0\1\0\0\1x\0\1y"), 0)
    assert read(server) == [(0xB0, b"\0\1\0\x11\x11")]


@statement("5.0", "MQTT-3.8.3-1", "MQTT-3.8.4-2")
def test_subscription_options_and_identifier_are_there_for_the_owner() -> None:
    house = House()
    server = online(house)
    server.receive(packet(SUBSCRIBE, b"\1\2\2\x0b\7\0\1a\x2d"), 0)
    assert house.take() == [("subscribe", [(b"a", 0x2D)], b"\x0b\7")]
    assert read(server) == [(0x90, b"\1\2\0\1")]


@statement("5.0", "MQTT-3.8.3-2", "MQTT-3.8.3-5", "MQTT-3.10.3-2", "MQTT-2.2.1-3")
@pytest.mark.parametrize(
    "data",
    [
        packet(SUBSCRIBE, b"\0\1\0"),
        packet(SUBSCRIBE, b"\0\1"),
        packet(SUBSCRIBE, b"\0\0\0\0\1a\0"),
        packet(SUBSCRIBE, b"\0\1\0\0\1a"),
        packet(SUBSCRIBE, b"\0\1\0\0\1a\3"),
        packet(SUBSCRIBE, b"\0\1\0\0\1a\x30"),
        packet(SUBSCRIBE, b"\0\1\0\0\1a\x40"),
        packet(SUBSCRIBE, b"\0\1\0\0\2a#\0"),
        packet(SUBSCRIBE, b"\0\1\2\x0b\0\0\1a\0"),
        packet(UNSUBSCRIBE, b"\0\1\0"),
        packet(UNSUBSCRIBE, b"\0\1\0\0\0"),
        packet(CONNECT, connect5()[2:]),
        b"\xd0\0",
    ],
)
def test_a_request_that_may_not_be_ends_the_connection_and_the_client_is_told(data: bytes) -> None:
    server = online(House())
    refusal(lambda: server.receive(data, 0))
    [(first, body)] = read(server)
    assert first == DISCONNECT
    assert body[0] in (reason_codes.MALFORMED, reason_codes.PROTOCOL_ERROR)


def test_in_3_1_1_a_mistake_ends_the_connection_without_a_word() -> None:
    guest = Guest(House(), b"c", wire4).arrive()
    refusal(lambda: guest.server.receive(b"\xd0\0", 0))
    assert not guest.server.out


# -- the end


@statement("5.0", "MQTT-3.14.4-3")
@pytest.mark.parametrize(("body", "stays"), [(b"", False), (b"\0", False), (b"\x04", True), (b"\x04\0", True)])
def test_a_client_leaves_with_its_will_or_without(body: bytes, stays: bool) -> None:
    house = House()
    server = online(house, flags=2 | 4, payload=b"\0\1c\0" + prefixed(b"w") * 2)
    server.receive(packet(DISCONNECT, body) + b"\xc0\0", 0)
    assert house.take() == [("disconnect",)]
    assert bool(server.will) == stays
    assert server.finished and not server.is_connected and not server.out


def test_a_client_may_change_at_the_end_how_long_its_session_is_kept_but_not_begin_to_keep_it() -> None:
    server = online(House(), "1100000005")
    server.receive(packet(DISCONNECT, b"\0\5\x11\0\0\0\7"), 0)
    assert server.connect and server.connect.session_expiry_s == 7
    server = online(House())
    assert isinstance(refusal(lambda: server.receive(packet(DISCONNECT, b"\0\5\x11\0\0\0\7"), 0)), ProtocolError)


@statement("5.0", "MQTT-3.14.0-1")
def test_a_server_says_why_it_ends_a_connection_of_5_0() -> None:
    guest = Guest(House(), b"c").arrive()
    guest.server.disconnect(0x8B)
    assert guest.server.finished
    error = refusal(guest.down)
    assert isinstance(error, ConnectError)
    assert error.ended == 0x8B
    early = ServerConnection(House(), 0, SIZE_MAX, BOTH)
    early.disconnect(0x8B)
    old = Guest(House(), b"c", wire4).arrive()
    old.server.disconnect(0x8B)
    assert not early.out and not old.server.out


def test_a_client_that_is_silent_for_too_long_is_told_so() -> None:
    server = online(House())
    refusal(lambda: server.tick(90_000))
    assert read(server) == [(DISCONNECT, bytes((reason_codes.PROTOCOL_ERROR,)))]


# -- paho


def test_paho_speaks_5_0_with_our_server_end() -> None:
    house = House()
    client = Paho(client_id="p", protocol=paho.MQTTv5)
    server = ServerConnection(house, 0, SIZE_MAX, BOTH)
    seen: list[Any] = []
    client.on_connect = lambda c, u, flags, reason, p: seen.append(("connect", reason.value, p.MaximumPacketSize))
    client.on_message = lambda c, u, m: seen.append((m.topic, m.payload, m.qos, m.properties.UserProperty))
    client.on_publish = lambda c, u, mid, reason, p: seen.append(("published", reason.value))
    client.on_subscribe = lambda c, u, mid, codes, p: seen.append(("subscribe", [code.value for code in codes]))
    client.on_unsubscribe = lambda c, u, mid, codes, p: seen.append(("unsubscribe", [code.value for code in codes]))
    client.on_disconnect = lambda c, u, flags, reason, p: seen.append(("disconnect", reason.value))

    def run() -> list[Any]:
        client.wire.setblocking(False)
        while True:
            client.loop_write()
            try:
                data = client.wire.recv(65536)
            except BlockingIOError:
                data = b""
            server.receive(data, 0)
            if not data and not server.out:
                found, seen[:] = list(seen), []
                return found
            client.wire.sendall(b"".join(server.out))
            server.out.clear()
            for _ in range(10):
                client.loop_read()

    try:
        client._end.setblocking(False)
        client.connect("nowhere")
        assert run() == [("connect", 0, SIZE_MAX + 4)]
        client.subscribe([("t", 2), ("forbidden", 1)])
        assert run() == [("subscribe", [2, reason_codes.NOT_AUTHORISED])]
        for qos in range(3):
            block = Properties(PacketTypes.PUBLISH)
            block.UserProperty = ("n", "v")
            client.publish("t", b"x", qos, properties=block)
            found = run()
            assert ("t", b"x", qos, [("n", "v")]) in found
            assert ("published", 0) in found
        house.answer = reason_codes.NOT_AUTHORISED
        client.publish("t", b"x", 1)  # at QoS 2, paho takes no notice
        assert run() == [("published", reason_codes.NOT_AUTHORISED)]
        client.unsubscribe("t")
        assert run() == [("unsubscribe", [0])]
        server.disconnect(0x8B)
        assert run() == [("disconnect", 0x8B)]
        assert not house.sessions[b"p"].inbound and not house.sessions[b"p"].messages
    finally:
        client.close()


def test_return_codes_of_3_1_1_are_said_in_those_of_5_0() -> None:
    codes = [wire5_server.encode_connack(False, code)[3] for code in range(1, 6)]
    assert codes == [0x84, 0x85, 0x88, 0x86, 0x87]
    assert wire5_server.encode_connack(True, 0x97) == b"\x20\3\0\x97\0"
