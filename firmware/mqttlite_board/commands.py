"""Commands, one JSON object each: {"do": name, "id": whatever comes back with the answer, …}. Both runtimes.

    {"do": "ping"}                                 answer, nothing else
    {"do": "every", "ms": 500, "sensor": "soil"}   measure this often until the next start; without "sensor": all
    {"do": "led", "on": true}                      switch the LED; null: it shows the board's state again
    {"do": "settings"}                             the settings, without secrets
    {"do": "rotate", …}                            other credentials, sealed (rotation.py)
    {"do": "restart"}                              start again, once everything is confirmed; ends safe mode

and those of the application. The answer has the "id", the board's state, and "error" if it could not be obeyed. A
command that only some boards know is a module of its own, loaded when it comes: it has `async obey(program, command)`,
which returns what is to be answered.
"""

import json

from . import state
from .api import EVERY_MAX_MS, EVERY_MIN_MS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .program import Program

MODULES = {"rotate": "rotation", "settings": "show_settings"}  # by command


async def obey(program: "Program", payload: bytes) -> "dict[str, object]":
    """Carry out a command; its answer, whatever is wrong with it."""
    answer: "dict[str, object]" = {}
    try:
        command = json.loads(payload)
        name = command.get("id")
        if isinstance(name, (int, str)):  # only what surely can be written again
            answer["id"] = name
        found = await _carry_out(program, command["do"], command)
        if found is not None:
            answer.update(found if isinstance(found, dict) else {"result": found})
        json.dumps(answer)
    except Exception as error:  # nothing that comes from outside may end the program
        answer = {"id": answer["id"]} if "id" in answer else {}
        answer["error"] = "cannot be obeyed: " + repr(error)
    answer.update(state.state(program))
    return answer


async def _carry_out(program: "Program", what: str, command: "dict[str, Any]") -> "Any":
    function = program.app.commands.get(what)
    if function:
        found = function(command)
        return await found if hasattr(found, "send") else found
    if what in MODULES:
        module = __import__("mqttlite_board." + MODULES[what], None, None, ("obey",))
        return await module.obey(program, command)
    if what == "every":
        return _every(program, command)
    if what == "led":
        return _led(program, command)
    if what == "restart":
        program.stop("restart")
    elif what != "ping":
        raise ValueError("unknown command")
    return None


def _every(program: "Program", command: "dict[str, Any]") -> "dict[str, object]":
    ms = min(max(int(command["ms"]), EVERY_MIN_MS), EVERY_MAX_MS)
    sensors = [sensor for sensor in program.app.sensors if command.get("sensor", sensor.name) == sensor.name]
    if not sensors:
        raise ValueError("there is no such sensor")
    for sensor in sensors:
        sensor.every_ms = ms
        if sensor.changed:
            sensor.changed.set()
    return {"every": ms}


def _led(program: "Program", command: "dict[str, Any]") -> "dict[str, object]":
    if program.settings["led"] is None:
        raise ValueError("no LED")
    from . import led

    on = command["on"]
    led.wanted = None if on is None else bool(on)
    return {"led": led.wanted}
