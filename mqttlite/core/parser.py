"""Bytes in any pieces to packets (2.1, 2.2). Both runtimes; iterative, and refuses a packet before it stores it.

The packet found last is `buf[start:end]`, its body without fixed header: nothing is copied out before a decoder wants
it. Pieces of an incomplete packet are kept in a list and joined once, so that a large packet costs linear time.
"""

from . import const
from .errors import broken

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from collections.abc import Callable

    from .oversize import Oversized

# Reserved flags for each packet type [MQTT-2.2.2-1]; 255: no such type, 254: PUBLISH, whose flags are fields.
_FLAGS = b"\xff\0\0\xfe\0\0\2\0\2\0\2\0\0\0\0\xff"
_NOTHING: "list[bytes]" = []


class Parser:
    """An incremental parser. `size_max`: largest Remaining Length accepted, in bytes. With `skips` a PUBLISH above it
    is read past (oversize.py); else it is refused as any other packet.
    """

    skips = False
    first: int  # of the PUBLISH that was read past
    large: "Oversized | None" = None  # the PUBLISH that is being read past
    make_large: "Callable[[int, int], Oversized] | None" = None  # of its size and first byte; None: Oversized

    def __init__(self, size_max: int) -> None:
        self.size_max = size_max
        self.buf = b""
        self.start = 0  # body of the packet found last: buf[start:end]
        self.end = 0
        self._at = 0  # where the next packet starts in buf
        self._need = 2  # bytes from _at on that are needed before it pays to look again
        self._have = 0  # bytes from _at on in buf and _pieces together
        self._pieces = _NOTHING

    def feed(self, data: bytes) -> None:
        """Take the bytes that arrived next."""
        left = len(self.buf) - self._at
        if not left and not self._pieces:
            self.buf = data
            self._at = 0
            self._have = len(data)
            return
        if not self._pieces:
            self._pieces = [self.buf[self._at :]]
            self._have = left
            self.buf = b""
            self._at = 0
        self._pieces.append(data)
        self._have += len(data)

    def missing(self) -> int:
        """How many bytes have to come before it pays to look at the packet that has begun; 0: none has."""
        if self._pieces:
            return self._need - self._have
        left = len(self.buf) - self._at
        return self._need - left if left else 0

    def next(self) -> int:
        """The first byte of the next packet, its body in `buf[start:end]`; 0 when more bytes are needed.

        Raises ProtocolError as soon as a fixed header shows an invalid type, invalid flags [MQTT-2.2.2-2], or a length
        above `size_max` that is not to be read past.
        """
        if self._pieces:
            if self._have < self._need:
                return 0
            self.buf = b"".join(self._pieces)
            self._pieces = _NOTHING
            self._need = 2  # what follows the packet that was waited for may be short
        buf = self.buf
        at = self._at
        have = len(buf) - at
        if have:
            first = buf[at]
            self._check_first(first)
        if have < 2:
            self._need = 2
            return 0
        size = buf[at + 1]
        start = at + 2
        if size > 127:
            size &= 127
            shift = 7
            while True:
                if shift > 21:
                    raise broken("2.2.3 length")
                if start == len(buf):
                    self._need = have + 1
                    return 0
                byte = buf[start]
                start += 1
                size |= (byte & 127) << shift
                if byte < 128:
                    break
                shift += 7
        if size > self.size_max:
            from .oversize import pass_over  # hardly ever needed, so not loaded before

            return pass_over(self, first, start, size)
        end = start + size
        if end > len(buf):
            self._need = end - at
            return 0
        self.start = start
        self.end = self._at = end
        return first

    def _check_first(self, first: int) -> None:
        flags = _FLAGS[first >> 4]
        if flags != first & 15:
            if flags == 255:
                raise broken("2.2.1", first >> 4)
            if flags != 254:
                raise broken("MQTT-2.2.2-2", first & 15, first >> 4)
            if first & 6 == 6:
                raise broken("MQTT-3.3.1-4")
            if first & 14 == 8:
                raise broken("MQTT-3.3.1-2")
