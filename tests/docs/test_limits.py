"""docs/limits.md: every limit is in its table with its default, and what its first table names is there."""

import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.attack.attacks import ATTACKS
from mqttlite.broker import Broker
from mqttlite.broker.limits import NAMES, Limits
from mqttlite.broker.operating.loop_watch import LoopWatch
from mqttlite.broker.operating.metrics import exposition
from tests.broker.five import Five
from tests.broker.world import World
from tests.docs.pages import text_of
from tests.runtimes import ROOT
from tools.limits_table import ELSEWHERE, NOT_COUNTED, made

PAGE = "docs/limits.md"
ROW = re.compile(r"^\| `(\w+)` \| [^|]+ \| [^|]+ \| ([^|]+) \|$", re.MULTILINE)
METRIC = re.compile(r'`((?:mqttlite|process)_\w+)(?:\{(\w+)(?:="(\w+)")?\})?`')


def test_the_table_of_all_limits_is_what_the_broker_has() -> None:
    assert made(text_of(PAGE)) == text_of(PAGE), "python -m tools.limits_table"


def test_each_limit_that_an_attack_meets_is_one() -> None:
    against = text_of(PAGE).split("## Against what")[1].split("## How")[0]
    named = set(re.findall(r"`(\w+)`", against)) | set(
        re.findall(r"\w+", " ".join(each.row for each in ATTACKS.values()))
    )
    assert named - NAMES.keys() <= {"malformed", "wills"}


@pytest.mark.parametrize(
    ("text", "limit", "value"),
    [
        ("5 s for the first byte", "first_byte_ms", 5000),
        ("10 s for all of CONNECT", "connect_ms", 10_000),
        ("more than 50 without CONNECT", "half_open", 50),
        ("or 10 of one address", "half_open_per_address", 10),
        ("over 30 s, however long", "packet_ms", 30_000),
        ("20 connections a second of one", "connects_per_address", 20),
        ("500 of all", "connects_a_second", 500),
        ("30 times a minute", "failed_logins_a_minute", 30),
        ("five times a minute", "takeovers_a_minute", 5),
        ("32, of these 16 user properties, 4 KiB", "properties", 32),
        ("256 of one client and 2,048 of all", "wildcards", 256),
        ("of 1,000 persistent ones, or 20 of one user", "persistent_sessions", 1000),
        ("may hold 96 MiB", "address_bytes", 96 << 20),
        ("all together 192 MiB", "memory_bytes", 192 << 20),
        ("20 lines a second", "log_lines_a_second", 20),
        ("then 1 MiB, announced", "packet_bytes", 1 << 20),
    ],
)
def test_what_the_page_says_in_words_are_the_defaults(text: str, limit: str, value: int) -> None:
    assert text in text_of(PAGE)
    assert getattr(Limits(), limit) == value


async def told(tmp_path: Path) -> set[tuple[str, str, str]]:
    """What /metrics of a broker with a store says: name, label, its value. A histogram has its family's name, too."""
    async with Broker(["mqtt://127.0.0.1:0"], store=str(tmp_path / "broker.db")) as broker:
        text = exposition(broker, LoopWatch())
    found = set()
    for family in text_string_to_metric_families(text):
        found.add((family.name, "", ""))
        for sample in family.samples:
            found.add((sample.name, "", ""))
            for label, value in sample.labels.items():
                found |= {(sample.name, label, ""), (sample.name, label, value)}
    return found


async def test_each_limit_names_metrics_that_there_are(tmp_path: Path) -> None:
    there = await told(tmp_path)
    rows = dict(ROW.findall(text_of(PAGE)))
    assert list(rows) == list(NAMES)
    for name, counted in rows.items():
        named = METRIC.findall(counted)
        assert named or counted == NOT_COUNTED, name
        assert set(named) <= there, name
        assert ("mqttlite_limit_hits_total", "limit", name) in named or name in ELSEWHERE


@pytest.mark.parametrize("page", [PAGE, "docs/operating.md", "docs/server.md"])
async def test_each_metric_that_a_page_names_is_there(page: str, tmp_path: Path) -> None:
    there = await told(tmp_path)
    assert set(METRIC.findall(text_of(page))) <= there


def test_what_is_counted_under_its_own_name_is_named_where_it_bites() -> None:
    """Those that stand elsewhere in the table are those of which no counter has the name."""
    sources = [path for path in (ROOT / "mqttlite" / "broker").rglob("*.py") if path.parent.name != "config"]
    text = "".join(path.read_text() for path in sources if path.name != "limits.py")
    named = {name for name in NAMES if f'"{name}"' in text}
    assert {name for name in NAMES if name not in ELSEWHERE} <= named
    assert set(ELSEWHERE) & named <= {"parked_bytes", "turn_ms", "named_bytes"}  # a slot, a key, a bound in words


def test_a_topic_over_a_limit_is_counted_whether_it_is_published_to_or_subscribed_to() -> None:
    world = World(topic_bytes=5, topic_levels=2)
    client = Five(world, "c")
    for topic, limit in (("long/long", "topic_bytes"), ("a/b/c", "topic_levels")):
        for number, do in enumerate((client.publish, client.subscribe), 1):
            do(topic)
            assert world.stats.limits[limit] == number
