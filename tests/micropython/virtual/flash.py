"""Flash whose power is cut at a chosen operation, clean or torn."""

BLOCK = 4096
PROGRAM_MS, ERASE_MS = 1, 40  # an operation takes


class PowerCut(BaseException):
    """The board has no power any more: nothing of it goes on."""


class Power:
    """Counts what is asked of all flash of a board, and fails at operation `cut_at` (from 1 on; 0: never).

    `torn`: how much of that operation happens: 0 nothing, 1 a part, 2 all but a byte, 3 noise (of an erase).
    """

    def __init__(self, cut_at=0, torn=0):
        self.cut_at = cut_at
        self.torn = torn
        self.count = 0
        self.is_on = True
        self.end = PowerCut()  # what everything raises once it is off
        self.took_ms = 0

    def check(self):
        if not self.is_on:
            raise self.end

    def off(self, end):
        """A reset or deep sleep: nothing of this life goes on, whoever catches what is raised."""
        self.is_on = False
        self.end = end
        raise end

    def fails(self, ms):
        self.count += 1
        self.took_ms += ms
        if self.count != self.cut_at:
            return False
        self.is_on = False
        return True


class Flash:
    """NOR flash: a program clears bits, an erase sets a block's. `image` is changed in place."""

    def __init__(self, image, power):
        self.image = image
        self.power = power
        self.erases = 0

    def readblocks(self, block, buf, offset=0):
        if not self.power.is_on:
            return  # a finaliser of a life that is over, which must not take memory
        at = block * BLOCK + offset
        buf[:] = memoryview(self.image)[at : at + len(buf)]

    def writeblocks(self, block, buf, offset=None):
        if offset is None:  # as a driver without offsets
            self.ioctl(6, block)
            offset = 0
        power = self.power
        if not power.is_on:
            return  # a finaliser of a life that is over
        at = block * BLOCK + offset
        view = memoryview(self.image)
        old = bytes(view[at : at + len(buf)])
        if old != b"\xff" * len(buf):
            for i in range(len(buf)):
                assert not buf[i] & ~old[i], "programmed over dirty bytes"
        if power.fails(PROGRAM_MS):
            size = (0, len(buf) // 2, len(buf) - 1, len(buf) // 3)[power.torn]
            view[at : at + size] = buf[:size]
            raise PowerCut
        view[at : at + len(buf)] = buf

    def ioctl(self, op, arg):
        if op == 4:
            return len(self.image) // BLOCK
        if op == 5:
            return BLOCK
        if op == 6:
            self._erase(arg)
        return 0

    def _erase(self, block):
        power = self.power
        if not power.is_on:
            return
        self.erases += 1
        at = block * BLOCK
        view = memoryview(self.image)
        if power.fails(ERASE_MS):
            if power.torn == 3:
                view[at : at + BLOCK] = bytes([i * i % 257 % 256 for i in range(BLOCK)])
            else:
                size = (0, BLOCK // 2, BLOCK - 1)[power.torn]
                view[at : at + size] = b"\xff" * size
            raise PowerCut
        view[at : at + BLOCK] = b"\xff" * BLOCK
