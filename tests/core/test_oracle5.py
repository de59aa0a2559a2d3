"""MQTT 5.0 as another implementation reads and writes it: the package mqtt5, written in Rust. Random packets, each
written by one and read by the other, for both ends.
"""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqttlite.client.messages import Message
from mqttlite.client.versions.server_info import server_of
from mqttlite.core import auth, wire5, wire5_server
from mqttlite.core import properties as props
from mqttlite.core.codec import acknowledgement, publish_head
from mqttlite.core.message_properties import encode, encode_pairs
from mqttlite.core.opening5 import Opening
from mqttlite.core.packet_types import PUBACK, PUBCOMP, PUBREC, PUBREL
from mqttlite.core.parser import Parser
from mqttlite.core.session import Session
from mqttlite.core.subscription_options import properties
from mqttlite.core.versions import wire_of
from tests.core.test_client5 import Application

mqtt5 = pytest.importorskip("mqtt5")

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=30)
TOPIC = st.text("ab/ äß日本😀$", min_size=1, max_size=20)
BINARY = st.binary(max_size=200)
PAIRS = st.lists(st.tuples(TEXT, TEXT), max_size=3)
TWO = st.integers(0, 65535)
ONE_UP = st.integers(1, 65535)
QOS = st.integers(0, 2)
FOUR = st.integers(0, 0xFFFFFFFF)


def members(enumeration: Any) -> list[Any]:
    """All of one, which cannot be iterated over."""
    return [getattr(enumeration, name) for name in dir(enumeration) if name.isupper()]


def maybe(strategy: Any) -> Any:
    return st.none() | strategy


MESSAGE = st.fixed_dictionaries(
    {},
    optional={
        "expires_after_s": FOUR,
        "payload_is_text": st.just(True),
        "content_type": TEXT,
        "response_topic": TOPIC,
        "correlation_data": BINARY,
        "user_properties": PAIRS,
    },
)


def read(data: bytes) -> Any:
    """The packet that the other implementation finds, which is all of `data`."""
    packet, size = mqtt5.read(memoryview(data))
    assert size == len(data)
    return packet


def body(data: bytes) -> tuple[int, bytes]:
    """First byte and body of one packet, as our parser finds them."""
    parser = Parser(1 << 20)
    parser._check_first = lambda first: None  # type: ignore[method-assign]  # AUTH, too
    parser.feed(data)
    first = parser.next()
    return first, parser.buf[parser.start : parser.end]


def properties_of_message(packet: Any) -> dict[str, Any]:
    """What a packet or a will of the other implementation has, by our names and without what is empty."""
    found = {
        "expires_after_s": packet.message_expiry_interval,
        "payload_is_text": packet.payload_format_indicator == 1 or None,
        "content_type": packet.content_type,
        "response_topic": packet.response_topic,
        "correlation_data": packet.correlation_data,
        "user_properties": [tuple(pair) for pair in packet.user_properties] or None,
    }
    return {name: value for name, value in found.items() if value is not None}


def without_empty(properties: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in properties.items() if value != []}


# -- a client


