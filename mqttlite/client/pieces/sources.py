"""Where the payload of a stream comes from. Both runtimes."""

import asyncio

from ...core import const
from ...core.features import HOST

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from typing import Any


class Source:
    """A payload that is read piece by piece, from its beginning each time when it is opened.

    `given`: bytes; what has `read(n)` (a file, from where it is now on); an iterable or an asynchronous one, of pieces;
    or a function that returns one of these (on CPython, it may be a coroutine function). `size`: of all pieces; None:
    to be found. `again`: whether it may have to be read twice. ValueError or TypeError for what will not do.
    """

    def __init__(self, given: "Any", size: "int | None", again: bool) -> None:
        self._given = given
        self._now: "Any" = None  # what is read: with `read`, or an iterator
        self._read: "Any" = None
        self._next: "Any" = None
        self._at = 0  # where it begins, in a file
        self._blocks = False  # `read` may take its time, and let nothing else run
        self._was_open = False
        # Of a function it is known when it is called; a class is one, too.
        self._is_function = callable(given) and (isinstance(given, type) or not hasattr(given, "read"))
        if isinstance(given, (bytes, bytearray, memoryview)):
            if size is None:
                size = len(_checked(given))
        elif self._is_function:
            pass
        elif hasattr(given, "read"):
            can_seek = _can_seek(given)
            if can_seek:
                self._at = given.tell()
            elif again:
                raise ValueError(
                    "the source cannot go back, and a message of QoS 1 or 2 may be sent again: give a function that "
                    "opens it"
                )
            if size is None and can_seek:
                size = given.seek(0, 2) - self._at
                given.seek(self._at)
        else:
            if isinstance(given, str) or not (hasattr(given, "__aiter__") or _is_iterable(given)):
                raise TypeError("source must be bytes, a file, an iterable of bytes, or a function that returns one")
            if again and _is_iterator(given):
                raise ValueError(
                    "the source can be read once, and a message of QoS 1 or 2 may be sent again: give the function "
                    "that makes it"
                )
        if size is None:
            raise ValueError("the size of a stream stands in front of it: give size=, in bytes")
        if size < 0:
            raise ValueError("size is the number of bytes of the payload")
        self.size = size

    async def open(self) -> None:
        """From the beginning."""
        await self.close()
        given = self._given
        if self._was_open and not self._is_function and hasattr(given, "read"):
            given.seek(self._at)
        self._was_open = True
        if self._is_function:
            given = given()
            if HOST and hasattr(given, "__await__"):
                given = await given
            self._now = given
        if isinstance(given, (bytes, bytearray, memoryview)):
            self._next = _slices(given)
        elif hasattr(given, "read"):
            self._read = given.read
            if HOST:
                self._blocks = _is_of_a_disk(given)
        elif hasattr(given, "__aiter__"):
            self._read = None
            self._next = self._now = given.__aiter__()
        else:
            self._next = iter(given)

    async def read(self, count: int) -> "Any":
        """The next piece, of `count` bytes at most where it is a file; b"": there is none."""
        if self._read:
            if HOST and self._blocks:
                return _checked(await asyncio.to_thread(self._read, count) or b"")
            piece = self._read(count)
            if hasattr(piece, "send"):  # a coroutine
                piece = await piece
            return _checked(piece or b"")
        iterator = self._next
        piece = b""
        while not piece:  # an empty one is no end
            if hasattr(iterator, "__anext__"):
                try:
                    piece = await iterator.__anext__()
                except StopAsyncIteration:
                    return b""
            else:
                piece = next(iterator, None)
                if piece is None:
                    return b""
        return _checked(piece)

    async def close(self) -> None:
        """What a function has opened is closed, and an iterator ended."""
        self._read = self._next = None
        now = self._now
        self._now = None
        if now is not None:
            if HOST and getattr(now, "ag_running", False):
                return  # another task is in it, and about to be cancelled
            if hasattr(now, "aclose"):
                await now.aclose()
            elif hasattr(now, "close"):
                now.close()


def _checked(piece: "Any") -> "Any":
    """A piece, so that its length is in bytes. TypeError where it is none."""
    if HOST and not isinstance(piece, (bytes, bytearray)):
        return memoryview(piece).cast("B")
    if isinstance(piece, str):
        raise TypeError("source must be bytes, a file, an iterable of bytes, or a function that returns one")
    return piece


def _slices(data: "Any") -> "Any":
    return iter((memoryview(data),))


def _can_seek(file: "Any") -> bool:
    if HOST and hasattr(file, "seekable"):
        return bool(file.seekable())
    return hasattr(file, "seek")


def _is_of_a_disk(file: "Any") -> bool:
    """Whether reading may take its time; what is in memory, or asynchronous, does not."""
    if asyncio.iscoroutinefunction(file.read):
        return False
    try:
        file.fileno()
    except (AttributeError, OSError):
        return False
    return True


def _is_iterable(given: "Any") -> bool:
    try:
        iter(given)
    except TypeError:
        return False
    return True


def _is_iterator(given: "Any") -> bool:
    """Whether it is used up by one reading."""
    if hasattr(given, "__aiter__"):
        return hasattr(given, "__anext__")
    return iter(given) is given
