"""An update of the whole image, into the slot of the flash that does not run: where the image has two (OTA).

As blocks.py, but that blocks go to their place in the slot at once. A journal of eight bytes a block says which are
there: a sector is noted before it is erased, a block after it was programmed and read back, so a cut leaves too few of
them and never too many. The starter counts the starts of the new image and goes back to the old one; so does a boot
loader with rollback, after one. On an ESP32 alone.
"""

from binascii import crc32
from hashlib import sha256

import esp32

from . import blocks
from .blocks import RECORD_SIZE, Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SECTOR = 4096
ERASED = 0  # notes: this sector is about to be erased,
THERE = 1  # this block is there
LABEL, SIZE = 4, 3  # in what a partition says of itself


class Download(blocks.Download):
    """The list of its manifest has one item, the image."""

    slot: "Any" = None
    running: "Any" = None

    def begin(self) -> None:
        """As blocks.Download.begin."""
        partition: "Any" = esp32.Partition
        self.running = partition(partition.RUNNING)
        try:
            self.slot = self.running.get_next_update()
        except OSError:
            raise Refused("the image of this board has one slot only") from None
        if SECTOR % self.block:
            raise Refused("the blocks of an image must be 1024 bytes, or as much as divides 4096")
        self._look(0)
        if self.have[0] is None:
            self._load()

    def prepare(self, item: int) -> None:
        """As blocks.Download.prepare."""
        if self.items[item][0] > self.slot.info()[SIZE]:
            raise Refused("the image is larger than its slot")
        self._look(item)

    def is_done(self) -> bool:
        """As blocks.Download.is_done."""
        return bool(self.start.record.get("count", 0) >= self.count)

    def check(self, item: int) -> None:
        """It was read back when it was complete."""

    def finish(self) -> None:
        """As blocks.Download.finish. Until the manifest is gone the starter does what is missing of it."""
        record = self._trial()
        record["trial"] = None
        record["image"] = {"new": self.slot.info()[LABEL], "old": self.running.info()[LABEL]}
        self.start.keep(record)
        self.slot.set_boot()
        self.clear()

    def _make_room(self) -> None:
        pass  # the halves have nothing to do with it

    def _look(self, item: int) -> None:
        if not item:
            super()._look(item)
            return
        count = self._blocks(item)
        bits = bytearray((count + 7) // 8)
        number = torn = 0
        while blocks.size_of(self._log(item, number)) >= 0:
            with open(self._log(item, number), "rb") as file:
                while True:
                    note = file.read(RECORD_SIZE)
                    if not note:
                        torn = number
                        break
                    if len(note) < RECORD_SIZE or crc32(note[:4]) != int.from_bytes(note[4:], "big"):
                        torn = number + 1
                        break
                    self._apply(bits, int.from_bytes(note[:2], "big"), note[3])
            number += 1
        self.torn[item] = torn
        self.have[item] = bits
        if self._is_complete(item):
            self._assemble(item)

    def _apply(self, bits: bytearray, index: int, what: int) -> None:
        per_sector = SECTOR // self.block
        if what == THERE:
            bits[index >> 3] |= 1 << (index & 7)
        else:
            for block in range(index * per_sector, min((index + 1) * per_sector, 8 * len(bits))):
                bits[block >> 3] &= ~(1 << (block & 7))

    def _note(self, item: int, index: int, what: int) -> None:
        note = index.to_bytes(2, "big") + what.to_bytes(2, "big")
        with open(self._log(item, self.torn[item]), "ab") as file:
            file.write(note + crc32(note).to_bytes(4, "big"))

    def _keep(self, item: int, index: int, data: memoryview) -> None:
        if not item:
            super()._keep(item, index, data)
            return
        sector, offset = index * self.block // SECTOR, index * self.block % SECTOR
        there = bytearray(len(data))
        self.slot.readblocks(sector, there, offset)
        if there != data:
            if there != b"\xff" * len(there):
                self._note(item, sector, ERASED)
                bits = self.have[item]
                assert bits is not None
                self._apply(bits, sector, ERASED)
                self.slot.ioctl(6, sector)
            self.slot.writeblocks(sector, bytes(data), offset)
            self.slot.readblocks(sector, there, offset)
            if there != data:
                raise Refused("the flash does not keep what is written")
        self._note(item, index, THERE)

    def _assemble(self, item: int) -> None:
        if not item:
            super()._assemble(item)
            return
        size, wanted, _ = self.items[item]
        done = sha256()
        buffer = bytearray(SECTOR)
        for sector in range((size + SECTOR - 1) // SECTOR):
            self.slot.readblocks(sector, buffer)
            done.update(memoryview(buffer)[: min(SECTOR, size - sector * SECTOR)])
            self.start.feed()
        if done.digest() == wanted:
            self.have[item] = None
        else:
            self._start_over(item)
            self.torn[item] = 0
