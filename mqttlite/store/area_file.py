"""Where a journal lies: a file on any file system, littlefs among them. Both runtimes; used by journal.py.

A new generation is a new file, `PATH.new`, that is renamed when it is complete. As on a board: there is no fsync, and
flush is what makes data durable. CPython takes area_host.
"""

import os

from ..core import const

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from typing import Any


class FileArea:
    """The file `path`, of at most `size` bytes."""

    half = 0

    def __init__(self, path: str, size: int) -> None:
        self.path = path
        self.size = size
        self.at = 0
        self._file: "Any" = None

    def __str__(self) -> str:
        return self.path

    def open(self) -> tuple[int, ...]:
        try:
            self._file = open(self.path, "rb")  # noqa: SIM115
        except OSError as error:
            if error.errno != 2:
                raise
            return ()
        return (0,)

    def read(self, at: int, size: int) -> bytes:
        self._file.seek(at)
        data: bytes = self._file.read(size)
        return data

    def resume(self, at: int) -> bool:
        if self.read(at, 1):
            return False
        self._reopen(at)
        self._sync()  # what a process wrote that died before its sync is read, so it has to be durable
        return True

    def _reopen(self, at: int) -> None:
        self._file.close()
        self._file = open(self.path, "ab")  # noqa: SIM115
        self.at = at

    def append(self, data: "bytes | bytearray") -> None:
        self.write(data)
        self._sync()

    def _sync(self) -> None:
        self._file.flush()

    def write(self, data: "bytes | bytearray") -> None:
        self._file.write(data)
        self.at += len(data)

    def begin(self, header: bytes) -> None:
        self.close()
        self._file = open(self.path + ".new", "wb")  # noqa: SIM115
        self.at = 0
        self.write(header)

    def finish(self) -> None:
        self._sync()
        self.close()  # littlefs does not follow an open file to its new name
        self._rename()
        self._reopen(self.at)

    def _rename(self) -> None:
        os.rename(self.path + ".new", self.path)

    def close(self) -> None:
        if self._file:
            self._file.close()