@pytest.mark.source("replaces a method of Parser")
@given(
    client_id=TEXT,
    clean=st.booleans(),
    keep_alive_s=TWO,
    username=maybe(TEXT),
    password=maybe(BINARY),
    will=maybe(st.tuples(TOPIC, BINARY, st.integers(0, 2), st.booleans())),
    of_will=MESSAGE,
    delay_s=maybe(FOUR),
    expiry_s=st.integers(-1, 0xFFFFFFFF),
    receive_maximum=ONE_UP,
    method=maybe(TEXT.filter(bool)),
    data=BINARY.filter(bool),
    pairs=PAIRS,
)
def test_connect(
    client_id: str,
    clean: bool,
    keep_alive_s: int,
    username: str | None,
    password: bytes | None,
    will: tuple[str, bytes, int, bool] | None,
    of_will: dict[str, Any],
    delay_s: int | None,
    expiry_s: int,
    receive_maximum: int,
    method: str | None,
    data: bytes,
    pairs: list[tuple[str, str]],
) -> None:
    written = will and (will[0].encode(), *will[1:], encode(of_will | {"delay_s": delay_s}))
    fields: Any = (client_id.encode(), clean, keep_alive_s, username and username.encode(), password, written)
    if username == "":
        fields = (*fields[:3], b"", *fields[4:])
    app = Application(Session(inbound_max=receive_maximum), size_max=5000)
    opening = Opening(app.client, fields, expiry_s, encode_pairs(pairs))
    if method:
        opening.method, opening.data = method.encode(), data
    packet = opening.packet()
    found = read(packet)
    assert (found.client_id, found.clean_start, found.keep_alive) == (client_id, clean, keep_alive_s)
    assert (found.username, found.password) == (username, password)
    whole = expiry_s if expiry_s >= 0 else 0 if clean else 0xFFFFFFFF
    assert (found.session_expiry_interval, found.receive_max) == (whole, receive_maximum)
    assert found.max_packet_size == 5003 and found.user_properties == pairs
    assert (found.authentication_method, found.authentication_data) == ((method, data) if method else (None, None))
    if will:
        assert (found.will.topic, found.will.payload, found.will.qos, found.will.retain) == will
        assert properties_of_message(found.will) == without_empty(of_will)
        assert found.will.will_delay_interval == (delay_s or 0)
    else:
        assert found.will is None
    _, content = body(packet)
    if not method:
        wire, start = wire_of(content, 0, len(content), b"\4\5")
        connect = wire.decode_connect(content, start, len(content))  # and our other end
        assert (connect.client_id, connect.session_expiry_s) == (client_id.encode(), whole)


@given(TOPIC, BINARY, st.integers(0, 2), st.booleans(), MESSAGE)
def test_publish_of_a_client(topic: str, payload: bytes, qos: int, retain: bool, properties: dict[str, Any]) -> None:
    app = Application()
    app.online()
    app.client.publish(qos << 1 | retain, topic.encode(), payload, properties=encode(properties))
    found = read(b"".join(app.client.out))
    assert (found.topic, found.payload, found.qos, found.retain) == (topic, payload, qos, retain)
    assert properties_of_message(found) == without_empty(properties)


@given(
    st.lists(st.tuples(TOPIC, st.integers(0, 2)), min_size=1, max_size=4),
    st.booleans(),
    st.booleans(),
    st.integers(0, 2),
    PAIRS,
    st.integers(0, 268435455),
)
def test_subscribe_and_unsubscribe(
    filters: list[tuple[str, int]],
    no_local: bool,
    as_published: bool,
    handling: int,
    pairs: list[tuple[str, str]],
    identifier: int,
) -> None:
    flags = no_local << 2 | as_published << 3 | handling << 4
    block = properties("a", no_local, pairs or None, identifier)
    data = wire5.encode_subscribe(7, [(name.encode(), qos | flags) for name, qos in filters], block)
    found = read(data)
    assert found.packet_id == 7 and found.user_properties == pairs
    assert (found.subscription_id or 0) == identifier
    assert [(one.pattern, one.max_qos) for one in found.topic_filters] == filters
    for one in found.topic_filters:
        assert (one.no_local, one.retain_as_published, one.retain_handling) == (no_local, as_published, handling)
    found = read(wire5.encode_unsubscribe(9, [name.encode() for name, _ in filters], encode_pairs(pairs)))
    assert (found.packet_id, found.patterns, found.user_properties) == (9, [name for name, _ in filters], pairs)


@given(TOPIC, BINARY, st.integers(0, 2), st.booleans(), st.booleans(), MESSAGE, st.lists(st.integers(1, 268435455)))
def test_publish_of_a_broker(
    topic: str, payload: bytes, qos: int, retain: bool, dup: bool, properties: dict[str, Any], numbers: list[int]
) -> None:
    names = {"expires_after_s": "message_expiry_interval", "payload_is_text": "payload_format_indicator"}
    data = mqtt5.PublishPacket(
        topic,
        payload,
        qos=mqtt5.QoS(qos),
        retain=retain,
        duplicate=dup and qos > 0,
        packet_id=9 if qos else None,
        subscription_ids=numbers,
        **{names.get(name, name): value for name, value in properties.items()},
    ).write()
    app = Seeing()
    app.online()
    app.client.receive(data, 0)
    [message] = app.messages
    assert (message.topic, message.payload, message.qos, message.retain) == (topic, payload, qos, retain)
    expected = {"expires_after_s": None, "payload_is_text": False, "content_type": "", "response_topic": ""}
    expected |= {"correlation_data": b"", "user_properties": []} | properties
    assert {name: getattr(message, name) for name in expected} == expected
    assert message.subscription_identifiers == numbers


