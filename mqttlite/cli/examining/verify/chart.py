"""The sequence chart of one message's way: as text, and as SVG with the simulator's drawing."""

from datetime import datetime
from typing import Any

from ....core.shown import shown

LANE = 24  # columns from one lane to the next, at least


def text_of(way: dict[str, Any]) -> str:
    """Lanes side by side, a line for each step."""
    lanes = [shown(lane) for lane in way["lanes"]]
    wide = max(LANE, *(len(lane) + 4 for lane in lanes))
    at = {lane: 14 + number * wide for number, lane in enumerate(way["lanes"])}
    head = [
        f"{shown(way['key'], 120)}",
        f"topic {shown(way['topic'], 120)}, {way['bytes']} bytes" if way["topic"] else "",
    ]
    if way["traceparent"]:
        head.append(f"traceparent {shown(way['traceparent'], 120)}")
    head.append(f"begins {datetime.fromtimestamp(way['steps'][0]['at_ms'] / 1000).astimezone():%Y-%m-%d %H:%M:%S %z}")
    names = [" "] * (max(at.values()) + 30)
    for lane, column in at.items():
        name = shown(lane)
        begin = max(0, column - len(name) // 2)
        names[begin : begin + len(name)] = name
    lines = [*filter(None, head), "", "".join(names).rstrip()]
    begin_ms = way["steps"][0]["at_ms"]
    for step in way["steps"]:
        lines.append(_line(step, at, begin_ms))
    return "\n".join(lines)


def _line(step: dict[str, Any], at: dict[str, int], begin_ms: int) -> str:
    row = [" "] * (max(at.values()) + 1)
    for column in at.values():
        row[column] = "│"
    start, end = at[step["from"]], at[step["to"]]
    words = step["what"] + (f", {step['detail']}" if step["detail"] else "")
    behind = ""
    if start == end:
        row[start] = "●"
        label = f" {words}"
        room = min([column for column in at.values() if column > start], default=10_000) - start - 2
        if len(label) <= room:
            row[start + 1 : start + 1 + len(label)] = label
        else:
            behind = f"  {words}"
    else:
        left, right = sorted((start, end))
        row[left + 1 : right] = "─" * (right - left - 1)
        label = f" {words} "
        if len(label) < right - left - 3:
            row[left + 3 : left + 3 + len(label)] = label
        else:
            behind = f"  {words}"
        row[right - 1 if end > start else left + 1] = "▶" if end > start else "◀"
    clock = f"{(step['at_ms'] - begin_ms) / 1000:+.3f} s"
    row[: len(clock)] = clock
    return ("".join(row) + behind).rstrip()


def svg_of(way: dict[str, Any]) -> str:
    """The same, drawn."""
    from ....sim.chart.chart import svg
    from ....sim.chart.events import Arrow, Event, Story

    story = Story(())
    begin = way["steps"][0]["at_ms"]
    is_taken = {(step["to"], step["from"]) for step in way["steps"] if step["what"] == "acknowledged"}
    for order, step in enumerate(way["steps"]):
        now = (step["at_ms"] - begin) * 1_000_000
        what, lane, to = step["what"], step["from"], step["to"]
        label = what + (f", {step['detail']}" if step["detail"] else "")
        if lane == to:
            story.events.append(Event(now, order, lane, "fault" if what == "ended" else "app", what, label))
            continue
        arrow = Arrow(now, order, lane, "ack" if what == "acknowledged" else "message", what, label, to=to)
        if what == "forwarded" and (lane, to) not in is_taken:
            arrow.why = "it was not acknowledged"
        else:
            arrow.arrived, arrow.arrival_order = now, order
        story.events.append(arrow)
    for number, event in enumerate(story.events):
        event.number = number
    story.lanes = way["lanes"]
    story.end = max(event.at for event in story.events)
    return svg(None, title=f"The way of {way['key']}", story=story, lanes=way["lanes"])  # type: ignore[arg-type]
