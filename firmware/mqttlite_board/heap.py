"""Looks after the heap, and ends the program for a clean restart before an import or a packet finds no place in it.

A heap that is used for weeks is full of holes, none of which may be large enough for the next large piece. Both
runtimes.
"""

import asyncio
import gc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LOOK_S = 60
PIECE = 2048  # bytes that must be free in one piece: an import, a packet of a kilobyte and its frames
FREE_MIN = 6144
TIMES = 3  # one after the other


def trouble() -> str:
    """What is wrong with the heap, in words; "": nothing."""
    gc.collect()
    free = gc.mem_free()  # type: ignore[attr-defined, unused-ignore]
    if free < FREE_MIN:
        return "%d bytes of the heap are free" % free
    try:
        bytearray(PIECE)
    except MemoryError:
        return "%d bytes of the heap are free, no %d of them in one piece" % (free, PIECE)
    return ""


async def watch(program: "Any") -> None:
    """For ever."""
    times = 0
    while True:
        await asyncio.sleep(LOOK_S)
        found = trouble()
        times = times + 1 if found else 0
        if times == TIMES:
            from . import crash

            print(found + ": a clean restart")
            crash.save(found + ": a clean restart", program.start)
            program.stop("restart")
