"""One message's way, as the page and `mqttlite verify --chart` draw it: from the rows of one place or several. No I/O.

    {"key": "board-1/1764512345/42", "topic": "sensors/…", "bytes": 12, "traceparent": "…",
     "lanes": ["board-1", "gateway", "cloud"],
     "steps": [{"at_ms": 1764512345678, "what": "accepted", "from": "board-1", "to": "gateway", "detail": ""}, …]}

A lane is a place; a step whose `from` is its `to` happened there. Of several places, each one's clock is its own: the
order of steps at one place is certain, that between places as good as their clocks agree.
"""

from dataclasses import dataclass
from typing import Any

from .steps import ACCEPTED, ACKNOWLEDGED, ENDED, FORWARDED, HANDLED, STEPS, STORED

BRIDGE = "$bridge/"  # client identifiers of sessions that are upstreams


@dataclass(frozen=True)
class Entry:
    """A row of a ledger, that of `node`. `at`: by step, 0: it has not happened. `times`: accepted, sent, handled."""

    node: str
    key: str
    peer: str
    topic: str
    bytes: int
    traceparent: str
    at: tuple[int, ...]
    cause: str
    times: tuple[int, int, int]

    @property
    def last_ms(self) -> int:
        """When something happened last."""
        return max(self.at)


def place(peer: str) -> str:
    """The lane of a peer: an upstream is called by its name."""
    return peer.removeprefix(BRIDGE)


def way(entries: list[Entry]) -> dict[str, Any]:
    """The way of the message that all these are of, from place to place."""
    told = max(entries, key=lambda entry: (bool(entry.topic), bool(entry.traceparent)))
    # A place that says that it has sent it here, and who brought it here, are one: the latter is a client identifier.
    brought = {place(entry.peer): entry.node for entry in entries if entry.at[FORWARDED]}
    steps = [step for entry in entries for step in _steps(entry, brought.get(entry.node, ""))]
    hops = {node: hop for hop, node in enumerate(dict.fromkeys(entry.node for entry in entries))}
    steps.sort(key=lambda step: (step["at_ms"], _rank(step, hops)))
    return {
        "key": entries[0].key,
        "topic": told.topic,
        "bytes": told.bytes,
        "traceparent": told.traceparent,
        "lanes": list(dict.fromkeys(lane for step in steps for lane in (step["from"], step["to"]))),
        "steps": steps,
    }


def _steps(entry: Entry, bringer: str) -> "list[dict[str, Any]]":
    here, there = entry.node, place(entry.peer) or entry.node
    accepted, forwarded, handled = entry.times
    ends = {
        ACCEPTED: (bringer or there, here, f"{accepted} times" if accepted > 1 else ""),
        STORED: (here, here, f"for {there}" if there != here else ""),
        FORWARDED: (here, there, f"{forwarded} times, the first" if forwarded > 1 else ""),
        ACKNOWLEDGED: (there, here, ""),
        HANDLED: (here, here, f"{handled} times" if handled > 1 else ""),
        ENDED: (here, here, f"{entry.cause}, for {there}" if there != here else entry.cause),
    }
    return [
        {"at_ms": entry.at[step], "what": STEPS[step], "from": start, "to": end, "detail": detail}
        for step, (start, end, detail) in ends.items()
        if entry.at[step]
    ]


def _rank(step: "dict[str, Any]", hops: dict[str, int]) -> int:
    """In which order things must have happened that have at one moment: places on the way there, and then back."""
    what = STEPS.index(step["what"])
    if what > FORWARDED:
        return len(STEPS) * (2 * len(hops) - hops.get(step["to"], 0)) - what
    return len(STEPS) * hops[step["from"] if what == FORWARDED else step["to"]] + what


def done(entries: list[Entry]) -> list[str]:
    """Which steps have happened, in the order in which they do."""
    return [name for step, name in enumerate(STEPS) if any(entry.at[step] for entry in entries)]


def summary(entries: list[Entry]) -> dict[str, Any]:
    """What is known of one message, in short; all entries are of it."""
    return {
        "key": entries[0].key,
        "topic": max(entry.topic for entry in entries),
        "bytes": max(entry.bytes for entry in entries),
        "at_ms": max(entry.last_ms for entry in entries),
        "done": done(entries),
    }