class Seeing(Application):
    """Keeps messages as an application gets them."""

    def on_message(
        self, flags: int, topic: bytes, payload: bytes, packet_id: int, generation: int, properties: bytes, /
    ) -> None:
        message = Message(topic.decode(), payload, flags, packet_id, generation)
        message.properties = properties
        self.messages = [message]


@given(
    present=st.booleans(),
    numbers=st.tuples(maybe(FOUR), maybe(TWO), ONE_UP, TWO, maybe(st.integers(1, 268435460))),
    texts=st.tuples(maybe(TEXT.filter(bool)), maybe(TEXT), maybe(TEXT), maybe(TEXT)),
    flags=st.tuples(st.booleans(), st.booleans(), st.booleans(), st.booleans()),
    qos=st.integers(0, 2),
    pairs=PAIRS,
)
def test_connack(
    present: bool, numbers: tuple[Any, ...], texts: tuple[Any, ...], flags: tuple[bool, ...], qos: int, pairs: Any
) -> None:
    packet = mqtt5.ConnAckPacket(
        session_present=present,
        session_expiry_interval=numbers[0],
        server_keep_alive=numbers[1],
        receive_max=numbers[2],
        topic_alias_max=numbers[3],
        max_packet_size=numbers[4],
        assigned_client_id=texts[0],
        response_info=texts[1],
        server_reference=texts[2],
        reason_str=texts[3],
        retain_available=flags[0],
        wildcard_subscription_available=flags[1],
        subscription_id_available=flags[2],
        shared_subscription_available=flags[3],
        max_qos=mqtt5.QoS(qos),
        user_properties=pairs,
    )
    app = Application(client_id=b"")
    app.client.connect(0)
    app.client.receive(packet.write(), 0)
    assert app.told[0] == ("connected", present)
    assert app.client.limits
    server = server_of(app.client.limits)
    assert (server.session_expiry_s, server.keep_alive_s, server.receive_maximum) == numbers[:3]
    assert (server.topic_alias_maximum, server.maximum_packet_size) == numbers[3:]
    found = (server.assigned_client_id, server.response_information, server.server_reference, server.reason_string)
    assert found == tuple(text or "" for text in texts)
    assert (server.retain_available, server.wildcard_subscription_available) == flags[:2]
    assert (server.subscription_identifiers_available, server.shared_subscription_available) == flags[2:]
    assert (server.maximum_qos, server.user_properties) == (qos, pairs)


@pytest.mark.source("replaces a method of Parser")
@given(st.integers(1, 65535), maybe(TEXT), PAIRS, st.data())
def test_acknowledgements(packet_id: int, words: str | None, pairs: Any, data: st.DataObject) -> None:
    for first, other, codes in (
        (PUBACK, mqtt5.PubAckPacket, mqtt5.PubAckReasonCode),
        (PUBREC, mqtt5.PubRecPacket, mqtt5.PubRecReasonCode),
        (PUBREL, mqtt5.PubRelPacket, mqtt5.PubRelReasonCode),
        (PUBCOMP, mqtt5.PubCompPacket, mqtt5.PubCompReasonCode),
    ):
        reason = data.draw(st.sampled_from(members(codes)))
        found = read(acknowledgement(first, packet_id, int(reason)))
        assert (type(found), found.packet_id, found.reason_code) == (other, packet_id, reason)
        byte, content = body(other(packet_id, reason_code=reason, reason_str=words, user_properties=pairs).write())
        assert byte == first
        assert wire5.decode_acknowledgement(content, 0, len(content)) == int(reason) << 16 | packet_id
    granted = data.draw(st.lists(st.sampled_from(members(mqtt5.SubAckReasonCode)), min_size=1, max_size=5))
    _, content = body(mqtt5.SubAckPacket(packet_id, granted, reason_str=words, user_properties=pairs).write())
    assert wire5.decode_suback(content, 0, len(content)) == (packet_id, bytes(map(int, granted)))
    assert read(wire5_server.encode_suback(packet_id, bytes(map(int, granted)))).reason_codes == granted
    ended = data.draw(st.lists(st.sampled_from(members(mqtt5.UnsubAckReasonCode)), min_size=1, max_size=5))
    _, content = body(mqtt5.UnsubAckPacket(packet_id, ended, reason_str=words, user_properties=pairs).write())
    assert wire5.decode_unsuback(content, 0, len(content)) == (packet_id, bytes(map(int, ended)))
    assert read(wire5_server.encode_unsuback(packet_id, bytes(map(int, ended)))).reason_codes == ended


