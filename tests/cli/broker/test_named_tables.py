"""[[named_queue]] and [[stream]] in the broker's file."""

from pathlib import Path

import pytest

from mqttlite.broker.config import load
from mqttlite.broker.named_rules import NamedRule
from mqttlite.broker.topics.names import QUEUE, STREAM


def rules(folder: Path, text: str) -> tuple[NamedRule, ...]:
    path = folder / "broker.toml"
    path.write_text(text)
    return load(path).make_limits().named


def test_they_become_rules(tmp_path: Path) -> None:
    text = """\
[[named_queue]]
name = "jobs"
filter = "jobs/#"
when_full = "refuse"
max_bytes = "32 MiB"
tries = 3
dead_topic = "failed"

[[named_queue]]
name = "*"
max_age_s = 3600

[[stream]]
name = "log"
filter = "sensors/#"
max_messages = 1000
"""
    assert rules(tmp_path, text) == (
        NamedRule("jobs", QUEUE, "jobs/#", 32 << 20, when_full="refuse", tries=3, dead_topic="failed"),
        NamedRule("*", QUEUE, max_age_s=3600),
        NamedRule("log", STREAM, "sensors/#", 16 << 20, 1000),
    )


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ('[[named_queue]]\nfilter = "x"\n', 1, "a name is missing"),
        ('[[named_queue]]\nname = "a b"\n', 2, "name must be 1 to 64 letters"),
        ('[[named_queue]]\nname = "a"\nwhen_full = "explode"\n', 3, "when_full must be one of drop-newest"),
        ('[[stream]]\nname = "a"\nmax_bytes = "much"\n', 3, "max_bytes has to be a whole number"),
        ('[[stream]]\nname = "a"\ntries = 3\n', 3, "tries"),
        ('[[stream]]\nname = "a"\nfilter = "a/#/b"\n', 1, "MQTT-4.7.1-2"),
        ('[[named_queue]]\nname = "a"\nfilter = "x/#"\ndead_topic = "x/dead"\n', 4, "collected by the queue itself"),
    ],
)
def test_a_mistake_is_told_with_its_line(tmp_path: Path, text: str, line: int, words: str) -> None:
    with pytest.raises(ValueError, match=words) as error:
        rules(tmp_path, text)
    assert f"broker.toml:{line}" in str(error.value) or f"line {line}" in str(error.value), error.value
