"""The application of the demo's boards: readings at all three QoS, counted, and a command that ends the program.

TOPIC/fast     QoS 0  one that is lost does not matter, the next is coming
TOPIC/event    QoS 1  must arrive; arriving twice does no harm
TOPIC/count    QoS 2  must be counted once
TOPIC/command  QoS 2  {"do": "stop"} ends the program; and those of every board (mqttlite_board/commands.py)

Runs on MicroPython and CPython alike.
"""

import asyncio
import gc

from mqttlite_board.api import Application

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

NAMES = ("fast", "event", "count")  # by QoS


def application(options: "dict[str, Any]") -> Application:
    """`options`: every_ms."""
    app = Application(batch_max=1)
    programs: "list[Any]" = []
    stopped: "list[bool]" = []

    def read() -> "int | None":
        if stopped:
            return None
        return gc.mem_free() if hasattr(gc, "mem_free") else 0

    async def job(program: "Any") -> None:
        programs.append(program)
        await asyncio.Event().wait()

    async def stop(command: "dict[str, Any]") -> None:
        stopped.append(True)
        while [sensor for sensor in app.sensors if sensor.readings]:  # noqa: ASYNC110 (nobody else says it)
            await asyncio.sleep(0.01)  # the answer has the final counts
        programs[0].stop("stopped")

    for qos, name in enumerate(NAMES):
        app.measure(name, read, int(options.get("every_ms", 1000)) / 1000, qos, counted=True)
    app.command("stop", stop)
    app.jobs.append(job)
    return app
