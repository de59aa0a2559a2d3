"""A slice of `make frames`: what arrives over lines of every kind is what was sent, and a link that lets damage through
is noticed there.
"""

import pytest

from benchmarks import link_frames
from mqttlite.link import frames


@pytest.mark.parametrize("number", [1, 5])
def test_what_a_line_delivers_is_what_was_sent(number: int) -> None:
    count, damaged, delivered = link_frames.line(number)
    assert count >= 4000
    assert damaged
    assert delivered > 20_000


def test_what_a_bus_delivers_is_what_was_sent() -> None:
    count, damaged, delivered = link_frames.bus(19)
    assert count >= 4000
    assert damaged
    assert delivered > 100_000


def test_a_link_that_does_not_look_at_the_checksum_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(buffer: bytearray, size: int, seed: int = 0) -> int:
        at = 0
        while at < size:
            step = buffer[at]
            buffer[at] = 0
            at += step or size
        return 5 + 2 * bool(buffer[1] & 4) + 2 * bool(buffer[1] & 8) if size >= 9 and at == size else 0

    monkeypatch.setattr("mqttlite.link.link.decode", careless)
    assert frames.decode(bytearray(b"\x01\x01\x01\x01\x01\x01\x01\x01\x01"), 9) == 0
    with pytest.raises((AssertionError, IndexError)):
        for number in range(4):
            link_frames.line(number)
