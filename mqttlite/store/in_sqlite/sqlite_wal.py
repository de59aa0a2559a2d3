"""Reading SQLite's WAL ourselves: whether it ends where its last transaction was torn, or where it is damaged.

SQLite takes the first frame whose checksum is wrong for the end, whatever stands behind it. A power cut leaves nothing
but whole transactions and, behind them, any part of the one that was being synced: with synchronous = FULL the next one
is not begun before that. So a frame that is wrong, behind it the end of a transaction, and directly behind that the
beginning of another one: that is damage, and no power cut. See "The Write-Ahead Log" in SQLite's file format. CPython
only; changes nothing.
"""

import os
import sys
from array import array
from collections.abc import Callable
from typing import NamedTuple

HEADER = 32
FRAME = 24  # bytes before a frame's page
_MAGIC = 0x377F0682  # the lowest bit: words of checksums are big-endian
_MASK = 0xFFFFFFFF

Sums = tuple[int, int]


class Wal(NamedTuple):
    """`header`: there is one, whole. `frames`: whole ones, which SQLite will read. `at`: the byte where damage begins;
    -1: there is none. `behind`: whole frames behind it, `commits`: ends of transactions among them.
    """

    header: bool
    frames: int
    at: int = -1
    behind: int = 0
    commits: int = 0


def checksum(data: bytes, big: bool, sums: Sums = (0, 0)) -> Sums:
    """SQLite's checksum of data, whose length is a multiple of 8, begun with that of what stands before it."""
    first, second = sums
    words = array("I", data)
    if big != (sys.byteorder == "big"):
        words.byteswap()
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = (first + even + second) & _MASK
        second = (second + odd + first) & _MASK
    return first, second


class _Reader:
    """The frames of an open file."""

    def __init__(self, file: int) -> None:
        self._file = file
        header = self.header = os.pread(file, HEADER, 0)
        self.exists = len(header) == HEADER
        self.salts = header[16:24]
        self.big = bool(header[3] & 1) if self.exists else False
        self.sums = checksum(header[:24], self.big) if self.exists else (0, 0)
        self.stored = _pair(header[24:])
        magic = int.from_bytes(header[:4], "big") & ~1
        self.is_whole = self.exists and magic == _MAGIC and self.stored == self.sums
        self.resize(int.from_bytes(header[8:12], "big"))

    def resize(self, page: int) -> None:
        self.page = page
        self.frames = max(0, os.fstat(self._file).st_size - HEADER) // (FRAME + page)

    def frame(self, number: int) -> bytes:
        size = FRAME + self.page
        return os.pread(self._file, size, HEADER + number * size)

    def head(self, number: int) -> bytes:
        return os.pread(self._file, FRAME, HEADER + number * (FRAME + self.page))

    def sums_of(self, frame: bytes, before: Sums) -> Sums:
        return checksum(frame[FRAME:], self.big, checksum(frame[:8], self.big, before))


def _pair(data: bytes) -> Sums:
    return int.from_bytes(data[:4], "big"), int.from_bytes(data[4:8], "big")


def _is_commit(head: bytes) -> bool:
    return any(head[4:8])


