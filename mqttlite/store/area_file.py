"""Where a journal lies: a file on any file system, littlefs among them. Both runtimes; used by journal.py.

A new generation is a new file, `PATH.new`, that is renamed when it is complete. As on a board: there is no fsync, and
flush is what makes data durable. CPython takes area_host.

littlefs copies the last block of a file, and so erases one (45 ms), for each flush that appends to it; a file of at
most 128 bytes lies in its directory and costs a twentieth of that. So a small commit is a file of its own, `PATH.0` to
`PATH.7`: its generation (the last four bytes of its header), the byte of the log at which it belongs, and what stands
there. When all are taken, or with a commit that is larger, what they hold is appended to the log, in one flush; they
are not removed, for their place is behind the log's end no more. Whoever opens the log reads on in them.
"""

import os

from ..core import const

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from typing import Any

PIECE = const(120)  # bytes of the log in a small file: with what stands before them, what littlefs keeps in a directory
LARGE = const(300)  # bytes of a commit beyond which one flush costs less
SMALLS = const(8)  # more would fill the two blocks of a directory, which are then erased too often
_HEAD = const(8)


class FileArea:
    """The file `path`, of at most `size` bytes."""

    half = 0

    def __init__(self, path: str, size: int) -> None:
        self.path = path
        self.size = size
        self.at = 0
        self._generation = b""
        self._smalls = 0  # files that hold the log's end
        self._behind: "list[tuple[int, bytes]]" = []  # while it is read: what they hold, and where it belongs
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
        self._generation = self.read(8, 4)
        self._gather()
        return (0,)

    def _small(self, number: int) -> str:
        return "%s.%d" % (self.path, number)

    def _gather(self) -> None:
        """Find what belongs behind the file's end."""
        at: int = self._file.seek(0, 2)
        found = {}
        for number in range(SMALLS):
            try:
                with open(self._small(number), "rb") as file:
                    data = file.read()
            except OSError:
                continue
            if data[:4] == self._generation and len(data) > _HEAD:
                found[int.from_bytes(data[4:_HEAD], "big")] = data
        while at in found:
            data = found.pop(at)[_HEAD:]
            self._behind.append((at, data))
            at += len(data)

    def read(self, at: int, size: int) -> bytes:
        self._file.seek(at)
        data: bytes = self._file.read(size)
        for place, behind in self._behind:
            begin = at + len(data) - place
            if 0 <= begin < len(behind) and len(data) < size:
                data += behind[begin : begin + size - len(data)]
        return data

    def resume(self, at: int) -> bool:
        if self.read(at, 1):
            return False
        behind = self._behind
        self._reopen(at)
        for _, data in behind:
            self._file.write(data)
        self._sync()  # what a process wrote that died before its sync is read, so it has to be durable
        return True

    def _reopen(self, at: int) -> None:
        self._file.close()
        self._file = open(self.path, "ab")  # noqa: SIM115
        self.at = at
        self._smalls = 0
        self._behind = []

    def append(self, data: "bytes | bytearray") -> None:
        smalls = self._smalls
        begin = 0
        while smalls < SMALLS and begin < len(data) <= LARGE:
            piece = data[begin : begin + PIECE]
            with open(self._small(smalls), "wb") as file:
                file.write(self._generation + self.at.to_bytes(4, "big") + piece)
            begin += len(piece)
            self.at += len(piece)
            smalls += 1
        self._smalls = smalls
        if begin == len(data):
            return
        self._smalls = 0
        for number in range(smalls):
            with open(self._small(number), "rb") as file:
                file.seek(_HEAD)
                self._file.write(file.read())
        self.write(data[begin:])
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
        self._generation = header[8:]
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
