"""The parser: any pieces give the same packets, a large packet is copied once, what is wrong is refused early."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqttlite.core.codec import remaining_length
from mqttlite.core.errors import ProtocolError
from mqttlite.core.parser import Parser
from tests.core.packets import Packet, encode, packets
from tests.statements import statement

Raw = tuple[int, bytes]  # first byte, body


def drain(parser: Parser) -> list[Raw]:
    found = []
    while first := parser.next():
        found.append((first, bytes(parser.buf[parser.start : parser.end])))
    return found


def parse(chunks: list[bytes]) -> list[Raw]:
    parser = Parser(1 << 28)
    found = []
    for chunk in chunks:
        parser.feed(chunk)
        found += drain(parser)
    return found


def raw(packet: bytes) -> Raw:
    size = next(at for at in range(1, 5) if packet[at] < 128)
    return packet[0], packet[size + 1 :]


@given(st.lists(packets, min_size=1, max_size=8), st.data())
def test_any_chunking_gives_the_same_packets(some: list[Packet], data: st.DataObject) -> None:
    encoded = [encode(packet) for packet in some]
    stream = b"".join(encoded)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=20)))
    chunks = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert parse(chunks) == [raw(packet) for packet in encoded]


@given(st.lists(packets, min_size=1, max_size=4))
def test_byte_by_byte_gives_the_same_packets(some: list[Packet]) -> None:
    encoded = [encode(packet) for packet in some]
    stream = b"".join(encoded)
    assert parse([stream[at : at + 1] for at in range(len(stream))]) == [raw(packet) for packet in encoded]


@given(st.lists(packets, min_size=1, max_size=6), st.data())
def test_next_may_be_asked_as_often_or_as_seldom_as_one_likes(some: list[Packet], data: st.DataObject) -> None:
    stream = b"".join(map(encode, some))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    parser = Parser(1 << 28)
    found = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        parser.feed(stream[start:end])
        for _ in range(data.draw(st.integers(0, 2))):
            if first := parser.next():
                found.append((first, bytes(parser.buf[parser.start : parser.end])))
    assert found + drain(parser) == [raw(encode(packet)) for packet in some]


def test_what_a_large_packet_needed_does_not_hold_back_the_small_ones_after_it() -> None:
    parser = Parser(1000)
    parser.feed(b"\x30\x64")
    assert parser.next() == 0
    parser.feed(bytes(100))
    assert parser.next() == 0x30
    parser.feed(b"\xc0")
    parser.feed(b"\0")
    assert parser.next() == 0xC0


def test_ten_thousand_packets_in_one_read() -> None:
    assert parse([b"\xc0\0" * 10_000]) == [(0xC0, b"")] * 10_000


def test_empty_reads_change_nothing() -> None:
    assert parse([b"", b"\xc0", b"", b"\0", b""]) == [(0xC0, b"")]


@pytest.mark.parametrize("pieces", [1, 2, 100, 5000])
def test_a_large_packet_in_many_pieces_is_joined_once(pieces: int) -> None:
    """Counts the bytes of every buffer that the parser makes: linear in the packet, whatever the number of pieces."""
    size = 1_000_000
    stream = b"\x30" + remaining_length(size) + bytes(size)
    step = -(-len(stream) // pieces)
    parser = Parser(size)
    copied = 0
    found = []
    before = parser.buf
    for at in range(0, len(stream), step):
        parser.feed(stream[at : at + step])
        found += drain(parser)
        if parser.buf is not before:
            copied += len(parser.buf)
            before = parser.buf
    assert found == [(0x30, bytes(size))]
    assert copied <= len(stream) + 2 * step


@pytest.mark.parametrize("header", ["3080808001", "30ff7f", "308001"])
def test_a_packet_over_the_limit_is_refused_before_its_body_comes(header: str) -> None:
    parser = Parser(127)
    parser.feed(bytes.fromhex(header)[:-1])
    assert parser.next() == 0
    parser.feed(bytes.fromhex(header)[-1:])
    with pytest.raises(ProtocolError) as error:
        parser.next()
    assert error.value.rule == "4.8"
    assert "at most 127" in str(error.value)


def test_a_packet_of_exactly_the_limit_passes() -> None:
    assert Parser(127).size_max == 127
    parser = Parser(127)
    parser.feed(b"\x30\x7f" + bytes(127))
    assert parser.next() == 0x30


@pytest.mark.parametrize("pieces", [1, 5])
def test_a_remaining_length_of_five_bytes_is_refused(pieces: int) -> None:
    data = bytes.fromhex("3080808080")
    parser = Parser(1 << 28)
    with pytest.raises(ProtocolError) as error:
        for at in range(0, 5, 5 // pieces):
            parser.feed(data[at : at + 5 // pieces])
            parser.next()
    assert error.value.rule == "2.2.3"


VALID = {0x10, 0x20, 0x40, 0x50, 0x62, 0x70, 0x82, 0x90, 0xA2, 0xB0, 0xC0, 0xD0, 0xE0} | {
    0x30 | dup | qos | retain for dup in (0, 8) for qos in (0, 2, 4) for retain in (0, 1) if qos or not dup
}


@statement("3.1.1", "MQTT-2.2.2-2", "MQTT-3.3.1-2", "MQTT-3.3.1-4", "MQTT-3.6.1-1", "MQTT-3.8.1-1", "MQTT-3.10.1-1")
@statement("3.1.1", "MQTT-3.14.1-1", "MQTT-4.8.0-1")
@pytest.mark.parametrize("first", range(256))
def test_every_first_byte_is_taken_or_refused_by_its_own_rule_as_soon_as_it_comes(first: int) -> None:
    parser = Parser(100)
    parser.feed(bytes((first,)))
    if first in VALID:
        assert parser.next() == 0
        parser.feed(b"\0")
        assert parser.next() == first
        return
    with pytest.raises(ProtocolError) as error:
        parser.next()
    if first >> 4 in (0, 15):
        rule = "2.2.1"
    elif first >> 4 == 3:
        rule = "MQTT-3.3.1-4" if first & 6 == 6 else "MQTT-3.3.1-2"
    else:
        rule = "MQTT-2.2.2-2"
    assert error.value.rule == rule


@pytest.mark.parametrize("tail", ["", "00", "05", "80", "8080", "ff7f"])
def test_a_bad_first_byte_is_refused_whatever_follows_it(tail: str) -> None:
    parser = Parser(100)
    parser.feed(b"\x36" + bytes.fromhex(tail))
    with pytest.raises(ProtocolError) as error:
        parser.next()
    assert error.value.rule == "MQTT-3.3.1-4"


def test_a_refusal_is_repeated_and_nothing_after_it_is_parsed() -> None:
    parser = Parser(100)
    parser.feed(b"\xc0\0\xff\0\xc0\0")
    assert parser.next() == 0xC0
    for _ in range(2):
        with pytest.raises(ProtocolError):
            parser.next()
