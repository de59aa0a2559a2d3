"""Fingerprints of worlds: the same in every process, and what is said when they are not."""

import hashlib
import logging
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.sim import digests
from tests.sim.digests import WITHOUT_SQLITE, Fingerprint, fingerprint, main, run, seeds_of, trace

SOME = ("plain", "journal", "serial", "qos2-1-sqlite+faults", "qos1-2-journal", "large")
ELSEWHERE = {
    "PYTHONHASHSEED": "7",
    "TZ": "Pacific/Apia",
    "LC_ALL": "C",
    "PYTHONMALLOC": "malloc",
    "PYTHONOPTIMIZE": "2",
}


def written(path: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    """The lines that the program prints, which then are in a file, too."""
    assert main([*arguments]) == 0
    path.write_text(capsys.readouterr().out, encoding="utf-8")
    return path.read_text(encoding="utf-8").splitlines()


def test_another_process_with_another_hash_seed_time_zone_and_locale_has_the_same_fingerprints(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.txt"
    lines = written(file, capsys, "--worlds", *SOME, "--seeds", "11,15")
    assert len({line.split()[-1] for line in lines if not line.startswith("#")}) == 2 * len(SOME)
    environment = os.environ | ELSEWHERE | {"PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
    done = subprocess.run(
        [sys.executable, "-m", "tests.sim.digests", "--check", str(file)],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("12 the same, 0 different, 0 not compared\n")
    assert "PYTHONHASHSEED 7, TZ Pacific/Apia" in done.stdout


def test_a_check_names_the_first_difference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "a.txt"
    lines = written(file, capsys, "--worlds", "plain", "qos1-1-sqlite", "--seeds", "1-3")
    changed = [line[:-1] + ("1" if line[-1] == "0" else "0") if " 2 " in line else line for line in lines]
    assert sum(one != other for one, other in zip(lines, changed, strict=True)) == 2
    file.write_text("\n".join(changed), encoding="utf-8")
    assert main(["--check", str(file)]) == 1
    said = capsys.readouterr().out
    assert "4 the same, 2 different, 0 not compared" in said
    assert "The first difference is in plain, seed 2:" in said
    assert "--trace plain --seeds 2" in said


def test_a_check_can_be_of_some_worlds_and_seeds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "a.txt"
    written(file, capsys, "--worlds", "plain", "qos0-1-memory", "--seeds", "1-2")
    assert main(["--check", str(file), "--worlds", "qos0-1-memory", "--seeds", "2"]) == 0
    assert "1 the same" in capsys.readouterr().out


def test_a_check_leaves_out_what_cannot_run_here(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.txt"
    written(file, capsys, "--worlds", "plain", "qos0-1-memory", "--seeds", "1")
    monkeypatch.setitem(sys.modules, "apsw", None)
    assert main(["--check", str(file)]) == 0
    said = capsys.readouterr().out
    assert "1 the same, 0 different, 1 not compared" in said
    assert "here:  no apsw" in said


def test_worlds_without_sqlite_need_no_apsw() -> None:
    program = "import sys; sys.modules['apsw'] = None; from tests.sim.digests import main; sys.exit(main())"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
    command = [sys.executable, "-c", program, "--seeds", "1", "--worlds"]
    done = subprocess.run([*command, *WITHOUT_SQLITE], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines() if line[0] != "#"] == [*WITHOUT_SQLITE]
    done = subprocess.run([*command, "qos1-1-sqlite"], env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert "apsw" in done.stderr


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("plain 1 2\n", "not a line with a fingerprint"),
        ("plane 1 2 abc\n", "is no small world"),
        ("# nothing\n\n", "nothing to compare"),
    ],
)
def test_a_file_that_is_of_no_use_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, why: str
) -> None:
    file = tmp_path / "a.txt"
    file.write_text(text, encoding="utf-8")
    assert main(["--check", str(file)]) == 2
    assert why in capsys.readouterr().err


@pytest.mark.parametrize("name", ["serial", "qos2-1-sqlite+faults"])
def test_the_digest_is_that_of_the_trace_that_is_written(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--trace", name, "--seeds", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == list(trace(name, 3))
    assert hashlib.sha256("".join(lines).encode()).hexdigest() == fingerprint(name, 3).digest


@pytest.mark.parametrize("name", WITHOUT_SQLITE)
def test_a_world_without_sqlite_has_faults_and_delivers(name: str) -> None:
    world = run(name, 1)
    kinds = Counter(kind for _, _, kind, _ in world.trace)
    handled = {text for _, lane, kind, text in world.trace if kind == "handle"}
    assert world.processes["device"].result == "done"
    assert len(handled) > digests.MESSAGES // 2  # those that are accepted after the subscription
    assert f"device {digests.MESSAGES - 1}" in handled
    assert kinds["cut"] > 1
    assert (kinds["power cut"] > 1) == (name != "plain")


def test_what_is_logged_elsewhere_does_not_change_a_fingerprint() -> None:
    logger = logging.getLogger("mqttlite")
    before = fingerprint("plain", 4)
    level = logger.level
    logger.setLevel(logging.DEBUG)
    try:
        assert fingerprint("plain", 4) == before
        assert logger.level == logging.DEBUG
    finally:
        logger.setLevel(level)


def test_a_fingerprint_is_read_as_it_is_written() -> None:
    one = Fingerprint("qos2-2-sqlite-keys+faults", 123456, 7, "0f" * 32)
    assert Fingerprint.parse(str(one)) == one
    assert seeds_of("1-3,7") == [1, 2, 3, 7]
