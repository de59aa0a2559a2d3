"""Small worlds under faults: a drawn slice of what `make simulate` goes through, and the machinery itself."""

import re
import sys
from pathlib import Path

import pytest

from benchmarks import exploring
from benchmarks.fault_points import POINTS, hit
from mqttlite.cli import main as mqttlite
from mqttlite.core import session
from mqttlite.sim import schedule as schedules
from mqttlite.sim.features.feature import Feature
from mqttlite.sim.schedule import AnyWorld, Result, Schedule, named, shrink, try_out
from mqttlite.sim.small.bridge import Bridge
from mqttlite.sim.small.faults import Extent, Fault, parse
from mqttlite.sim.small.pieces import Streaming
from mqttlite.sim.small.run import COUNTING
from mqttlite.sim.small.small import Small
from tests.planted import BUGS


@pytest.mark.parametrize("small", [*exploring.WORLDS, *exploring.LONG], ids=str)
def test_what_is_promised_holds_under_a_drawn_part_of_the_single_faults(small: AnyWorld) -> None:
    singles = exploring.singles(small)
    count = (
        4 if isinstance(small, (Feature, Bridge, Streaming)) or small.messages >= 10 else 8 if any(small[3:]) else 20
    )
    for schedule in exploring.sample(singles, count, 7):
        result = try_out(schedule)
        assert not result.problems, f"{schedule}: {result.problems}"


def test_and_under_pairs_of_them() -> None:
    for small in (Small(1, 1, "journal", True), Small(2, 1, "sqlite")):
        firsts = [try_out(schedule) for schedule in exploring.sample(exploring.singles(small), 10, 8)]
        pairs = list(exploring.pairs(firsts, 2, 9))
        assert len(pairs) > 10
        for schedule in pairs:
            result = try_out(schedule)
            assert not result.problems, f"{schedule}: {result.problems}"


def test_a_schedule_is_the_same_each_time_it_is_run() -> None:
    schedule = Schedule(Small(2, 2, "journal"), (parse("power off broker after disk 40"),), 3)
    digests = set()
    for _ in range(2):
        run = schedule.run()
        assert not run.run()
        assert [fault for fault, _ in run.happened] == ["power off broker after disk 40"]
        digests.add(run.world.digest())
        run.world.close()
    assert len(digests) == 1


def test_a_fault_comes_from_its_text() -> None:
    for small in (Small(1, 1), Small(1, 1, lose=True), Small(1, 1, "journal", line=True)):
        faults = exploring.every(exploring.baseline(small).extent)
        assert len(faults) > 1000
        for fault in faults:
            assert parse(str(fault)) == fault
    with pytest.raises(ValueError, match="is not a fault; one looks like"):
        parse("lightning strikes")


def test_a_world_comes_from_its_name() -> None:
    for small in exploring.WORLDS:
        assert named(str(small)) == small
    with pytest.raises(ValueError, match="is no small world"):
        named("qos3-1-sqlite")
    with pytest.raises(ValueError, match="is no small world"):
        named("qos2-1-sqlite-fast")


def test_whoever_counts_identifiers_counts_few_where_there_are_few() -> None:
    counting = {module.__name__ for module in COUNTING}
    # These have tables for all of them, or show one.
    others = {"mqttlite.broker.packets.answers", "mqttlite.broker.operating.view", "mqttlite.cli.examining.store"}
    found = {
        name
        for name, module in list(sys.modules.items())
        if name.startswith("mqttlite.") and vars(module).get("SPAN") == session.SPAN
    }
    assert found - others == counting


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


