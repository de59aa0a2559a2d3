"""The journal: a store in an append-only log, on any file system or on a bare flash partition. Both runtimes.

`Journal("state.journal")`, or `Journal(RawArea(esp32.Partition(...)))` (area_raw.py: a fifth of the wear, and a
thirtieth where each message is committed by itself).

A generation of the log is a header (4 bytes of counter, 4 of chance, their CRC-32), then frames: 3 bytes of length, a
record (records.encode), and its CRC-32 begun with the header's, so that no byte of an earlier generation ever counts.
The first frame that is none is the end: what stands behind it was never committed, unless it is whole, which is damage
(damage.py). When the log is full, or has a torn frame at its end, the state of now is written as a new generation,
which takes the old one's place in one step.

An area is where the log lies: area_file, area_raw. It has `size` and `at`, the bytes that a generation may take and
takes; `open()` names the generations that may be there, of which the greatest counter wins; `read(at, size)`;
`resume(at)` goes on behind `at` and says whether that can be; `append(data)` returns when it is durable;
`begin(header)`, `write(data)` and `finish()` make a new generation. All raise OSError.
"""

import asyncio
import os
from binascii import crc32

from ..core import const
from ..core.records import State, decode, encode
from .base import Store, StoreError

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from os import PathLike
    from typing import Any, Protocol

    class Area(Protocol):
        size: int
        at: int
        half: int

        def open(self) -> tuple[int, ...]: ...
        def read(self, at: int, size: int) -> "bytes | bytearray": ...
        def resume(self, at: int) -> bool: ...
        def append(self, data: "bytes | bytearray") -> None: ...
        def begin(self, header: bytes) -> None: ...
        def write(self, data: "bytes | bytearray") -> None: ...
        def finish(self) -> None: ...
        def close(self) -> None: ...


HEADER = const(12)
FRAME = const(7)  # bytes of a frame besides the record
FORMAT = const(0x4D514A31)  # begins the header's CRC: another format has another number


class Journal(Store):
    """A journal in the file `area`, of at most `size_max` bytes (and twice that while it is rewritten), or in an area.

    A quarter of it is kept for what must always find room. `linger_ms`: how long a commit waits for others to share it.
    `when_damaged`: "refuse" (the choice on CPython) raises StoreError, and leaves the journal as it is. "aside" (on a
    board, where nobody can answer) keeps it as PATH.damaged (a raw area: in its half, until that is needed again), goes
    on with all that is whole, and sets `notice` to what has happened, in words, for the application to publish:
    `getattr(client.store, "notice", "")`. There is no such attribute as long as nothing has happened.
    """

    is_durable = True
    _live = _seed = _count = 0  # bytes that a new generation has at most; start of checksums; number of the generation
    _error: "StoreError | None" = None
    if TYPE_CHECKING:
        notice: str

    def __init__(
        self, area: "Area | str | PathLike[str]", size_max: int = 65536, linger_ms: int = 0, when_damaged: str = ""
    ) -> None:
        if not hasattr(area, "append"):
            if hasattr(os, "fsync"):
                from .area_host import FileArea
            else:
                from .area_file import FileArea  # type: ignore[assignment]

            area = FileArea(str(area), size_max)
        self._area: "Area" = area  # type: ignore[assignment]
        self._linger_s = linger_ms / 1000
        self.when_damaged = when_damaged
        self._pending = bytearray()  # frames not written yet; another object after each write

    async def open(self) -> State:
        """As Store.open. StoreError also when the file is no journal."""
        state = State()
        area = self._area
        try:
            best = 0
            doubt = False
            for half in area.open():
                area.half = half
                header = area.read(0, HEADER)
                crc = crc32(header[:8], FORMAT)
                count = int.from_bytes(header[:4], "big")
                if header[8:] != crc.to_bytes(4, "big"):
                    doubt = doubt or header[8:] != b"\xff\xff\xff\xff"  # flash that is erased
                elif count > self._count:
                    self._count = count
                    self._seed = crc
                    best = half
            at = HEADER
            if self._count:
                area.half = best
                size = self._holds(at)
                while size:
                    state.apply(*decode(bytes(area.read(at + 3, size))))
                    at += size + FRAME
                    size = self._holds(at)
                self._live = at
                if not area.resume(at):
                    doubt = True
            if doubt:
                from .damage import examine

                state = examine(self, state, at)
            if doubt or not self._count:
                self._compact(state)
        except Exception as error:
            self._fail(error)
            area.close()
        if self._error:
            raise self._error
        return state

    def _holds(self, at: int) -> int:
        """Size of the whole record there, or 0. A length that is none must not cost its size in memory."""
        area = self._area
        left = size = int.from_bytes(area.read(at, 3), "big")
        crc = self._seed
        at += 3
        while left:
            data = area.read(at, min(256, left))
            if not data:
                return 0
            crc = crc32(data, crc)
            at += len(data)
            left -= len(data)
        return size if area.read(at, 4) == crc.to_bytes(4, "big") else 0

    def _fail(self, error: Exception) -> None:
        self._error = StoreError(str(error))  # whatever happens to the words
        from .damage import failure

        self._error = failure(self, error)

    def _frame(self, record: "Any") -> bytes:
        data = encode(*record)
        return len(data).to_bytes(3, "big") + data + crc32(data, self._seed).to_bytes(4, "big")

    def record(self, *record: "Any") -> None:
        """As Store.record, by position."""
        frame = self._frame(record)
        self._pending += frame
        self._live += len(frame)

    async def commit(self) -> None:
        """As Store.commit."""
        pending = self._pending
        if pending:
            await asyncio.sleep(self._linger_s)  # whoever is ready now shares this commit
            if pending is self._pending and not self._error:
                area = self._area
                try:
                    if area.at + len(pending) > area.size:
                        self._compact(self.snapshot())
                    else:
                        self._pending = bytearray()
                        area.append(pending)
                except Exception as error:
                    self._fail(error)
        if self._error:
            raise self._error

    def _compact(self, state: State) -> None:
        """Write a new generation. It stands for what is pending, too: the state of now knows it already."""
        area = self._area
        self._pending = bytearray()
        self._count += 1
        header = self._count.to_bytes(4, "big") + os.urandom(4)
        self._seed = crc = crc32(header, FORMAT)
        area.begin(header + crc.to_bytes(4, "big"))
        for record in state.records():
            frame = self._frame(record)
            if area.at + len(frame) > area.size:
                raise OSError("full")
            area.write(frame)
        area.finish()
        self._live = area.at

    def fits(self, size: int) -> bool:
        """As Store.fits."""
        room = self._area.size * 3 // 4 - size - 64
        if self._live > room:
            state = self.snapshot()
            self._live = HEADER
            for record in state.records():
                self._live += len(self._frame(record))
            if self._live > room and (room < 0 or not (state.messages or state.doubts)):
                raise StoreError("a message of %d bytes never fits the journal %s" % (size, self._area))
        return self._live <= room

    async def close(self) -> None:
        """As Store.close."""
        try:
            await self.commit()
        finally:
            self._area.close()