@pytest.mark.source("replaces a method of Parser")
@given(st.sampled_from(members(mqtt5.DisconnectReasonCode)), maybe(TEXT), maybe(TEXT), PAIRS)
def test_disconnect(reason: Any, words: str | None, server: str | None, pairs: Any) -> None:
    assert read(wire5.encode_disconnect(int(reason))).reason_code == reason
    packet = mqtt5.DisconnectPacket(
        reason_code=reason, reason_str=words, server_reference=server, user_properties=pairs
    )
    _, content = body(packet.write())
    code, found = wire5.decode_disconnect(content, 0, len(content))
    assert code == reason
    assert found.get(props.REASON_STRING) == (None if words is None else words.encode())
    assert found.get(props.SERVER_REFERENCE) == (None if server is None else server.encode())


@pytest.mark.source("replaces a method of Parser")
@given(st.sampled_from(members(mqtt5.AuthReasonCode)), TEXT.filter(bool), BINARY.filter(bool))
def test_auth(reason: Any, method: str, data: bytes) -> None:
    found = read(auth.encode_auth(int(reason), method.encode(), data))
    assert (found.reason_code, found.authentication_method, found.authentication_data) == (reason, method, data)
    packet = mqtt5.AuthPacket(reason_code=reason, authentication_method=method, authentication_data=data)
    first, content = body(packet.write())
    assert first == auth.AUTH
    assert auth.decode_auth(content, 0, len(content)) == (reason, method.encode(), data)


# -- a broker


@pytest.mark.source("replaces a method of Parser")
@given(
    st.lists(
        st.tuples(TOPIC, st.integers(0, 2), st.booleans(), st.booleans(), st.integers(0, 2)), min_size=1, max_size=4
    ),
    maybe(st.integers(1, 268435455)),
    PAIRS,
)
def test_a_broker_reads_subscribe_and_unsubscribe(filters: Any, identifier: int | None, pairs: Any) -> None:
    written = [
        mqtt5.TopicFilter(
            name,
            max_qos=mqtt5.QoS(qos),
            no_local=no_local,
            retain_as_published=as_published,
            retain_handling=mqtt5.RetainHandling(handling),
        )
        for name, qos, no_local, as_published, handling in filters
    ]
    packet = mqtt5.SubscribePacket(5, written, subscription_id=identifier, user_properties=pairs)
    _, content = body(packet.write())
    number, found, block = wire5_server.decode_subscribe(content, 0, len(content))
    assert number == 5 and props.identifier_of(block) == (identifier or 0)
    assert found == [
        (name.encode(), qos | no_local << 2 | as_published << 3 | handling << 4)
        for name, qos, no_local, as_published, handling in filters
    ]
    _, content = body(mqtt5.UnsubscribePacket(6, [name for name, *_ in filters], user_properties=pairs).write())
    assert wire5_server.decode_unsubscribe(content, 0, len(content)) == (6, [name.encode() for name, *_ in filters])


@given(st.booleans(), ONE_UP, st.integers(100, 100_000), PAIRS)
def test_a_broker_writes_connack_and_publish(present: bool, receive_maximum: int, size_max: int, pairs: Any) -> None:
    block = encode_pairs(pairs)
    found = read(wire5_server.encode_connack(present, 0, receive_maximum, size_max, block))
    assert (found.session_present, found.receive_max, found.user_properties) == (present, receive_maximum, pairs)
    assert found.max_packet_size >= size_max + 2
    content = props.with_properties(block, b"payload")
    found = read(publish_head(3, b"topic", len(content)) + b"\0\5" + content)
    assert (found.topic, found.payload, found.packet_id) == ("topic", b"payload", 5)
    assert found.user_properties == pairs
