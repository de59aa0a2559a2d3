"""Teaching scenarios: each shows what it says, whatever the seed; the command writes them; the pictures are theirs."""

import importlib.util
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import pytest

from mqttlite.cli import main
from mqttlite.sim.chart import chart
from mqttlite.sim.lessons.lessons import LESSONS, play
from mqttlite.sim.lessons.stage import LessonError, Stage

ROOT = Path(__file__).parents[2]
PICTURES = sorted((ROOT / "docs/pictures/lessons").glob("*.svg"))


@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_shows_what_it_says_and_is_the_same_run_each_time(name: str) -> None:
    first, again = play(name), play(name)
    assert len(first.claims) >= 2
    assert all(claim.holds for claim in first.claims)
    assert first.world.digest() == again.world.digest()
    assert [entry for entry in first.world.trace if entry[0] >= first.begin]


@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_does_not_hang_on_its_seed(name: str) -> None:
    for seed in (1, 2, 3):
        stage = Stage(seed)
        try:
            LESSONS[name].scene(stage)
        finally:
            stage.close()
        assert stage.claims


@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_is_explained_in_a_few_plain_sentences(name: str) -> None:
    lesson = LESSONS[name]
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", name)
    assert 2 <= len(re.findall(r"[.:?](?: |$)", lesson.text)) <= 7
    assert len(lesson.text) < 600


def test_a_claim_that_does_not_hold_and_a_fault_that_is_not_reached_are_errors() -> None:
    stage = Stage(1)
    try:
        with pytest.raises(LessonError, match="does not hold: water is dry"):
            stage.shows("water is dry", False)
        stage.broker()
        stage.cut("PUBACK", "broker", "device", "before")
        stage.device(["x"], 2)
        with pytest.raises(LessonError, match="was not reached"):
            stage.end(lambda: stage.confirmed == ["x"], "confirmed")
    finally:
        stage.close()


# -- the command


def test_the_list_has_every_lesson_with_its_title(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--explain", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [tuple(line.split(maxsplit=1)) for line in lines] == [(one.name, one.title) for one in LESSONS.values()]


def test_a_lesson_is_written_as_a_page_or_as_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["simulate", "--explain", "two-generals"]) == 0
    assert main(["simulate", "--explain", "two-generals", "-o", "a.svg"]) == 0
    page = (tmp_path / "two-generals.html").read_text()
    assert "<title>Two generals" in page and "mqttlite simulate --explain two-generals" in page
    assert (tmp_path / "a.svg").read_text().startswith("<svg ")


def test_all_lessons_are_written_into_a_folder(tmp_path: Path) -> None:
    assert main(["simulate", "--explain", "all", "-o", str(tmp_path / "charts")]) == 0
    assert {path.stem for path in (tmp_path / "charts").glob("*.html")} == set(LESSONS)


def test_an_unknown_lesson_is_one_line_that_names_those_that_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--explain", "qos3"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "no lesson 'qos3'" in line and "qos2-happy" in line


@pytest.mark.parametrize(
    ("module", "lesson", "extra"),
    [("apsw", "qos2-happy", "mqttlite[sim]"), ("serial", "serial-line-unplugged", "mqttlite[sim]")],
)
def test_where_a_module_is_missing_the_command_says_what_to_install(
    module: str, lesson: str, extra: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == module else real(name))
    assert main(["simulate", "--explain", lesson]) == 1
    assert f"pip install '{extra}'" in capsys.readouterr().err


def test_the_list_needs_no_module_that_may_be_missing() -> None:
    code = "import sys; sys.modules['apsw'] = sys.modules['serial'] = None; from mqttlite.cli import main; "
    words = [sys.executable, "-c", code + "raise SystemExit(main(['simulate', '--explain', 'list']))"]
    result = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0 and "two-generals" in result.stdout, result.stderr


def test_the_command_works_as_a_program_of_its_own(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "mqttlite", "simulate", "--explain", "qos2-happy", "-o", str(tmp_path / "x.html")]
    result = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout == f"{tmp_path / 'x.html'}: open it in a browser\n" and not result.stderr


# -- the pictures of the documents


def said(svg: str) -> Counter[str]:
    """The words of a chart, without what other chance moves (times, identifiers) and how often a store syncs."""
    texts = ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")
    whole = ("".join(text.itertext()) for text in texts if text.get("class") not in ("time", "why halo", None))
    return Counter(re.sub(r"(?<=[A-Z] )\d+\b", "N", words) for words in whole if words not in ("commit", "sync"))


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.stem)
def test_a_picture_tells_what_its_lesson_does_today(picture: Path) -> None:
    """If not: mqttlite simulate --explain NAME -o docs/pictures/lessons/NAME.svg"""
    played = play(picture.stem)
    assert said(picture.read_text()) == said(chart.svg(played.world, title=played.lesson.title, since=played.begin))


def test_the_documents_show_the_pictures() -> None:
    assert len(PICTURES) == 2
    pages = (ROOT / "README.md").read_text() + (ROOT / "docs" / "simulator.md").read_text()
    for picture in PICTURES:
        assert f"pictures/lessons/{picture.name})" in pages
