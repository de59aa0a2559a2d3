"""Packets of MQTT 5.0 against paho-mqtt, which writes and reads the same bytes, and against what may not be."""

from collections.abc import Callable, Iterator
from typing import Any

import paho.mqtt.client as paho
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from mqttlite.core import codec, packet_types, reasons, telling, wire5
from mqttlite.core import properties as props
from mqttlite.core.errors import ProtocolError, PublishError
from tests.core.packets import connects, identifiers, qualities, texts, topic_filters, topics
from tests.core.test_codec_peers import Paho
from tests.statements import statement

pairs = st.lists(st.tuples(texts, texts), max_size=5)
flags = st.integers(0, 1)
binaries = st.binary(max_size=40)
FOUR = st.integers(0, 2**32 - 1)
TWO = st.integers(0, 65535)

# Each property that a broker may send, as paho names it: identifier, values, packets.
FROM_BROKER: list[tuple[str, int, st.SearchStrategy[Any], tuple[int, ...]]] = [
    ("PayloadFormatIndicator", 0x01, flags, (PacketTypes.PUBLISH,)),
    ("MessageExpiryInterval", 0x02, FOUR, (PacketTypes.PUBLISH,)),
    ("ContentType", 0x03, texts, (PacketTypes.PUBLISH,)),
    ("ResponseTopic", 0x08, topics, (PacketTypes.PUBLISH,)),
    ("CorrelationData", 0x09, binaries, (PacketTypes.PUBLISH,)),
    ("SubscriptionIdentifier", 0x0B, st.integers(1, 268435455), (PacketTypes.PUBLISH,)),
    ("SessionExpiryInterval", 0x11, FOUR, (PacketTypes.CONNACK,)),
    ("AssignedClientIdentifier", 0x12, texts, (PacketTypes.CONNACK,)),
    ("AuthenticationMethod", 0x15, texts, (PacketTypes.CONNACK,)),
    ("AuthenticationData", 0x16, binaries, (PacketTypes.CONNACK,)),
    ("ServerKeepAlive", 0x13, TWO, (PacketTypes.CONNACK,)),
    ("ResponseInformation", 0x1A, texts, (PacketTypes.CONNACK,)),
    ("ServerReference", 0x1C, texts, (PacketTypes.CONNACK, PacketTypes.DISCONNECT)),
    (
        "ReasonString",
        0x1F,
        texts,
        (PacketTypes.CONNACK, PacketTypes.PUBACK, PacketTypes.SUBACK, PacketTypes.DISCONNECT),
    ),
    ("TopicAlias", 0x23, st.integers(1, 65535), (PacketTypes.PUBLISH,)),
    ("ReceiveMaximum", 0x21, st.integers(1, 65535), (PacketTypes.CONNACK,)),
    ("TopicAliasMaximum", 0x22, TWO, (PacketTypes.CONNACK,)),
    ("MaximumQoS", 0x24, flags, (PacketTypes.CONNACK,)),
    ("RetainAvailable", 0x25, flags, (PacketTypes.CONNACK,)),
    ("MaximumPacketSize", 0x27, st.integers(1, 2**28 - 1), (PacketTypes.CONNACK,)),
    ("WildcardSubscriptionAvailable", 0x28, flags, (PacketTypes.CONNACK,)),
    ("SubscriptionIdentifierAvailable", 0x29, flags, (PacketTypes.CONNACK,)),
    ("SharedSubscriptionAvailable", 0x2A, flags, (PacketTypes.CONNACK,)),
]
ALLOWED = {
    PacketTypes.CONNACK: wire5.IN_CONNACK,
    PacketTypes.PUBLISH: wire5.IN_PUBLISH,
    PacketTypes.PUBACK: wire5.IN_ANSWER,
    PacketTypes.SUBACK: wire5.IN_ANSWER,
    PacketTypes.DISCONNECT: wire5.IN_DISCONNECT,
}


def written_by_paho(kind: int, values: dict[str, Any], user: list[tuple[str, str]]) -> bytes:
    properties = Properties(kind)
    for name, value in values.items():
        setattr(properties, name, value)
    if user:
        properties.UserProperty = user
    return bytes(properties.pack())


def bytes_of(value: Any) -> Any:
    return value.encode() if isinstance(value, str) else value


