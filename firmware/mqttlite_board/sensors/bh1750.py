"""A BH1750: light in lux over I²C.

from machine import I2C, Pin
from mqttlite_board.sensors.bh1750 import Bh1750
light = Bh1750(I2C(0, scl=Pin(22), sda=Pin(21)))
app.measure("light", light.read, every_s=60, change=20, digits=0)
"""

import asyncio

from .i2c import ask, listen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

POWER_ON = b"\x01"
MEASURE = b"\x20"  # once, 1 lx; it powers down by itself after that
DURATION_S = 0.18


class Bh1750:
    """`bus`: a machine.I2C; `address`: 0x5c with ADDR at 3.3 V."""

    def __init__(self, bus: "Any", address: int = 0x23) -> None:
        self._bus = bus
        self._address = address

    async def read(self) -> float:
        """In lux. ValueError: it does not answer."""
        ask("BH1750", self._bus, self._address, POWER_ON)
        ask("BH1750", self._bus, self._address, MEASURE)
        await asyncio.sleep(DURATION_S)
        data = listen("BH1750", self._bus, self._address, 2)
        return (data[0] << 8 | data[1]) / 1.2
