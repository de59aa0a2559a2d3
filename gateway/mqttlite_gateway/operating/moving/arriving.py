"""Puts the parts of an archive in their places, on the machine it comes from or another one."""

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from mqttlite.core.errors import MQTTError
from mqttlite.store.counting import undelivered
from mqttlite.store.place import Lock

from . import archive, lives
from .archive import Manifest, Part
from .leaving import machine
from .parts import STORE

Say = Callable[[str], None]
_BESIDE = ("", "-wal", "-shm", ".lock", lives.LIFE, lives.MOVED)  # what belongs to a store that makes room
GROUP = "mqttlite"


def arrive(path: Path, say: Say, *, is_old_gone: bool = False, root: Path = Path("/")) -> None:
    """Restore the archive `path`. `is_old_gone`: the machine it comes from will not run it any more. `root`: an image
    that is mounted there. What is in the way is kept, under another name. ValueError: nothing has changed, and why.
    """
    with archive.reading(path) as (manifest, tar), contextlib.ExitStack() as stack:
        _refuse_second(manifest, is_old_gone)
        aside = time.strftime(".before-%Y%m%dT%H%M%S")
        places = {part.name: root / part.path.lstrip("/") for part in manifest.parts}
        for part in manifest.parts:
            if part.kind == STORE:
                _take(places[part.name], stack)
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mqttlite-restore-")))
        for part in manifest.parts:  # all of it is looked at before anything changes
            archive.unpack(tar, part, scratch / part.name)
        for part in manifest.parts:
            kept = _put(scratch / part.name, places[part.name], part, aside)
            say(f"{places[part.name]}" + (f"; what was there is {kept} now" if kept else ""))
            if part.kind == STORE and not manifest.is_move:
                _given(lives.begin_anew(places[part.name]), places[part.name].parent, 0o600)
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


def _put(source: Path, place: Path, part: Part, aside: str) -> str:
    """One part in its place; how what was there is called now, "": it was the same, or nothing."""
    kept = ""
    if place.is_file() and part.kind != STORE and archive.digest(place) == part.sha256:
        return ""
    if not place.parent.is_dir():
        place.parent.mkdir(parents=True, mode=0o750)
        _given(place.parent, place.parent.parent, 0o700 if part.kind == STORE else 0o750, part.kind != STORE)
    for beside in _BESIDE if part.kind == STORE else ("",):
        old = place.with_name(place.name + beside)
        if os.path.lexists(old) and beside != ".lock":
            os.rename(old, old.with_name(old.name + aside))
            kept = kept or place.name + aside
    shutil.copyfile(source, place.with_name(f".{place.name}.part"))
    os.rename(place.with_name(f".{place.name}.part"), place)
    _given(place, place.parent, part.mode, part.kind != STORE)
    return kept


def _given(path: Path, folder: Path, mode: int, is_roots: bool = False) -> None:
    """To whom it belongs: settings to root and the service's group, a store to the owner of its folder."""
    path.chmod(mode)
    if os.geteuid():
        return
    if is_roots:
        with contextlib.suppress(LookupError):
            shutil.chown(path, "root", GROUP)
        return
    owner = folder.stat()
    with contextlib.suppress(LookupError):
        if folder == Path("/var/lib"):
            shutil.chown(path, GROUP, GROUP)
        else:
            os.chown(path, owner.st_uid, owner.st_gid)


def _count(store: Path) -> int:
    try:
        return undelivered(str(store))
    except MQTTError as error:
        raise ValueError(str(error)) from None
