"""Where everything of a chart goes: lanes side by side, time downwards, idle time pressed together. Pixels.

Each thing is placed in the order in which it happened, as far below the one before as the time between them says, and
further where its words would lie on others. So what happened later is never higher, and no words overlap.
"""

from bisect import bisect_right
from dataclasses import dataclass
from math import inf, log2

from .doubt import Band
from .events import Arrow, Event, Life, Story

MS = 1_000_000
GUTTER = 84  # for the times, left of the first lane
BETWEEN = 262  # from a lane to that of the next process
BESIDE = 92  # from a process to its disk
EDGE = 96  # right of the last lane
TOP = 14
_NEVER = 1 << 60  # behind all that happened
IDLE_MS = 60.0  # more than this is idle time
NOTE_PX = 10.5  # size of the words about what lasts
IDLE_PX = 52  # for all of it
_EM = {**dict.fromkeys(" .,:;il|'()“”…j", 0.36), **dict.fromkeys("▶✕⚡✂", 1.0), "m": 0.9, "w": 0.75}
PULL = 26  # how far a packet that was lost is drawn down


@dataclass
class Drawn:
    """An event and where it is: `x`, `y`; for what concerns two lanes `x2`, for an arrow its tip (`x2`, `y2`)."""

    event: Event
    x: float
    y: float
    x2: float = 0
    y2: float = 0


@dataclass
class Stripe:
    """Something that lasts, on a lane: `slot` tells those that last at the same time apart."""

    of: "Band | Life"
    x: float
    y: float
    y2: float
    slot: int = 0
    note_y: float = 0  # of the words about it


@dataclass
class Gap:
    """Time in which nothing happened: `ns` of it, from y to y2."""

    y: float
    y2: float
    ns: int


def words_px(text: str, size: float = 12) -> float:
    """About as wide as the text will be, in any common sans-serif font; rather too wide."""
    return size * sum(_EM.get(char) or (0.7 if char.isupper() else 0.58) for char in text)


class Layout:
    """The chart of a story from `begin` (ns). `x`: of each process's lane, `disk_x`: of its disk's."""

    def __init__(self, story: Story, begin: int, lanes: list[str] | None = None) -> None:
        self.begin = begin
        self.events: list[Drawn] = []
        self.stripes: list[Stripe] = []
        self.gaps: list[Gap] = []
        self.times: list[tuple[float, str]] = []
        self.lanes = [lane for lane in lanes or story.lanes if lanes or _is_seen(story, lane)]
        self.x: dict[str, float] = {}
        self.disk_x: dict[str, float] = {}
        self._columns(story)
        self._boxes: list[tuple[float, float, float]] = []  # left, right, bottom of the words placed last
        self._y = float(TOP)
        self._at = begin
        self._notes: dict[int, float] = {}
        self._places: list[tuple[int, int, float]] = []  # (time, order, y) of all that was placed
        self._right = max((*self.x.values(), *self.disk_x.values()), default=0.0) + EDGE
        self._place_all(story)
        self.width = self._right
        self._stripes(story)

    def _columns(self, story: Story) -> None:
        disks = story.disks
        x = 0.0
        for number, lane in enumerate(self.lanes):
            has_disk = lane in disks
            if number:
                self.x[lane] = x = x + BETWEEN
                if has_disk:
                    x += BESIDE
                    self.disk_x[lane] = x
                continue
            # The first one: to its left are the times, which its boxes must not cover.
            boxes = [words_px(event.label) / 2 for event in story.events if event.lane == lane and is_box(event)]
            room = max((*boxes, 26.0)) + 24
            if has_disk:
                self.disk_x[lane] = x = GUTTER + max(26.0, room - BESIDE)
                self.x[lane] = x = x + BESIDE
            else:
                self.x[lane] = x = GUTTER + room

    # -- events

    def _place_all(self, story: Story) -> None:
        arrows: dict[int, Drawn] = {}
        for at, order, _, thing in self._steps(story):
            if isinstance(thing, Band):
                x = self.x[thing.lane]
                right = x + 20 + words_px(telling(thing), NOTE_PX)
                self._notes[id(thing)] = self._place(at, order, x + 8, right, 9, 4)
            elif drawn := arrows.get(id(thing)):  # its arrival
                side = 1 if drawn.x2 < drawn.x else -1
                left, right = sorted((drawn.x2, drawn.x2 + side * 26))
                drawn.y2 = self._place(at, order, left, right, 5, 4, drawn.y + 6)
            else:
                drawn = Drawn(thing, self.x[thing.lane], self._place(at, order, *self._box(thing)))
                self.events.append(drawn)
                if thing.to:
                    drawn.x2, drawn.y2 = self.x[thing.to], drawn.y
                if isinstance(thing, Arrow):
                    arrows[id(thing)] = drawn
                    drawn.y2 += PULL

    def _steps(self, story: Story) -> list[tuple[int, int, int, Event | Band]]:
        """What is placed, in order: (time, order, rank, event); an arrow that arrives, twice."""
        steps: list[tuple[int, int, int, Event | Band]] = []
        for event in story.events:
            is_here = event.lane in self.x and (not event.to or event.to in self.x) and event.to != event.lane
            if event.is_drawn and is_here:
                steps.append((event.at, event.order, 0, event))
                if isinstance(event, Arrow) and event.arrived >= 0:
                    steps.append((event.arrived, event.arrival_order, 1, event))
        for band in story.bands:
            if band.lane in self.x and is_told(band):
                over = (band.end, band.end_order) if band.end >= 0 else (story.end, _NEVER)
                # What ends a doubt is a packet: the words stand above it.
                steps.append((*over, -1 if band.kind == "doubt" else 2, band))
        return sorted(steps, key=lambda step: step[:3])

    def _box(self, event: Event) -> tuple[float, float, float, float]:
        """Left, right, and how far up and down the words of an event reach."""
        x = self.x[event.lane]
        if isinstance(event, Arrow):
            width = words_px(event.label) + 26
            return (x, x + width, 15, 3) if self.x[event.to] > x else (x - width, x, 15, 3)
        if event.group == "disk":
            ends = sorted((x, self.disk_x[event.lane]))
            return ends[0], ends[1], 14, 5
        width = words_px(event.label) / 2 + 14
        if event.to:
            middle = (x + self.x[event.to]) / 2
            return middle - width, middle + width, 12, 12
        return x - width, x + width, 12, 12

    def _place(self, at: int, order: int, left: float, right: float, up: float, down: float, least: float = 0) -> float:
        """How far down something comes, which needs so much room around; not above `least`."""
        self._right = max(self._right, right + 12)
        gone = at - self._at
        y = self._y
        if gone > IDLE_MS * MS:
            self.gaps.append(Gap(y + 9, y + IDLE_PX - 21, gone))
            y += IDLE_PX
        elif gone > 0:
            y += 9 * log2(1 + 2 * gone / MS)
        for low, high, bottom in self._boxes:
            if low < right and left < high:
                y = max(y, bottom + up + 1)
        y = round(max(y, least), 1)
        self._boxes = [box for box in self._boxes if box[2] > y - 40]
        self._boxes.append((left, right, y + down))
        if self.gaps and gone > IDLE_MS * MS:
            self.gaps[-1].y2 = max(self.gaps[-1].y2, y - 21)
        self._y = y
        self._at = at
        self._places.append((at, order, y))
        said = clock(at - self.begin)
        if not self.times or (y - self.times[-1][0] >= 13 and said != self.times[-1][1]):
            self.times.append((y, said))
        return y

    # -- what lasts

    def y_of(self, at: int, order: int) -> float:
        """Where a moment is: at, or between, what was placed."""
        if at < self.begin or not self._places:
            return 0.0
        number = bisect_right(self._places, (at, order, inf))
        if number == 0:
            return self._places[0][2]
        before = self._places[number - 1]
        if number == len(self._places) or before[:2] == (at, order):
            return before[2]
        after = self._places[number]
        share = (at - before[0]) / (after[0] - before[0]) if after[0] > before[0] else 0.0
        return round(before[2] + share * (after[2] - before[2]), 1)

    def _stripes(self, story: Story) -> None:
        self._places.sort()
        self.height = self._y + 30
        for life in story.lives:
            if life.lane in self.x:
                end = self.y_of(life.end, life.end_order) if life.end >= 0 else self.height
                self.stripes.append(Stripe(life, self.x[life.lane], self.y_of(life.begin, life.order), end))
        used: dict[str, list[float]] = {}
        for band in sorted(story.bands, key=lambda band: (band.begin, band.order)):
            if band.lane not in self.x:
                continue
            y = self.y_of(band.begin, band.order)
            y2 = self.y_of(band.end, band.end_order) if band.end >= 0 else self.height
            ends = used.setdefault(band.lane, [])
            slot = next((number for number, end in enumerate(ends) if end <= y), len(ends))
            ends[slot : slot + 1] = [y2]
            self.stripes.append(Stripe(band, self.x[band.lane], y, y2, slot, self._notes.get(id(band), 0)))


