"""Files that decide who gets in: a secret that everybody on this machine can read is none, rules that everybody can
change are none, and both are refused.
"""

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def refuse_public(path: Path, what: str, *, may_be_read: bool = False) -> None:
    """ValueError where every user of this machine may read or change the file. `what`: it has, as in "passwords"."""
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from None
    bits = mode & (stat.S_IWOTH | (0 if may_be_read else stat.S_IROTH))
    if stat.S_ISREG(mode) and bits:
        verb, remedy = ("read", "o-rwx") if bits & stat.S_IROTH else ("change", "o-w")
        raise ValueError(
            f"{path} has {what}, and every user of this machine can {verb} it (mode {stat.S_IMODE(mode):04o}): "
            f"chmod {remedy} {path}"
        )


def read_text(path: Path, what: str, *, may_be_read: bool = False) -> str:
    """The text of such a file. ValueError: it cannot be read, is no UTF-8, or `refuse_public` refuses it."""
    refuse_public(path, what, may_be_read=may_be_read)
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{path}: line {line} is not UTF-8; save the file as UTF-8") from None


def write_secret(path: Path, data: bytes, *, as_before: bool = False, like: Path | None = None) -> None:
    """Write a file that its owner alone can read, or, `as_before`, with mode and owner of the one that it replaces, or
    else of the file `like`; a cut leaves the old one or the new one. Raises OSError.
    """
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:
        model = path if path.exists() else like
        if as_before and model and model.exists():
            info = model.stat()
            os.fchmod(descriptor, stat.S_IMODE(info.st_mode))
            if os.geteuid() == 0:
                os.fchown(descriptor, info.st_uid, info.st_gid)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Two that change files of a folder at once wait for each other."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
