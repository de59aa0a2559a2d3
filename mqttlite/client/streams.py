"""Streams of the broker (docs/queues.md) at the client's end: `client.stream("log", "in/#", from_="earliest")`. Host
only.
"""

from typing import TYPE_CHECKING, Any, NamedTuple

from .arguments.checks import wrong_type

if TYPE_CHECKING:
    from .comfort import ComfortableClient
    from .messages import Message
    from .subscriptions.subscription import Subscription

OFFSET = "stream-offset"
TIMESTAMP = "stream-timestamp"
ID = "stream-id"
WORDS = ("earliest", "first", "latest", "next", "last")


class Place(NamedTuple):
    """Where a message stands: its offset, when it came (seconds since 1970), and of which log."""

    offset: int
    time: float
    id: str


def place_of(message: "Message") -> Place | None:
    """Where a message of a stream stands; None: it comes from none, or over MQTT 3.1.1, which cannot say it."""
    if not message.properties:
        return None
    found = dict(message.user_properties)
    try:
        return Place(int(found[OFFSET]), int(found[TIMESTAMP]) / 1000, found[ID])
    except (KeyError, ValueError):
        return None


def start_text(start: "str | int | float") -> str:
    """`from_` as the broker reads it: a word, an offset (int), or a time in seconds since 1970 (float)."""
    if isinstance(start, bool) or not isinstance(start, (str, int, float)):
        raise wrong_type("from_", f"{', '.join(WORDS)}, an offset (int) or a time in seconds since 1970 (float)", start)
    if isinstance(start, str):
        if start not in WORDS:
            raise ValueError(f"from_ is {', '.join(WORDS)}, an offset (int) or a time (float), not {start!r:.60}")
        return start
    if not 0 <= start < 10**13:
        raise ValueError(f"from_ is an offset or a time from 0 on, not {start!r:.60}")
    return str(start) if isinstance(start, int) else f"@{start:.3f}"


def filter_text(name: str, topic_filter: str, start: "str | int | float | None") -> str:
    """The topic filter of a subscription to a stream."""
    if not isinstance(name, str):
        raise wrong_type("name", "the name of a stream, as in 'log'", name)
    if not isinstance(topic_filter, str):
        raise wrong_type("topic_filter", "what the stream collects, as in 'room/#', or ''", topic_filter)
    begin = "" if start is None else "@" + start_text(start)
    return f"$stream/{name}{begin}" + (f"/{topic_filter}" if topic_filter else "")


def stream(
    client: "ComfortableClient",
    name: str,
    topic_filter: str,
    start: "str | int | float | None",
    qos: int,
    options: dict[str, Any],
) -> "Subscription":
    """See Client.stream."""
    return client.subscription(filter_text(name, topic_filter, start), qos, **options)
