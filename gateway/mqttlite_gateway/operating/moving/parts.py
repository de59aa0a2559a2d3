"""What belongs to a gateway: the settings, the files that they name, what lies beside them, the databases."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mqttlite.broker.config.ledger import ledger_path

from ...config import load
from ...settings.errors import ConfigError
from ...settings.whole import Config

FOLDER = Path("/etc/mqttlite")
KEY_FILE_MAX = 1 << 20  # bytes of a file that settings name: keys and lists of users are small
SETTINGS = "settings"
FILE = "file"
STORE = "store"
LEDGER = "ledger"


def parts_of(path: Path) -> dict[Path, str]:
    """Which files, by kind; databases first. ValueError: the settings cannot be read, or keep nothing on the disk."""
    try:
        config = load(path)
    except ConfigError as error:
        raise ValueError(f"{error}; a backup needs settings that can be read") from None
    path = path.absolute()
    found = {}
    store = store_of(config)
    if store:
        found[store] = STORE
    ledger = ledger_path(config.broker, str(store) if store else None)
    if ledger and Path(ledger).is_file():
        found[Path(ledger).absolute()] = LEDGER
    found[path] = SETTINGS
    for each in (*_named(config), *_beside(path)):
        found.setdefault(each, FILE)
    return found


def store_of(config: Config) -> Path | None:
    """Of the broker inside; None: it has none, or it is not there yet."""
    if not config.is_bridge or config.broker.store == "memory":
        return None
    from ...inside.embedded import FILE as NAME
    from ...inside.embedded import default_store

    # The service's, for who calls this is not the service; else that of a gateway which this user runs
    places = [Path(config.broker.store)] if config.broker.store else [Path("/var/lib/mqttlite", NAME), default_store()]
    return next((path.absolute() for path in places if path.is_file()), None)


def _named(config: Config) -> Iterator[Path]:
    """Files that the settings name: whatever is a path, and is there."""
    for text in _texts(config.found.data if config.found else {}):
        if text.startswith("/") and not text.startswith(("/dev/", "/run/", "/proc/", "/sys/")) and "\0" not in text:
            path = Path(text)
            if path.is_file() and path.stat().st_size <= KEY_FILE_MAX:
                yield path


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _texts(each)


def _beside(path: Path) -> Iterator[Path]:
    """The whole folder, where it is the gateway's own."""
    if path.parent == FOLDER:
        for each in sorted(path.parent.rglob("*")):
            if (
                each.is_file()
                and not each.is_symlink()
                and each.stat().st_size <= KEY_FILE_MAX
                and not _is_left_over(each)
            ):
                yield each


def _is_left_over(path: Path) -> bool:
    return path.name.endswith((".part", ".dpkg-old", ".dpkg-dist", ".dpkg-new", "~")) or not os.access(path, os.R_OK)
