"""Packets as plain values, for tests: what mqttlite writes for them, and what it reads.

A packet is (kind, fields), kind the standard's name in lower case. Text is str, binary data bytes.
"""

from typing import Any, NamedTuple

from hypothesis import strategies as st

from mqttlite.core import codec, greeting, packet_types, versions, wire4, wire4_server
from mqttlite.core.parser import Parser
from mqttlite.core.text import check_topic_filter, check_topic_name


class Packet(NamedTuple):
    kind: str
    fields: dict[str, Any]


ACKNOWLEDGEMENTS = {
    "puback": packet_types.PUBACK,
    "pubrec": packet_types.PUBREC,
    "pubrel": packet_types.PUBREL,
    "pubcomp": packet_types.PUBCOMP,
    "unsuback": packet_types.UNSUBACK,
}
EMPTY = {"pingreq": packet_types.PINGREQ, "pingresp": packet_types.PINGRESP, "disconnect": packet_types.DISCONNECT}


def encode(packet: Packet) -> bytes:
    """The bytes that mqttlite sends."""
    kind, f = packet
    if kind == "connect":
        will = f["will"] and (f["will"][0].encode(), *f["will"][1:])
        username = None if f["username"] is None else f["username"].encode()
        identifier = f["client_id"].encode()
        return wire4.encode_connect(identifier, f["clean_session"], f["keep_alive_s"], username, f["password"], will)
    if kind == "connack":
        return wire4_server.encode_connack(f["session_present"], f["code"])
    if kind == "publish":
        topic = f["topic"].encode()
        head = codec.publish_head(f["qos"] << 1 | f["retain"], topic, len(f["payload"]))
        if f["dup"]:
            head = codec.repeated(head)
        return head + (f["packet_id"].to_bytes(2, "big") if f["qos"] else b"") + f["payload"]
    if kind == "subscribe":
        wanted = [(topic_filter.encode(), qos) for topic_filter, qos in f["subscriptions"]]
        return wire4.encode_subscribe(f["packet_id"], wanted)
    if kind == "suback":
        return wire4_server.encode_suback(f["packet_id"], bytes(f["codes"]))
    if kind == "unsubscribe":
        return wire4.encode_unsubscribe(f["packet_id"], [topic.encode() for topic in f["topic_filters"]])
    if kind in ACKNOWLEDGEMENTS:
        return codec.acknowledgement(ACKNOWLEDGEMENTS[kind], f["packet_id"])
    return bytes((EMPTY[kind], 0))


def decode(data: bytes, size_max: int = codec.REMAINING_MAX) -> list[Packet]:
    """What mqttlite reads from whole packets."""
    parser = Parser(size_max)
    parser.feed(data)
    packets = []
    while first := parser.next():
        packets.append(decode_body(first, parser.buf, parser.start, parser.end))
    return packets


def decode_body(first: int, buf: bytes, start: int, end: int) -> Packet:
    kinds = {value: kind for kind, value in (ACKNOWLEDGEMENTS | EMPTY).items()}
    if first == packet_types.CONNECT:
        c = versions.read_connect(buf, start, end)
        return Packet(
            "connect",
            {
                "client_id": c.client_id.decode(),
                "clean_session": c.clean_session,
                "keep_alive_s": c.keep_alive_s,
                "username": None if c.username is None else c.username.decode(),
                "password": c.password,
                "will": c.will and (c.will[0].decode(), *c.will[1:]),
            },
        )
    if first == packet_types.CONNACK:
        present, code, _ = wire4.decode_connack(buf, start, end)
        return Packet("connack", {"session_present": present, "code": code})
    if first & 0xF0 == packet_types.PUBLISH:
        topic = greeting.decode_field(buf, start, end, "topic name")
        check_topic_name(topic)
        at = start + 2 + len(topic)
        qos = first >> 1 & 3
        packet_id = codec.decode_packet_id(buf, at, end) if qos else None
        fields = {"topic": topic.decode(), "payload": bytes(buf[at + (2 if qos else 0) : end]), "packet_id": packet_id}
        return Packet("publish", fields | {"qos": qos, "dup": first & 8 != 0, "retain": first & 1 != 0})
    if first == packet_types.SUBSCRIBE:
        packet_id, subscriptions, _ = wire4_server.decode_subscribe(buf, start, end)
        wanted = [(topic_filter.decode(), qos) for topic_filter, qos in subscriptions]
        return Packet("subscribe", {"packet_id": packet_id, "subscriptions": wanted})
    if first == packet_types.SUBACK:
        packet_id, codes = wire4.decode_suback(buf, start, end)
        return Packet("suback", {"packet_id": packet_id, "codes": list(codes)})
    if first == packet_types.UNSUBSCRIBE:
        packet_id, filters = wire4_server.decode_unsubscribe(buf, start, end)
        return Packet("unsubscribe", {"packet_id": packet_id, "topic_filters": [f.decode() for f in filters]})
    kind = kinds[first]
    if kind in ACKNOWLEDGEMENTS:
        return Packet(kind, {"packet_id": codec.decode_acknowledgement(buf, start, end)})
    assert start == end
    return Packet(kind, {})


