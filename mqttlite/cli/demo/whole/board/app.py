"""The application of the boards of `mqttlite demo --whole`: counts, at QoS 2, each with a key that travels with it.

TOPIC/count    QoS 2  {"n": 1}, {"n": 2}, …; the key is (name of the board, 0, n), in front of the payload
TOPIC/command  QoS 2  {"do": "pause"}, {"do": "go"}; both are answered with how many have been accepted

The number of the last one is in the board's store, in the record of the message itself. So a board that is killed at
any moment goes on with the next number, and what it says at last is what it has accepted, neither more nor less.

Runs on MicroPython and CPython alike.
"""

import asyncio
import json

from mqttlite.core.keys import wrap
from mqttlite_board.api import Application

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def application(options: "dict[str, Any]") -> Application:
    """`options`: every_ms."""
    app = Application()
    every_s = int(options.get("every_ms", 200)) / 1000
    paused = asyncio.Event()
    busy = asyncio.Event()
    programs: list[Any] = []

    async def count(program: "Any") -> None:
        programs.append(program)
        name = program.settings["name"]
        while True:
            await asyncio.sleep(every_s)
            if paused.is_set():
                continue
            busy.set()
            n = program.last_number(name) + 1
            payload = wrap((name.encode(), 0, n), json.dumps({"n": n}).encode())
            await program.publish("count", payload, 2, (name, n))  # which waits while there is no room
            busy.clear()

    def told() -> "dict[str, Any]":
        program = programs[0]
        name = program.settings["name"]
        return {"accepted": program.last_number(name), "unconfirmed": program.unconfirmed()}

    async def pause(command: "dict[str, Any]") -> "dict[str, Any]":
        paused.set()
        while busy.is_set():  # noqa: ASYNC110 (one may be on its way into the store)
            await asyncio.sleep(0.01)
        return told()

    def go(command: "dict[str, Any]") -> "dict[str, Any]":
        paused.clear()
        return told()

    app.command("pause", pause)
    app.command("go", go)
    app.jobs.append(count)
    return app
