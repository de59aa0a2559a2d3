"""One thing that an installation makes, or takes away."""

import contextlib
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .system import System


@dataclass
class Step:
    """`what`: in words, as in "the group mqttlite"; `is_done`: whether there is nothing to do; `do`: does it."""

    what: str
    is_done: Callable[[], bool]
    do: Callable[[], object]


def folder(system: System, name: str, mode: int, group: str) -> Step:
    """A folder of root's, for a group."""
    path = system.path(name)

    def do() -> None:
        path.mkdir(parents=True, exist_ok=True)
        _own(system, path, mode, group)

    return Step(f"folder {name}, mode {mode:o}, for root and the group {group}", lambda: _is(path, mode), do)


def file(system: System, name: str, text: str, mode: int, group: str = "root", *, keep: bool = False) -> Step:
    """A file of root's with this text. `keep`: one that is there stays, whatever is in it."""
    path = system.path(name)

    def is_done() -> bool:
        if keep and path.exists():
            return True
        return _is(path, mode) and path.read_text(encoding="utf-8") == text

    def do() -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.part")
        with contextlib.suppress(FileNotFoundError):
            part.unlink()
        with os.fdopen(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8") as target:
            target.write(text)
            target.flush()
            os.fsync(target.fileno())
        _own(system, part, mode, group)
        os.replace(part, path)

    return Step(f"file {name}", is_done, do)


def no_file(system: System, name: str) -> Step:
    """A file is there no more."""
    path = system.path(name)
    return Step(f"file {name}", lambda: not os.path.lexists(path), path.unlink)


def _is(path: Path, mode: int) -> bool:
    try:
        found = path.stat()
    except OSError:
        return False
    return stat.S_IMODE(found.st_mode) == mode


def _own(system: System, path: Path, mode: int, group: str) -> None:
    path.chmod(mode)
    number = 0 if group == "root" else system.group_id(group)
    if os.geteuid() == 0 and number is not None:
        os.chown(path, 0, number)
