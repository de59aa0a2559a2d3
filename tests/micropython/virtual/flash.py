"""Flash whose power is cut at a chosen operation, clean or torn."""

import cut_flash
from cut_flash import BLOCK, NOISE

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


class Flash(cut_flash.Flash):
    """The flash of a board with this `power`; once that is off, only finalisers of a life that is over ask for any."""

    def __init__(self, image, power):
        super().__init__(image)
        self.power = power

    def readblocks(self, block, buf, offset=0):
        if self.power.is_on:  # else nothing that takes memory
            super().readblocks(block, buf, offset)

    def writeblocks(self, block, buf, offset=None):
        if self.power.is_on:
            super().writeblocks(block, buf, offset)

    def program(self, at, data):
        if self.power.fails(PROGRAM_MS):
            size = (0, len(data) // 2, len(data) - 1, len(data) // 3)[self.power.torn]
            super().program(at, data[:size])
            raise PowerCut
        super().program(at, data)

    def erase(self, block):
        power = self.power
        if not power.is_on:
            return
        if power.fails(ERASE_MS):
            data = NOISE if power.torn == 3 else b"\xff" * (0, BLOCK // 2, BLOCK - 1)[power.torn]
            super().program(block * BLOCK, data)
            raise PowerCut
        super().erase(block)
