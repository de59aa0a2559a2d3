"""Packets of MQTT 5.0 that may not be, byte by byte: each ends its connection, and the client is told with the reason
code that the standard has for it; nothing of such a packet counts.

What a packet may have is table 2-4 of the standard, written down here; every property is put into every packet: as it
should be, twice, cut off, and with values that it may not have.
"""

import ast
from collections.abc import Iterator

import pytest

from mqttlite.broker.packets.farewell import REASONS
from tests.broker.five import CONNACK, DISCONNECT, Five, Got, packet, prefixed
from tests.broker.world import Wire, World
from tests.conformance.packets5 import PACKETS, TABLE, TEXT, UNKNOWN, with_block
from tests.runtimes import ROOT
from tests.statements import statement

MALFORMED, PROTOCOL_ERROR, BAD_ALIAS, TOO_LARGE, TOO_MANY = 0x81, 0x82, 0x94, 0x95, 0x93


def before_connack(wire: Wire) -> tuple[bool, list[tuple[int, int, int]]]:
    """Whether the connection is closed, and the CONNACKs that have come: flags, reason code, length of properties."""
    data = bytes(wire._bytes)
    found = []
    while data:
        assert (data[0], data[1] < 128) == (CONNACK << 4, True)
        found.append((data[2], data[3], data[4]))
        data = data[2 + data[1] :]
    return wire.closed, found


def answer(kind: str, data: bytes, **limits: int) -> int:
    """The reason code with which a client is told that its connection ends; 0: it goes on, or has ended in order."""
    world = World(**limits)
    if kind in ("CONNECT", "WILL"):
        wire = world.open()
        wire.raw(data)
        closed, [(flags, reason, size)] = before_connack(wire)
        assert not flags
        assert closed == (reason >= 0x80)
        assert not (closed and size) or reason == 0x8C  # which has words (Reason String)
        return reason
    client = Five(world, "c")
    client.wire.raw(data)
    told = [got.reason for got in client.take() if got.kind == DISCONNECT]
    assert len(told) <= 1
    assert client.closed or not told
    return told[0] if told else 0


# -- properties


@statement("5.0", "MQTT-1.5.4-1", "MQTT-1.5.4-2", "MQTT-1.5.5-1", "MQTT-1.5.7-1", "MQTT-3.3.2-13", "MQTT-3.3.2-14")
@statement("5.0", "MQTT-3.3.2-19", "MQTT-4.13.1-1", "MQTT-3.3.4-6")
@pytest.mark.parametrize("name", TABLE)
@pytest.mark.parametrize("kind", PACKETS)
def test_a_property_stands_where_it_may_once_whole_and_with_a_value_that_it_may_have(kind: str, name: str) -> None:
    number, good, packets, bad, unreadable, many = TABLE[name]
    one = bytes((number,)) + good
    first = bytes((0x15,)) + TEXT if name == "authentication data" else b""  # it does not stand alone
    if kind not in packets.split():
        if (kind, name) == ("PUBLISH", "subscription identifier"):
            wrong = PROTOCOL_ERROR  # PUBLISH may have it: a server's
        else:
            wrong = MALFORMED
        assert answer(kind, with_block(kind, first + one)) == wrong
        return
    refused = 0x8C if number in (0x15, 0x16) else 0  # this broker has no such method
    assert answer(kind, with_block(kind, first + one)) == refused
    assert answer(kind, with_block(kind, first + one + one)) == (0 if many else PROTOCOL_ERROR)
    for size in range(1, len(one)):
        assert answer(kind, with_block(kind, first + one[:size])) == MALFORMED, one[:size]
    for value in bad:
        assert answer(kind, with_block(kind, bytes((number,)) + value)) == PROTOCOL_ERROR, value
    for value in unreadable:
        assert answer(kind, with_block(kind, bytes((number,)) + value)) == MALFORMED, value


