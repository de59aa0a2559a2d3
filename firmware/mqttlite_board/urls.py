"""Two ways to the broker: the first that works. When it is lost, the other one; from the second back to the first.

Both lead to the same broker, whose session goes on: the store goes from one client to the next, and what it holds with
it. Without a store what is not confirmed is lost at a change, and counted. Both runtimes.
"""

import asyncio

from . import clock, seldom

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

TRY_S = 30  # without a connection, before the other way is tried
BACK_S = 600  # on the second way, before the first is tried again; twice as long after each time in vain, up to
BACK_MAX_S = 14400


async def keep(program: "Any", urls: "list[str]") -> None:
    """For ever; the program has begun with the first."""
    at = 0
    back_s = BACK_S
    since = clock.up_ms()  # it is as it is: connected, or not
    was_connected = False
    while True:
        await asyncio.sleep(1)
        now = clock.up_ms()
        if program.is_connected != was_connected:
            was_connected = program.is_connected
            since = now
            if was_connected and not at:
                back_s = BACK_S
        lasts_s = (now - since) // 1000
        if not was_connected and lasts_s >= TRY_S:
            if at == 0:
                print("no way over", urls[0])
        elif was_connected and at and lasts_s >= back_s and not program.unconfirmed():
            back_s = min(2 * back_s, BACK_MAX_S)
        else:
            continue
        if not program.ready.is_set():  # another client is about to begin (discovery.py)
            continue
        at = 1 - at
        await seldom.switch(program, urls[at])
        was_connected = False
        since = clock.up_ms()
