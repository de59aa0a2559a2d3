"""The part of a large story that matters: one message on its way through a few lanes, or two that talk to each other.

What is kept: packets of the message and their acknowledgements, by their identifiers; what applications say of it;
faults; connecting; the commits next to its packets; serial frames next to what a gateway sends. Of more than
`most` events, those that are least about it are left out.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable

from ..chart.events import Arrow, Event, Story
from ..timeline import SECOND
from .faults import Happened
from .subject import Subject

NEAR = 5 * SECOND  # a commit or a frame farther from a packet has nothing to do with it
LONG_BEFORE = 600 * SECOND
ROWS_MAX = 400  # of the list alone: connections, log
_SENDERS = ("PUBLISH", "PUBREL")  # the sender of a message writes these, its receiver the answers
_CONNECTING = ("CONNECT", "CONNACK", "SUBSCRIBE", "SUBACK", "UNSUBSCRIBE", "UNSUBACK", "DISCONNECT")
_EFFECTS = ("kill", "power cut", "cut", "partition", "unplug", "part", "stall")
_SHORT = {  # kinds of faults, as the chart calls them
    "full": "disk is full",
    "sync": "syncs may fail",
    "failed sync": "a sync fails",
    "failed operation of the disk": "disk fails",
    "wipe device": "disk is lost",
    "wipe broker": "disk is lost",
    "wipe reader": "disk is lost",
    "power": "power cut",
    "outage": "power cut",
    "cut at a packet": "cut",
    "death at an operation of the disk": "dies",
}


def focus(
    story: Story,
    subject: Subject,
    is_about: Callable[[Arrow], bool] | None,
    faults: list[Happened],
    after: int,
    most: int,
) -> int:
    """Keep what matters; how many events were left out because there were too many. `is_about`: whether a PUBLISH is of
    the message; None: all packets matter. `faults`: what was ordered. `after`: how many later faults and connections
    belong to the story. `most`: events to draw.
    """
    lanes = set(subject.lanes)
    here = [event for event in story.events if event.lane in lanes and (not event.to or event.to in lanes)]
    here += _ordered(story, here, faults, lanes)
    here.sort(key=lambda event: (event.at, event.order))
    ours = _ours(here, subject.clients)
    core = _core(here, ours, is_about, subject.message)
    if subject.until:
        core = [event for event in core if event.at <= subject.until]
    side = [event for event in here if event.is_drawn and (event.group == "fault" or _connects(event, ours))]
    if core:
        begin, end = core[0].at, max(map(_over, core))
    else:
        begin, end = 0, subject.until or story.end
    begin = min([begin, *_dead_at(begin, side, story)])
    later = [event.at for event in side if event.at > end]
    end = max(end, *later[:after][-1:], 0)
    side = [event for event in side if begin <= event.at <= end]
    beside = _beside([event for event in here if begin <= event.at <= end + NEAR], core)
    ranked = [(0, event) for event in core]
    ranked += [(1 if event.group == "fault" else 2, event) for event in side if event not in core]
    ranked += [(3, event) for event in beside]
    kept = _least_far(ranked, most)
    left_out = len(ranked) - len(kept)
    rows = [
        event
        for event in here
        if begin <= event.at <= end and not event.is_drawn and event.group in ("network", "log", "fault")
    ]
    story.events = sorted(kept + rows[:ROWS_MAX], key=lambda event: (event.at, event.order))
    for number, event in enumerate(story.events):
        event.number = number
    _last(story, lanes, begin, end, {event.payload for event in core if isinstance(event, Arrow) and event.payload})
    return left_out


def _dead_at(begin: int, side: list[Event], story: Story) -> list[int]:
    """When those ended that are not there at the beginning, and come later."""
    return [
        life.end
        for life in story.lives
        if 0 <= begin - life.end < LONG_BEFORE
        and life.end >= 0
        and any(event.at == life.end and event.lane == life.lane for event in side)
        and not any(other.lane == life.lane and life.end <= other.begin <= begin for other in story.lives)
    ]


def _over(event: Event) -> int:
    return max(event.at, event.arrived) if isinstance(event, Arrow) else event.at


def _ours(events: list[Event], clients: set[str]) -> dict[str, str]:
    """Clients of the connections that matter."""
    return {
        event.connection: event.client
        for event in events
        if isinstance(event, Arrow) and event.kind == "CONNECT" and event.client in clients
    }


def _connects(event: Event, ours: dict[str, str]) -> bool:
    return isinstance(event, Arrow) and event.kind in _CONNECTING and event.connection in ours


def _core(
    events: list[Event], ours: dict[str, str], is_about: Callable[[Arrow], bool] | None, text: str
) -> list[Event]:
    """What is about the message itself: its packets and acknowledgements, and what applications say of it."""
    found: list[Event] = []
    open_: set[tuple[str, str, int]] = set()  # client, sender, packet identifier
    for event in events:
        if event.group == "app" and event.is_drawn and (not text or event.detail == text):
            found.append(event)
        if not isinstance(event, Arrow) or event.connection not in ours:
            continue
        if is_about is None:
            if event.group in ("message", "ack"):
                found.append(event)
            continue
        sender = event.lane if event.kind in _SENDERS else event.to
        key = (ours[event.connection], sender, event.packet_id)
        if event.kind == "PUBLISH":
            if is_about(event):
                found.append(event)
                open_.add(key)
                if text and event.payload:  # without what fills it up
                    event.label = event.label.replace(event.payload, f"“{text}”")
            elif event.packet_id:
                open_.discard(key)
        elif event.group == "ack" and key in open_:
            found.append(event)
    return found


def _beside(events: list[Event], core: list[Event]) -> list[Event]:
    """Of commits, the last before a packet of the message leaves and the first after it has arrived; of serial frames
    the same, at the gateway; and frames that were lost.
    """
    commits: dict[str, list[Event]] = {}
    sent: dict[str, list[Event]] = {}
    arrived: dict[str, list[Event]] = {}
    lost: list[Event] = []
    for event in events:
        if event.group == "disk" and event.is_drawn:
            commits.setdefault(event.lane, []).append(event)
        elif isinstance(event, Arrow) and event.kind == "DATA":
            sent.setdefault(event.lane, []).append(event)
            if event.arrived >= 0:
                arrived.setdefault(event.to, []).append(event)
            else:
                lost.append(event)
    found: list[Event] = lost
    for event in core:
        found += _last_before(commits.get(event.lane, []), event.at)
        if isinstance(event, Arrow):
            found += _last_before(arrived.get(event.lane, []), event.at)
            if event.arrived >= 0:
                found += _first_after(commits.get(event.to, []), event.arrived)
                found += _first_after(sent.get(event.to, []), event.arrived)
    return list({id(event): event for event in found}.values())


def _last_before(events: list[Event], at: int) -> list[Event]:
    number = bisect_right(events, at, key=_over)
    return [event for event in events[max(number - 1, 0) : number] if at - _over(event) < NEAR]


def _first_after(events: list[Event], at: int) -> list[Event]:
    number = bisect_left(events, at, key=lambda event: event.at)
    return [event for event in events[number : number + 1] if event.at - at < NEAR]


def _least_far(ranked: list[tuple[int, Event]], most: int) -> list[Event]:
    """At most so many: those of lower rank first, of equal rank those next to the message's own."""
    if len(ranked) <= most:
        return [event for _, event in ranked]
    core = sorted(event.at for rank, event in ranked if rank == 0)
    if len(core) >= most:  # how it began, and how it ended
        own = sorted((event for rank, event in ranked if rank == 0), key=lambda event: (event.at, event.order))
        return own[: most // 2] + own[len(own) - (most - most // 2) :]

    def far(event: Event) -> int:
        number = bisect_left(core, event.at)
        return min((abs(event.at - at) for at in core[max(number - 1, 0) : number + 1]), default=0)

    ranked = sorted(ranked, key=lambda one: (one[0], far(one[1]), one[1].at, one[1].order))
    return [event for _, event in ranked[:most]]


def _ordered(story: Story, here: list[Event], faults: list[Happened], lanes: set[str]) -> list[Event]:
    """Faults that were ordered, on the lanes that they hit; the effect says of which fault it is, if there is one."""
    found: list[Event] = []
    entries = {(event.at, event.kind): event for event in story.events if event.lane == "fault"}
    effects = [event for event in here if event.group == "fault" and event.kind in _EFFECTS]
    taken: set[int] = set()
    for fault in faults:
        entry = entries.get((fault.at, fault.key))
        who = [name for name in fault.who if name in lanes]
        if entry is None or not who:
            continue
        entry.lane = who[0]
        entry.detail, entry.label = f"fault {fault.key}", entry.label
        number = bisect_left(effects, (fault.at, entry.order), key=lambda event: (event.at, event.order))
        for effect in effects[number : number + 3]:
            is_its = effect.lane in fault.who and (not effect.to or effect.to in fault.who or effect.kind != "cut")
            if is_its and effect.at - fault.at < NEAR and id(effect) not in taken:
                taken.add(id(effect))
                effect.label += f" (fault {fault.key})"
                effect.detail = "; ".join(filter(None, (effect.detail, entry.label)))
                break
        else:
            if len(fault.who) == 1 or len(who) == 2:
                entry.is_drawn = True
                entry.to = who[1] if len(who) == 2 else ""
                entry.detail, entry.label = entry.label, f"{_SHORT.get(fault.kind, fault.kind)} (fault {fault.key})"
        found.append(entry)
    return found


def _last(story: Story, lanes: set[str], begin: int, end: int, payloads: set[str]) -> None:
    """Of what lasts, only what is in the picture."""
    lives = [life for life in story.lives if life.lane in lanes and life.begin <= end]
    story.lives = [life for life in lives if life.end < 0 or life.end >= begin]
    for life in story.lives:
        if life.end > end:
            life.end = -1
    story.bands = [
        band for band in story.bands if band.lane in lanes and band.what in payloads and begin <= band.begin <= end
    ]
    story.end = end
