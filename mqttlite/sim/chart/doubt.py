"""What a sender cannot know, and until when: the windows of doubt of a chart.

From PUBLISH until PUBACK or PUBREC it does not know whether its message has arrived; at QoS 2, from then until PUBCOMP,
whether the other side has heard that it may forget it. A session that is lost in that second window leaves the message
in doubt. Follows packets as both ends see them; knows nothing of traces and pixels.
"""

from dataclasses import dataclass

Moment = tuple[int, int]  # time (ns), place in the trace


@dataclass
class Band:
    """A time in which `lane` cannot know. `kind`: "sent" (has it arrived?), "released" (may the other forget it?) or
    "doubt" (the session is lost). `end`: -1 while it is not over. `resolved`: by what. `sends`: how often it was sent.
    """

    lane: str
    kind: str
    what: str
    begin: int
    order: int
    end: int = -1
    end_order: int = 0
    resolved: str = ""
    sends: int = 1


@dataclass
class _Message:
    """A message of QoS 1 or 2 that its sender has not finished. `content` tells it from others."""

    source: str
    sink: str
    content: str
    band: Band


class Doubts:
    """All windows of a story: `bands`, as they begin."""

    def __init__(self) -> None:
        self.bands: list[Band] = []
        self._messages: dict[tuple[str, str, int], _Message] = {}  # by source, sink, packet identifier
        self._orphans: list[_Message] = []  # the session that knew their identifiers is lost

    def sends(self, when: Moment, source: str, sink: str, packet_id: int, content: str, what: str) -> None:
        """`source` sends PUBLISH: a new message, or one again. `what`: it is called in the chart."""
        key = (source, sink, packet_id)
        message = self._messages.get(key)
        if message and message.content == content:
            message.band.sends += 1
            return
        for message in self._orphans:
            if (message.source, message.sink, message.content) == (source, sink, content):
                self._orphans.remove(message)
                self._messages[key] = message
                if message.band.kind == "doubt":
                    _close(message, when, "it is sent again as new")
                    message.band = self._open("sent", source, what, when)
                else:
                    message.band.sends += 1
                return
        self._messages[key] = _Message(source, sink, content, self._open("sent", source, what, when))

    def acknowledged(self, when: Moment, source: str, sink: str, packet_id: int, kind: str) -> None:
        """`source` gets PUBACK, PUBREC or PUBCOMP for what it has sent."""
        message = self._messages.get((source, sink, packet_id))
        if message is None:
            return
        if kind == "PUBREC":
            if message.band.kind == "sent":
                _close(message, when, kind)
                message.band = self._open("released", source, message.band.what, when)
        elif kind in ("PUBACK", "PUBCOMP"):
            _close(message, when, kind)
            del self._messages[source, sink, packet_id]

    def session_lost(self, when: Moment, source: str, sink: str) -> None:
        """A client learns that its session is gone: what it had released is in doubt."""
        for message in self._take(source, sink):
            self._orphans.append(message)
            if message.band.kind == "released":
                _close(message, when, "the session is lost")
                message.band = self._open("doubt", source, message.band.what, when)

    def forgets(self, when: Moment, source: str, sink: str) -> None:
        """A server begins a new session: of the old one's messages it knows nothing any more."""
        for message in self._take(source, sink):
            _close(message, when, "it was forgotten with the session")

    def settled(self, when: Moment, source: str, what: str) -> None:
        """An application has decided about a message in doubt."""
        for message in self._orphans:
            if (message.source, message.band.what) == (source, what):
                _close(message, when, "the application has decided")

    def _take(self, source: str, sink: str) -> list[_Message]:
        return [self._messages.pop(key) for key in list(self._messages) if key[:2] == (source, sink)]

    def _open(self, kind: str, lane: str, what: str, when: Moment) -> Band:
        band = Band(lane, kind, what, *when)
        self.bands.append(band)
        return band


def _close(message: _Message, when: Moment, how: str) -> None:
    if message.band.end < 0:
        message.band.end, message.band.end_order = when
        message.band.resolved = how