# How points are reached that only some worlds have: a world, what its faults begin with, and the points.
WAYS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("qos2-1-journal-line", r"kill device @ event [4-6]\d", ("accepting: the application has been told",)),
    (
        "qos2-1-journal-line",
        "unplug gateway inside",
        ("line: DATA to the gateway", "line: DATA to the device", "line: an adapter is pulled out"),
    ),
    ("qos2-1-journal-line", "part", ("line: the wires are off",)),
    ("qos2-1-journal-line", "damage", ("line: bytes damaged or lost", "line: the link begins")),
    ("qos2-1-journal-line", r"kill gateway @ event 3\d", ("gateway: dies with a frame or packet just arrived",)),
    ("qos2-1-journal-line", "kill gateway", ("gateway: dies with a frame or packet just written",)),
    (
        "qos2-1-journal-line",
        "cut before packet [56]",
        ("gateway: packet to the broker", "gateway: packet from the broker"),
    ),
    (
        "qos2-3-tight",
        r"power off producer before disk 1\d",
        ("storage: a journal is rewritten, begun and torn", "storage: a journal is rewritten, and renamed"),
    ),
    (
        "qos2-1-journal-blackout",
        r"power off producer before disk 1\d",
        ("recovery: producer dies while it opens its store",),
    ),
    ("qos2-1-journal-blackout", r"power off producer before disk 1\d", ("recovery: what is written is torn",)),
    (
        "qos2-1-journal-blackout",
        r"kill broker before disk 1[2-4]\d",
        ("recovery: broker dies while it opens its store",),
    ),
    (
        "qos2-1-journal-blackout",
        r"power off consumer before disk 1[2-9]\d",
        ("recovery: consumer dies while it opens its store",),
    ),
    ("qos2-1-journal-blackout", r"fail producer disk 1\d", ("recovery: a write or sync fails, the disk is full",)),
    (
        "qos2-1-journal-blackout",
        r"cut producer reset @ event [6-9]\d",
        ("link: another cut while messages are sent again",),
    ),
    ("qos2-1-sqlite-few-lose", "lose broker", ("session lost by the broker only",)),
    ("qos2-1-sqlite-few-lose", r"lose producer disk @ event [4-6]\d", ("session lost by the producer only",)),
    ("qos2-1-sqlite-few-lose", "lose consumer", ("session lost by the consumer only",)),
    (
        "qos2-1-sqlite-few-lose",
        "stall producer",
        ("link: stall, shorter than keep alive", "link: stall, longer than keep alive"),
    ),
    ("qos2-1-sqlite-few-lose", "cut before packet", ("link: cut between CONNECT and CONNACK",)),
    (
        "qos2-1-sqlite-few-lose",
        r"cut producer silence @ event (29|3\d)",
        ("link: a half-open connection is taken over",),
    ),
    (
        "qos2-1-sqlite-few-lose",
        "cut (inside|before) packet 1. reset",
        ("broker: PUBREL for an identifier that is gone",),
    ),
    ("qos2-2-sqlite-slow", r"kill broker @ event [67]\d", ("concurrency: publish before CONNACK",)),
    ("qos2-2-sqlite-slow", r"cut producer reset @ event [3-9]\d", ("concurrency: publish during retransmission",)),
    (
        "qos2-5-journal-few-wrap",
        "kill consumer @",
        (
            "identifiers: none is left",
            "identifiers: wrap past the last one, others in use",
            "concurrency: many packets in one read",
        ),
    ),
    ("qos1-30-sqlite", r"cut producer reset @ event [5-9]\d", ("concurrency: producer has more than the window",)),
    ("qos1-30-sqlite", r"kill consumer @ event [5-9]\d", ("concurrency: broker has more than the window",)),
    ("qos1-1-sqlite", r"kill broker before disk 1\d", ("broker: log carried over, or checkpoint",)),
    (
        "qos1-1-memory-wrap",
        r"kill producer @ event [2-4]\d",
        (
            "identifiers: no store, the same session, the same payload",
            "identifiers: no store, the same session, another payload",
        ),
    ),
)


@pytest.mark.parametrize(("world", "faults", "points"), WAYS, ids=lambda value: value if isinstance(value, str) else "")
def test_points_that_need_a_world_of_their_own_are_reached(world: str, faults: str, points: tuple[str, ...]) -> None:
    wanted = set(points)
    assert wanted <= {name for name, _ in POINTS}
    for schedule in exploring.singles(named(world)):
        if re.match(faults, str(schedule.faults[0])):
            result = try_out(schedule)
            assert not result.problems, f"{schedule}: {result.problems}"
            wanted -= set(hit(result.points))
            if not wanted:
                return
    raise AssertionError(f"never reached: {wanted}")


def test_a_failure_is_shrunk_to_the_faults_that_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    needed, others = Fault("kill", "event", 3, "broker"), [Fault("kill", "event", n, "consumer") for n in (1, 5, 9)]
    schedule = Schedule(Small(), (others[0], others[1], needed, others[2]))

    def try_out(schedule: Schedule) -> Result:
        problems = ["lost"] if needed in schedule.faults else []
        return Result(schedule, problems, [], Extent(0, 0, {}), Extent(0, 0, {}), [])

    monkeypatch.setattr(schedules, "try_out", try_out)
    assert shrink(schedule).faults == (needed,)


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


def test_the_command_line_leaves_out_what_a_failure_does_not_need(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bug = next(one for one in BUGS.values() if one.checker == "twice" and len(one.faults) == 1)
    schedule, _, _ = bug.find()
    page = tmp_path / "chart.svg"
    later = "stall consumer briefly @ event 90"
    with bug.planted():
        assert mqttlite([*schedule.command.split(" --fault ")[0].split()[1:], "--fault", str(schedule.faults[0]),
                         "--fault", later, "-o", str(page)]) == 1  # fmt: skip
    said = capsys.readouterr().out
    assert f"fewer faults do it:\n  {schedule.command}\n" in said
    assert page.read_text(encoding="utf-8").startswith("<svg")


def test_options_of_large_worlds_are_refused_for_small_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert mqttlite(["simulate", "--scenario", "qos1-1-sqlite", "--only-faults", "7"]) != 0
    assert "are of --scenario large" in capsys.readouterr().err