@pytest.mark.parametrize("kind", PACKETS)
def test_a_property_that_there_is_not_makes_a_packet_malformed(kind: str) -> None:
    for number in UNKNOWN:
        assert answer(kind, with_block(kind, bytes((number,)) + b"\0\1a")) == MALFORMED, number


@pytest.mark.parametrize("kind", PACKETS)
def test_properties_that_are_longer_than_their_packet_make_it_malformed(kind: str) -> None:
    whole = with_block(kind, b"")
    tail = {"CONNECT": 3, "WILL": 6, "PUBLISH": 1, "SUBSCRIBE": 4, "UNSUBSCRIBE": 3}.get(kind, 0)
    at = len(whole) - tail - 1
    for length in (b"\x1e", b"\x7f", b"\xff\x7f", b"\xff\xff\xff\x7f", b"\x80\0", b"\xff\xff\xff\xff\1", b"\xff"):
        if length == b"\xff" and tail > 1:
            continue  # what follows would be read as its second byte
        data = packet(whole[0], whole[2:at] + length + whole[at + 1 :])
        assert answer(kind, data) == MALFORMED, length


def test_data_of_an_authentication_needs_its_method() -> None:
    assert answer("CONNECT", with_block("CONNECT", bytes((0x16,)) + TEXT)) == PROTOCOL_ERROR


# -- fixed headers


@statement("5.0", "MQTT-2.1.3-1", "MQTT-3.6.1-1", "MQTT-3.8.1-1", "MQTT-3.10.1-1", "MQTT-3.14.1-1", "MQTT-3.15.1-1")
@statement("5.0", "MQTT-3.3.1-2", "MQTT-3.3.1-4", "MQTT-4.13.1-1")
def test_reserved_flags_and_packet_type_0_are_malformed_whatever_the_rest_says() -> None:
    flags = {6: 2, 8: 2, 10: 2}
    for first in range(256):
        kind, low = first >> 4, first & 15
        if kind == 3:
            bad = low & 6 == 6 or low & 14 == 8
        else:
            bad = not kind or low != flags.get(kind, 0)
        if bad:
            assert answer("", bytes((first, 0))) == MALFORMED, first


@statement("5.0", "MQTT-3.1.0-2", "MQTT-4.12.0-7", "MQTT-4.13.1-1")
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("100d 00044d515454 05 02 0000 00 0000", PROTOCOL_ERROR),  # CONNECT again
        ("2003 00 00 00", PROTOCOL_ERROR),  # CONNACK
        ("9004 0001 00 00", PROTOCOL_ERROR),  # SUBACK
        ("b004 0001 00 00", PROTOCOL_ERROR),  # UNSUBACK
        ("d000", PROTOCOL_ERROR),  # PINGRESP
        ("c001 00", MALFORMED),  # PINGREQ with a body
        ("f000", PROTOCOL_ERROR),  # AUTH of who authenticates in no such way
        ("f002 00 00", PROTOCOL_ERROR),
        ("f006 18 04 15 0001 61", PROTOCOL_ERROR),
        ("30 80808080 01", MALFORMED),  # Remaining Length of five bytes
        ("30 ffffff7f", TOO_LARGE),
        ("82 ffffff7f", TOO_LARGE),
    ],
)
def test_what_a_client_may_not_send_at_all(data: str, reason: int) -> None:
    assert answer("", bytes.fromhex(data)) == reason


# -- CONNECT


def connect(flags: int = 2, fields: bytes = prefixed(b"c"), properties: bytes = b"\0", tail: bytes = b"") -> bytes:
    return packet(0x10, b"\0\4MQTT\5" + bytes((flags, 0, 0)) + properties + fields + tail)


ID = prefixed(b"c")
WILL = b"\0" + prefixed(b"w") + prefixed(b"x")


