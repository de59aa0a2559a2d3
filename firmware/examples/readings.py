"""An application: readings at all three QoS, and a command topic. Copy it, and put your sensors where `read` is called.

TOPIC/fast     QoS 0  every reading; one that is lost does not matter, the next is coming
TOPIC/event    QoS 1  must arrive; arriving twice does no harm
TOPIC/count    QoS 2  must be counted once
TOPIC/state    QoS 0  how the board is, now and then
TOPIC/command  QoS 2  {"do": "ping"}, {"do": "led", "on": true}, {"do": "every", "ms": 500}, {"do": "stop"}; may have an "id"
TOPIC/answer   QoS 2  the answer to each command, with its "id"

Each reading is {"n": 1, 2, 3, …, "value": …}, so that whoever receives it can tell what was lost. Runs on MicroPython and
CPython alike.
"""

import asyncio
import gc
import json
import sys

NAMES = ("fast", "event", "count")  # topic level by QoS
STATE_EVERY = 5  # readings from one state message to the next


def read() -> float:
    """A reading: the temperature of the chip where it has a sensor (°C), else the free memory (bytes)."""
    try:
        import esp32

        return esp32.mcu_temperature()
    except (ImportError, AttributeError):
        return gc.mem_free() if hasattr(gc, "mem_free") else 0


class Board:
    """What the application knows while it runs."""

    def __init__(self, client, settings) -> None:
        self.client = client
        self.topic = settings.TOPIC
        self.every_ms = settings.READ_EVERY_MS
        self.led = None
        self.sent = [0, 0, 0]  # messages accepted, by QoS
        self.stopped = False
        self.readings = None  # the task
        if settings.LED_PIN is not None:
            try:
                from machine import Pin

                self.led = Pin(settings.LED_PIN, Pin.OUT)
            except (ImportError, AttributeError):
                pass  # not a microcontroller

    async def publish_readings(self) -> None:
        """One message at each QoS, again and again, until `stop`."""
        while not self.stopped:
            value = read()
            for qos, name in enumerate(NAMES):
                payload = json.dumps({"n": self.sent[qos] + 1, "value": value})
                await self.client.publish(self.topic + "/" + name, payload, qos=qos)
                self.sent[qos] += 1
            if self.sent[0] % STATE_EVERY == 0:
                await self.client.publish(self.topic + "/state", json.dumps(self.state()), qos=0)
            await asyncio.sleep(self.every_ms / 1000)

    def state(self) -> dict:
        """How the board is."""
        state = {"sent": self.sent, "runtime": sys.implementation.name}
        if hasattr(gc, "mem_free"):
            state["free"] = gc.mem_free()
        link = self.client.link_stats()
        if link:
            state["repaired"] = link.repaired
            state["damaged"] = link.damaged
            state["rtt_ms"] = link.srtt_ms
        return state

    async def obey(self, message) -> None:
        """Carry out one command and answer it. What is no command is answered with what is wrong with it."""
        answer = {}
        try:
            command = json.loads(message.payload)
            answer["id"] = command.get("id")
            what = command["do"]
            if what == "led":
                if self.led:
                    self.led.value(1 if command["on"] else 0)
                answer["led"] = bool(command["on"])
            elif what == "every":
                self.every_ms = max(int(command["ms"]), 10)
            elif what == "stop":
                self.stopped = True
                await self.readings  # so that the answer has the final counts
            elif what != "ping":
                answer["error"] = "unknown command"
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            answer["error"] = "not a command: " + repr(error)
        answer.update(self.state())
        await self.client.publish(self.topic + "/answer", json.dumps(answer), qos=2)


async def run(client, settings) -> None:
    """Publish readings and obey commands until told to stop."""
    board = Board(client, settings)
    await client.subscribe(board.topic + "/command", qos=2)
    board.readings = asyncio.create_task(board.publish_readings())
    async for message in client:
        if message.topic == board.topic + "/command":
            await board.obey(message)
        if board.stopped:
            break
