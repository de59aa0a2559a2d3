"""Small worlds under faults: a drawn slice of what `make simulate` goes through, and the machinery itself."""

from pathlib import Path

import pytest

from mqttlite.cli import main as mqttlite
from mqttlite.sim.small import explore
from mqttlite.sim.small.faults import Extent, Fault, every, parse
from mqttlite.sim.small.points import POINTS, hit
from mqttlite.sim.small.small import Small, named


@pytest.mark.parametrize("small", explore.WORLDS, ids=str)
def test_what_is_promised_holds_under_a_drawn_part_of_the_single_faults(small: Small) -> None:
    singles = explore.singles(small)
    for schedule in explore.sample(singles, 20 if small.messages < 10 else 4, 7):
        result = explore.try_out(schedule)
        assert not result.problems, f"{schedule}: {result.problems}"


def test_and_under_pairs_of_them() -> None:
    for small in (Small(1, 1, "journal", True), Small(2, 1, "sqlite")):
        firsts = [explore.try_out(schedule) for schedule in explore.sample(explore.singles(small), 10, 8)]
        pairs = list(explore.pairs(firsts, 2, 9))
        assert len(pairs) > 10
        for schedule in pairs:
            result = explore.try_out(schedule)
            assert not result.problems, f"{schedule}: {result.problems}"


def test_a_schedule_is_the_same_each_time_it_is_run() -> None:
    schedule = explore.Schedule(Small(2, 2, "journal"), (parse("power off broker after disk 40"),), 3)
    digests = set()
    for _ in range(2):
        run = schedule.run()
        assert not run.run()
        assert [fault for fault, _ in run.happened] == ["power off broker after disk 40"]
        digests.add(run.world.digest())
        run.world.close()
    assert len(digests) == 1


def test_a_fault_comes_from_its_text() -> None:
    extent = explore.baseline(Small(1, 1)).extent
    faults = every(extent)
    assert len(faults) > 1000
    for fault in faults:
        assert parse(str(fault)) == fault
    with pytest.raises(ValueError, match="is not a fault; one looks like"):
        parse("lightning strikes")


def test_a_world_comes_from_its_name() -> None:
    for small in explore.WORLDS:
        assert named(str(small)) == small
    with pytest.raises(ValueError, match="is no small world"):
        named("qos3-1-sqlite")


def test_points_have_names() -> None:
    assert hit(["power off broker before disk 9 | broker disk sync broker.db-wal"]) == {
        "broker: message, identifier and queue entries, sync": 1
    }
    assert set(hit(["cut inside packet 4 reset | inside PUBREL producer to broker"])) == {
        "sender: PUBREL",
        "link: cut inside a packet",
        "link: abortive end",
    }
    assert len({name for name, _ in POINTS}) == len(POINTS)


def test_a_failure_is_shrunk_to_the_faults_that_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    needed, others = Fault("kill", "event", 3, "broker"), [Fault("kill", "event", n, "consumer") for n in (1, 5, 9)]
    schedule = explore.Schedule(Small(), (others[0], others[1], needed, others[2]))

    def try_out(schedule: explore.Schedule) -> explore.Result:
        problems = ["lost"] if needed in schedule.faults else []
        return explore.Result(schedule, problems, [], Extent(0, 0, {}), Extent(0, 0, {}))

    monkeypatch.setattr(explore, "try_out", try_out)
    assert explore.shrink(schedule).faults == (needed,)


def test_the_command_line_repeats_a_schedule_and_draws_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.html"
    fault = "kill broker @ event 40"
    words = ["simulate", "--scenario", "qos1-1-sqlite", "--seed", "2", "--fault", fault, "-o", str(page)]
    assert mqttlite(words) == 0
    said = capsys.readouterr().out
    assert "qos1-1-sqlite seed 2: kill broker @ event 40" in said
    assert "all that was promised holds" in said
    assert fault in page.read_text(encoding="utf-8")
    assert mqttlite(["simulate", "--scenario", "qos9-1-sqlite"]) != 0
