"""What this board measures and does: the one file to edit. Try it on the computer (`pytest`), then copy it:

    mqttlite flash --app . --app-only

`application` is called once, at each start. `options` is the table [app] of board.toml.
"""

from mqttlite_board.api import Application

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def application(options: "dict[str, Any]") -> Application:
    """Sensors to choose from are in mqttlite_board/sensors: each has an example at its top."""
    from mqttlite_board.sensors.chip import temperature

    app = Application(keep="newest")  # when the broker is away for long, the oldest readings are given up
    app.measure(
        "temperature",
        temperature,  # any function that returns a number; it may be async
        every_s=options.get("every_s", 60),
        qos=2,  # 0: may be lost; 1: arrives; 2: arrives once
        change=0.5,  # published when it differs by half a degree,
        at_least_s=3600,  # and once an hour anyway
        digits=1,
    )
    app.command("blink", blink)
    return app


def blink(command: "dict[str, Any]") -> "dict[str, Any]":
    """{"do": "blink", "pin": 2} on boards/NAME/command: what is returned comes back on boards/NAME/answer."""
    from machine import Pin

    pin = Pin(command["pin"], Pin.OUT)
    pin.value(not pin.value())
    return {"pin": command["pin"], "on": pin.value()}
