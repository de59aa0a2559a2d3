"""Where a journal lies, on an operating system: a file that is synced, and the folder that it is renamed in. CPython.

Syncing blocks the event loop for as long as the disk takes; a server with many messages has the SQLite store.
"""

import contextlib
import os
from binascii import crc32

from ..core.records import encode
from . import area_file
from .damage import MARK
from .folder import sync_folder
from .place import demand_file, shown, tighten

_MARK = 14  # bytes of a mark


class FileArea(area_file.FileArea):
    """The file `path`, of at most `size` bytes, mode 0600."""

    _seed = 0

    def __init__(self, path: str, size: int) -> None:
        if os.path.islink(path):
            path = os.path.realpath(path)  # renaming would put a file in the place of the link
        super().__init__(path, size - 2 * _MARK)

    def __str__(self) -> str:
        return shown(self.path)

    def open(self) -> tuple[int, ...]:
        demand_file(self.path)
        tighten(self.path)
        return super().open()

    def append(self, data: "bytes | bytearray") -> None:
        self.write(data)
        self._sync()
        here = os.fstat(self._file.fileno())
        there = os.stat(self.path)
        if (here.st_dev, here.st_ino) != (there.st_dev, there.st_ino):
            raise OSError("it is no longer the file that was opened: it was moved or replaced; put it back and restart")
        with contextlib.suppress(OSError):  # a full disk: the next append tries again
            self._mark()
            self._file.flush()

    def _mark(self) -> None:
        """What stands before this is synced: if it is not whole, that is damage (damage.py)."""
        data = encode(MARK, 0)
        self.write(len(data).to_bytes(3, "big") + data + crc32(data, self._seed).to_bytes(4, "big"))

    def begin(self, header: bytes) -> None:
        name = self.path + ".new"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)  # what an earlier life left, or a link
        os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
        super().begin(header)
        self._seed = int.from_bytes(header[8:], "big")

    def finish(self) -> None:
        self._mark()
        super().finish()

    def _sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())

    def _rename(self) -> None:
        os.replace(self.path + ".new", self.path)
        sync_folder(self.path)

    def resume(self, at: int) -> bool:
        # Never: what a sync has failed to write can still be read, and no later sync writes it; what would be appended
        # behind it would go with it at the next power cut. So each life begins with a generation of its own.
        return False

    def close(self) -> None:
        with contextlib.suppress(OSError):  # what it would still write has failed before, and was reported
            super().close()
