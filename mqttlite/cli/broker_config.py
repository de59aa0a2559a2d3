"""What `mqttlite broker` is told, in a TOML file (`--config`) and on the command line, which counts more.

    listen = ["mqtt://127.0.0.1:1883"]
    store = "/var/lib/mqttlite/broker.db"

    [tls]                           # and [[listener]]: broker_listeners.py
    certificate = "/etc/mqttlite/broker.pem"

    [limits]                        # any field of mqttlite.broker.Limits
    retained_message_bytes = "1 MiB"

    [[queue]]                       # the first whose pattern fits counts
    clients = "pump-*"
    when_full = "refuse"

Every mistake is a ValueError that names the file, the key and what is expected.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from ..broker.limits import NAMES, WHEN_FULL, Limits, QueueRule
from ..broker.listener import TLS_NAMES, Listener
from .broker_listeners import LISTENER_NAMES, check_table, make_listeners

_UNITS = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_NUMBER = re.compile(r"([0-9][0-9_]{,40})\s*(KiB|MiB|GiB|)")
_SWITCHES = {each.name for each in fields(Limits) if isinstance(each.default, bool)}
# Smaller ones would shut everybody out.
_LEAST = {"packet_bytes": 16, "turn_work": 1, "parked_bytes": 1, "inbound": 1, "store_bytes": 1 << 18}
_QUEUE = ("clients", "when_full", "max_bytes")  # keys of [[queue]]
_MOST = {"packet_bytes": 268_435_455, "topic_bytes": 65_535, "client_id_bytes": 65_535}


@dataclass
class Settings:
    """What a broker needs to be told. `limits`: values by the name of a field of Limits."""

    listen: list[str] = field(default_factory=list)
    store: str | None = None
    limits: dict[str, Any] = field(default_factory=dict)
    queues: list[QueueRule] = field(default_factory=list)
    server_reference: str = ""
    tls: dict[str, Any] = field(default_factory=dict)
    origins: list[str] = field(default_factory=list)
    listeners: list[dict[str, Any]] = field(default_factory=list)

    def make_listeners(self) -> list[Listener]:
        """What to listen on. ValueError for what does not go together."""
        return make_listeners(self.listen, self.listeners, self.tls, self.origins)

    def make_limits(self) -> Limits:
        """Limits with these values."""
        return Limits(**self.limits, queues=tuple(self.queues))


def load(path: Path) -> Settings:
    """Read a TOML file."""
    from ..client.toml_file import read_toml  # only who has a file loads it

    data = read_toml(path)
    _check_names(
        str(path), data, ("listen", "store", "server_reference", "limits", "queue", "tls", "origins", "listener")
    )
    listen = data.get("listen", [])
    if (
        not isinstance(listen, list)
        or ("listen" in data and not listen)
        or not all(isinstance(url, str) for url in listen)
    ):
        raise ValueError(f'{path}: listen has to be a list of URLs, as ["mqtt://127.0.0.1:1883"], not {listen!r:.60}')
    store = data.get("store")
    if store is not None and (not isinstance(store, str) or not store):
        raise ValueError(f"{path}: store has to be the path of a file, in quotes, not {store!r:.60}")
    server = data.get("server_reference", "")
    if not isinstance(server, str):
        raise ValueError(f"{path}: server_reference has to be HOST:PORT, in quotes, not {server!r:.60}")
    table = data.get("limits", {})
    if not isinstance(table, dict):
        raise ValueError(f"{path}: limits has to be a table: write [limits], and a line NAME = VALUE for each")
    limits = {name: limit(f"{path}: [limits] ", name, value) for name, value in table.items()}
    tables = data.get("queue", [])
    if not isinstance(tables, list) or not all(isinstance(each, dict) for each in tables):
        raise ValueError(f"{path}: queue: write [[queue]] for each pattern of client identifiers")
    queues = [_queue(f"{path}: [[queue]] number {number}", each) for number, each in enumerate(tables, 1)]
    return Settings(listen, store, limits, queues, server, *_listeners(path, data))


def _listeners(path: Path, data: dict[str, Any]) -> tuple[dict[str, Any], list[str], list[dict[str, Any]]]:
    """[tls], origins and [[listener]], looked at."""
    tls = data.get("tls", {})
    if not isinstance(tls, dict):
        raise ValueError(f"{path}: tls has to be a table: write [tls], and a line NAME = VALUE for each")
    _check_names(f"{path}: [tls]", tls, TLS_NAMES)
    check_table(f"{path}: [tls]", tls)
    origins = data.get("origins", [])
    check_table(str(path), {"origins": origins})
    tables = data.get("listener", [])
    if not isinstance(tables, list) or not all(isinstance(each, dict) for each in tables):
        raise ValueError(f"{path}: listener: write [[listener]] for each address with something of its own")
    for number, each in enumerate(tables, 1):
        where = f"{path}: [[listener]] number {number}"
        _check_names(where, each, LISTENER_NAMES)
        check_table(where, each)
    return tls, origins, tables


def limit(where: str, name: str, value: object) -> Any:
    """The value of a limit, checked. `value`: a number, in a string also with KiB, MiB or GiB behind it."""
    _check_names(where.rstrip(": "), [name], NAMES, "limit")
    if name in _SWITCHES:
        if isinstance(value, bool) or value in ("true", "false"):
            return value is True or value == "true"
        raise ValueError(f"{where}{name} has to be true or false, not {value!r:.60}")
    unit = "bytes" if name.endswith("_bytes") else "ms" if name.endswith("_ms") else ""
    least = _LEAST.get(name, 0)
    most = _MOST.get(name, 1 << 62)
    number = _number(value, unit == "bytes")
    if number is None or not least <= number <= most:
        kind = f"a whole number ({unit})" if unit else "a whole number"
        sizes = ' or a size as "8 MiB"' if unit == "bytes" else ""
        bounds = f" from {least} to {most}" if name in _MOST else f" from {least} on"
        raise ValueError(f"{where}{name} has to be {kind}{sizes}{bounds}, not {value!r:.60}")
    return number


def option(text: str) -> tuple[str, Any]:
    """`NAME=VALUE`, as it stands behind `--limit`."""
    name, mark, value = text.partition("=")
    if not mark:
        raise ValueError(f"--limit {text}: write --limit NAME=VALUE, as in --limit retained_bytes=256MiB")
    return name, limit("--limit ", name, value)


def queue_option(text: str) -> QueueRule:
    """`PATTERN=RULE` or `PATTERN=RULE,BYTES`, as it stands behind `--queue`."""
    pattern, mark, rule = text.rpartition("=")
    when_full, comma, size = rule.partition(",")
    if not mark:
        raise ValueError(f"--queue {text}: write --queue PATTERN=RULE, as in --queue 'pump-*=refuse,32MiB'")
    table: dict[str, object] = {"clients": pattern, "when_full": when_full}
    if comma:
        table["max_bytes"] = size
    return _queue(f"--queue {text}", table, ("PATTERN", "RULE", "BYTES"))


def _queue(where: str, table: dict[str, object], shown: tuple[str, str, str] = _QUEUE) -> QueueRule:
    """The rule of a table [[queue]]; `shown`: what its keys are called where it was written."""
    _check_names(where, table, _QUEUE)
    of_clients, of_rule, of_size = shown
    clients = table.get("clients")
    if not isinstance(clients, str) or not clients:
        raise ValueError(
            f'{where}: {of_clients} has to be a pattern of client identifiers, as "pump-*", not {clients!r:.60}'
        )
    when_full = table.get("when_full", WHEN_FULL[0])
    if when_full not in WHEN_FULL:
        raise ValueError(f"{where}: {of_rule} has to be one of {', '.join(WHEN_FULL)}, not {when_full!r:.60}")
    size = table.get("max_bytes", 0)
    number = _number(size, True)
    if number is None or ("max_bytes" in table and number < 1):
        raise ValueError(
            f'{where}: {of_size} has to be a number of bytes from 1 on, or a size as "8 MiB", not {size!r:.60}'
        )
    return QueueRule(clients, str(when_full), number)


def _number(value: object, is_size: bool) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    found = _NUMBER.fullmatch(value.strip()) if isinstance(value, str) else None
    if not found or (found[2] and not is_size):
        return None
    return int(found[1]) * _UNITS[found[2]]


def _check_names(where: str, given: Iterable[str], known: Iterable[str], what: str = "key") -> None:
    names = list(known)
    for name in given:
        if name not in names:
            near = get_close_matches(name, names, 1)
            hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(names)}"
            raise ValueError(f"{where}: there is no {what} {name!r:.60}{hint}")
