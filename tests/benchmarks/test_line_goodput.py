"""What of a serial line is payload, through client, link, gateway and broker, in virtual time."""

import pytest

from benchmarks.line_goodput import REQUIRED, Line, goodput

COUNT = 300


@pytest.mark.parametrize("way", ["up", "down"])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_seven_tenths_of_the_line_are_payload_and_two_thirds_at_qos_2(way: str, qos: int) -> None:
    [share] = goodput(Line(), way, qos, COUNT)
    assert share >= REQUIRED[way][qos]


def test_a_board_that_collects_garbage_in_between_keeps_the_line_busy() -> None:
    [share] = goodput(Line(frame_ms=2, pause_ms=10, pause_every=5), "up", 1, COUNT)
    assert share >= 0.7
