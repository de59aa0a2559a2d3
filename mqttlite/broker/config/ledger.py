"""[ledger]: what becomes of each message with an idempotency key is noted in a file (docs/ledger.md).

[ledger]
path = "/var/lib/mqttlite/gateway.ledger.db"
node = "site-7"
entries = 200000
max_bytes = "64 MiB"
max_age_s = 604800
"""

from pathlib import Path
from typing import Any

from ...ledger import Ledger
from ...settings.found import Found
from ...settings.numbers import whole
from .settings import Settings

KEYS = ("ledger",)
_NAMES = ("path", "node", "entries", "max_bytes", "max_age_s")
_LEAST = {"entries": 1, "max_bytes": 1 << 20, "max_age_s": 0}


def read(found: Found, settings: Settings) -> None:
    """Take the table over."""
    if "ledger" not in found.data:
        return
    found.names(("ledger",), _NAMES)
    settings.ledger = {}
    for name, value in found.table("ledger").items():
        with found.gathering():
            try:
                settings.ledger[name] = _value(name, value)
            except ValueError as error:
                raise found.mistake(("ledger", name), error) from None


def _value(name: str, value: object) -> Any:
    if name not in _LEAST:
        if not isinstance(value, str) or not value:
            raise ValueError(f"{name} has to be a text in quotes, not {value!r:.60}")
        return value
    number = whole(value, name == "max_bytes")
    if number is None or number < _LEAST[name]:
        sizes = ' or a size as "64 MiB"' if name == "max_bytes" else ""
        raise ValueError(f"{name} has to be a whole number{sizes}, at least {_LEAST[name]}, not {value!r:.60}")
    return number


def ledger_path(settings: Settings, store: str | None) -> str:
    """Where its file is; beside the store where nobody says it; "": nowhere."""
    if settings.ledger is None:
        return ""
    return str(settings.ledger.get("path") or (Path(store).with_suffix(".ledger.db") if store else ""))


def make_ledger(settings: Settings, store: str | None) -> Ledger | None:
    """The ledger that is asked for; None: none is. `store`: beside which its file is, where nobody says where."""
    if settings.ledger is None:
        return None
    values = {name: value for name, value in settings.ledger.items() if name != "path"}
    path = ledger_path(settings, store)
    if not path:
        raise ValueError(f'{settings.where("ledger")}a path is missing: path = "/var/lib/mqttlite/ledger.db"')
    return Ledger(path, **values)
