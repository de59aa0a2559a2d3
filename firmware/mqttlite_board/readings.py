"""An application: readings at all three QoS, and a command topic. Copy it, and put your sensors where `read` is called.

TOPIC/fast     QoS 0  every reading; one that is lost does not matter, the next is coming
TOPIC/event    QoS 1  must arrive; arriving twice does no harm
TOPIC/count    QoS 2  must be counted once
TOPIC/state    QoS 0  how the board is, now and then
TOPIC/command  QoS 2  in:   {"do": "ping"}                   answer, nothing else
                            {"do": "led", "on": true}        switch the LED
                            {"do": "every", "ms": 500}       a reading this often, 10 ms to a day
                            {"do": "stop"}                   end the program
                      each may have an "id", a whole number or a string
TOPIC/answer   QoS 2  the answer to each command: its "id", the state, and "error" if it could not be obeyed

Each reading is {"n": 1, 2, 3, …, "value": …}, so that whoever receives it can tell what was lost. At QoS 1 and 2 the
number is the message's key as well, so the store remembers the last one together with the message: after a power cut
the board goes on with the next. Without a store, and at QoS 0, it counts from the start of the program. Runs on
MicroPython and CPython alike.
"""

import asyncio
import gc
import json
import sys

from mqttlite import SettingError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mqttlite import Client

NAMES = ("fast", "event", "count")  # topic level by QoS
STATE_EVERY = 5  # readings from one state message to the next
EVERY_MS = 10000  # where the settings do not say `app.every_ms`
EVERY_MIN_MS = 10
EVERY_MAX_MS = 86400000


def read() -> float:
    """A reading: the temperature of an ESP32's chip in °C, elsewhere the free memory in bytes."""
    try:
        import esp32
    except ImportError:
        return gc.mem_free() if hasattr(gc, "mem_free") else 0
    if hasattr(esp32, "mcu_temperature"):  # the newer chips
        celsius: float = esp32.mcu_temperature()
        return celsius
    return (esp32.raw_temperature() - 32) / 1.8


class Board:
    """What the application knows while it runs."""

    def __init__(self, client: "Client", settings: "dict[str, Any]") -> None:
        self.client = client
        self.topic: str = settings["topic"]
        self.every_ms: int = settings["app"].get("every_ms", EVERY_MS)
        self.led: "Any" = None
        # Messages accepted, by QoS; with a store, those of earlier lives, too.
        self.sent = [0] + [max(client.last_number(name), 0) for name in NAMES[1:]]
        self.stopped = False
        self.changed = asyncio.Event()  # `every_ms` or `stopped`
        self.finished = asyncio.Event()  # no more readings
        if settings["led"] is not None:
            try:
                from machine import Pin
            except ImportError:
                return  # not a microcontroller
            try:
                self.led = Pin(settings["led"], Pin.OUT)
            except (ValueError, TypeError) as error:
                raise SettingError("led = %r: %s" % (settings["led"], error)) from None

    async def publish_readings(self) -> None:
        """One message at each QoS, again and again, until `stop`."""
        while not self.stopped:
            value = read()
            for qos, name in enumerate(NAMES):
                n = self.sent[qos] + 1
                payload = json.dumps({"n": n, "value": value})
                await self.client.enqueue(self.topic + "/" + name, payload, qos, key=(name, n) if qos else None)
                self.sent[qos] = n
            await self.client.stored()  # one write to the flash for all of them
            if self.sent[0] % STATE_EVERY == 0:
                await self.client.publish(self.topic + "/state", json.dumps(self.state()), qos=0)
            await self.pause()
        self.finished.set()

    async def pause(self) -> None:
        """Wait until the next reading is due, or a command has changed something."""
        self.changed.clear()
        if not self.stopped:
            try:
                await asyncio.wait_for(self.changed.wait(), self.every_ms / 1000)
            except asyncio.TimeoutError:
                pass

    def state(self) -> "dict[str, object]":
        """How the board is."""
        state: "dict[str, object]" = {"sent": self.sent, "runtime": sys.implementation.name}
        state["dropped"] = self.client.qos0_dropped
        if hasattr(gc, "mem_free"):
            state["free"] = gc.mem_free()
        link = self.client.link_stats()
        if link:
            state["repaired"] = link.repaired
            state["damaged"] = link.damaged
            state["rtt_ms"] = link.srtt_ms
        return state

    async def obey_commands(self) -> None:
        """Carry out and answer one command after the other, until `stop`."""
        async for message in self.client:
            answer: "dict[str, object]" = {}
            try:
                self.obey(json.loads(message.payload), answer)
            except Exception as error:  # nothing that comes from outside may end the program
                answer["error"] = "cannot be obeyed: " + repr(error)
            if self.stopped:
                await self.finished.wait()  # so that the answer has the final counts
            answer.update(self.state())
            await self.client.publish(self.topic + "/answer", json.dumps(answer), qos=2)
            if self.stopped:
                return

    def obey(self, command: "dict[str, Any]", answer: "dict[str, object]") -> None:
        """Carry out one command. Raises whatever is wrong with it."""
        name = command.get("id")
        if isinstance(name, (int, str)):  # only what surely can be written again
            answer["id"] = name
        what = command["do"]
        if what == "led":
            on = bool(command["on"])
            if self.led is None:
                raise ValueError("no LED")
            self.led.value(on)
            answer["led"] = on
        elif what == "every":
            self.every_ms = min(max(int(command["ms"]), EVERY_MIN_MS), EVERY_MAX_MS)
            answer["every"] = self.every_ms
            self.changed.set()
        elif what == "stop":
            self.stopped = True
            self.changed.set()
        elif what != "ping":
            raise ValueError("unknown command")


def check(settings: "dict[str, Any]") -> None:
    """Raise SettingError for a setting below `app` that cannot be right."""
    every_ms = settings["app"].get("every_ms", EVERY_MS)
    if not isinstance(every_ms, int):
        raise SettingError("app.every_ms = %r: must be a whole number" % (every_ms,))
    if not EVERY_MIN_MS <= every_ms <= EVERY_MAX_MS:
        raise SettingError("app.every_ms = %d: must be %d to %d" % (every_ms, EVERY_MIN_MS, EVERY_MAX_MS))


async def run(client: "Client", settings: "dict[str, Any]") -> None:
    """Publish readings and obey commands until told to stop. `settings`: the record."""
    board = Board(client, settings)
    await client.subscribe(board.topic + "/command", qos=2)
    tasks = [asyncio.create_task(board.publish_readings()), asyncio.create_task(board.obey_commands())]
    try:
        await asyncio.gather(*tasks)  # raises what either raises
    finally:
        for task in tasks:
            task.cancel()
