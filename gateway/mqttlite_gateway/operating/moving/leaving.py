"""Makes an archive of a gateway, while it runs; for a move it must have ended, and does not start here any more."""

import contextlib
import hashlib
import os
import platform
import sqlite3
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from mqttlite import __version__
from mqttlite.core.errors import MQTTError
from mqttlite.store.place import Lock
from mqttlite.store.tending.backup import backup as copy_store
from mqttlite.store.tending.counting import undelivered

from ... import lives
from . import archive
from .archive import Manifest, Part
from .parts import LEDGER, STORE, parts_of

_MACHINE = Path("/etc/machine-id")
Say = Callable[[str], None]


def machine() -> str:
    """This one, as a digest; "": it has no number."""
    try:
        text = _MACHINE.read_bytes().strip()
    except OSError:
        return ""
    return hashlib.sha256(b"mqttlite gateway " + text).hexdigest()[:16] if text else ""


def leave(settings: Path, to: Path, say: Say, *, is_move: bool = False) -> None:
    """Write all that belongs to the gateway with these settings to the new file `to`. ValueError, OSError."""
    if os.path.lexists(to):
        raise ValueError(f"{to} is there already: give another name")
    try:
        parts = parts_of(settings)
        stores = [path for path, kind in parts.items() if kind == STORE]
        for store in stores:
            lives.refuse_moved(store)
        if is_move and not stores:
            raise ValueError("there is no store on the disk, so nothing but files would move: use --backup alone")
        with contextlib.ExitStack() as stack:
            if is_move:
                for store in stores:
                    stack.callback(_locked(store).close)
            count = sum(undelivered(str(store)) for store in stores)
            # Before the archive is there: one that may be restored elsewhere, of a store that still starts, makes two
            marks = [lives.mark_moved(store, to.absolute()) for store in stores] if is_move else []
            try:
                size = _write(parts, to, is_move)
            except BaseException:
                for mark in marks:
                    mark.unlink(missing_ok=True)
                raise
            for mark in marks:
                say(f"{mark}: the gateway does not start here any more")
    except MQTTError as error:
        raise ValueError(str(error)) from None
    say(f"{to}: {len(parts)} files, {count} messages that are not delivered, {size} bytes, checked; it holds secrets")
    if not stores:
        say("no store is in it: the settings keep none on the disk, or it is not there yet")
    if is_move:
        say(f"on the other machine: sudo mqttlite gateway --restore {to.name}")


def _locked(store: Path) -> Lock:
    try:
        return Lock(str(store))
    except MQTTError as error:
        raise ValueError(
            f"{error}. For a move the gateway ends first: sudo systemctl disable --now mqttlite-gateway"
        ) from None


def _write(parts: dict[Path, str], to: Path, is_move: bool) -> int:
    at = time.strftime("%Y-%m-%d %H:%M:%S")
    life = next((lives.life_of(path) for path, kind in parts.items() if kind == STORE), "")
    manifest = Manifest(__version__, platform.node(), machine(), at, is_move, life)
    files: dict[str, Path] = {}
    with tempfile.TemporaryDirectory(prefix=".mqttlite-", dir=to.absolute().parent) as scratch:
        for number, (path, kind) in enumerate(parts.items()):
            source = path
            if kind in (STORE, LEDGER):
                source = Path(scratch, str(number))
                if kind == STORE:
                    copy_store(str(path), str(source))
                else:
                    _copy_database(path, source)
            name = f"{number:03}-{path.name}"
            files[name] = source
            mode = path.stat().st_mode & 0o777
            manifest.parts.append(Part(str(path), name, kind, mode, source.stat().st_size, archive.digest(source)))
        return archive.write(to, manifest, files)


def _copy_database(path: Path, to: Path) -> None:
    with (
        contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as source,
        contextlib.closing(sqlite3.connect(to)) as target,
    ):
        source.backup(target)
