"""Changes the file of users: one line for each, as users.py reads it. Written at once and whole, under a lock; mode and
owner stay, unless everybody could read it.
"""

import stat
from collections.abc import Callable
from pathlib import Path

from .passwords import hashed
from .secret_files import alone, write_secret
from .users import check_name, parse


def set_password(path: Path, name: str, password: bytes, said: Callable[[str], object] = str) -> bool:
    """Add a user, or give one another password; whether it is a new one. ValueError, OSError. `said`: is told of a
    file that others could read.
    """
    check_name(name)
    line = f"{name}:{hashed(password)}"
    is_new = True

    def change(lines: list[str]) -> list[str]:
        nonlocal is_new
        places = [at for at, old in enumerate(lines) if _name_in(old) == name]
        is_new = not places
        if not places:
            return [*lines, line]
        return [line if at == places[0] else old for at, old in enumerate(lines) if at not in places[1:]]

    _rewrite(path, change, said)
    return is_new


def delete(path: Path, name: str, said: Callable[[str], object] = str) -> None:
    """Take a user out. ValueError: there is none of that name."""

    def change(lines: list[str]) -> list[str]:
        left = [line for line in lines if _name_in(line) != name]
        if len(left) == len(lines):
            raise ValueError(f"there is no user {name!r} in {path}")
        return left

    if not path.exists():
        raise ValueError(f"there is no file {path}")
    _rewrite(path, change, said)


def names(path: Path) -> list[str]:
    """Who is in it; nobody where it is not there. ValueError: it is broken."""
    return list(parse(path.read_text(encoding="utf-8-sig"), str(path))) if path.exists() else []


def _name_in(line: str) -> str | None:
    return None if line.startswith("#") else line.partition(":")[0]


def _rewrite(path: Path, change: Callable[[list[str]], list[str]], said: Callable[[str], object]) -> None:
    """Replace the file with what `change` makes of its lines; two that do so at once wait for each other."""
    if not path.parent.is_dir():
        raise ValueError(f"there is no folder {path.parent}, and so no file {path}")
    with alone(path.parent):
        lines, is_public = [], True
        if path.exists():
            mode = path.stat().st_mode
            is_public = bool(mode & (stat.S_IROTH | stat.S_IWOTH))
            text = path.read_text(encoding="utf-8-sig")
            parse(text, str(path))  # what is broken is not made worse
            lines = [line.rstrip("\r") for line in text.split("\n")]  # as they are read, and no others
            if not lines[-1]:
                lines.pop()
            if is_public:
                said(f"{path} could be read by everybody on this machine: now its owner alone can (mode 0600)")
        write_secret(path, "".join(f"{line}\n" for line in change(lines)).encode(), as_before=not is_public)
