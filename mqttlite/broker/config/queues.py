"""[[queue]]: what to do when a session's queue is full; the first whose pattern fits its client identifier counts.
And `--queue PATTERN=RULE[,BYTES]`.

    [[queue]]
    clients = "pump-*"
    when_full = "refuse"
    max_bytes = "32 MiB"
"""

from collections.abc import Callable, Mapping

from ...settings.found import Found
from ...settings.numbers import whole
from ..limits import WHEN_FULL, QueueRule
from .settings import Settings

KEYS = ("queue",)

_QUEUE = ("clients", "when_full", "max_bytes")


def read(found: Found, settings: Settings) -> None:
    """Take the tables over."""
    for number, table in enumerate(found.tables("queue", "each pattern of client identifiers")):
        with found.gathering():
            found.names(("queue", number), _QUEUE)
            settings.queues.append(_queue(lambda key, at=number: found.where("queue", at, key), table))  # type: ignore[misc]


def queue_option(text: str) -> QueueRule:
    """`PATTERN=RULE` or `PATTERN=RULE,BYTES`, as it stands behind `--queue`."""
    pattern, mark, rule = text.rpartition("=")
    when_full, comma, size = rule.partition(",")
    if not mark:
        raise ValueError(f"--queue {text}: write --queue PATTERN=RULE, as in --queue 'pump-*=refuse,32MiB'")
    table: dict[str, object] = {"clients": pattern, "when_full": when_full}
    if comma:
        table["max_bytes"] = size
    return _queue(lambda key: f"--queue {text}: ", table, ("PATTERN", "RULE", "BYTES"))


def _queue(
    where: Callable[[str], str],
    table: Mapping[str, object],
    shown: tuple[str, str, str] = ("clients", "when_full", "max_bytes"),
) -> QueueRule:
    """The rule of a table. `where`: how an error about a key begins; `shown`: what its keys are called there."""
    of_clients, of_rule, of_size = shown
    clients = table.get("clients")
    if not isinstance(clients, str) or not clients:
        text = f'{of_clients} has to be a pattern of client identifiers, as "pump-*", not {clients!r:.60}'
        raise ValueError(where("clients") + text)
    when_full = table.get("when_full", WHEN_FULL[0])
    if when_full not in WHEN_FULL:
        text = f"{of_rule} has to be one of {', '.join(WHEN_FULL)}, not {when_full!r:.60}"
        raise ValueError(where("when_full") + text)
    size = table.get("max_bytes", 0)
    number = whole(size, True)
    if number is None or ("max_bytes" in table and number < 1):
        text = f'{of_size} has to be a number of bytes from 1 on, or a size as "8 MiB", not {size!r:.60}'
        raise ValueError(where("max_bytes") + text)
    return QueueRule(clients, str(when_full), number)
