"""The place of a store: what its files have to be before they are opened, who has them, whether they are still there.

Nothing here follows a symbolic link that stands beside a database, waits for the other end of a FIFO, or leaves a file
readable for others. CPython only; imports the store's errors.
"""

import contextlib
import errno
import fcntl
import logging
import os
import stat

from .base import StoreError

logger = logging.getLogger("mqttlite.store")

MADE = b" made"  # in the lock file, behind the process's number: a store has been here
_BESIDE = ("-wal", "-shm", "-journal")  # files of SQLite, which follows links


def shown(path: str | os.PathLike[str]) -> str:
    """A path in a message or a log line: nothing in it breaks the line or commands a terminal."""
    text = os.fspath(path)
    return text if text.isprintable() else ascii(text)[1:-1]


def demand_file(path: str) -> None:
    """StoreError when there is something at `path` that no store can be in: it is not even opened."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        raise StoreError(f"{shown(path)} is {_kind(mode)}: give the store the name of a file")


def demand_files(path: str) -> None:
    """As `demand_file`, also for what belongs to the database `path`, which must be no links either."""
    demand_file(path)
    for beside in _BESIDE:
        with contextlib.suppress(FileNotFoundError):
            mode = os.lstat(path + beside).st_mode
            if not stat.S_ISREG(mode):
                raise StoreError(f"{shown(path + beside)} is {_kind(mode)}, and SQLite would write to it: remove it")


def tighten_all(path: str) -> None:
    """As `tighten`, for the database `path` and what belongs to it."""
    for name in (path, *[path + beside for beside in _BESIDE]):
        tighten(name)


def tighten(path: str) -> None:
    """Only its owner may read and write a file, if it is there; a log line when others could."""
    try:
        mode = stat.S_IMODE(os.stat(path).st_mode)
    except FileNotFoundError:
        return
    if not mode & 0o077:
        return
    try:
        os.chmod(path, mode & 0o700)
    except OSError as error:
        logger.warning("%s may be opened by others (mode %o), and stays so: %s", shown(path), mode, error)
    else:
        logger.warning("%s could be opened by others (mode %o): its mode is %o now", shown(path), mode, mode & 0o700)


def _kind(mode: int) -> str:
    for is_kind, name in (
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISFIFO, "a FIFO"),
        (stat.S_ISCHR, "a device"),
        (stat.S_ISBLK, "a device"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISLNK, "a symbolic link"),
    ):
        if is_kind(mode):
            return name
    return "no file"


def copy(path: str, to: str) -> str:
    """Copy a file to a new one that only its owner may read; durable; `to`. OSError of the disk."""
    source = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        target = os.open(to, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            at = 0
            while piece := os.pread(source, 1 << 20, at):
                at += os.pwrite(target, piece, at)
            os.fsync(target)
        except OSError:
            os.unlink(to)
            raise
        finally:
            os.close(target)
    finally:
        os.close(source)
    return to


def why_not(path: str, error: Exception) -> str:
    """Why a store cannot be opened, in the words of whoever has named its file: SQLite's files and `.lock` are not."""
    folder = os.path.dirname(path) or "."
    number = error.errno if isinstance(error, OSError) else 0
    if number == errno.ENOENT and not os.path.isdir(folder):
        return f"there is no folder {shown(folder)}: make it, or give the store another place"
    if number == errno.ENOTDIR:
        return f"{shown(folder)} is not a folder: give the store another place"
    if number in (errno.EACCES, errno.EPERM, errno.EROFS) and not os.access(folder, os.W_OK | os.X_OK):
        return f"this user can make no files in {shown(folder)}: allow it, or give the store another place"
    return str(error)


def had_store(path: str) -> bool:
    """Whether a store has been at `path`, as far as its lock file tells."""
    try:
        file = os.open(path + ".lock", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        return MADE in os.read(file, 64)
    except OSError:
        return False
    finally:
        os.close(file)


class Lock:
    """`.lock` beside the store `path`, which this process has. StoreError when somebody else does.

    The kernel lets go of it however the process ends. `knew_store`: a store has been here, as far as the file tells.
    """

    def __init__(self, path: str) -> None:
        name = path + ".lock"
        flags = os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        with contextlib.suppress(FileNotFoundError):
            mode = os.lstat(name).st_mode
            if not stat.S_ISREG(mode):
                raise StoreError(f"{shown(name)} is {_kind(mode)}, and the store would write to it: remove it")
        self._file = os.open(name, flags, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.knew_store = MADE in os.pread(self._file, 64, 0)
            self._write(str(os.getpid()).encode() + MADE * self.knew_store)
            tighten(name)
        except BlockingIOError:
            holder = (os.pread(self._file, 64, 0).split() or [b"that is just starting"])[0].decode(errors="replace")
            self.close()
            if holder == str(os.getpid()):
                text = f"{shown(path)} is open in this process already: a store serves one client"
            else:
                text = f"{shown(path)} is in use by process {shown(holder)}: stop that one, or name another file here"
            raise StoreError(text) from None
        except BaseException:
            self.close()
            raise

    def made(self) -> None:
        """From now on a store is known to have been here; durable. OSError of the disk."""
        if not self.knew_store:
            self._write(str(os.getpid()).encode() + MADE)
            os.fsync(self._file)
            self.knew_store = True

    def forget(self) -> None:
        """No store is here any more, as is meant. OSError of the disk."""
        self._write(str(os.getpid()).encode())
        self.knew_store = False

    def _write(self, text: bytes) -> None:
        os.pwrite(self._file, text, 0)  # first: it is never empty that was not
        os.ftruncate(self._file, len(text))

    def identity(self) -> tuple[int, int]:
        """Which file it is."""
        found = os.fstat(self._file)
        return found.st_dev, found.st_ino

    def close(self) -> None:
        """Let others have the store."""
        os.close(self._file)


def identity(path: str) -> tuple[int, int] | None:
    """Which file is at `path`; None: there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
