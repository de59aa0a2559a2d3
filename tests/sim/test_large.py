"""Random schedules of the large world: a short slice of what benchmarks/simulate_large.py runs for hours; and that a
failure is repeated by its command, shrunk and drawn.
"""

import html
import re
import shlex
import sys
import tempfile
from collections import Counter
from pathlib import Path

import pytest

from mqttlite.cli import main as mqttlite
from mqttlite.sim.check.ledger import Ledger, Publisher, ToPublish
from mqttlite.sim.large import large
from mqttlite.sim.large.faults import Happened
from mqttlite.sim.large.large import Large
from mqttlite.sim.large.parts import OLD_SEEDS, Device, Reader, draw
from mqttlite.sim.large.picture import write
from mqttlite.sim.large.selection import ALL, Selection, parse, written
from mqttlite.sim.large.shrink import Failure, failure_of, kind_of, shrink
from mqttlite.sim.large.subject import Subject, subject_of
from mqttlite.sim.scene import attempt
from tests.planted import BUGS

SEEDS = (30005, 30009, 30016, 30022, 30023, 30034, 30067, 30076, 30089, 30099, 100_001, 100_004, 100_007)


@pytest.mark.parametrize("seed", SEEDS)
def test_in_a_large_world_everything_that_was_promised_is_kept(seed: int) -> None:
    run = Large(seed)
    assert attempt(run) == []
    assert len(run.ledger.entries) > 5


def test_the_trace_of_a_large_world_is_the_same_whether_it_is_kept_or_not() -> None:
    digests = []
    for keep in (True, False):
        run = Large(30021, keep_trace=keep)
        assert run.run() == []
        digests.append(run.world.digest())
        run.world.close()
    assert digests[0] == digests[1]


def test_large_worlds_are_of_all_kinds() -> None:
    plans = [draw(seed) for seed in range(200)]
    devices = [device for plan in plans for device in plan.devices]
    assert {device.store for device in devices} == {"memory", "sqlite", "journal"}
    assert {device.keys for device in devices} == {"none", "auto", "app"}
    assert {qos for device in devices for qos in device.qos} == {0, 1, 2}
    assert any(plan.bridges for plan in plans) and any(plan.gateways for plan in plans)
    assert max(plan.duration_s for plan in plans) >= 3600
    assert max(len(plan.devices) for plan in plans) >= 20
    assert max(device.size[1] for device in devices) == 100_000
    assert any(device.first > 65000 for device in devices)
    assert any(plan.calm for plan in plans) and any(plan.faults.wipes for plan in plans)
    assert {device.version for device in devices} == {"3.1.1"}, "old seeds are what they were"
    plans = [draw(seed) for seed in range(OLD_SEEDS, OLD_SEEDS + 50)]
    found = {(part.version, type(part)) for plan in plans for part in (*plan.devices, *plan.readers)}
    assert found == {(version, kind) for version in ("3.1.1", "5.0", "changes") for kind in (Device, Reader)}


def test_at_qos_0_a_message_that_is_sent_again_may_come_behind_later_ones_and_at_qos_1_it_may_not() -> None:
    """Found by a random schedule: the first copy was lost behind the broker, and the broker before it had a commit."""
    device = Publisher("device0", "broker0")
    ledger = Ledger()
    reading = ledger.add("reader00", device.broker, "#", 0)
    for number in (7, 8):
        ledger.try_(device, ToPublish(f"{device.name} {number}", number, f"k/{device.name}/1", "x" * 20, 1), 0)
    reading.effects = [f"{device.name} 8", f"{device.name} 7"]
    assert ledger.problems(Counter()) == []
    reading.qos = 1
    assert ledger.problems(Counter()) == [f"out of order: {device.name} 7 at reader00, after 8"]


# -- leaving out, shrinking, drawing

# What is left of a failure must not depend on how busy the machine is.
pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)  # apsw tells it of each death in the middle of a write
    monkeypatch.setattr(large, "CALM_S", 300.0)  # who waits for ever need not wait for hours here


