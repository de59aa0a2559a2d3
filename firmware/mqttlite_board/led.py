"""The LED shows how the board is, by blinks every few seconds. Both runtimes, where there is `machine`.

    one blink       connected
    two             no connection to the broker
    three           connected, but a sensor fails
    five            safe mode: the application is not started

The command `led` switches it by hand: `wanted` is True or False then.
"""

import asyncio

from mqttlite import SettingError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .program import Program

BLINK_S = 0.12
PAUSE_S = 3.0

wanted: "bool | None" = None


def blinks(program: "Program") -> int:
    """How often it blinks now."""
    if program.start.is_safe:
        return 5
    if not program.is_connected:
        return 2
    return 3 if [sensor for sensor in program.app.sensors if sensor.error] else 1


async def show(program: "Program") -> None:
    """For ever. SettingError where there is no such pin."""
    name = program.settings["led"]
    try:
        from machine import Pin

        led: "Any" = Pin(name, Pin.OUT)
    except ImportError:
        await asyncio.Event().wait()  # no microcontroller, for ever
    except (ValueError, TypeError) as error:
        raise SettingError("led = %r: %s" % (name, error)) from None
    while True:
        for _ in range(blinks(program) if wanted is None else 1):
            led.value(1 if wanted is None else wanted)
            await asyncio.sleep(BLINK_S)
            if wanted is None:
                led.value(0)
                await asyncio.sleep(2 * BLINK_S)
        left_s = PAUSE_S
        before = wanted
        while left_s > 0 and wanted is before:
            await asyncio.sleep(BLINK_S)
            left_s -= BLINK_S
