"""The keys of the newest messages in ledgers: which there are to look at with --chart."""

from collections.abc import Callable, Sequence
from typing import Any

from ....core.shown import shown
from ....ledger.reading import Reader
from ....ledger.steps import Key
from ....ledger.way import summary
from ...showing.columns import table
from .words import when


def newest(readers: Sequence[Reader], count: int, takes: Callable[[Key, str], bool]) -> list[dict[str, Any]]:
    """The last `count` of those that `takes` does, the newest first, each with what any of these places knows of it."""
    keys = dict.fromkeys(key for reader in readers for key in reader.newest(count, takes))
    found = [summary([entry for reader in readers for entry in reader.of(key)]) for key in keys]
    return sorted(found, key=lambda each: int(each["at_ms"]), reverse=True)[:count]


def text_of(found: list[dict[str, Any]]) -> str:
    """A line each."""
    rows = [
        (shown(each["key"], 120), when(each["at_ms"]), each["done"][-1] if each["done"] else "-", shown(each["topic"]))
        for each in found
    ]
    return table(("key", "last seen", "came to", "topic"), rows, widest=120)
