"""[[named_queue]] and [[stream]]: what the broker keeps by a name (docs/queues.md). With a filter it exists always;
without one, these are the bounds of what a subscription makes under this name; the name * is all others.

    [[named_queue]]
    name = "jobs"
    filter = "jobs/#"
    when_full = "refuse"
    max_bytes = "32 MiB"
    tries = 3

    [[stream]]
    name = "log"
    filter = "sensors/#"
    max_bytes = "128 MiB"
    max_age_s = 604800
"""

from ...core.errors import ProtocolError
from ...settings.found import Found
from ...settings.numbers import whole
from ..named_rules import NamedRule
from ..topics.names import QUEUE, STREAM
from .settings import Settings

KEYS = ("named_queue", "stream")

_OF_BOTH = ("name", "filter", "max_bytes", "max_messages", "max_age_s", "expiry_s")
_OF_QUEUE = (*_OF_BOTH, "when_full", "tries", "dead_topic")


def read(found: Found, settings: Settings) -> None:
    """Take the tables over."""
    for key, kind, names in (("named_queue", QUEUE, _OF_QUEUE), ("stream", STREAM, _OF_BOTH)):
        for number, table in enumerate(found.tables(key, f"each {key.replace('_', ' ')}")):
            with found.gathering():
                found.names((key, number), names)
                try:
                    settings.named.append(_rule(kind, table))
                except (ValueError, TypeError, ProtocolError) as error:
                    field = str(error).partition(" ")[0]
                    at = (key, number, field) if field in table else (key, number)
                    raise found.mistake(at, error) from None


def _rule(kind: int, table: dict[str, object]) -> NamedRule:
    values: dict[str, object] = {}
    for name, value in table.items():
        if name in ("name", "filter", "when_full", "dead_topic"):
            if not isinstance(value, str):
                raise ValueError(f"{name} has to be a text, not {value!r:.60}")
            values[name] = value
            continue
        number = whole(value, name == "max_bytes")
        if number is None:
            sizes = ' or a size as "8 MiB"' if name == "max_bytes" else ""
            raise ValueError(f"{name} has to be a whole number{sizes}, not {value!r:.60}")
        values[name] = number
    if "name" not in values:
        raise ValueError('a name is missing: write name = "jobs", or name = "*" for all others')
    if kind == STREAM:
        values = {"max_bytes": 16 << 20, **values}
    return NamedRule(kind=kind, **values)  # type: ignore[arg-type]
