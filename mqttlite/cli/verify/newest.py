"""The keys of the newest messages in ledgers: which there are to look at with --chart."""

from collections.abc import Callable, Iterable
from typing import Any

from ...core.shown import shown
from ...ledger.reading import Reader
from ...ledger.steps import STEPS, Key
from ..columns import table
from .words import when


def newest(readers: Iterable[Reader], count: int, takes: Callable[[Key, str], bool]) -> list[dict[str, Any]]:
    """The last `count` of those that `takes` does, the newest first; what several places know of one is together."""
    found: dict[str, dict[str, Any]] = {}
    for reader in readers:
        for each in reader.newest(count, takes):
            known = found.setdefault(each["key"], each)
            known["topic"] = known["topic"] or each["topic"]
            known["at_ms"] = max(known["at_ms"], each["at_ms"])
            known["done"] = [step for step in STEPS if step in (*known["done"], *each["done"])]
    return sorted(found.values(), key=lambda each: int(each["at_ms"]), reverse=True)[:count]


def text_of(found: list[dict[str, Any]]) -> str:
    """A line each."""
    rows = [
        (shown(each["key"], 120), when(each["at_ms"]), each["done"][-1] if each["done"] else "-", shown(each["topic"]))
        for each in found
    ]
    return table(("key", "last seen", "came to", "topic"), rows, widest=120)