@statement("5.0", "MQTT-3.1.2-3", "MQTT-3.1.2-9", "MQTT-3.1.2-11", "MQTT-3.1.2-12", "MQTT-3.1.2-13", "MQTT-3.1.2-16")
@statement("5.0", "MQTT-3.1.2-17", "MQTT-3.1.2-18", "MQTT-3.1.2-19", "MQTT-3.1.3-1", "MQTT-3.1.3-3", "MQTT-3.1.3-4")
@statement("5.0", "MQTT-3.1.3-11", "MQTT-3.1.3-12", "MQTT-3.1.4-1", "MQTT-3.1.4-2", "MQTT-3.2.2-6", "MQTT-3.2.2-7")
@statement("5.0", "MQTT-3.14.0-1", "MQTT-3.2.2-8")
@pytest.mark.parametrize(
    "data",
    [
        connect(3),  # reserved flag
        connect(2 | 0x08),  # QoS of a will that there is not
        connect(2 | 0x10),
        connect(2 | 0x20),  # RETAIN of a will that there is not
        connect(2 | 4 | 0x18, ID + WILL),  # will QoS 3
        connect(2 | 4),  # no will
        connect(2 | 4, ID + b"\0"),
        connect(2 | 4, ID + b"\0" + prefixed(b"w")),
        connect(2 | 4, ID + WILL[1:]),  # a will without properties
        connect(2 | 4, ID + b"\0" + prefixed(b"w/#") + prefixed(b"x")),
        connect(2 | 4, ID + b"\0" + prefixed(b"") + prefixed(b"x")),
        connect(2 | 4, ID + b"\0" + prefixed(b"\xff") + prefixed(b"x")),
        connect(2, ID + WILL),  # a will without its flag
        connect(2 | 0x80),  # no user name
        connect(2, ID + prefixed(b"u")),  # a user name without its flag
        connect(2 | 0x80, ID + prefixed(b"\xed\xa0\x80")),
        connect(2 | 0x80, ID + prefixed(b"a\0")),
        connect(2 | 0x40),  # no password
        connect(2 | 0x80, ID + prefixed(b"u") + prefixed(b"p")),  # a password without its flag
        connect(2 | 0xC0, ID + prefixed(b"u")),
        connect(2, b""),  # no client identifier
        connect(2, b"\0"),
        connect(2, b"\0\5c"),
        connect(2, prefixed(b"\xc0\x80")),
        connect(2, prefixed(b"a\0b")),
        connect(tail=b"\0"),
        connect(properties=b""),
        packet(0x10, b"\0\4MQTT\5\2\0\0"),  # ends before its properties
    ],
)
def test_a_connect_that_cannot_be_read_is_refused_in_connack(data: bytes) -> None:
    assert answer("CONNECT", data) == MALFORMED


@statement("5.0", "MQTT-3.1.2-1", "MQTT-3.1.2-2", "MQTT-3.1.0-1", "MQTT-3.14.0-1")
@pytest.mark.parametrize(
    ("data", "told"),
    [
        ("100e 0004 4d515455 05 02 0000 00 0001 63", ""),  # MQTU
        ("100d 0003 4d5154 05 02 0000 00 0001 63", ""),
        ("1000", ""),
        ("1008 0004 4d515454 05 02", ""),  # ends before the keep alive: not even its version is certain
        ("100e 0004 4d515454 06 02 0000 00 0001 63", "2002 0001"),  # a version that is not spoken, in words of 3.1.1
        ("c000", ""),
        ("e000", ""),
        ("f000", ""),
        ("3004 0001 74 00", ""),
        ("8207 0001 00 0001 74 00", ""),
    ],
)
def test_who_does_not_begin_with_a_connect_of_mqtt_gets_no_word_of_5_0(data: str, told: str) -> None:
    wire = World().open()
    wire.raw(bytes.fromhex(data))
    assert wire.closed
    assert wire._bytes == bytes.fromhex(told)


@statement("5.0", "MQTT-3.1.4-6", "MQTT-3.2.0-2")
def test_nothing_counts_behind_a_connect_that_is_refused() -> None:
    world = World()
    watcher = Five(world, "w")
    watcher.subscribe("t")
    wire = world.open()
    wire.raw(connect(3) + packet(0x30, prefixed(b"t") + b"\0x") + connect())
    assert before_connack(wire) == (True, [(0, MALFORMED, 0)])
    assert watcher.messages() == []