# -- strategies

identifiers = st.integers(1, 65535)
qualities = st.integers(0, 2)
# Every code point that may stand in a string (1.5.3), with more weight on those of UTF-8's edges.
edges = "\x01\x1f\x7f\x80\u07ff\u0800\ud7ff\ue000\ufeff\uffff\U00010000\U0010ffff"
characters = st.one_of(
    st.sampled_from(edges), st.characters(codec="utf-8", exclude_characters="\0"), st.sampled_from("/$ abé")
)
texts = st.text(characters, max_size=40)
payloads = st.one_of(st.binary(max_size=300), st.integers(120, 20000).map(bytes))
topics = st.text(characters.filter(lambda c: c not in "#+"), min_size=1, max_size=40)


@st.composite
def topic_filters(draw: st.DrawFn) -> str:
    levels = draw(st.lists(st.one_of(st.just("+"), st.just(""), topics), min_size=1, max_size=6))
    text = "/".join([*levels, *draw(st.sampled_from([[], [], ["#"]]))])
    assume_valid = text or "#"
    check_topic_filter(assume_valid.encode())
    return assume_valid


@st.composite
def connects(draw: st.DrawFn) -> Packet:
    client_id = draw(texts)
    username = draw(st.none() | texts)
    will = st.none() | st.tuples(topics, st.binary(max_size=300), qualities, st.booleans())
    return Packet(
        "connect",
        {
            "client_id": client_id,
            "clean_session": not client_id or draw(st.booleans()),
            "keep_alive_s": draw(st.integers(0, 65535)),
            "username": username,
            "password": None if username is None else draw(st.none() | st.binary(max_size=100)),
            "will": draw(will),
        },
    )


@st.composite
def publishes(draw: st.DrawFn) -> Packet:
    qos = draw(qualities)
    return Packet(
        "publish",
        {
            "topic": draw(topics),
            "payload": draw(payloads),
            "packet_id": draw(identifiers) if qos else None,
            "qos": qos,
            "dup": draw(st.booleans()) if qos else False,
            "retain": draw(st.booleans()),
        },
    )


def _packets(kind: str, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Packet]:
    return st.fixed_dictionaries(fields).map(lambda values: Packet(kind, values))


connacks = _packets("connack", session_present=st.booleans(), code=st.just(0)) | _packets(
    "connack", session_present=st.just(False), code=st.integers(1, 5)
)
subscribes = _packets(
    "subscribe",
    packet_id=identifiers,
    subscriptions=st.lists(st.tuples(topic_filters(), qualities), min_size=1, max_size=10),
)
subacks = _packets(
    "suback", packet_id=identifiers, codes=st.lists(st.sampled_from((0, 1, 2, 128)), min_size=1, max_size=300)
)
unsubscribes = _packets(
    "unsubscribe", packet_id=identifiers, topic_filters=st.lists(topic_filters(), min_size=1, max_size=10)
)
by_kind: dict[str, st.SearchStrategy[Packet]] = {
    "connect": connects(),
    "connack": connacks,
    "publish": publishes(),
    **{kind: _packets(kind, packet_id=identifiers) for kind in ACKNOWLEDGEMENTS},
    "subscribe": subscribes,
    "suback": subacks,
    "unsubscribe": unsubscribes,
    **{kind: st.just(Packet(kind, {})) for kind in EMPTY},
}
packets = st.sampled_from(sorted(by_kind)).flatmap(by_kind.__getitem__)
