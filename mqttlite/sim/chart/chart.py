"""The sequence chart of a world's trace: as one HTML page that needs nothing else, or as SVG for documents.

    page(world, title="…", command="mqttlite simulate --seed 4711 …")       svg(world, title="…")       write(path, …)

Lanes are processes and their disks, time runs downwards and is pressed together where nothing happens. An arrow is a
packet, as slanted as it took; one that did not arrive ends in a cross. A program shows up in it with
`world.note(process.name, kind, text)`: "accepted", "confirmed", "handled", whatever it has to say; "settled" with a
payload says that its application has decided about a message in doubt.

events  reads the trace             layout      says where things go
doubt   what nobody can know        chart.html  the page around it
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from html import escape
from itertools import groupby
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from .doubt import Band
from .events import GROUPS, Arrow, Event, Life, Story
from .layout import NOTE_PX, Drawn, Gap, Layout, Stripe, clock, duration, telling, words_px

if TYPE_CHECKING:
    from ..world import World

EVENTS_MAX = 4000  # in a page: the last ones
AGAIN = ("start", "heal", "join", "plug")  # kinds of what is no fault, but the end of one
HEAD = 46  # height of the names above the lanes

FONT = {"font": "system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue','DejaVu Sans',Arial,sans-serif"}
LIGHT = {
    "ground": "#ffffff", "panel": "#f6f8fb", "ink": "#1c2430", "soft": "#667085", "line": "#d0d7e2",
    "blue": "#1f5fc4", "teal": "#0b7d78", "grey": "#8791a3", "green": "#2b8a3e", "red": "#c92a2a",
    "violet": "#6741d9", "amber": "#f0a020", "pale": "#fbdc9a", "note": "#f1edfd", "bad": "#fff0f0", "life": "#c3cddc",
    "good": "#ebf7ee",
}  # fmt: skip
DARK = {
    "ground": "#12161c", "panel": "#1a2029", "ink": "#e6ebf2", "soft": "#98a3b5", "line": "#323c4b",
    "blue": "#74a9ff", "teal": "#3cc9bf", "grey": "#7f8b9e", "green": "#5fc878", "red": "#ff7b7b",
    "violet": "#b9a3ff", "amber": "#e0a030", "pale": "#7a5d1e", "note": "#262040", "bad": "#3a1c20", "life": "#3f4b5d",
    "good": "#16301f",
}  # fmt: skip


def svg(
    world: "World", *, title: str, since: int = 0, lanes: Sequence[str] | None = None, story: Story | None = None
) -> str:
    """The chart alone, for a document: light colours, its own ground.

    `since`: ns; what was before is left out. `lanes`: processes from left to right; default: as messages flow.
    `story`: what to draw, default: all of the world's trace.
    """
    story = story or Story(world.trace)
    story.since(since)
    layout = Layout(story, since, list(lanes) if lanes else None)
    width, height = layout.width, layout.height + HEAD
    style = re.sub(r"var\(--(\w+)\)", lambda found: (LIGHT | FONT)[found[1]], _file("chart.css"))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="chart" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" role="img">\n<title>{escape(title)}</title>\n<style>{style}</style>\n'
        f'<rect width="{width:.0f}" height="{height:.0f}" rx="10" fill="{LIGHT["ground"]}"/>\n'
        f'{_heads(layout)}\n<g transform="translate(0 {HEAD})">\n{_chart(layout)}\n</g>\n</svg>\n'
    )


def page(
    world: "World",
    *,
    title: str,
    text: str = "",
    command: str = "",
    claims: Iterable[tuple[str, bool]] = (),
    since: int = 0,
    lanes: Sequence[str] | None = None,
    story: Story | None = None,
) -> str:
    """The HTML page. `text`: what it is about; `command`: what repeats this run; `claims`: what it shows, and whether
    it does. `since`, `lanes` and `story` as for `svg`.

    Of a long trace it shows the last EVENTS_MAX events, and says so.
    """
    story = story or Story(world.trace)
    story.since(since)
    left_out = len(story.events) - EVENTS_MAX
    if left_out > 0:
        since = story.events[left_out].at
        story.since(since)
        text += f" (The first {left_out} events are left out.)"
    layout = Layout(story, since, list(lanes) if lanes else None)
    head = f'<svg class="chart heads" {_size(layout.width, HEAD)} aria-hidden="true">{_heads(layout)}</svg>'
    body = (
        f'<svg class="chart body" {_size(layout.width, layout.height)} role="img" aria-label="{escape(title)}">'
        f"{_chart(layout)}</svg>"
    )
    groups = [group for group in GROUPS if any(event.group == group for event in story.events)]
    return Template(_file("chart.html")).substitute(
        title=escape(title),
        text=escape(text.strip()),
        seed=world.seed,
        command=escape(command),
        hide_command="" if command else "hidden",
        claims="".join(
            f'<li class="{"yes" if holds else "no"}">{"✓" if holds else "✗"} {escape(claim)}</li>'
            for claim, holds in claims
        ),
        light=_colours(LIGHT | FONT),
        dark=_colours(DARK),
        style=_file("chart.css"),
        chart=head + body,
        filters="".join(_filter("group", group, GROUPS[group]) for group in groups)
        + "<span class='between'></span>"
        + "".join(_filter("lane", lane, lane) for lane in layout.lanes),
        rows=_rows(story.events, since),
    )


def write(path: Path, world: "World", *, title: str, **more: Any) -> None:
    """The chart into a file: alone where its name ends in .svg, else as a page. `more`: as for `page`."""
    if path.suffix == ".svg":
        drawn = svg(world, title=title, **{key: more[key] for key in ("since", "lanes", "story") if key in more})
    else:
        drawn = page(world, title=title, **more)
    path.write_text(drawn, encoding="utf-8")


def _size(width: float, height: float) -> str:
    """A size that the page can change."""
    return f'viewBox="0 0 {width:.0f} {height:.0f}" style="--w:{width:.0f}px;--h:{height:.0f}px"'


def _file(name: str) -> str:
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


def _colours(colours: dict[str, str]) -> str:
    return "".join(f"--{name}:{value};" for name, value in colours.items())


def _filter(what: str, value: str, label: str) -> str:
    return (
        f'<label class="chip"><input type="checkbox" checked data-{what}="{escape(value)}">'
        f"<span>{escape(label)}</span></label>"
    )


# -- the list


def _rows(events: list[Event], begin: int) -> str:
    """A row for each event; what was written to one file without anything between is one row."""
    rows = []
    for _, run in groupby(events, key=_file_written):
        found = list(run)
        if found[0].kind == "write" and len(found) > 1:
            name = found[0].detail.partition(" ")[0]
            rows.append(_row(replace(found[0], detail=f"{name}, {len(found)} times"), begin))
        else:
            rows += [_row(event, begin) for event in found]
    return "\n".join(rows)


def _file_written(event: Event) -> tuple[str, str, str]:
    return event.lane, event.kind, event.detail.partition(" ")[0] if event.kind == "write" else ""


def _row(event: Event, begin: int) -> str:
    where = event.lane + (f" → {event.to}" if isinstance(event, Arrow) else f" – {event.to}" if event.to else "")
    words = [event.label]
    if isinstance(event, Arrow):
        words.append(_fate(event))
    if event.detail and event.group != "app":
        words.append(event.detail)
    again = ' class="again"' if event.kind in AGAIN else ""
    lanes = escape(" ".join(filter(None, (event.lane, event.to))))
    return (
        f'<tr data-i="{event.number}" data-group="{event.group}" data-lanes="{lanes}"{again}>'
        f"<td>{clock(event.at - begin)}</td><td>{escape(where)}</td><td>{escape('; '.join(words))}</td></tr>"
    )


def _fate(arrow: Arrow) -> str:
    if arrow.arrived >= 0:
        return f"arrived after {duration(arrow.arrived - arrow.at)}"
    return f"lost: {arrow.why}" if arrow.why else "not arrived yet"


# -- the chart


def _heads(layout: Layout) -> str:
    parts = []
    for lane, x in layout.x.items():
        width = max(words_px(lane, 13) + 26, 64)
        parts.append(f'<rect class="box" x="{x - width / 2:.1f}" y="8" width="{width:.1f}" height="28" rx="8"/>')
        parts.append(f'<text class="head" x="{x:g}" y="26.5">{escape(lane)}</text>')
    for x in layout.disk_x.values():
        parts.append(
            f'<path class="box" d="M{x - 15:g} 14v16c0 6 30 6 30 0v-16c0-6 -30-6 -30 0c0 6 30 6 30 0"/>'
            f'<text class="mid" x="{x:g}" y="30" style="font-size:10px">disk</text>'
        )
    return "".join(parts)


def _chart(layout: Layout) -> str:
    bottom = layout.height
    parts = [f'<path class="lane" d="M{x:g} 0V{bottom:.0f}"/>' for x in (*layout.x.values(), *layout.disk_x.values())]
    for one in layout.stripes:
        if isinstance(one.of, Life):
            height = max(one.y2 - one.y, 0)
            parts.append(
                f'<rect class="life" x="{one.x - 2.5:g}" y="{one.y:g}" width="5" height="{height:g}" rx="2.5"/>'
            )
    parts += [_gap(layout, gap) for gap in layout.gaps]
    parts += [_band(stripe, stripe.of) for stripe in layout.stripes if isinstance(stripe.of, Band)]
    parts += [
        f'<text class="time" x="70" y="{y + 4:g}">{said}</text><path class="tick" d="M74 {y:g}h6"/>'
        for y, said in layout.times
    ]
    # Words after all arrows, boxes last: they lie on arrows, not below them.
    arrows = [(one, one.event) for one in layout.events if isinstance(one.event, Arrow)]
    parts += [_wire(*one) for one in arrows]
    parts += [_words(*one) for one in arrows]
    parts += [_note(stripe, stripe.of) for stripe in layout.stripes if isinstance(stripe.of, Band) and stripe.note_y]
    parts += [_commit(one, layout) for one in layout.events if one.event.group == "disk"]
    parts += [
        _box(one) for one in layout.events if not isinstance(one.event, Arrow) and one.event.group in ("app", "fault")
    ]
    return "\n".join(parts)


def _gap(layout: Layout, gap: Gap) -> str:
    middle = sum(sorted(layout.x.values())[:2]) / min(2, len(layout.x))
    return (
        f'<g class="gap"><rect x="84" y="{gap.y:g}" width="{layout.width - 84:g}" height="{gap.y2 - gap.y:g}"/>'
        f'<text x="{middle:g}" y="{(gap.y + gap.y2) / 2 + 4:g}">{duration(gap.ns)} later</text></g>'
    )


def _item(event: Event, more: str, inside: str) -> str:
    lanes = escape(" ".join(filter(None, (event.lane, event.to))))
    tip = f"{event.label}"
    if isinstance(event, Arrow):
        tip += f"\n{event.lane} → {event.to}, {_fate(event)}"
    if event.detail and event.group != "app":
        tip += f"\n{event.detail}"
    return (
        f'<g class="it {event.group} {more}" data-i="{event.number}" data-group="{event.group}" data-lanes="{lanes}">'
        f"<title>{escape(tip)}</title>{inside}</g>"
    )


def _wire(drawn: Drawn, arrow: Arrow) -> str:
    x, y, x2, y2 = drawn.x, drawn.y, drawn.x2, drawn.y2
    side = 1 if x2 > x else -1
    begin = x + side * 3
    is_lost = arrow.arrived < 0
    if is_lost:  # it goes as far as its words, and no further
        end = x + (x2 - x) * (0.16 if arrow.stays else 0.72)
        y2 = y + (drawn.y2 - y) * (0.2 if arrow.stays else 0.72)
    else:
        end = x2 - side * 4
    shape = f'<path class="wire" d="M{begin:g} {y:g}L{end - side * (0 if is_lost else 6):g} {y2:g}"/>'
    if is_lost and arrow.why:
        shape += f'<path class="cross" d="M{end - 6:g} {y2 - 6:g}l12 12m0 -12l-12 12"/>'
    elif not is_lost:
        shape += f'<path class="tip" d="M{end:g} {y2:g}l{-side * 9} -4.5v9z"/>'
    return _item(arrow, "lost" if is_lost and arrow.why else "", shape)


def _words(drawn: Drawn, arrow: Arrow) -> str:
    side = 1 if drawn.x2 > drawn.x else -1
    label = escape(arrow.label)
    if arrow.is_repeat:
        label = label.replace("DUP", '<tspan style="text-decoration:underline">DUP</tspan>')
    x, y, width = drawn.x + side * 13, drawn.y - 5, words_px(arrow.label)
    left = min(x, x + side * width)
    under = f'<rect class="under" x="{left:.1f}" y="{y - 9:g}" width="{width:.1f}" height="12"/>'
    return _item(arrow, "", f'{under}<text class="halo{"" if side > 0 else " far"}" x="{x:g}" y="{y:g}">{label}</text>')


def _commit(drawn: Drawn, layout: Layout) -> str:
    x, y, x2 = drawn.x, drawn.y, layout.disk_x[drawn.event.lane]
    side = 1 if x2 > x else -1
    tip = x2 - side * 2
    return _item(
        drawn.event,
        "",
        f'<path class="wire" d="M{x + side * 3:g} {y:g}H{tip - side * 6:g}"/>'
        f'<path class="tip" d="M{tip:g} {y:g}l{-side * 8} -4v8z"/>'
        f'<text class="halo mid" x="{(x + x2) / 2:g}" y="{y - 4:g}">{drawn.event.label}</text>',
    )


def _box(drawn: Drawn) -> str:
    event, y = drawn.event, drawn.y
    x = (drawn.x + drawn.x2) / 2 if event.to else drawn.x
    sign = {"kill": "✕ ", "power cut": "⚡ ", "start": "▶ ", "cut": "✂ "}.get(event.kind, "")
    label = sign + event.label
    width = words_px(label) + 16
    shape = ""
    if event.to:
        ends = sorted((drawn.x, drawn.x2))
        shape = f'<path class="wire" d="{_zigzag(ends[0] + 4, ends[1] - 4, y)}"/>'
    shape += f'<rect x="{x - width / 2:.1f}" y="{y - 10:g}" width="{width:.1f}" height="20" rx="10"/>'
    shape += f'<text class="mid" x="{x:g}" y="{y + 4:g}">{escape(label)}</text>'
    return _item(event, "again" if event.kind in AGAIN else "", shape)


def _zigzag(x: float, x2: float, y: float) -> str:
    steps = max(2, round((x2 - x) / 9))
    return f"M{x:g} {y:g}" + "".join(
        f"L{x + (x2 - x) * (number + 1) / steps:.1f} {y + (0 if number == steps - 1 else 3 if number % 2 else -3):g}"
        for number in range(steps)
    )


_SAYS = {
    "sent": "has it arrived? {lane} cannot know",
    "released": "the other side has it; {lane} does not know whether it may be forgotten",
    "doubt": "in doubt: the session is lost, and nobody can say what became of it",
}


def _band(stripe: Stripe, band: Band) -> str:
    y = max(stripe.y, 0)
    height = max(stripe.y2 - y, 3)
    return _lasting(
        band, f'<rect class="{band.kind}" x="{_band_x(stripe):g}" y="{y:g}" width="5" height="{height:g}" rx="2"/>'
    )


def _note(stripe: Stripe, band: Band) -> str:
    x, y, words = _band_x(stripe) + 10, stripe.note_y, telling(band)
    under = f'<rect class="under" x="{x:g}" y="{y - 9:g}" width="{words_px(words, NOTE_PX):.1f}" height="12"/>'
    text = f'<text class="why halo" x="{x:g}" y="{y:g}" style="font-size:{NOTE_PX}px">{escape(words)}</text>'
    return _lasting(band, under + text)


def _band_x(stripe: Stripe) -> float:
    return stripe.x + 4 + 6 * stripe.slot


def _lasting(band: Band, inside: str) -> str:
    tip = f"{band.what}: {_SAYS[band.kind].format(lane=band.lane)}\n{telling(band)}"
    return (
        f'<g class="it band" data-i="band-{band.order}-{band.kind}" data-group="app" data-lanes="{escape(band.lane)}">'
        f"<title>{escape(tip)}</title>{inside}</g>"
    )
