"""How topic filters and topic names say what they mean here. Imports core.

    $queue/NAME[/FILTER]            a named queue, and what it collects
    $stream/NAME[@START][/FILTER]   a stream, from START on
    $delayed/SECONDS/TOPIC          to be published later
    $dead/NAME/TOPIC                what a queue has given up
    $bridge/NAME/...                what a program inside keeps for itself (inside.py), until that says so

NAME: 1 to 64 letters, digits and `_`, `-`, `.`. FILTER may be left out where there is a queue or stream of this name.
"""

from typing import NamedTuple

from ...core.errors import MQTTError

QUEUE_PREFIX = b"$queue/"
STREAM_PREFIX = b"$stream/"
DELAYED_PREFIX = b"$delayed/"
DEAD_PREFIX = b"$dead/"
SUBSCRIBED = (QUEUE_PREFIX, STREAM_PREFIX)
BRIDGE_PREFIX = b"$bridge/"
RESERVED = (QUEUE_PREFIX, STREAM_PREFIX, DEAD_PREFIX, BRIDGE_PREFIX)  # nobody publishes to these but the broker

ASIDE_CAUSE = b"bridge-cause"  # user property of what a bridge has set aside: why

QUEUE, STREAM = 0, 1  # kinds

NAME_MAX = 64  # bytes
SECONDS_DIGITS = 10  # more are no time that anybody means

_NAME = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.")


class NamedError(MQTTError):
    """Not what stands above; the text says why, and `told` what of it its client may read."""

    def __init__(self, text: str, told: str = "") -> None:
        super().__init__(text)
        self.told = told or text


class Named(NamedTuple):
    """A subscription to a queue or a stream. `filter`: b"" where it is left out; `start`: b"" where a stream is to go
    on as its rule says.
    """

    kind: int
    name: bytes
    filter: bytes
    start: bytes


def parted(topic_filter: bytes) -> Named:
    """The parts of a topic filter that begins as one of SUBSCRIBED. NamedError."""
    kind = QUEUE if topic_filter.startswith(QUEUE_PREFIX) else STREAM
    name, slash, inner = topic_filter[len(QUEUE_PREFIX if kind == QUEUE else STREAM_PREFIX) :].partition(b"/")
    start = b""
    if kind == STREAM:
        name, _, start = name.partition(b"@")
    if not is_name(name):
        word = "$queue/NAME/FILTER" if kind == QUEUE else "$stream/NAME/FILTER"
        raise NamedError(f"{word}: NAME is 1 to {NAME_MAX} letters, digits and _ - .")
    if slash and not inner:
        raise NamedError("there is no topic filter behind the name: leave the last / out, or write one")
    return Named(kind, name, inner, start)


def is_name(name: bytes) -> bool:
    """Whether a queue or stream may have this name."""
    return 0 < len(name) <= NAME_MAX and _NAME.issuperset(name)


def inner(topic_filter: bytes) -> bytes:
    """The topic filter inside; b"" where it is left out. Any other topic filter as it is. NamedError."""
    return parted(topic_filter).filter if topic_filter.startswith(SUBSCRIBED) else topic_filter


def undelayed(topic: bytes) -> bytes:
    """The topic name inside of one that is delayed; any other as it is. NamedError."""
    return delayed(topic)[1] if topic.startswith(DELAYED_PREFIX) else topic


def delayed(topic: bytes) -> tuple[int, bytes]:
    """Seconds and topic name of a topic name that begins as DELAYED_PREFIX. NamedError."""
    digits, _, name = topic[len(DELAYED_PREFIX) :].partition(b"/")
    if not (digits.isdigit() and len(digits) <= SECONDS_DIGITS and name):
        raise NamedError("a message for later is published to $delayed/SECONDS/TOPIC, with a whole number of seconds")
    if name.startswith(DELAYED_PREFIX):
        raise NamedError("a message can be delayed once: $delayed/SECONDS/TOPIC with another topic")
    return int(digits), name