def error_of(call: Callable[[], object]) -> ProtocolError:
    with pytest.raises(ProtocolError) as error:
        call()
    return error.value


# -- properties


def test_every_property_that_a_broker_may_send_is_covered() -> None:
    for kind, allowed in ALLOWED.items():
        listed = {identifier for _, identifier, _, kinds in FROM_BROKER if kind in kinds}
        assert listed | {0x26} == set(allowed)


@statement("5.0", "MQTT-1.5.7-1", "MQTT-3.3.2-18", "MQTT-1.5.4-3")
@pytest.mark.parametrize("kind", sorted(ALLOWED))
@given(data=st.data())
def test_the_properties_that_paho_writes_are_read(kind: int, data: st.DataObject) -> None:
    mine = {name: (identifier, values) for name, identifier, values, kinds in FROM_BROKER if kind in kinds}
    chosen = data.draw(st.fixed_dictionaries({}, optional={name: values for name, (_, values) in mine.items()}))
    user = data.draw(pairs)
    theirs = written_by_paho(kind, chosen, user)
    found: dict[int, int | bytes] = {}
    start, end = props.check_properties(b"x" + theirs + b"payload", 1, len(theirs) + 8, ALLOWED[kind], found)
    assert end == 1 + len(theirs)
    assert found == {mine[name][0]: bytes_of(value) for name, value in chosen.items()}
    block = (b"x" + theirs)[start:end]
    assert props.user_properties(block) == [(name.encode(), value.encode()) for name, value in user]


@statement("5.0", "MQTT-2.2.2-1", "MQTT-1.5.5-1")
@given(pairs, st.binary(max_size=300))
def test_user_properties_in_front_of_a_payload_are_split_off_again(user: list[tuple[str, str]], payload: bytes) -> None:
    given = [(name.encode(), value.encode()) for name, value in user]
    block = props.encode_user_properties(given)
    content = props.with_properties(block, payload)
    assert content == written_by_paho(PacketTypes.PUBLISH, {}, user) + payload
    assert props.split(content) == (block, payload)
    assert props.check_properties(content, 0, len(content), wire5.IN_PUBLISH)[1] == len(content) - len(payload)
    assert props.user_properties(block) == given
    for name, _ in given:
        assert props.user_property(block, name) == dict(reversed(given))[name]


def test_a_user_property_is_found_by_its_whole_name_only() -> None:
    block = props.encode_user_properties([(b"mqttlite-key-2", b"x"), (b"x", b"mqttlite-key"), (b"mqttlite-key", b"")])
    assert props.user_property(block, b"mqttlite-key") == b""
    assert props.user_property(block, b"mqttlite") is None
    assert props.user_property(b"", b"mqttlite-key") is None


@pytest.mark.parametrize("pair", [(b"\xff", b""), (b"", b"\xed\xa0\x80"), (b"a\0", b""), (b"", bytes(65536))])
def test_what_is_no_user_property_is_not_sent(pair: tuple[bytes, bytes]) -> None:
    with pytest.raises(ProtocolError):
        props.encode_user_properties([pair])


@statement("5.0", "MQTT-1.5.5-1", "MQTT-1.5.4-1", "MQTT-1.5.4-2", "MQTT-1.5.7-1", "MQTT-3.3.2-14")
@pytest.mark.parametrize(
    ("block", "rule"),
    [
        ("", "2.2.2.1"),  # nothing where the length should be
        ("80", "1.5.5"),  # a length that is cut
        ("8080808001", "1.5.5"),  # a length of five bytes
        ("8000", "MQTT-1.5.5-1"),  # a zero in two bytes
        ("03 01", "2.2.2.1"),  # longer than the packet
        ("ffffff7f", "2.2.2.1"),
        ("01 00", "2.2.2.2"),  # property 0
        ("01 2b", "2.2.2.2"),  # no such property
        ("01 ff", "2.2.2.2"),
        ("01 01", "2.2.2.2"),  # a flag without its byte
        ("02 01 02", "2.2.2"),  # a flag that is 2
        ("04 01 00 01 00", "2.2.2"),  # twice
        ("0a 02 00000000 02 00000000", "2.2.2"),
        ("04 02 000000", "2.2.2.2"),  # four bytes of which one is missing
        ("02 0b 00", "2.2.2"),  # subscription identifier 0
        ("02 0b 80", "1.5.5"),
        ("03 03 0001 61", "2.2.2.2"),  # a string that reaches into the payload
        ("02 03 00", "2.2.2.2"),
        ("04 03 0001 ff", "MQTT-1.5.3-1"),  # the numbers of UTF-8's statements are those of 3.1.1
        ("04 03 0001 00", "MQTT-1.5.3-2"),
        ("04 26 0001 61", "2.2.2.2"),  # a pair without its second half
        ("07 26 0001 61 0001 ff", "MQTT-1.5.3-1"),
        ("04 08 0001 23", "MQTT-3.3.2-2"),  # response topic with a wildcard
        ("03 13 0001", "2.2.2.2"),  # a property of CONNACK
        ("03 15 0000", "2.2.2.2"),  # authentication method
    ],
)
def test_properties_that_may_not_be_are_refused(block: str, rule: str) -> None:
    data = bytes.fromhex(block)
    assert error_of(lambda: props.check_properties(data, 0, len(data), wire5.IN_PUBLISH)).rule == rule


