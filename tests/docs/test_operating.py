"""docs/operating.md: its program runs, and what it says of metrics, events and actions is what there is."""

import asyncio
import re
import textwrap
from dataclasses import fields
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from mqttlite.broker import Broker
from mqttlite.broker.counting.ledger import ACCOUNTS
from mqttlite.broker.counting.stats import Stats
from mqttlite.broker.operating import view
from mqttlite.broker.operating.actions import Actions
from mqttlite.broker.operating.loop_watch import LoopWatch
from mqttlite.broker.operating.metrics import _COUNTERS, exposition
from tests.docs.pages import program, text_of

PAGE = "docs/operating.md"


async def test_its_program_runs(tmp_path: Path) -> None:
    source = program(PAGE, "MetricsPage").replace("1883", "0").replace("9883", "0")
    source = source.replace('"broker.sock"', repr(str(tmp_path / "b.sock"))).replace("...\n", "assert page.address\n")
    source = source.replace('"127.0.0.1:0"),', '"127.0.0.1:0") as page,')
    names: dict[str, object] = {}
    exec("async def run():\n" + textwrap.indent(source, "    "), names)
    await asyncio.wait_for(names["run"](), 60)  # type: ignore[operator]


async def test_its_tables_name_every_metric_and_action(tmp_path: Path) -> None:
    text = text_of(PAGE)
    async with Broker(["mqtt://127.0.0.1:0"], store=tmp_path / "b.db") as broker, LoopWatch() as watch:
        families = list(text_string_to_metric_families(exposition(broker, watch)))
        actions = Actions(broker, watch)._actions
    named = set(re.findall(r"`(\w+?)(?:\{\w+\})?`", text))
    others = {f"mqttlite_{field.name}" for field in fields(Stats) if field.name not in _COUNTERS}  # named by themselves
    for family in families:
        if family.name in others:
            continue
        name = family.name + ("_total" if family.type == "counter" else "")
        short = re.sub(r"^mqttlite_connects", "", name)
        assert {name, short} & named or name == "mqttlite_build_info", name
    assert not {name for name in named if name.startswith("mqttlite_")} - {
        each for family in families for each in (family.name, f"{family.name}_total")
    }
    for action in actions:
        assert re.search(rf"`{action}[ `]", text), action


def test_it_names_every_account_and_every_cause_of_a_drop() -> None:
    for mark, words in (("held_bytes{account}", ACCOUNTS), ("messages_dropped_total{cause}", view.drops(Stats()))):
        [row] = [line for line in text_of(PAGE).splitlines() if line.startswith(f"| `mqttlite_{mark}`")]
        assert set(re.findall(r"`(\w+)`", row)) == set(words)
