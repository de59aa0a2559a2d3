"""How far a message came, in words and as data."""

from datetime import datetime
from typing import Any

from ....ledger.steps import ACCEPTED, ACKNOWLEDGED, ENDED, FORWARDED, HANDLED, STEPS, STORED
from ....ledger.way import Entry, place

ORDER = (ENDED, HANDLED, ACKNOWLEDGED, FORWARDED, STORED, ACCEPTED)  # what says most of where it is


def when(at_ms: int) -> str:
    """A moment, for reading."""
    moment = datetime.fromtimestamp(at_ms / 1000).astimezone()
    return f"{moment:%Y-%m-%d %H:%M:%S}.{at_ms % 1000:03d}"


def seen(entries: list[Entry]) -> list[dict[str, Any]]:
    """Where a message was seen, and what happened there last: an item for each place and peer."""
    found = []
    for entry in entries:
        last = next((step for step in ORDER if entry.at[step]), ACCEPTED)
        peer = place(entry.peer) or entry.node
        found.append(
            {"node": entry.node, "peer": peer, "step": STEPS[last], "at_ms": entry.at[last], "why": entry.cause}
        )
    return found


def line_of(item: dict[str, Any]) -> str:
    """One of these."""
    peer = item["peer"]
    words = {
        "accepted": f"accepted from {peer}",
        "stored": f"stored for {peer}, never sent to it",
        "forwarded": f"sent to {peer}, which has not acknowledged it",
        "acknowledged": f"acknowledged by {peer}, which has taken it over",
        "handled": "handled",
        "ended": f"not for {peer} any more: {item['why']}",
    }[item["step"]]
    return f"{item['node']}: {words} ({when(item['at_ms'])})"
