"""What an operator says of named queues and streams. Imports nothing of the broker but names."""

from dataclasses import dataclass

from .topics.names import QUEUE, STREAM, is_name

KIB = 1024
MIB = 1024 * KIB

DAY_S = 24 * 3600

POLICIES = ("drop-newest", "drop-oldest", "refuse", "hold")


@dataclass(frozen=True, slots=True)
class NamedRule:
    """A named queue (`kind` QUEUE) or stream (STREAM), or, with the name "*", those that a subscription makes.

    `filter`: the topic filter of what it collects; without one, the first subscription says it. `max_bytes`: of
    messages, with 64 bytes for each; `max_messages`, `max_age_s`: 0, no such bound. `when_full`: of a queue, one of
    POLICIES; a stream lets go of its oldest messages. `tries`: of a queue, after which a message goes to
    `dead_topic` + / + its topic; 0: never. `dead_topic`: "" is $dead/NAME. `expiry_s`: without any subscriber, after
    which what a subscription has made is deleted; 0: never. What has a filter here exists always.
    """

    name: str
    kind: int = QUEUE
    filter: str = ""
    max_bytes: int = 8 * MIB
    max_messages: int = 0
    max_age_s: int = 0
    when_full: str = "drop-newest"
    tries: int = 5
    dead_topic: str = ""
    expiry_s: int = 7 * DAY_S

    def __post_init__(self) -> None:
        """ValueError for what cannot be; it names the field."""
        from ..core.matching import matches
        from ..core.text import check_topic_filter, check_topic_name

        if self.name != "*" and not is_name(self.name.encode()):
            raise ValueError(f"name must be 1 to 64 letters, digits and _ - . (or *), not {self.name!r:.80}")
        for field in ("max_bytes", "max_messages", "max_age_s", "tries", "expiry_s"):
            value = getattr(self, field)
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"{field} must be a whole number, not {value!r:.60}")
            if value < (field == "max_bytes"):
                raise ValueError(f"{field} must be {int(field == 'max_bytes')} or more, not {value}")
        if self.when_full not in POLICIES:
            raise ValueError(f"when_full must be one of {', '.join(POLICIES)}, not {self.when_full!r:.60}")
        if self.kind not in (QUEUE, STREAM):
            raise ValueError(f"kind must be QUEUE or STREAM, not {self.kind!r:.60}")
        if self.filter:
            if self.name == "*":
                raise ValueError("a rule for all that subscriptions make (name *) has no filter")
            check_topic_filter(self.filter.encode())
        if self.dead_topic:
            check_topic_name(self.dead_topic.encode())
            if self.filter and matches(self.filter.encode(), self.dead_topic.encode() + b"/x"):
                raise ValueError(f"dead_topic {self.dead_topic!r} is collected by the queue itself: choose another one")


DEFAULTS = {QUEUE: NamedRule("*"), STREAM: NamedRule("*", STREAM, max_bytes=16 * MIB)}
