"""Why the board has started again: kept in a file, sent on `crash` at QoS 1, and removed when that is confirmed.

The starter writes what has ended the program, before it restarts the board; the program what it restarts the board for.
Where nothing could be written, because the watchdog has bitten, that is said. Both runtimes.
"""

import asyncio
import io
import os
import sys

from . import clock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FILE = "crash.txt"
SIZE_MAX = 1500  # of which the end is the most telling


def save(why: "BaseException | str", start: "Any") -> None:
    """Keep why this start ends: an exception with its traceback, or a text. Of several the last. Raises nothing."""
    try:
        text = why if isinstance(why, str) else traceback(why)
        head = "start %d%s, after %d s\n" % (start.boots, cause(start), clock.up_ms() // 1000)
        start.write(start.ROOT + FILE, head + text[-SIZE_MAX:])
    except Exception as error:  # the flash is full, or no memory
        print("not kept:", repr(error))


def cause(start: "Any") -> str:
    """Why it had started, in brackets, where that is known."""
    found = start.reset_cause()
    return " (" + found + ")" if found else ""


def traceback(error: BaseException) -> str:
    """As it is printed."""
    file = io.StringIO()
    if hasattr(sys, "print_exception"):
        sys.print_exception(error, file)
    else:
        from traceback import print_exception  # type: ignore[import-not-found, unused-ignore]

        print_exception(error, file=file)
    return str(file.getvalue())


def read(path: str) -> str:
    """The text in a file."""
    with open(path) as file:
        return str(file.read())


async def send(program: "Any") -> None:
    """As `tell`, then do nothing."""
    await tell(program)
    await asyncio.Event().wait()


async def tell(program: "Any") -> None:
    """Send it, and remove it when that is confirmed."""
    start = program.start
    path = start.ROOT + FILE
    if start.exists(path):
        text = read(path)
    else:
        text = "start %d: the watchdog has restarted the board; what it hung in could not be written" % start.boots
        path = ""
    await (await program.publish("crash", text)).completed()
    if path:
        os.remove(path)