def examine(path: str) -> Wal:
    """What the WAL of the database `path` is like. OSError of the disk; that there is none is no error."""
    try:
        file = os.open(path + "-wal", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return Wal(False, 0)
    try:
        reader = _Reader(file)
        return _examine(reader) if reader.is_whole else _without_header(reader)
    finally:
        os.close(file)


def _examine(reader: _Reader) -> Wal:
    whole = 0
    sums = reader.sums
    while whole < reader.frames:
        frame = reader.frame(whole)
        if len(frame) < FRAME + reader.page:
            break
        after = reader.sums_of(frame, sums)
        chained = after == _pair(frame[16:24])
        if frame[8:16] != reader.salts and not chained:  # of an earlier generation: the usual end
            return _behind(reader, whole, None)
        if frame[8:16] != reader.salts or not chained:
            return _behind(reader, whole, after)
        sums = after
        whole += 1
    return Wal(True, whole)


def _behind(reader: _Reader, bad: int, after: Sums | None) -> Wal:
    """What stands behind the frame `bad`, the first that is wrong. `after`: its checksum, as it should be."""
    begins = -1
    for end in range(bad, reader.frames - 1):
        head = reader.head(end)
        if not _is_commit(head) or (end > bad and head[8:16] != reader.salts):
            continue
        seeds = [_pair(head[16:24])]
        if end == bad and after is not None:
            seeds.append(after)
        following = reader.frame(end + 1)
        if following[8:16] == reader.salts and _pair(following[16:24]) in [
            reader.sums_of(following, seed) for seed in seeds
        ]:
            begins = end + 1
            break
    if begins < 0:
        return Wal(True, bad)
    behind, commits = _count(reader, begins, True)
    return Wal(True, bad, HEADER + bad * (FRAME + reader.page), behind, commits)


def _count(reader: _Reader, first: int, is_whole: bool) -> tuple[int, int]:
    """Frames, and ends of transactions, from `first` on that are whole as far as the frame before each tells.
    `is_whole`: the first one is known to be.
    """
    behind = commits = 0
    before = reader.head(first - 1)
    for number in range(first, reader.frames):
        frame = reader.frame(number)
        if len(frame) < FRAME + reader.page or frame[8:16] != reader.salts:
            break
        if is_whole or reader.sums_of(frame, _pair(before[16:24])) == _pair(frame[16:24]):
            behind += 1
            commits += _is_commit(frame)
        is_whole = False
        before = frame[:FRAME]
    return behind, commits


def _without_header(reader: _Reader) -> Wal:
    """A WAL whose header is wrong has no frames, as SQLite sees it. The header is synced before the first frame."""
    if not reader.exists:
        return Wal(False, 0)
    for page in dict.fromkeys((reader.page, 4096, 1024, 2048, 512, 8192, 16384, 32768, 65536)):
        if page.bit_count() != 1 or not 512 <= page <= 65536:
            continue
        reader.resize(page)
        for reader.big in (False, True):
            if not reader.frames:
                continue
            first = reader.frame(0)
            reader.salts = first[8:16]
            seeds = (reader.stored, checksum(reader.header[:24], reader.big))
            is_whole = _pair(first[16:24]) in [reader.sums_of(first, seed) for seed in seeds]
            behind, commits = _count(reader, 1, is_whole)
            if is_whole or behind:
                return Wal(False, 0, 0, behind + 1, commits + _is_commit(first))
    return Wal(False, 0)


def apply(path: str, write: Callable[[int, bytes], object], damaged: bool) -> tuple[int, int]:
    """Hand over the pages in the WAL of the database `path`, in order: `write(byte of the database, page)`. `damaged`:
    those that are, too; else the version before counts. Nothing of what is behind the last end of a transaction. How
    many pages the database has then (0: there is nothing), and bytes of a page.
    """
    file = os.open(path + "-wal", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        reader = _Reader(file)
        if not reader.is_whole:
            _without_header(reader)  # which finds out what it would say
        frames = []
        last = 0
        for number in range(reader.frames):
            head = reader.head(number)
            if len(head) < FRAME or head[8:16] != reader.salts:
                following = reader.head(number + 1)
                if following[8:16] == reader.salts:
                    continue  # of one frame, only the head is wrong
                break
            frames.append((number, int.from_bytes(head[:4], "big")))
            if _is_commit(head):
                last = len(frames)
        size = 0
        before = [reader.stored, reader.sums]
        for number, page in frames[:last]:
            frame = reader.frame(number)
            stored = _pair(frame[16:24])
            if damaged or stored in [reader.sums_of(frame, sums) for sums in before]:
                write((page - 1) * reader.page, frame[FRAME:])
                size = max(size, page)
            before = [stored]
            if _is_commit(frame):
                size = int.from_bytes(frame[4:8], "big")
        return size, reader.page
    finally:
        os.close(file)