def happened(seed: int, selection: Selection, size: int = 0) -> tuple[list[Happened], str]:
    run = Large(seed, size, selection)
    attempt(run)
    return run.trouble.happened, run.world.digest()


def test_a_list_of_faults_comes_from_its_text() -> None:
    text = "3,7-9,broker0/disk:1,device3/broker0:2-4,noise"
    keys = parse(text)
    assert len(keys) == 9 and {"8", "device3/broker0:3", "noise"} <= keys
    assert written(keys) == text
    assert parse("") == frozenset()
    for wrong in ("lightning", "9-7", "1-", "1-999999999", "device3:2"):
        with pytest.raises(ValueError, match="is no"):
            parse(wrong)


def test_what_is_left_out_does_not_happen_and_what_came_before_is_the_same(quiet: None) -> None:
    all_of_them, digest = happened(30020, ALL)
    assert len(all_of_them) > 3
    fifth = all_of_them[len(all_of_them) // 2]
    fewer, other = happened(30020, Selection(without=frozenset([fifth.key])))
    before = [one for one in all_of_them if one.at < fifth.at]
    assert before and fewer[: len(before)] == before
    assert fifth.key not in {one.key for one in fewer} and other != digest
    none, _ = happened(30020, Selection(only=frozenset()))
    assert none == []
    assert happened(30020, Selection(without=frozenset([fifth.key])))[1] == other


def test_leaving_out_a_part_changes_no_fault_that_comes_at_a_moment_to_others(quiet: None) -> None:
    whole, _ = happened(30020, ALL)
    parts = frozenset(draw(30020).names) - {"device0"}
    rest, _ = happened(30020, Selection(parts))
    moments = [(one.key, one.at, one.text) for one in rest if one.key.isdigit()]
    assert moments and set(moments) <= {(one.key, one.at, one.text) for one in whole}


def test_parts_that_are_not_there_are_named() -> None:
    with pytest.raises(ValueError, match=r"there is no device99 in this world; it has device0, "):
        Large(30005, selection=Selection(frozenset(["device99"])))


def test_problems_are_of_one_kind_whatever_names_and_numbers_they_have() -> None:
    assert kind_of("2 times: device0 4 (QoS 2) at reader00") == kind_of("13 times: device7 1 (QoS 1) at bridge0")
    assert kind_of("lost: device0 4 (QoS 2) at reader00") != kind_of(
        "confirmed, and lost: device0 4 (QoS 2) at reader00"
    )
    assert kind_of("broker0 keeps 1 identifiers of device1") == kind_of("broker1 keeps 2 identifiers of device2")
    assert kind_of("device3 failed: KeyError(1) []") != kind_of("device3 does not stop")


def shrunk(seed: int, size: int) -> tuple[Failure, Failure, list[str]]:
    said: list[str] = []
    run = Large(seed, size)
    problems = attempt(run)
    assert problems
    failure = failure_of(run, size, problems)
    return failure, shrink(failure, 600, said.append), said


def drawn(failure: Failure) -> tuple[Large, Subject, str]:
    run = Large(failure.seed, failure.size, failure.selection, keep_trace=True)
    problems = attempt(run)
    assert failure.problems[0] in problems
    subject = subject_of(run, failure.problems[0])
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder, "large.html")
        write(page, run, subject, problems, failure.command())
        return run, subject, page.read_text(encoding="utf-8")


def words_of(page: str) -> list[str]:
    chart = page.partition('<svg class="chart heads"')[2].partition("<table")[0]
    return [html.unescape(re.sub("<.*?>", "", text)) for text in re.findall(r"<text[^>]*>(.*?)</text>", chart)]


