"""The codec against itself: what is written is read again, and fields have their limits. Peers: test_codec_peers.py."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqttlite.core import codec, wire4, wire4_server
from mqttlite.core.errors import ProtocolError
from mqttlite.core.parser import Parser
from tests.core.packets import Packet, by_kind, decode, encode, packets
from tests.statements import statement


def test_all_14_packet_types_are_covered() -> None:
    assert len(by_kind) == 14


@statement("3.1.1", "MQTT-2.3.1-5", "MQTT-1.5.3-3", "MQTT-3.1.3-1")
@pytest.mark.parametrize("kind", sorted(by_kind))
@given(data=st.data())
def test_what_is_encoded_is_decoded_again(kind: str, data: st.DataObject) -> None:
    packet = data.draw(by_kind[kind])
    assert decode(encode(packet)) == [packet]


@given(st.lists(packets, max_size=6))
def test_packets_in_a_row_are_decoded_one_by_one(some: list[Packet]) -> None:
    assert decode(b"".join(map(encode, some))) == some


@pytest.mark.parametrize(
    ("size", "field"),
    [
        (0, "00"),
        (127, "7f"),
        (128, "8001"),
        (16383, "ff7f"),
        (16384, "808001"),
        (2097151, "ffff7f"),
        (2097152, "80808001"),
        (268435455, "ffffff7f"),
    ],
)
def test_remaining_length_is_encoded_as_in_table_2_4(size: int, field: str) -> None:
    assert codec.remaining_length(size).hex() == field


def test_a_packet_that_no_remaining_length_can_tell_is_refused() -> None:
    with pytest.raises(ProtocolError) as error:
        codec.remaining_length(268435456)
    assert error.value.rule == "2.2.3"
    with pytest.raises(ProtocolError):
        codec.publish_head(0, b"t", codec.REMAINING_MAX)


@given(st.integers(0, codec.REMAINING_MAX))
def test_the_parser_reads_every_remaining_length(size: int) -> None:
    parser = Parser(size - 1)
    parser.feed(b"\x30" + codec.remaining_length(size))
    with pytest.raises(ProtocolError, match=f"packet of {size} bytes"):
        parser.next()


@statement("3.1.1", "MQTT-2.2.2-1", "MQTT-3.6.1-1", "MQTT-3.8.1-1", "MQTT-3.10.1-1")
def test_first_bytes_carry_the_reserved_flags_of_table_2_2() -> None:
    reserved = {kind: encode_example(kind)[0] & 15 for kind in by_kind if kind != "publish"}
    assert {kind for kind, flags in reserved.items() if flags == 2} == {"pubrel", "subscribe", "unsubscribe"}
    assert {kind for kind, flags in reserved.items() if flags == 0} == reserved.keys() - {
        "pubrel",
        "subscribe",
        "unsubscribe",
    }


def encode_example(kind: str) -> bytes:
    fields = {
        "connect": {"client_id": "c", "clean_session": True, "keep_alive_s": 0}
        | dict.fromkeys(("username", "password", "will")),
        "connack": {"session_present": False, "code": 0},
        "subscribe": {"packet_id": 1, "subscriptions": [("a", 0)]},
        "suback": {"packet_id": 1, "codes": [0]},
        "unsubscribe": {"packet_id": 1, "topic_filters": ["a"]},
    }
    return encode(Packet(kind, fields.get(kind, {"packet_id": 1})))


@statement("3.1.1", "MQTT-3.3.1-1")
def test_a_repeat_differs_from_the_first_sending_by_dup_alone() -> None:
    head = codec.publish_head(0x05, b"t", 1)
    again = codec.repeated(head)
    assert again[0] == head[0] | 8
    assert again[1:] == head[1:]
    assert codec.repeated(again) == again


@statement("3.1.1", "MQTT-3.2.2-4")
def test_a_refusal_never_says_session_present() -> None:
    assert wire4_server.encode_connack(True, 5) == b"\x20\x02\x00\x05"


@pytest.mark.parametrize(
    ("rule", "call"),
    [
        ("MQTT-3.1.2-22", lambda: wire4.encode_connect(b"c", True, 0, None, b"secret")),
        ("MQTT-3.1.3-7", lambda: wire4.encode_connect(b"", False, 0)),
        ("3.1.2.10", lambda: wire4.encode_connect(b"c", True, 65536)),
        ("3.1.2.10", lambda: wire4.encode_connect(b"c", True, -1)),
        ("1.5.3", lambda: wire4.encode_connect(bytes(65536), True, 0)),
        ("1.5.3", lambda: wire4.encode_connect(b"c", True, 0, None, None, (b"t", bytes(65536), 0, False))),
        ("MQTT-3.8.3-3", lambda: wire4.encode_subscribe(1, [])),
        ("MQTT-3.10.3-2", lambda: wire4.encode_unsubscribe(1, [])),
    ],
)
@statement("3.1.1", "MQTT-3.1.2-22", "MQTT-3.1.3-7", "MQTT-3.8.3-3", "MQTT-3.10.3-2")
def test_what_may_not_be_sent_is_refused_before_it_is_sent(rule: str, call: "object") -> None:
    assert callable(call)
    with pytest.raises(ProtocolError) as error:
        call()
    assert error.value.rule == rule


def test_fields_of_65535_bytes_pass() -> None:
    full = "x" * 65535
    fields = {"client_id": full, "clean_session": False, "keep_alive_s": 65535, "username": full}
    packet = Packet("connect", fields | {"password": bytes(65535), "will": (full, bytes(65535), 2, True)})
    assert decode(encode(packet)) == [packet]