# -- PUBLISH and acknowledgements


def of_publish(topic: bytes = prefixed(b"t"), packet_id: bytes = b"\0\1", rest: bytes = b"\0x") -> bytes:
    return packet(0x32, topic + packet_id + rest)


@statement("5.0", "MQTT-3.3.2-1", "MQTT-3.3.2-2", "MQTT-3.3.2-8", "MQTT-3.3.2-9", "MQTT-4.7.0-1", "MQTT-4.7.3-1")
@statement("5.0", "MQTT-4.7.3-2", "MQTT-1.5.4-1", "MQTT-2.2.1-3", "MQTT-2.2.2-1")
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x30\0", MALFORMED),
        (packet(0x30, b"\0"), MALFORMED),
        (packet(0x30, b"\0\5t\0"), MALFORMED),  # topic name longer than the packet
        (packet(0x30, prefixed(b"t")), MALFORMED),  # no properties
        (of_publish(packet_id=b""), MALFORMED),
        (of_publish(packet_id=b"\0", rest=b""), MALFORMED),
        (of_publish(rest=b""), MALFORMED),
        (of_publish(packet_id=b"\0\0"), PROTOCOL_ERROR),
        (of_publish(prefixed(b"")), PROTOCOL_ERROR),  # no topic name, no topic alias
        (of_publish(prefixed(b"a/+")), MALFORMED),
        (of_publish(prefixed(b"#")), MALFORMED),
        (of_publish(prefixed(b"a\0")), MALFORMED),
        (of_publish(prefixed(b"\xed\xa0\x80")), MALFORMED),
        (of_publish(rest=b"\3\x23\0\0"), BAD_ALIAS),
        (of_publish(rest=b"\3\x23\0\x21"), BAD_ALIAS),
        (of_publish(prefixed(b""), rest=b"\3\x23\0\1"), PROTOCOL_ERROR),  # it stands for nothing
        (of_publish(rest=b"\2\x0b\1"), PROTOCOL_ERROR),  # subscription identifier
    ],
)
def test_a_publish_that_may_not_be(data: bytes, reason: int) -> None:
    assert answer("", data) == reason


OF_PUBLISH = bytes((0, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99))
OF_PUBREL = bytes((0, 0x92))


@statement("5.0", "MQTT-3.4.2-1", "MQTT-3.5.2-1", "MQTT-3.6.2-1", "MQTT-3.7.2-1", "MQTT-4.13.1-1")
@pytest.mark.parametrize(
    ("first", "codes"), [(0x40, OF_PUBLISH), (0x50, OF_PUBLISH), (0x62, OF_PUBREL), (0x70, OF_PUBREL)]
)
def test_an_acknowledgement_has_one_of_its_reason_codes(first: int, codes: bytes) -> None:
    for code in range(256):
        for rest in (b"", b"\0"):
            data = packet(first, b"\0\7" + bytes((code,)) + rest)
            assert answer("", data) == (0 if code in codes else PROTOCOL_ERROR), code
    assert answer("", packet(first, b"")) == MALFORMED
    assert answer("", packet(first, b"\1")) == MALFORMED
    assert answer("", packet(first, b"\0\0")) == PROTOCOL_ERROR
    assert answer("", packet(first, b"\0\0\0")) == PROTOCOL_ERROR
    assert answer("", packet(first, b"\0\7\0\0\0")) == MALFORMED  # a payload


@pytest.mark.parametrize(
    ("qos", "packets"),
    [(1, ["50020001"]), (1, ["70020001"]), (2, ["40020001"]), (2, ["70020001"]), (2, ["50020001", "40020001"])],
)
def test_an_acknowledgement_of_another_qos_is_a_protocol_error(qos: int, packets: list[str]) -> None:
    world = World()
    client = Five(world, "c")
    client.subscribe("t", 2)
    Five(world, "p").publish("t", b"x", qos=qos)
    (message,) = client.messages()
    assert message.packet_id == 1
    for each in packets:
        assert not client.closed
        client.wire.raw(bytes.fromhex(each))
    assert client.closed
    assert client.take()[-1].plain == Got(DISCONNECT, 0, bytes((PROTOCOL_ERROR,)))


