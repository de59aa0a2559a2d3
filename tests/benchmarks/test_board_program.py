"""docs/board.md says in which heap the whole program runs: it does, on MicroPython with 32 bits."""

import re

import pytest

from benchmarks.board_program import COMMANDS, READINGS, bench
from tests.runtimes import ROOT, built

ROWS = re.findall(
    r"^    (TCP|serial)(, journal)? +[\d,]+ +(\d+) KiB", (ROOT / "docs/board.md").read_text("utf-8"), re.M
)
SPARE = 1.06  # what else has changed since it was measured


def test_the_table_has_a_row_for_each_way_and_store() -> None:
    assert [(link, bool(journal)) for link, journal, _ in ROWS] == [
        ("TCP", False),
        ("TCP", True),
        ("serial", False),
        ("serial", True),
    ]


@pytest.mark.parametrize(("link", "journal", "least"), [ROWS[0], ROWS[-1]], ids=["the least", "the most"])
async def test_the_program_sends_and_obeys_at_qos_2_in_the_heap_that_the_table_names(
    link: str, journal: str, least: str
) -> None:
    if not built(32).exists():
        pytest.skip("MicroPython with 32 bits is not built: make setup")
    async with bench() as ready:
        found = await ready.run("plain", link, "journal" if journal else "", int(int(least) * SPARE) * 1024)
    assert found.is_fine(READINGS, COMMANDS), "\n".join(found.said)
