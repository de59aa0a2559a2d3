"""Where a journal lies: a flash partition without a file system, as `esp32.Partition`. For journal.py; both runtimes.

Any block device with `readblocks`, `writeblocks` (both with an offset) and `ioctl`, whose blocks are erased to 0xFF and
then programmed in pieces of any size. It is used in two halves, a generation each. A block is erased when the log
comes to it, so blocks wear evenly and nothing is ever programmed twice; a generation's header is programmed last.
"""

from ..core import const

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from typing import Protocol

    class Device(Protocol):
        def readblocks(self, block: int, buf: bytearray, offset: int) -> object: ...
        def writeblocks(self, block: int, buf: "memoryview | bytes", offset: int) -> object: ...
        def ioctl(self, op: int, arg: int) -> int: ...


class RawArea:
    """A block device, all of it: what is on it is lost, if it is no journal. Two blocks are the least."""

    def __init__(self, device: "Device") -> None:
        self._device = device
        self._block = device.ioctl(5, 0)
        self.size = device.ioctl(4, 0) // 2 * self._block  # of a half
        self.at = 0
        self.half = 0

    def open(self) -> tuple[int, ...]:
        """The generations that may be there."""
        return (0, 1)

    def read(self, at: int, size: int) -> bytearray:
        """So many bytes of the generation `half`, fewer at its end."""
        data = bytearray(max(0, min(size, self.size - at)))
        if data:
            at += self.half * self.size
            self._device.readblocks(at // self._block, data, at % self._block)
        return data

    def resume(self, at: int) -> bool:
        """Go on writing there; whether the rest of that block is erased."""
        self.at = at
        left = -at % self._block  # the blocks that follow will be erased
        clean = left > 0
        while left and clean:
            data = self.read(at, min(64, left))
            clean = min(data) > 254
            at += len(data)
            left -= len(data)
        return clean

    def write(self, data: "bytes | bytearray | memoryview") -> None:
        """Program it at the end, and erase each block when it is come to."""
        data = memoryview(data)
        while data:
            offset = self.at % self._block
            if not offset:
                self._device.ioctl(6, (self.half * self.size + self.at) // self._block)
            piece = data[: self._block - offset]
            self._program(self.at, piece)
            self.at += len(piece)
            data = data[len(piece) :]

    append = write

    def begin(self, header: bytes) -> None:
        """Begin the other generation, without its header."""
        self.half ^= 1
        self._device.ioctl(6, self.half * self.size // self._block)
        self.at = len(header)
        self._header = header

    def finish(self) -> None:
        """Program the header: from here on the new generation is the one that counts."""
        self._program(0, self._header)

    def _program(self, at: int, data: "bytes | memoryview") -> None:
        at += self.half * self.size
        if self._device.writeblocks(at // self._block, data, at % self._block):
            raise OSError(5)

    def close(self) -> None:
        """There is nothing to be closed."""