@pytest.mark.parametrize("block", ["03 21 0000", "05 27 00000000"])
def test_a_maximum_of_zero_is_refused(block: str) -> None:
    data = bytes.fromhex(block)
    assert error_of(lambda: props.check_properties(data, 0, len(data), wire5.IN_CONNACK)).rule == "2.2.2"


@given(st.binary(max_size=60), st.sampled_from(sorted(ALLOWED.values())))
def test_any_bytes_are_properties_or_a_protocol_error(data: bytes, allowed: bytes) -> None:
    found: dict[int, int | bytes] = {}
    try:
        start, end = props.check_properties(data, 0, len(data), allowed, found)
    except ProtocolError:
        return
    assert 0 < start <= end <= len(data)
    props.user_properties(data[start:end])


# -- what a client sends, as paho sends it


@pytest.fixture
def client() -> Iterator[Paho]:
    paho_client = Paho(client_id="c", protocol=paho.MQTTv5)
    paho_client.connect("nowhere")
    paho_client.wire.recv(100)
    yield paho_client
    paho_client.close()


@statement("5.0", "MQTT-3.1.2-1", "MQTT-3.1.2-9", "MQTT-3.1.2-11", "MQTT-3.1.2-13", "MQTT-3.1.2-16", "MQTT-3.1.2-17")
@statement("5.0", "MQTT-3.1.2-18", "MQTT-3.1.2-19", "MQTT-3.1.3-1", "MQTT-3.1.3-3", "MQTT-3.1.3-12")
@given(connects(), st.booleans(), FOUR, st.integers(1, 65535), st.integers(0, 2**28 - 6))
def test_paho_writes_the_same_connect(packet: Any, clean: bool, expiry: int, receive: int, size: int) -> None:
    f = packet.fields
    if not f["keep_alive_s"]:  # paho refuses 0
        return
    client = Paho(client_id=f["client_id"], protocol=paho.MQTTv5)
    try:
        client.introduce(f)
        properties = Properties(PacketTypes.CONNECT)
        if expiry:
            properties.SessionExpiryInterval = expiry
        if receive < 65535:
            properties.ReceiveMaximum = receive
        if size:
            properties.MaximumPacketSize = size + 1 + len(codec.remaining_length(size))
        client.connect("nowhere", keepalive=f["keep_alive_s"], clean_start=clean, properties=properties)
        will = f["will"] and (f["will"][0].encode(), *f["will"][1:])
        ours = wire5.encode_connect(
            f["client_id"].encode(),
            clean,
            f["keep_alive_s"],
            bytes_of(f["username"]),
            f["password"],
            will,
            receive,
            size,
            expiry,
        )
        assert client.written(len(ours)) == ours
    finally:
        client.close()


