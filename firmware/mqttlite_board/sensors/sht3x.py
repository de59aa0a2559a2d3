"""An SHT30, SHT31 or SHT35: temperature and humidity over I²C.

from machine import I2C, Pin
from mqttlite_board.sensors.sht3x import Sht3x
air = Sht3x(I2C(0, scl=Pin(22), sda=Pin(21)))
app.measure("air", air.read, every_s=60, change=0.2)    # {"celsius": 21.4, "humidity": 48.2}
"""

import asyncio

from .i2c import ask, listen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MEASURE = b"\x24\x00"  # once, high repeatability, without clock stretching
DURATION_S = 0.016


class Sht3x:
    """`bus`: a machine.I2C; `address`: 0x45 with ADDR at 3.3 V."""

    def __init__(self, bus: "Any", address: int = 0x44) -> None:
        self._bus = bus
        self._address = address

    async def read(self) -> "dict[str, float]":
        """In °C and % of relative humidity. ValueError: it does not answer, or what it says is damaged."""
        ask("SHT3x", self._bus, self._address, MEASURE)
        await asyncio.sleep(DURATION_S)
        data = listen("SHT3x", self._bus, self._address, 6)
        if crc8(data[:2]) != data[2] or crc8(data[3:5]) != data[5]:
            raise ValueError("SHT3x at 0x%02x on %s: what it says is damaged (CRC)" % (self._address, self._bus))
        celsius = -45 + 175 * (data[0] << 8 | data[1]) / 65535
        return {"celsius": celsius, "humidity": 100 * (data[3] << 8 | data[4]) / 65535}


def crc8(data: bytes) -> int:
    """As the datasheet has it: polynomial 0x31, begun with 0xFF."""
    crc = 0xFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc << 1 ^ 0x131 if crc & 0x80 else crc << 1
    return crc
