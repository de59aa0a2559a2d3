"""What was found, as text for people or as JSON."""

import json
from collections.abc import Iterable
from itertools import islice
from typing import Any

from ....core.shown import shown
from ....ledger.compare import Comparison, End
from ....ledger.keyset import KeySet, Run
from ....ledger.reading import Reader
from ....ledger.steps import ACCEPTED, STEPS, Key, key_text
from .words import line_of, seen


def result(found: Comparison, witnesses: list[Reader], named: int) -> dict[str, Any]:
    """All of it, as data. `named`: how many keys of a kind by name."""
    return {
        "is_clean": found.is_clean and not found.untold.count,
        "from": _end(found.start),
        "to": [_end(end) for end in found.ends],
        "keys": found.start.keys.count,
        "arrived": found.arrived,
        "missing": _some(found.missing, witnesses, named),
        "under_way": _some(found.under_way, witnesses, named),
        "untold": _some(found.untold, witnesses, named),
        "repeats": {
            "count": found.repeated,
            "named": [
                {"key": key_text(key), "times": times} for key, times in islice(sorted(found.repeats.items()), named)
            ],
        },
        "extra": {"count": found.extra.count, "runs": _runs(found.extra.runs(), named)},
    }


def _end(end: End) -> dict[str, Any]:
    return {"name": end.name, "what": end.what, "step": end.step, "keys": end.keys.count, "notes": end.notes}


def _some(keys: KeySet, witnesses: list[Reader], named: int) -> dict[str, Any]:
    return {
        "count": keys.count,
        "runs": _runs(keys.runs(), named),
        "named": [_named(key, witnesses) for key in islice(keys, named)],
    }


def _runs(runs: Iterable[Run], most: int) -> list[dict[str, Any]]:
    return [
        {"producer": producer.decode(), "epoch": epoch, "first": first, "last": last}
        for producer, epoch, first, last in islice(runs, most)
    ]


def _named(key: Key, witnesses: list[Reader]) -> dict[str, Any]:
    entries = [entry for reader in witnesses for entry in reader.of(key)]
    places = dict.fromkeys(entry.node for entry in entries)
    return {
        "key": key_text(key),
        "topic": max((entry.topic for entry in entries), default=""),
        "seen": seen(entries),
        "not_seen": [reader.node for reader in witnesses if reader.node not in places],
    }


def show(data: dict[str, Any], as_json: bool) -> None:
    """Print it."""
    if as_json:
        print_json(data)
    else:
        print("\n".join(_lines(data)))


def print_json(data: dict[str, Any]) -> None:
    """As one object."""
    print(json.dumps(data, indent=2, ensure_ascii=False))


def _lines(data: dict[str, Any]) -> Iterable[str]:
    ends = [data["from"], *data["to"]]
    width = max(len(shown(end["name"], 80)) for end in ends)
    for label, end in zip(["from", *["to"] * len(data["to"])], ends, strict=True):
        yield f"{label:5} {shown(end['name'], 80):{width}}  {end['what']}: {_keys(end['keys'])} {end['step']}"
        for note in end["notes"]:
            yield f"{'':6}{'':{width}}  {note}"
    yield ""
    yield from _kind(data["missing"], "MISSING", "has left the first end and not come to the other")
    if data["repeats"]["count"]:
        yield f"TWICE    {_keys(data['repeats']['count'])} came to the far end more than once"
        yield from (f"  {shown(each['key'], 120)}  {each['times']} times" for each in data["repeats"]["named"])
        yield from _more(data["repeats"]["count"], len(data["repeats"]["named"]))
        yield ""
    yield from _kind(
        data["untold"], "UNTOLD", "is older than what the far end remembers; of an inbox, name its ledger, too"
    )
    yield from _kind(data["under_way"], "ON ITS WAY", "is so young that it may still come (--settle)")
    if data["extra"]["count"]:
        yield f"Beside those, {_keys(data['extra']['count'])} at the far end that the first end does not know of:"
        yield from (f"  {_run(run)}" for run in data["extra"]["runs"])
        yield ""
    if data["is_clean"] and not data["under_way"]["count"]:
        yield f"Each of {_keys(data['keys'])} has arrived, once."
    else:
        yield f"{data['arrived']:,} of {_keys(data['keys'])} arrived; " + ", ".join(
            f"{data[name]['count']:,} {words}"
            for name, words in (
                ("missing", "missing"),
                ("repeats", "more than once"),
                ("untold", "not to be told"),
                ("under_way", "on their way"),
            )
            if data[name]["count"] or name in ("missing", "repeats")
        )
    on_the_way = [shown(end["name"], 80) for end in data["to"] if end["step"] == STEPS[ACCEPTED]]
    if on_the_way:
        yield (
            f"At {' and '.join(on_the_way)} that means accepted, and no more: what has become of it behind that, a "
            "ledger or an inbox there can tell."
        )


def _kind(kind: dict[str, Any], label: str, words: str) -> Iterable[str]:
    if not kind["count"]:
        return
    yield f"{label}  {_keys(kind['count'])}: {words}"
    for each in kind["named"]:
        yield f"  {shown(each['key'], 120)}" + (f"  {shown(each['topic'], 120)}" if each["topic"] else "")
        yield from (f"      {shown(line_of(item), 300)}" for item in each["seen"])
        if each["not_seen"]:
            yield f"      {', '.join(map(shown, each['not_seen']))}: never seen"
    yield from _more(kind["count"], len(kind["named"]))
    yield ""


def _more(count: int, named: int) -> Iterable[str]:
    if count > named:
        yield f"  and {count - named:,} more (--named {count})"


def _keys(count: int) -> str:
    return f"{count:,} key{'s' * (count != 1)}"


def _run(run: dict[str, Any]) -> str:
    numbers = f"{run['first']}" if run["first"] == run["last"] else f"{run['first']} to {run['last']}"
    return f"{shown(run['producer'])}/{run['epoch']}/{numbers}"