@statement("5.0", "MQTT-3.8.1-1", "MQTT-3.10.1-1", "MQTT-3.8.3-2", "MQTT-3.10.3-2")
@given(identifiers, st.lists(st.tuples(topic_filters(), qualities), min_size=1, max_size=8))
def test_paho_writes_the_same_subscribe_and_unsubscribe(packet_id: int, wanted: list[tuple[str, int]]) -> None:
    client = Paho(client_id="c", protocol=paho.MQTTv5)
    try:
        client.connect("nowhere")
        client.wire.recv(100)
        options = [(topic_filter.encode(), paho.SubscribeOptions(qos)) for topic_filter, qos in wanted]
        client._last_mid = packet_id - 1
        client._send_subscribe(False, options)
        ours = wire5.encode_subscribe(packet_id, [(topic_filter.encode(), qos) for topic_filter, qos in wanted])
        assert client.written(len(ours)) == ours
        client._last_mid = packet_id - 1
        client._send_unsubscribe(False, [topic_filter.encode() for topic_filter, _ in wanted])
        ours = wire5.encode_unsubscribe(packet_id, [topic_filter.encode() for topic_filter, _ in wanted])
        assert client.written(len(ours)) == ours
    finally:
        client.close()


@statement("5.0", "MQTT-3.14.1-1")
@pytest.mark.parametrize("reason", [0x00, 0x82])
def test_our_disconnect_has_its_reason_code(reason: int) -> None:
    data = wire5.encode_disconnect(reason)
    assert data[0] == packet_types.DISCONNECT
    assert data[1] == len(data) - 2
    assert wire5.decode_disconnect(data, 2, len(data)) == (reason, {})


@pytest.mark.parametrize(
    ("rule", "call"),
    [
        ("3.1.2.10", lambda: wire5.encode_connect(b"c", True, 65536)),
        ("3.1.2.11.2", lambda: wire5.encode_connect(b"c", True, 0, session_expiry_s=2**32)),
        ("3.1.2.11.3", lambda: wire5.encode_connect(b"c", True, 0, receive_maximum=0)),
        ("MQTT-3.8.3-2", lambda: wire5.encode_subscribe(1, [])),
        ("MQTT-3.10.3-2", lambda: wire5.encode_unsubscribe(1, [])),
    ],
)
@statement("5.0", "MQTT-3.8.3-2", "MQTT-3.10.3-2")
def test_what_may_not_be_sent_is_refused_before_it_is_sent(rule: str, call: Callable[[], object]) -> None:
    assert error_of(call).rule == rule


# -- what a client reads


@given(st.booleans(), st.sampled_from([0, 0x80, 0x8B, 0xFF]), pairs)
def test_connack_is_read(present: bool, code: int, user: list[tuple[str, str]]) -> None:
    flags = 1 if present and not code else 0
    body = bytes((flags, code)) + written_by_paho(PacketTypes.CONNACK, {"ReceiveMaximum": 9}, user)
    is_present, found_code, found = wire5.decode_connack(b"##" + body, 2, 2 + len(body))
    assert (is_present, found_code, found.pop(0x21)) == (flags == 1, code, 9)
    block = found.pop(0, b"")  # with the user properties
    assert isinstance(block, bytes) and not found
    assert props.user_properties(block) == [(name.encode(), value.encode()) for name, value in user]


@statement("5.0", "MQTT-3.2.2-1", "MQTT-3.2.2-6", "MQTT-3.2.2-8")
@pytest.mark.parametrize(
    ("body", "rule"),
    [
        ("", "3.2.2"),
        ("00", "3.2.2"),
        ("0000", "2.2.2.1"),
        ("020000", "MQTT-3.2.2-1"),
        ("000100", "MQTT-3.2.2-8"),
        ("018000", "MQTT-3.2.2-6"),
        ("00000000", "3.2.3"),
        ("000003110000", "2.2.2.2"),
    ],
)
def test_a_connack_that_may_not_be_is_refused(body: str, rule: str) -> None:
    data = bytes.fromhex(body)
    assert error_of(lambda: wire5.decode_connack(data, 0, len(data))).rule == rule


def test_the_refusal_by_a_broker_of_3_1_1_is_understood() -> None:
    assert wire5.decode_connack(b"\0\1", 0, 2) == (False, 0x84, {})


@statement("5.0", "MQTT-2.2.1-5")
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("0102", (258, 0)),
        ("010210", (258, 0x10)),
        ("01029700", (258, 0x97)),
        ("010297051f00026e6f", (258, 0x97)),
    ],
)
def test_reason_and_properties_of_an_acknowledgement_may_be_absent(body: str, expected: tuple[int, int]) -> None:
    data = bytes.fromhex(body)
    packet_id, reason = expected
    assert wire5.decode_acknowledgement(data, 0, len(data)) == reason << 16 | packet_id


