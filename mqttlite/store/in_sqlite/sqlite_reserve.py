"""Room on the disk that a store keeps for itself: `.reserve` beside it. CPython only.

Even to delete, SQLite writes to its WAL first. On a disk that is full, a store could not be opened, so nothing in it
could be delivered, and what was taken could not be finished. So a file of nothing is kept beside it, as long as the
disk has room for that, and given up when it has none.
"""

import contextlib
import os

SIZE = 4 << 20  # bytes: what a WAL of 1,000 pages can make the database grow by
_SHARE = 8
_LEAST = 2 << 20  # bytes that are free on a disk of which a part is taken


class Reserve:
    """The reserve of the store `path`, of at most `size` bytes; 0: none is kept."""

    def __init__(self, path: str, size: int) -> None:
        self._folder = os.path.dirname(path) or "."
        self._name = path + ".reserve"
        self.size = size
        self.kept = 0  # bytes of it that there are

    def free(self) -> int:
        """Bytes that are free on the disk."""
        found = os.statvfs(self._folder)
        return found.f_bavail * found.f_frsize

    def exists(self) -> bool:
        """Whether there is one."""
        return os.path.lexists(self._name)

    def make(self, share: int = _SHARE) -> bool:
        """Keep room, if there is enough: of what is free, no more than one part of `share`. Whether it is there."""
        if not self.size:
            return True
        with contextlib.suppress(OSError):
            self.kept = os.stat(self._name).st_size
            return True
        size = min(self.size, self.free() // share)
        if size < min(self.size, _LEAST // share):
            return False
        try:
            file = os.open(self._name, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(file, 0, size)
                os.fsync(file)
            finally:
                os.close(file)
        except OSError:
            self.give_up()
            return False
        self.kept = size
        return True

    def give_up(self) -> bool:
        """Let the store have the room; whether there was any."""
        self.kept = 0
        try:
            os.unlink(self._name)
        except OSError:
            return False
        return True
