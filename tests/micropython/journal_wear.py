"""What a journal costs, as a script for MicroPython (raw: on CPython too): erases per message, and heap over many.

    journal_wear.py raw|littlefs MESSAGES [GROUP [SIZE]]

Messages of 80 bytes (SIZE), topic and payload, are committed in groups of ten (GROUP); each is finished one group
later. Compaction is part of it. Ends with "all done" and figures, in thousandths of an erase for each message.
"""

import asyncio
import gc
import os
import sys

from cut_flash import BLOCK, Flash

from mqttlite.core.records import ACCEPTED, DONE, IDENTITY
from mqttlite.store.area_raw import RawArea
from mqttlite.store.journal import Journal


async def main(kind, messages, group=10, size=80):
    flash = Flash(bytearray(32 * BLOCK))
    if kind == "raw":
        journal = Journal(RawArea(flash))
    else:
        os.VfsLfs2.mkfs(flash)
        os.mount(os.VfsLfs2(flash), "/flash")
        journal = Journal("/flash/journal", 32768)
    state = await journal.open()
    journal.snapshot = lambda: state

    def record(*record):
        journal.record(*record)
        state.apply(*record)

    record(IDENTITY, 7, b"client")
    await journal.commit()
    erases = flash.erases
    heap = 0
    for first in range(0, messages, group):
        for seq in range(first, first + group):
            assert journal.fits(size)
            record(ACCEPTED, seq, b"\x32\x5a\x00\x10sensors/5/meters", b"%0*d" % (size - 16, seq))
        if first:
            for seq in range(first - group, first):
                record(DONE, seq)
        await journal.commit()
        if sys.implementation.name == "micropython" and first == messages // 2 // group * group:
            gc.collect()
            heap = gc.mem_alloc()
    if heap:
        gc.collect()
        heap = gc.mem_alloc() - heap
        assert heap < 256, "heap has grown by %d" % heap
    assert journal._count >= 4, "too few messages: it was hardly compacted"
    thousandths = (flash.erases - erases) * 1000 // messages
    await journal.close()
    if size == 80 and group in (1, 10):
        assert thousandths <= (40 if kind == "raw" else 150 if group > 1 else 300), thousandths
    print("thousandths of an erase", thousandths)
    print("all done")


asyncio.run(main(sys.argv[1], *[int(word) for word in sys.argv[2:]]))