def test_a_planted_bug_of_a_device_is_shrunk_to_one_fault_and_drawn_over_its_gateway(quiet: None) -> None:
    with BUGS["RELEASED is not stored"].planted():
        before, after, said = shrunk(224, 3)
        assert len(before.faults) > 20 and len(before.parts) > 4
        assert len(after.faults) == 1 and sorted(after.parts) == ["device0", "reader00"]
        assert "2 times: device0" in after.problems[0]
        assert any("fails with 1 fault, 2 parts" in words for words in said)
        run, subject, page = drawn(after)
    assert subject.lanes == ["device0", "gateway1", "broker0", "reader00"]
    assert after.command() == (
        "mqttlite simulate --scenario large --seed 224 --size 3 --only device0,reader00"
        f" --messages {after.selection.messages} --only-faults {after.faults[0]}"
    )
    assert html.escape(after.command()) in page
    words = words_of(page)
    assert words[:4] == subject.lanes
    assert any(f"(fault {after.faults[0]})" in one for one in words)
    assert any(one.startswith("PUBLISH ") and "DUP" in one for one in words)
    others = [entry.name for entry in run.ledger.entries.values() if entry.publisher.name != "device0"]
    assert not any(f"“{other}”" in one for other in others for one in words)
    assert attempt(Large(after.seed, after.size, after.selection)) == []  # it was the bug


def test_a_planted_bug_of_a_brokers_disk_is_shrunk_to_a_device_and_a_power_cut_and_drawn(quiet: None) -> None:
    """What the disk has kept of the broker's file is none that it could start with."""
    with BUGS["SQLite does not sync: broker"].planted():
        before, after, _ = shrunk(231, 3)
        run, subject, page = drawn(after)
    assert len(before.faults) > 10 and len(before.parts) == 5
    assert after.kind == "ProcessFailed" and after.parts == ("device1",)
    assert "nothing listens at broker0:1883" in after.problems[0]
    happened = [(one.key, one.kind, one.who) for one in run.trouble.happened]
    assert happened == [("5", "power", ("broker0",))]
    assert subject.lanes == ["broker0"]
    assert "⚡ power cut (fault 5)" in words_of(page)
    assert attempt(Large(after.seed, after.size, after.selection)) == []  # it was the bug
    assert attempt(Large(after.seed, after.size, after.selection)) == []  # it was the bug


def test_of_a_session_that_is_stuck_one_device_and_one_fault_are_left(quiet: None) -> None:
    with BUGS["FREED is not stored"].planted():
        before, after, _ = shrunk(112, 0)
        _, subject, page = drawn(after)
    assert len(before.faults) > 5 and len(before.parts) > 5
    assert len(after.faults) == 1 and len(after.parts) == 1
    assert subject.message == "" and subject.lanes == [after.parts[0], "broker0"]
    words = words_of(page)
    assert any(word.startswith("PUBREL") for word in words)
    assert any(f"(fault {after.faults[0]})" in word for word in words)


def test_the_command_line_shrinks_and_draws_what_fails_and_repeats_it(
    quiet: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.html"
    with BUGS["FREED is not stored"].planted():
        assert mqttlite(["simulate", "--scenario", "large", "--seed", "112", "-o", str(page)]) == 1
        said = capsys.readouterr().out
        assert f"{page}: open it in a browser" in said and "fails with 1 fault, 1 part" in said
        (command,) = re.findall(r"^  (mqttlite simulate .*)$", said, re.M)
        assert html.escape(command) in page.read_text(encoding="utf-8")
        first = page.read_bytes()
        assert mqttlite([*shlex.split(command)[1:], "-o", str(page)]) == 1
        assert "identifiers of device" in capsys.readouterr().out
        assert page.read_bytes() == first


def test_the_command_line_draws_a_message_of_a_world_that_does_not_fail(
    quiet: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.html"
    words = ["simulate", "--scenario", "large", "--seed", "30020", "--message", "device5 0", "-o", str(page)]
    assert mqttlite(words) == 0
    assert "all that was promised holds" in capsys.readouterr().out
    text = page.read_text(encoding="utf-8")
    assert "publish “device5 0”" in words_of(text) and "--message &#x27;device5 0&#x27;" in text
    assert mqttlite([*words[:-3], "device5 4711"]) == 1
    assert "there is no message 'device5 4711'" in capsys.readouterr().err
    assert mqttlite(["simulate", "--scenario", "large", "--without", "lightning"]) == 1
    assert "'lightning' is no fault" in capsys.readouterr().err
