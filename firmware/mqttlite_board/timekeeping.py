"""Sets the clock: from the gateway at the other end of the serial line, or by NTP. Both runtimes.

A gateway says what time it is whenever the link comes up, and now and then (link/stream.py): nobody has to ask, and it
needs no broker. Over Wi-Fi there is no gateway in between, so "gateway" means NTP there, too.
"""

import asyncio

from . import clock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LOOK_S = 1  # until the clock is set,
AGAIN_S = 3600  # and then; a board's crystal may be wrong by a second in that time
NTP_RETRY_S = 30


async def keep(program: "Any") -> None:
    """For ever."""
    while True:
        ms = program.client.gateway_time() if program.client else None
        wait_s = LOOK_S
        is_there = program.is_connected or (program.settings["ca"] and clock.begun() is None and has_network(program))
        if ms is None and is_there and not program.client.link_stats():
            ms = by_ntp()
            wait_s = NTP_RETRY_S
        if ms is not None:
            clock.set_epoch(ms)
            program.has_changed()
            wait_s = AGAIN_S
        await asyncio.sleep(wait_s)


def has_network(program: "Any") -> bool:
    """Whether a time server may answer: with TLS the broker is reached only when the clock is set."""
    return bool(program.client and program.network and program.network.is_set())


def by_ntp() -> "int | None":
    """Milliseconds since 1970, as a time server says; None: it does not answer. Takes a second at most."""
    try:
        import ntptime

        source: "Any" = ntptime
        return (int(source.time()) + clock.FROM_1970_S) * 1000
    except (ImportError, OSError, OverflowError) as error:
        print("no time by NTP:", repr(error))
        return None