def is_box(event: Event) -> bool:
    """Whether an event is drawn as a box on its lane."""
    return event.is_drawn and event.group in ("app", "fault") and not event.to


def is_told(band: Band) -> bool:
    """Whether a band is worth words: it lasted, or nobody knows how it ended."""
    return band.end < 0 or band.kind == "doubt" or band.sends > 1 or band.end - band.begin > IDLE_MS * MS


def telling(band: Band) -> str:
    """What a band means, and how it was resolved."""
    what = {"sent": "unknown", "released": "not confirmed", "doubt": "in doubt"}[band.kind]
    took = f" after {duration(band.end - band.begin)}" if band.end > band.begin else ""
    how = f"until {band.resolved}{took}" if band.end >= 0 else "to the end"
    return f"{what} {how}" + (f", sent {band.sends} times" if band.sends > 1 else "")


def clock(ns: int) -> str:
    """A time since the beginning, for reading: 12.3 ms, 2.076 s, 1:02:03.4."""
    if ns < 1_000_000_000:
        return f"{ns / 1e6:.1f} ms"
    if ns < 60_000_000_000:
        return f"{ns / 1e9:.3f} s"
    tenths = ns // 100_000_000
    return f"{tenths // 36000}:{tenths // 600 % 60:02}:{tenths // 10 % 60:02}.{tenths % 10}"


def duration(ns: int) -> str:
    """How long something took: 850 µs, 3.1 ms, 2.08 s, 5 min."""
    if ns < 1_000_000:
        return f"{ns / 1e3:.0f} µs"
    if ns < 1_000_000_000:
        return f"{ns / 1e6:.1f} ms"
    return f"{ns / 1e9:.2f} s" if ns < 120_000_000_000 else f"{ns / 6e10:.0f} min"


def _is_seen(story: Story, lane: str) -> bool:
    """Whether a lane takes part in anything that is drawn."""
    return any(event.is_drawn and lane in (event.lane, event.to) for event in story.events) or any(
        life.lane == lane for life in story.lives
    )
