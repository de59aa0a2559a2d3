"""A journal on flash whose power is cut at every device operation, as a script for MicroPython and CPython.

    journal_cuts.py raw|littlefs ROUNDS STRIDE SECOND [EVERY]

A life is recorded once, with every erase and every program that the device was asked for. Then each operation is cut:
before it, and torn. A program is torn behind every STRIDE-th byte (1: every byte prefix), behind its first and before
its last; an erase after nothing, one byte, half and all but one, and into noise. What is left must open, hold
everything that was committed and nothing but a prefix of what was recorded, and go on working. Where opening it writes,
that is cut, too, torn behind every SECOND-th byte (0: it is not), after every EVERY-th cut. littlefs is the
interpreter's own VfsLfs2, with the defaults that a board has.
"""

import asyncio
import os
import sys

if not hasattr(asyncio, "run"):  # MicroPython as WebAssembly has neither a loop of its own nor chance; a board has both

    class OneTask:
        """As much of asyncio as a single task can tell from all of it."""

        class Lock:
            async def __aenter__(self):
                pass

            async def __aexit__(self, *_):
                pass

        async def sleep(self, seconds):
            pass

        def run(self, coroutine):
            try:
                coroutine.send(None)
            except StopIteration:
                return
            raise AssertionError("it waits, with nobody else there")

    sys.modules["asyncio"] = asyncio = OneTask()
    os.urandom = lambda size: b"\x55" * size
    sys.path.append("tests/micropython")  # nor has it a folder of the script

from cut_flash import BLOCK, Flash, perform, torn

from mqttlite.core.records import ACCEPTED, DONE, FREED, HELD, IDENTITY, RELEASED, SUBSCRIBED, State
from mqttlite.store.area_raw import RawArea
from mqttlite.store.journal import Journal


class Raw:
    """A journal on the flash itself."""

    blocks = 2

    def format(self, flash):
        for i in range(len(flash.image)):
            flash.image[i] = i * 7 % 251  # whatever was there before

    def mount(self, flash):
        return Journal(RawArea(flash))

    def unmount(self):
        pass


class LittleFs:
    """A journal in a file of littlefs."""

    blocks = 16

    def format(self, flash):
        os.VfsLfs2.mkfs(flash)

    def mount(self, flash):
        os.mount(os.VfsLfs2(flash), "/flash")
        return Journal("/flash/journal", 4096)

    def unmount(self):
        os.umount("/flash")


def summary(state):
    """A state as something that can be compared."""
    return repr((sorted([bytes(r[2]) + bytes(r[3]) + bytes(r[4]) + repr(r[:2]).encode() for r in state.records()])))


class Life:
    """Records made one after the other, and what they add up to after each."""

    def __init__(self, journal, state, flash):
        self.journal = journal
        self.flash = flash
        self.state = state
        self.sums = [summary(state)]
        self.committed = 0
        journal.snapshot = lambda: self.state

    def record(self, *record):
        self.journal.record(*record)
        self.state.apply(*record)
        self.sums.append(summary(self.state))

    async def commit(self):
        taken = len(self.sums) - 1
        log = self.flash.log
        if log is not None:
            log.append((-1, (self.committed, taken)))
        await self.journal.commit()
        self.committed = taken
        if log is not None:
            log.append((-1, (taken, taken)))


async def live(life, rounds):
    """Messages in groups of three, what is finished recorded with the next group; QoS 2 both ways."""
    life.record(IDENTITY, 7, b"client")
    life.record(SUBSCRIBED, 1, b"a/+")
    await life.commit()
    for n in range(rounds):
        first = 3 * n
        for seq in (first, first + 1, first + 2):
            head = b"\x34\x5a\x00\x09topic/abc" if seq & 1 else b"\x32\x5a\x00\x09topic/abc"
            life.record(ACCEPTED, seq, head, b"%080d" % seq, b"\1" if seq % 5 else b"")
            if n & 1:  # one by one: where the file system keeps small files cheaply, each is one
                await life.commit()
        life.record(HELD, n + 1)
        if n:
            life.record(DONE, first - 1)
            life.record(RELEASED, first - 2)
            life.record(DONE, first - 3)
            life.record(FREED, n)
        if n > 1:
            life.record(DONE, first - 5)
        await life.commit()


async def opened(place, image):
    """The summary of what is there, and what the flash was asked for to find out."""
    flash = Flash(bytearray(image))
    journal = place.mount(flash)
    flash.log = []
    state = await journal.open()
    log = flash.log
    flash.log = None
    return summary(state), log, Life(journal, state, flash)


async def survives(place, image, sums, stride):
    """Opens what a cut has left; which of the sums it is, and how many cuts that made in all."""
    text, log, life = await opened(place, image)
    assert text in sums, "not a prefix of what was recorded"
    life.record(ACCEPTED, 9999, b"\x32\x5a\x00\x09topic/abc", b"after the cut")
    life.record(HELD, 9999)
    await life.commit()
    expected = summary(life.state)
    await life.journal.close()
    place.unmount()
    again, _, life = await opened(place, life.flash.image)
    assert again == expected, (text, expected, again)
    life.journal._area.close()
    place.unmount()
    cuts = 1
    image = bytes(image)
    for operation in log if stride else ():
        for second in torn(image, operation, stride):
            again, _, life = await opened(place, second)
            assert again == text, "a second cut, in recovery, has changed the state"
            life.journal._area.close()
            place.unmount()
            cuts += 1
        image = perform(image, operation)
    return cuts


async def main(place, rounds, stride, second, every=1):
    flash = Flash(bytearray(place.blocks * BLOCK))
    place.format(flash)
    image = bytes(flash.image)
    journal = place.mount(flash)
    flash.log = log = []
    life = Life(journal, State(), flash)
    assert summary(await journal.open()) == life.sums[0]
    await live(life, rounds)
    flash.log = None
    await journal.close()
    place.unmount()
    low = high = operations = first = cuts = 0
    for operation in log:
        if operation[0] < 0:
            low, high = operation[1]
            continue
        operations += 1
        sums = life.sums[low : high + 1]
        for left in torn(image, operation, stride):
            first += 1
            cuts += await survives(place, left, sums, 0 if first % every else second)
        image = perform(image, operation)
    assert image == flash.image
    await survives(place, image, life.sums[-1:], 0)
    assert journal._count >= 2, "too short a life: nothing was compacted"
    print("records", len(life.sums) - 1, "operations", operations, "cuts", cuts)
    print("all done")


asyncio.run(main(Raw() if sys.argv[1] == "raw" else LittleFs(), *[int(word) for word in sys.argv[2:]]))
