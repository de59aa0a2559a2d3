"""The log of a broker for programs: one line a record, the same names everywhere."""

import json
import logging
import shlex
from typing import Any

import pytest

from mqttlite.broker.config.operating import FORMS
from mqttlite.cli.serving.log_forms import formatter
from tests.broker.world import World


@pytest.fixture
def records(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """A connection that comes and goes, one that is refused, a limit that bites."""
    caplog.set_level(logging.INFO, "mqttlite.broker")
    world = World(client_id_bytes=8, topic_levels=2)
    client = world.connect('a b"c', clean=False, keep_alive_s=60)
    client.subscribe("a/b/c")
    world.wait(1500)
    client.disconnect()
    world.connect("much too long", code=2)
    return caplog.records


def lines(records: list[logging.LogRecord], form: str) -> list[str]:
    found = [formatter(form).format(record) for record in records]
    assert not any("\n" in line for line in found)
    return found


def test_json_has_an_object_in_each_line(records: list[logging.LogRecord]) -> None:
    found: list[dict[str, Any]] = [json.loads(line) for line in lines(records, "json")]
    by_event = {each["event"]: each for each in found}
    connected = by_event["connected"]
    assert connected["client"] == 'a b"c'
    assert connected["address"] == 'address of a b"c'
    assert (connected["version"], connected["session"], connected["keep_alive_s"]) == ("3.1.1", "new", 60)
    assert (connected["level"], connected["logger"]) == ("info", "mqttlite.broker")
    assert connected["message"].endswith("connected (persistent session, keep alive 60 s)")
    closed = by_event["closed"]
    assert (closed["client"], closed["why"], closed["duration_s"]) == ('a b"c', "disconnected", 1.5)
    assert closed["sent_bytes"] > 0
    refused = by_event["refused"]
    assert refused["why"].startswith("refused: CONNACK 2")
    assert (refused["client"], refused["level"]) == ("much too long", "warning")
    assert {each["limit"] for each in found if each["event"] == "limit"} == {"client_id_bytes", "topic_levels"}


def test_keys_are_read_by_a_shell(records: list[logging.LogRecord]) -> None:
    found = [dict(word.split("=", 1) for word in shlex.split(line)) for line in lines(records, "keys")]
    connected = next(each for each in found if each["event"] == "connected")
    assert (connected["client"], connected["keep_alive_s"]) == ('a b"c', "60")
    assert connected["time"].endswith("Z")
    assert connected["msg"].endswith("connected (persistent session, keep alive 60 s)")


def test_the_journal_gets_the_priority_in_front_and_no_time(records: list[logging.LogRecord]) -> None:
    found = lines(records, "journal")
    assert all(line.startswith(("<6>", "<4>")) for line in found)
    assert any(line.startswith("<4>") and "event=refused" in line for line in found)
    assert any("event=closed" in line and "why=disconnected" in line for line in found)


@pytest.mark.parametrize("form", FORMS)
def test_what_a_stranger_sends_makes_no_line_of_its_own(form: str) -> None:
    record = logging.LogRecord("mqttlite.broker", logging.INFO, "", 0, "%s came", ("x\n<0>fake\x1b[2J",), None)
    record.event = "connected"
    record.fields = {"client": "x\n<0>fake event=closed"}
    line = formatter(form).format(record)
    assert line.isprintable()
    if form == "keys":
        assert len(shlex.split(line)) == 5


def test_a_traceback_stays_with_its_record() -> None:
    try:
        raise ValueError("ours")
    except ValueError as error:
        info = (ValueError, error, error.__traceback__)
    record = logging.LogRecord("mqttlite.broker", logging.ERROR, "", 0, "unexpected error", (), info)
    assert "ValueError: ours" in json.loads(formatter("json").format(record))["exception"]
    assert all(line.startswith("<3>") for line in formatter("journal").format(record).split("\n"))
