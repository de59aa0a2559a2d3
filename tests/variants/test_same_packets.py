"""The same application with the same faults sends the same packets, whatever the variant: byte for byte, connection for
connection. The source on 64 bits is what all are compared with.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.variants.harness import EVENTS, ONE_CUT, REBOOTS, TWO_CUTS, played
from tests.variants.peer import split
from tests.variants.variants import SOURCE, VARIANTS, having

Packets = dict[str, list[bytearray]]

_of_source: dict[bool, Packets] = {}


async def packets(variant: str, bits: int, folder: Path | None) -> Packets:
    """What each client sends in each of its connections: with cuts, or (`folder`) killed, with its journals there."""
    sessions = await played(variant, bits, REBOOTS if folder else ONE_CUT + TWO_CUTS, folder)
    assert folder or sessions["c000"].events == EVENTS
    return {name: session.connections for name, session in sessions.items()}


async def packets_of_source(folder: Path | None) -> Packets:
    """The same of the source with 64 bits, played once in each process."""
    with_journal = folder is not None
    if with_journal not in _of_source:
        _of_source[with_journal] = await packets(SOURCE, 64, folder)
    return _of_source[with_journal]


def same(found: Packets, wanted: Packets) -> None:
    """Both are equal; if not, of the first client that is not all of its packets are shown."""
    for name in wanted:
        lines = [
            [bytes([first]).hex() + " " + body.hex() for first, body in all_of(found[name])]
            for found in (found, wanted)
        ]
        assert lines[0] == lines[1], name
    assert found == wanted


def all_of(connections: list[bytearray]) -> "Iterator[tuple[int, bytes]]":
    """The packets of connections, one after the other."""
    for data in connections:
        left = bytearray(data)
        while packet := split(left):
            yield packet


@pytest.fixture(params=[32, 64])
def bits(request: pytest.FixtureRequest) -> int:
    """The word size of the interpreter."""
    return int(request.param)


@pytest.mark.parametrize("variant", VARIANTS)
async def test_whatever_packet_the_link_is_cut_at_the_same_packets_are_sent(variant: str, bits: int) -> None:
    same(await packets(variant, bits, None), await packets_of_source(None))


@pytest.mark.parametrize("variant", having("JOURNAL"))
async def test_whatever_packet_the_board_dies_at_the_same_packets_are_sent(
    variant: str, bits: int, tmp_path: Path
) -> None:
    for life in ("this", "source"):
        (tmp_path / life).mkdir()
    same(await packets(variant, bits, tmp_path / "this"), await packets_of_source(tmp_path / "source"))
