"""The table: kinds of fault down, pairs of client and broker across, as text, as Markdown and as JSON."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.chaos.brokers import mqttlite_is_durable
from benchmarks.chaos.counts import Sums
from benchmarks.chaos.pairs import Pair
from benchmarks.chaos.plan import BROKER_DIES, KINDS

Key = tuple[str, str, int]  # pair, kind, QoS
LEFT_OUT = "–"
MARKED = " *"


def cell(sums: Sums | None) -> str:
    """The four figures; and how many runs did not end as they should."""
    if not sums:
        return LEFT_OUT
    figures = f"{sums.lost} / {sums.confirmed_lost} / {sums.duplicated} / {sums.misordered}"
    return figures + (f" ({sums.failed} stuck)" if sums.failed else "")


def heading(pair: Pair) -> str:
    return f"{pair.client.name} + {'Mosquitto' if pair.broker == 'mosquitto' else pair.broker}"


def rows(results: Mapping[Key, Sums], pairs: Sequence[Pair], qos: int, kinds: Sequence[str]) -> list[list[str]]:
    """The table of one QoS with its heading."""
    table = [["", *(heading(pair) for pair in pairs)]]
    for kind in kinds:
        line = [KINDS[kind]]
        for pair in pairs:
            mark = MARKED if kind == "mixed" and _spared(pair) and (pair.name, kind, qos) in results else ""
            line.append(cell(results.get((pair.name, kind, qos))) + mark)
        table.append(line)
    return table


def _spared(pair: Pair) -> bool:
    return pair.broker == "mqttlite" and not mqttlite_is_durable()


def title(qos: int, seeds: int, messages: int) -> str:
    twice = "handled twice" if qos == 2 else "handled twice, which QoS 1 allows"
    return f"QoS {qos}, {seeds} x {messages} messages each: lost / confirmed and lost / {twice} / out of order"


def notes(pairs: Sequence[Pair], kinds: Sequence[str]) -> list[str]:
    """What the tables leave out."""
    if any(_spared(pair) for pair in pairs) and any(kind in BROKER_DIES for kind in kinds):
        return [
            f"{LEFT_OUT} and *: mqttlite's broker keeps its sessions in memory, so it is not killed "
            "(* all of these, but for that)."
        ]
    return []


def as_text(table: Sequence[Sequence[str]]) -> str:
    widths = [max(len(line[column]) for line in table) for column in range(len(table[0]))]
    lines = ["  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in table]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def as_markdown(table: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(text.replace("*", "\\*") for text in line) + " |" for line in table]
    return "\n".join([lines[0], "|" + "---|" * len(table[0]), *lines[1:]])


def as_json(results: Mapping[Key, Sums], about: Mapping[str, Any], failures: Sequence[str]) -> str:
    cells = [{"pair": pair, "fault": kind, "qos": qos, **sums._asdict()} for (pair, kind, qos), sums in results.items()]
    return json.dumps({**about, "results": cells, "failures": failures}, indent=1) + "\n"
