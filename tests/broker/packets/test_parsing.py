"""The broker's parser is the core's, only quicker."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqttlite.broker.packets.parsing import QuickParser
from mqttlite.core.errors import ProtocolError
from mqttlite.core.parser import Parser
from tests.core.packets import encode, packets


def read(parser: Parser, pieces: list[bytes]) -> list[object]:
    """The packets that it finds, and how it ends."""
    found: list[object] = []
    try:
        for piece in pieces:
            parser.feed(piece)
            while first := parser.next():
                found.append((first, parser.buf[parser.start : parser.end]))
    except ProtocolError as error:
        found.append(str(error))
    return found


class WithAuth(Parser):
    """The core's, where AUTH passes."""

    def _check_first(self, first: int) -> None:
        if first != 0xF0:
            Parser._check_first(self, first)


def test_it_takes_auth_and_its_flags_have_to_be_zero() -> None:
    assert read(QuickParser(200), [b"\xf0\0\xf0\x81\1", bytes(129)]) == [(0xF0, b""), (0xF0, bytes(129))]
    assert read(QuickParser(200), [b"\xf1\0"]) == ["packet type 15 [2.2.1]"]


streams = given(
    st.lists(st.one_of(packets.map(encode), st.binary(max_size=6)), max_size=8).map(b"".join),
    st.lists(st.integers(0, 300), max_size=6),
    st.sampled_from([0, 1, 5, 126, 127, 128, 1000, 1 << 20]),
)


def cut_up(data: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(places)]


@pytest.mark.source("derives from Parser")
@streams
def test_it_finds_and_refuses_what_the_cores_does(data: bytes, cuts: list[int], size_max: int) -> None:
    pieces = cut_up(data, cuts)
    assert read(QuickParser(size_max), pieces) == read(WithAuth(size_max), pieces)


@streams
def test_without_auth_it_is_the_cores_in_either_build(data: bytes, cuts: list[int], size_max: int) -> None:
    pieces = cut_up(data.replace(b"\xf0", b"\xf1"), cuts)
    assert read(QuickParser(size_max), pieces) == read(Parser(size_max), pieces)
