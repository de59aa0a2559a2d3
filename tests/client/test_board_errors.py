"""Numbers of a bundle in words again: errors, tracebacks, and the command that does it."""

import io
import json
import re
from pathlib import Path

import pytest

from mqttlite.cli import main
from mqttlite.client import board_errors
from mqttlite.client.board_errors import explained, texts, traced

TEXTS = {4: "field longer than 65535 bytes", 17: "no answer to {} within {} ms", 18: "packet type {}"}
TRACE = {
    "lines": {"mqttlite": [[2, "mqttlite/core/errors.py", 30], [9, "mqttlite/core/session.py", 120]]},
    "names": {"a": ["receive"], "b": ["close", "Link"], "c": ["generation"]},
}


@pytest.fixture
def _numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board_errors, "texts", lambda: TEXTS)
    monkeypatch.setattr("mqttlite.cli.boards.explain.texts", lambda: TEXTS)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("ConnectError: E17[PINGREQ|5000]\r\n", "ConnectError: no answer to PINGREQ within 5000 ms\r\n"),
        ("E4 [1.5.3]", "field longer than 65535 bytes [1.5.3]"),
        ("disconnected: E18[7] [2.2.1]", "disconnected: packet type 7 [2.2.1]"),
        ("E17[PINGREQ", "no answer to PINGREQ within ? ms"),
        ("E17[a {} b|1]2", "no answer to a {} b within 1 ms2"),
        ("E17[E18[7] [2.2.1]|1]; E4", "no answer to packet type 7 [2.2.1] within 1 ms; field longer than 65535 bytes"),
        ("E99[x], E (17) boot: SPACE17 E17x", "E99[x], E (17) boot: SPACE17 E17x"),
    ],
)
@pytest.mark.usefixtures("_numbers")
def test_a_number_becomes_its_words_wherever_it_stands(said: str, words: str) -> None:
    assert explained(said) == words


def test_a_traceback_gets_the_places_and_names_of_the_source_back() -> None:
    said = """\
  File "main.py", line 7, in a
  File "mqttlite", line 1, in a
  File "mqttlite", line 10, in b
  File "mqttlite", line 3, in connect
AttributeError: 'Session' object has no attribute 'c'
"""
    assert (
        traced(said, TRACE)
        == """\
  File "main.py", line 7, in a
  File "mqttlite", line 1, in receive
  File "mqttlite/core/session.py", line 120, in close or Link
  File "mqttlite/core/errors.py", line 30, in connect
AttributeError: 'Session' object has no attribute 'generation'
"""
    )


def test_the_texts_are_found_and_numbered_from_1() -> None:
    assert list(texts()) == list(range(1, len(texts()) + 1))


@pytest.mark.usefixtures("_numbers")
def test_mqttlite_explain_takes_numbers_and_what_a_board_has_printed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert main(["explain", "17", "E4", "17[PUBLISH|9]"]) == 0
    assert capsys.readouterr().out == (
        "no answer to … within … ms\nfield longer than 65535 bytes\nno answer to PUBLISH within 9 ms\n"
    )
    assert main(["explain", "99"]) == 1
    assert capsys.readouterr().err == "mqttlite explain: no error has the number '99'\n"

    (tmp_path / "trace.json").write_text(json.dumps(TRACE))
    monkeypatch.setattr("sys.stdin", io.StringIO('  File "mqttlite", line 1, in a\nMQTTError: E4\n'))
    assert main(["explain", "--trace", str(tmp_path / "trace.json")]) == 0
    assert capsys.readouterr().out == (
        '  File "mqttlite", line 1, in receive\nMQTTError: field longer than 65535 bytes\n'
    )


def test_a_file_that_is_no_trace_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "trace.json").write_text("[]")
    assert main(["explain", "--trace", str(tmp_path / "trace.json")]) == 1
    assert "is not the trace.json of a bundle" in capsys.readouterr().err


def test_the_number_in_the_examples_is_that_of_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert texts()[17] == "no answer to {} within {} ms"  # a number never gets another text
    assert main(["explain", "--help"]) == 0
    assert "mqttlite explain 'E17[PINGREQ|5000]'" in capsys.readouterr().out
    pages = Path(__file__).parents[2] / "docs"
    [decision] = (pages / "decisions").glob("0025-*.md")
    for page in (decision, pages / "board.md"):
        text = page.read_text(encoding="utf-8")
        assert "E17[PINGREQ|5000]" in text
        assert set(re.findall(r"\bE(\d+)\b", text)) == {"17"}
    assert '{"17": "no answer to {} within {} ms"}' in decision.read_text(encoding="utf-8")
