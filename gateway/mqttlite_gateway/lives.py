"""Which life of a store this is, and whether it has moved away: small files beside it.

STORE.life    of a store that was restored from a copy: a word of its own. What its upstreams remember of the life
              before is not trusted then, and what they hold of it is given up first (bridge/opening.py)
STORE.moved   it was taken to another machine: the gateway does not start with it
"""

import json
import os
import time
from pathlib import Path
from typing import Any

from mqttlite.store.folder import sync_folder

LIFE = ".life"
MOVED = ".moved"


def life_of(store: str | os.PathLike[str] | None) -> str:
    """A word; "": its first one."""
    try:
        return Path(os.fspath(store or "") + LIFE).read_text(encoding="ascii").strip() if store else ""
    except FileNotFoundError:
        return ""


def begin(store: Path, word: str) -> Path:
    """From now on the store lives this life; the file that says so."""
    return _write(store.with_name(store.name + LIFE), word)


def mark_moved(store: Path, archive: Path) -> Path:
    """From now on nobody starts with it; the file that says so."""
    path = store.with_name(store.name + MOVED)
    text = json.dumps({"at": time.strftime("%Y-%m-%d %H:%M:%S"), "archive": str(archive)})
    return _write(path, text)


def refuse_moved(store: str | os.PathLike[str]) -> None:
    """ValueError where the store has moved away."""
    path = Path(os.fspath(store) + MOVED)
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return
    except ValueError:
        found = {}
    raise ValueError(
        f"{os.fspath(store)} has moved to another machine ({found.get('at', 'some time ago')}, "
        f"{found.get('archive', '?')}): two gateways with one store send twice what is queued. If that archive "
        f"was never restored, rm {path}; to begin with an empty store, "
        f"mqttlite store reset {os.fspath(store)}, and rm {path}"
    )


def _write(path: Path, text: str) -> Path:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    sync_folder(os.fspath(path))
    return path