@pytest.mark.parametrize("body", ["", "01", "0000", "00010001", "0001000000", "00010003210001", "000100041f0003"])
def test_an_acknowledgement_that_may_not_be_is_refused(body: str) -> None:
    data = bytes.fromhex(body)
    error_of(lambda: wire5.decode_acknowledgement(data, 0, len(data)))


@statement("5.0", "MQTT-2.2.1-6", "MQTT-3.9.3-1", "MQTT-3.11.3-1")
@given(identifiers, pairs, st.binary(min_size=1, max_size=9))
def test_suback_and_unsuback_are_read(packet_id: int, user: list[tuple[str, str]], codes: bytes) -> None:
    body = packet_id.to_bytes(2, "big") + written_by_paho(PacketTypes.SUBACK, {}, user) + codes
    assert wire5.decode_unsuback(body, 0, len(body)) == (packet_id, codes)
    if all(code < 3 or code >= 0x80 for code in codes):
        assert wire5.decode_suback(body, 0, len(body)) == (packet_id, codes)
    else:
        assert error_of(lambda: wire5.decode_suback(body, 0, len(body))).rule == "MQTT-3.9.3-2"


@statement("5.0", "MQTT-3.14.2-2")
@pytest.mark.parametrize(
    ("body", "expected"),
    [("", (0, {})), ("8e", (0x8E, {})), ("8e00", (0x8E, {})), ("9c051c000161 1f", None), ("8b051100000001", None)],
)
def test_disconnect_is_read_or_refused(body: str, expected: object) -> None:
    data = bytes.fromhex(body)
    if expected is None:
        error_of(lambda: wire5.decode_disconnect(data, 0, len(data)))
    else:
        assert wire5.decode_disconnect(data, 0, len(data)) == expected


@statement("5.0", "MQTT-2.2.1-5")
def test_paho_takes_our_messages_and_finishes_its_own_by_our_acknowledgements(client: Paho) -> None:
    from mqttlite.core.codec import acknowledgement, publish_head

    seen: list[Any] = []
    client.on_message = lambda c, u, m: seen.append((m.topic, m.payload, m.properties.UserProperty))
    client.on_publish = lambda c, u, mid, reason, p: seen.append(("finished", mid, reason.value))
    content = props.with_properties(props.encode_user_properties([(b"n", b"v")]), b"payload")
    client.wire.sendall(b"\x20\3\0\0\0" + publish_head(0, b"t", len(content)) + content)
    client.loop_read(), client.loop_read()
    mid = client.publish("t", b"1", qos=2).mid
    client.wire.recv(100)
    client.wire.sendall(acknowledgement(packet_types.PUBREC, mid) + acknowledgement(packet_types.PUBCOMP, mid))
    client.loop_read(), client.loop_read()
    assert seen == [("t", b"payload", [("n", "v")]), ("finished", mid, 0)]


# -- words


def test_every_reason_code_that_a_broker_may_send_has_words() -> None:
    for code in [*range(0x80, 0x8E), *range(0x8E, 0xA3)]:
        assert "reserved" not in reasons.words(code), hex(code)
    assert reasons.words(0xC3) == "reserved reason code (reason code 0xc3)"
    text = reasons.words(0x9C, "Schluß".encode(), b"other:1883")
    assert text.endswith("(reason code 0x9c); the broker says: Schluß; other server: other:1883")


def test_what_a_broker_says_cannot_move_a_terminal_nor_fill_it() -> None:
    said = "\x1b[2J\r\n\x07\x7f\x9b\u202etxt\u2028\u200b\ufeff ok ß €"
    plain = reasons.words(0x87, said.encode()).partition("the broker says: ")[2]
    assert plain == r"\x1b[2J\x0d\x0a\x07\x7f\x9b\u202etxt\u2028\u200b\ufeff ok ß €"
    assert plain.isprintable()
    assert len(reasons.words(0x87, b"x" * 65535)) < 700
    error = telling.explained(PublishError(0x87, "refused"), 0x87, b"\0\1\x87\x09\x1f\0\x06a\r\x1bb\r\n", 3)
    assert str(error) == r"refused; the broker says: a\x0d\x1bb\x0d\x0a"
    assert error.reason_string == "a\r\x1bb\r\n", "a program has it as it came"
