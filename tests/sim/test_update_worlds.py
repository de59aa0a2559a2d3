"""Boards that are updated while their power fails: a drawn part of what `make simulate` goes through."""

from typing import Any

import pytest

from benchmarks.exploring import sample
from benchmarks.update_worlds import Schedule, every_cut, fleets, try_out
from mqttlite_board import blocks
from mqttlite_board.update import Update as BoardUpdate


@pytest.mark.parametrize("bad", [False, True], ids=["good", "bad"])
def test_a_power_cut_in_an_update_leaves_a_board_that_runs_one_version_and_ends_as_it_should(bad: bool) -> None:
    for schedule in sample(every_cut(bad), 6, 3):
        result = try_out(schedule)
        assert not result.problems, f"{schedule.command}: {result.problems}"
        assert result.cuts == 1


def test_a_fleet_comes_through_its_update_however_often_the_power_fails() -> None:
    cuts = 0
    for schedule in fleets(range(3, 8)):
        result = try_out(schedule)
        assert not result.problems, f"{schedule.command}: {result.problems}"
        cuts += result.cuts
    assert cuts > 20


def test_a_board_whose_power_fails_when_its_trial_is_written_and_its_mark_not_gone_goes_on_with_its_update() -> None:
    for cut in (124, 125, 126):
        result = try_out(Schedule(cut=cut, after=True, bad=True))
        assert not result.problems, f"{result.schedule.command}: {result.problems}"


def test_a_part_of_a_board_that_ends_with_an_error_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def follow(self: Any) -> None:
        raise AttributeError("connected")

    monkeypatch.setattr(BoardUpdate, "follow", follow)
    assert any("AttributeError" in problem for problem in try_out(Schedule()).problems)


def test_the_same_schedule_takes_the_same_course() -> None:
    schedule = Schedule(9, 3, cuts=12)
    assert try_out(schedule) == try_out(schedule)


def test_a_half_that_is_tried_before_it_is_whole_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = blocks.Download.begin

    def begin(self: Any) -> None:
        plain(self)
        self.start.keep(self._trial())
        blocks.remove(self.target + "part")

    monkeypatch.setattr(blocks.Download, "begin", begin)
    problems = [problem for cut in (95, 100, 105) for problem in try_out(Schedule(cut=cut)).problems]
    assert any("neither the old version nor the new one" in problem for problem in problems)


def test_a_reading_that_is_handled_twice_or_lost_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks import update_worlds

    def twice(message: Any) -> tuple[str, int]:
        return "board0", 1

    monkeypatch.setattr(update_worlds, "_reading", twice)
    problems = try_out(Schedule()).problems
    assert "a reading was handled twice" in problems
    assert any(problem.startswith("accepted and lost") for problem in problems)
