"""Puts the parts of an archive in their places, on the machine it comes from or another one."""

import contextlib
import os
import secrets
import tarfile
from collections.abc import Callable
from pathlib import Path

from mqttlite.core.errors import MQTTError
from mqttlite.store.folder import sync_folder
from mqttlite.store.in_sqlite.sqlite_found import beside, move_aside
from mqttlite.store.place import Lock
from mqttlite.store.tending.counting import undelivered

from ... import lives
from ..install.system import System
from . import archive
from .archive import Manifest, Part
from .leaving import machine
from .parts import LEDGER, STORE

Say = Callable[[str], None]
SERVICE = "mqttlite"  # its user and group
_DATABASES = (STORE, LEDGER)


def arrive(path: Path, say: Say, *, is_old_gone: bool = False, root: Path = Path("/")) -> None:
    """Restore the archive `path`. `is_old_gone`: the machine it comes from will not run it any more. `root`: an image
    that is mounted there. What is in the way is kept, under another name. ValueError: nothing has changed, and why.
    """
    system = System(root)
    with archive.reading(path) as (manifest, tar), contextlib.ExitStack() as stack:
        _refuse_second(manifest, is_old_gone)
        places = {part.name: system.path(part.path) for part in manifest.parts}
        for part in manifest.parts:
            if part.kind == STORE:
                _take(places[part.name], stack)
        # All of it is looked at, and on the disk that it is for, before anything changes
        fresh = {part.name: _unpacked(tar, part, places[part.name], system, stack) for part in manifest.parts}
        life = manifest.life if manifest.is_move else secrets.token_hex(8)
        for part in manifest.parts:
            kept = _put(fresh[part.name], places[part.name], part, system, life)
            say(f"{places[part.name]}" + (f"; what was there is {kept} now" if kept else ""))
    count = sum(_count(places[part.name]) for part in manifest.parts if part.kind == STORE)
    say(f"restored: {manifest.host}, {manifest.at}; {count} messages that are not delivered")
    if not manifest.is_move:
        say("it is a copy of that moment: what was delivered since may be delivered again, what came since is missing")
    say(
        "start it: sudo systemctl enable --now mqttlite-gateway (where it is not installed: mqttlite gateway --install)"
    )


def _refuse_second(manifest: Manifest, is_old_gone: bool) -> None:
    """ValueError where another machine may run the same gateway."""
    here = machine()
    is_same = bool(here) and here == manifest.machine
    if not manifest.is_move and not is_same and not is_old_gone:
        raise ValueError(
            f"this is a copy of a gateway that may still run on {manifest.host!a}: two of them send twice what is "
            "queued, and throw each other out upstream. End that one for good, and take an archive there with --backup "
            "FILE --move; if it is lost and will never run again, say --old-is-gone"
        )


def _take(store: Path, stack: contextlib.ExitStack) -> None:
    """Have the place of a store. ValueError: a gateway runs with it."""
    if not store.parent.is_dir():
        return
    had_lock = os.path.lexists(f"{store}.lock")
    try:
        lock = Lock(str(store))
    except MQTTError as error:
        raise ValueError(f"{error}. Stop the gateway first: sudo systemctl stop mqttlite-gateway") from None
    stack.callback(lock.close)
    if not had_lock:
        stack.callback(Path(f"{store}.lock").unlink, missing_ok=True)


def _unpacked(tar: tarfile.TarFile, part: Part, place: Path, system: System, stack: contextlib.ExitStack) -> Path:
    """One part, checked, beside its place; it goes again if it does not get there."""
    if not place.parent.is_dir():
        place.parent.mkdir(parents=True, mode=0o750)
        _give(place.parent, 0o700 if part.kind in _DATABASES else 0o750, part.kind in _DATABASES, system)
    fresh = place.with_name(f".{place.name}.part")
    fresh.unlink(missing_ok=True)
    stack.callback(fresh.unlink, missing_ok=True)
    archive.unpack(tar, part, fresh)
    _give(fresh, part.mode, part.kind in _DATABASES, system)
    return fresh


def _put(fresh: Path, place: Path, part: Part, system: System, life: str) -> str:
    """One part in its place; how what was there is called now, "": it was the same, or nothing."""
    kept = ""
    if part.kind not in _DATABASES:
        if place.is_file() and archive.digest(place) == part.sha256:
            return ""
        if os.path.lexists(place):
            kept = beside(str(place), "before")
            os.rename(place, kept)
    elif os.path.lexists(place):
        kept = move_aside(str(place), "before")
    else:  # a log without its database would be taken for that of the new one
        for ending in ("-wal", "-shm"):
            Path(f"{place}{ending}").unlink(missing_ok=True)
    if part.kind == STORE:
        for ending in (lives.LIFE, lives.MOVED):
            if os.path.lexists(f"{place}{ending}"):
                os.rename(f"{place}{ending}", (kept or beside(str(place), "before")) + ending)
        if life:  # before the store is there: it is never taken for the one before
            _give(lives.begin(place, life), 0o600, True, system)
    os.rename(fresh, place)
    sync_folder(str(place))
    return Path(kept).name


def _give(path: Path, mode: int, is_services: bool, system: System) -> None:
    """To whom it belongs: what is in the service's folder to it, the rest to root and the service's group."""
    path.chmod(mode)
    if os.geteuid():
        return
    folder = path.parent.stat()
    if folder.st_uid:
        os.chown(path, folder.st_uid, folder.st_gid)
        return
    user, group = system.user_id(SERVICE), system.group_id(SERVICE)
    if group is not None:
        os.chown(path, user if is_services and user is not None else 0, group)


def _count(store: Path) -> int:
    try:
        return undelivered(str(store))
    except MQTTError as error:
        raise ValueError(str(error)) from None