@statement("5.0", "MQTT-4.9.0-2")
def test_more_messages_than_the_receive_maximum_end_the_connection() -> None:
    client = Five(World(inbound=2), "c")
    assert client.announced["ReceiveMaximum"] == 2
    for _ in range(2):
        client.publish("t", qos=2)
    assert not client.closed
    client.publish("t", qos=2)
    assert client.closed
    assert client.take()[-1].plain == Got(DISCONNECT, 0, bytes((TOO_MANY,)))


# -- SUBSCRIBE and UNSUBSCRIBE


def subscribe(filters: bytes = prefixed(b"t") + b"\0", properties: bytes = b"\0", packet_id: bytes = b"\0\1") -> bytes:
    return packet(0x82, packet_id + properties + filters)


@statement("5.0", "MQTT-3.8.3-1", "MQTT-3.8.3-2", "MQTT-3.8.3-4", "MQTT-3.8.3-5", "MQTT-4.7.1-1", "MQTT-4.7.1-2")
@statement("5.0", "MQTT-4.7.3-1", "MQTT-4.7.3-2", "MQTT-4.8.2-1", "MQTT-4.8.2-2")
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (packet(0x82, b""), MALFORMED),
        (packet(0x82, b"\1"), MALFORMED),
        (packet(0x82, b"\0\1"), MALFORMED),
        (subscribe(b""), PROTOCOL_ERROR),
        (subscribe(packet_id=b"\0\0"), PROTOCOL_ERROR),
        (subscribe(prefixed(b"t")), MALFORMED),  # no options
        (subscribe(prefixed(b"t") + b"\0\0"), MALFORMED),
        (subscribe(b"\0\5t\0"), MALFORMED),
        (subscribe(prefixed(b"t") + b"\3"), PROTOCOL_ERROR),  # QoS 3
        (subscribe(prefixed(b"t") + b"\x30"), PROTOCOL_ERROR),  # Retain Handling 3
        (subscribe(prefixed(b"t") + b"\x40"), MALFORMED),
        (subscribe(prefixed(b"t") + b"\x80"), MALFORMED),
        (subscribe(prefixed(b"") + b"\0"), MALFORMED),
        (subscribe(prefixed(b"t") + b"\0" + prefixed(b"") + b"\0"), MALFORMED),
        (subscribe(prefixed(b"a\0") + b"\0"), MALFORMED),
        (subscribe(prefixed(b"\xff") + b"\0"), MALFORMED),
        *((subscribe(prefixed(text) + b"\0"), MALFORMED) for text in (b"#/a", b"a#", b"a/#b", b"##", b"a+", b"+a/b")),
        (subscribe(prefixed(b"$share/g/t") + b"\4"), PROTOCOL_ERROR),  # No Local
        (subscribe(prefixed(b"$share/g") + b"\0"), PROTOCOL_ERROR),
        (subscribe(prefixed(b"$share/g/") + b"\0"), PROTOCOL_ERROR),
        (subscribe(prefixed(b"$share//t") + b"\0"), PROTOCOL_ERROR),
        (subscribe(prefixed(b"$share/+/t") + b"\0"), PROTOCOL_ERROR),
        (subscribe(properties=b"\4\x0b\1\x0b\2"), PROTOCOL_ERROR),  # two subscription identifiers
    ],
)
def test_a_subscribe_that_may_not_be(data: bytes, reason: int) -> None:
    assert answer("", data) == reason


