"""Feeds the watchdog as long as the program makes progress, and ends the program, which restarts the board, when it
does not although the event loop turns. Both runtimes.

Progress is that all of this holds:

- the event loop turns: else nobody gets here, and the watchdog restarts the board;
- each sensor was read and its readings handed over in time, or waits for room, which is the application's choice;
- while there is a connection, messages are confirmed: the oldest for STALLED_MS at most. Being without a connection is
  no lack of progress: the client tries for ever, and the radio restarts itself (wifi.py).
"""

import asyncio

from . import clock, measuring

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .program import Program

STALLED_MS = 600000
LOOK_S = 60  # at least so often


class StalledError(Exception):
    """The event loop turns, and nothing comes of it."""


async def keep_fed(program: "Program") -> None:
    """For ever. Raises StalledError."""
    watchdog_s = program.settings["watchdog_s"]
    while True:
        program.start.feed()
        await asyncio.sleep(min(watchdog_s / 4, LOOK_S) if watchdog_s else LOOK_S)
        found = stalled(program)
        if found:
            raise StalledError(found)


def stalled(program: "Program") -> str:
    """What does not go on, in words; "": all is well."""
    now = clock.up_ms()
    for sensor in program.app.sensors:
        if sensor.turned > 0 and now - sensor.turned > sensor.every_ms + measuring.ALIVE_MS:
            return "%s was not measured for %d s" % (sensor.name, (now - sensor.turned) // 1000)
    waits_for = program.waits_for
    if program.is_connected and waits_for and not waits_for.done and now - program.waits_since > STALLED_MS:
        return "there is a connection, and no message was confirmed for %d s" % (STALLED_MS // 1000)
    return ""
