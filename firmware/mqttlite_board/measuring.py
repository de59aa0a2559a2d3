"""Measures what the application says, and hands it to the client, which keeps it until it is confirmed. Both runtimes.

A message is {"v": value, "t": milliseconds since 1970}; several readings share one as {"v": [...], "t": of the first,
"dt": [milliseconds since the first]}. While the clock is not set "t" is missing, and there are "boot", the number of
the start, and "up", milliseconds since it: the message on `clock` tells when that was. "n" is the number of the (first)
reading where they are counted.

What is in a message is in the client's store. The fuller its queue, the more readings share a message: from half on
`batch_max` of them, so that a long time without a broker fits. What happens then is the application's `keep`.
"""

import asyncio
import json

from . import clock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .api import Sensor

    Program = Any  # program.Program, which imports this

READ_MAX_S = 30  # what an async `read` may take
RETRY_MS = 60000  # a sensor that has failed is read again at the latest then
ALIVE_MS = 120000  # a sensor that is later than this is stuck (watchdog.py)


async def keep_measuring(program: "Program", sensor: "Sensor") -> None:
    """Measure for ever."""
    due = clock.up_ms()
    while True:
        await measure(program, sensor)
        sensor.turned = -1  # it may wait for room as long as it takes
        await hand_over(program, sensor)
        sensor.turned = clock.up_ms()
        every = min(sensor.every_ms, RETRY_MS) if sensor.failed else sensor.every_ms
        due += every
        now = clock.up_ms()
        if due < now:  # it took long, or there was no room: what was missed is not made up for
            program.count("unmeasured", (now - due) // every)
            due = now
        await program.pause(sensor, due - now)


async def measure(program: "Program", sensor: "Sensor") -> None:
    """Read a sensor once. One that fails is said when it begins to, and counted; nothing else stops for it."""
    at = clock.up_ms()
    try:
        value = sensor.read()
        if hasattr(value, "send"):  # a coroutine, on both runtimes
            value = await asyncio.wait_for(value, READ_MAX_S)
        if value is not None:
            sensor.take(value, at)
    except Exception as error:
        sensor.failed += 1
        program.count("failed", 1)
        words = "no answer in %d s" % READ_MAX_S if isinstance(error, asyncio.TimeoutError) else describe(error)
        if words != sensor.error:
            sensor.error = words
            print("%s: %s" % (sensor.name, words))
            program.has_changed()
        return
    if sensor.failed:
        print("%s: works again after %d failures" % (sensor.name, sensor.failed))
        sensor.failed = 0
        sensor.error = ""
        program.has_changed()


def describe(error: Exception) -> str:
    """An error in one line: its own words, or its name."""
    return (str(error) if isinstance(error, ValueError) else "") or repr(error)


async def hand_over(program: "Program", sensor: "Sensor", everything: bool = False) -> None:
    """Give the readings of a sensor to the client when a message is full, or `everything` that there is."""
    readings = sensor.readings
    app = program.app
    while readings:
        is_crowded = sensor.qos and 2 * program.unconfirmed() >= app.queue
        size = max(sensor.batch, app.batch_max) if is_crowded else sensor.batch
        if len(readings) < size and not everything:
            return
        if is_crowded and app.keep != "all" and program.unconfirmed() >= app.queue:
            from . import seldom

            await seldom.make_room(program)
        taken = readings[:size]
        key = None
        last = sensor.number
        if last >= 0:
            last += len(taken)
            if sensor.qos:  # the store has the number together with the message
                last = max(last, program.last_number(sensor.name) + len(taken))
                key = (sensor.name, last)
        if clock.begun() is None:
            program.owes_clock = True  # also if the clock is set while this message waits for room
        text = json.dumps(message(taken, last, program.boots), separators=(",", ":"))
        await program.publish(sensor.name, text, sensor.qos, key)
        sensor.number = last
        del readings[: len(taken)]


def message(readings: "list[tuple[int, Any]]", last: int, boots: int) -> "dict[str, Any]":
    """What is published of (when, value), … `last`: the number of the last one, or -1."""
    first = readings[0][0]
    epoch = clock.epoch_ms(first)
    found: "dict[str, Any]" = {"boot": boots, "up": first} if epoch is None else {"t": epoch}
    if last >= 0:
        found["n"] = last + 1 - len(readings)
    if len(readings) == 1:
        found["v"] = readings[0][1]
    else:
        found["dt"] = [at - first for at, _ in readings]
        found["v"] = [value for _, value in readings]
    return found


def readings_in(payload: bytes) -> int:
    """How many readings are in a message; 0: it is none of ours."""
    try:
        found = json.loads(payload)
        return len(found["dt"]) if "dt" in found else int("v" in found)
    except (ValueError, TypeError):
        return 0