@statement("5.0", "MQTT-3.10.3-1", "MQTT-3.10.3-2", "MQTT-4.7.3-1")
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (packet(0xA2, b""), MALFORMED),
        (packet(0xA2, b"\0\1"), MALFORMED),
        (packet(0xA2, b"\0\1\0"), PROTOCOL_ERROR),  # no topic filter
        (packet(0xA2, b"\0\0\0" + prefixed(b"t")), PROTOCOL_ERROR),
        (packet(0xA2, b"\0\1\0" + prefixed(b"")), MALFORMED),
        (packet(0xA2, b"\0\1\0" + prefixed(b"\xed\xbf\xbf")), MALFORMED),
        (packet(0xA2, b"\0\1\0" + prefixed(b"a#")), MALFORMED),
        (packet(0xA2, b"\0\1\0" + prefixed(b"t") + b"\0"), MALFORMED),
        (packet(0xA2, b"\0\1\0\0\5t"), MALFORMED),
    ],
)
def test_an_unsubscribe_that_may_not_be(data: bytes, reason: int) -> None:
    assert answer("", data) == reason


def test_a_long_subscribe_is_checked_like_a_short_one() -> None:
    many = (prefixed(b"t" * 100) + b"\0") * 100
    assert answer("", subscribe(many)) == 0
    assert answer("", subscribe(many + prefixed(b"t") + b"\3")) == PROTOCOL_ERROR
    assert answer("", subscribe(many, packet_id=b"\0\0")) == PROTOCOL_ERROR
    assert answer("", subscribe(many, properties=b"\x7f")) == MALFORMED
    assert answer("", subscribe(many, properties=b"\4\x0b\1\x0b\2")) == PROTOCOL_ERROR
    long = b"\x26" + prefixed(b"n" * 10000) * 2
    without_filter = subscribe(b"", properties=b"\xa5\x9c\1" + long)
    assert answer("", without_filter, properties_bytes=30_000) == PROTOCOL_ERROR
    assert answer("", without_filter) == 0x97  # more than this broker takes
    assert answer("", subscribe(many, properties=b"\xff\xff\xff\xff")) == MALFORMED
    assert answer("", subscribe(many, properties=b"\xff\xff\xff\x7f")) == MALFORMED


# -- DISCONNECT


@statement("5.0", "MQTT-3.14.2-1", "MQTT-3.14.4-1", "MQTT-3.14.4-2", "MQTT-4.13.2-1")
def test_a_disconnect_has_a_reason_code_of_a_client() -> None:
    good = bytes((0, 4, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, *range(0x94, 0x9A)))
    for code in range(256):
        for rest in (b"", b"\0"):
            data = packet(0xE0, bytes((code,)) + rest)
            client = Five(World(), "c")
            client.wire.raw(data + b"\xc0\0")
            told = [] if code in good else [Got(DISCONNECT, 0, bytes((PROTOCOL_ERROR,)))]
            assert (client.closed, [got.plain for got in client.take()]) == (True, told)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("e003 00 00 00", MALFORMED),  # a payload
        ("e007 00 05 11 00000001", PROTOCOL_ERROR),  # CONNECT has asked for no session that is kept
    ],
)
def test_a_disconnect_that_may_not_be(data: str, reason: int) -> None:
    assert answer("", bytes.fromhex(data)) == reason


# -- every rule has its reason


def rules() -> Iterator[str]:
    """Those that are cited where a server checks what a client sends."""
    shared = (
        "codec connection early_ends greeting parser properties reused_identifiers server session text versions auth"
    )
    files = [ROOT / "mqttlite/core" / f"{name}.py" for name in (*shared.split(), "wire5_server")]
    for path in (*files, *(ROOT / "mqttlite/broker").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
                about = node.args[0]
                if node.func.id in ("ProtocolError", "broken") and isinstance(about, ast.Constant):
                    yield str(about.value).split(" ")[0]


def test_no_reason_code_is_left_to_chance() -> None:
    cited = set(rules())
    assert len(cited) > 40
    assert cited - REASONS.keys() <= {"MQTT-3.1.2-2"}  # refused in CONNACK
    assert REASONS.keys() - cited <= {"4.8", "3.4.3", "MQTT-3.10.3-2"}  # oversize.py, wire5.py, wire4_server.py
