"""A BME280 (or BMP280, which measures no humidity): temperature, pressure and humidity over I²C.

from machine import I2C, Pin
from mqttlite_board.sensors.bme280 import Bme280
air = Bme280(I2C(0, scl=Pin(22), sda=Pin(21)))
app.measure("air", air.read, every_s=60, change=0.5)    # {"celsius": 21.4, "hpa": 1003.1, "humidity": 48.2}
"""

import asyncio
from struct import unpack

from .i2c import registers, tried

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

BME = 0x60
BMP = 0x58
BUSY = 0x08  # of the register of its status
SKIPPED = 0x80000  # what stands for a value that was not measured


class Bme280:
    """`bus`: a machine.I2C; `address`: 0x77 with SDO at 3.3 V."""

    def __init__(self, bus: "Any", address: int = 0x76) -> None:
        self._bus = bus
        self._address = address
        self._calibration: "tuple[int, ...]" = ()
        self._humid: "tuple[int, ...]" = ()

    def _read(self, first: int, size: int) -> bytes:
        return registers("BME280", self._bus, self._address, first, size)

    def _write(self, register: int, value: int) -> None:
        tried("BME280", self._bus, self._address, self._bus.writeto_mem, register, bytes((value,)))

    def _calibrate(self) -> None:
        kind = self._read(0xD0, 1)[0]
        if kind not in (BME, BMP):
            raise ValueError("what answers at 0x%02x is no BME280: it says 0x%02x" % (self._address, kind))
        self._humid = ()
        if kind == BME:
            h1 = self._read(0xA1, 1)[0]
            h2, h3, h4, h45, h5, h6 = unpack("<hBbBbb", self._read(0xE1, 7))
            self._humid = (h1, h2, h3, h4 << 4 | h45 & 15, h5 << 4 | h45 >> 4, h6)
        self._calibration = unpack("<HhhHhhhhhhhh", self._read(0x88, 24))

    async def read(self) -> "dict[str, float]":
        """In °C, hPa and % of relative humidity. ValueError: it does not answer, or is another device."""
        if not self._calibration:
            self._calibrate()
        self._write(0xF2, 1)  # humidity once; it counts with the next write,
        self._write(0xF4, 0x25)  # temperature and pressure once, now
        for _ in range(10):
            await asyncio.sleep(0.01)
            if not self._read(0xF3, 1)[0] & BUSY:
                break
        data = self._read(0xF7, 8)
        raw_pressure = data[0] << 12 | data[1] << 4 | data[2] >> 4
        raw_temperature = data[3] << 12 | data[4] << 4 | data[5] >> 4
        if raw_temperature == SKIPPED:
            self._calibration = ()  # it has lost its power, or was another one
            raise ValueError("BME280 at 0x%02x has measured nothing: did it lose its power?" % self._address)
        fine = temperature(self._calibration, raw_temperature)
        found = {"celsius": fine / 5120, "hpa": pressure(self._calibration, fine, raw_pressure) / 100}
        if self._humid:
            found["humidity"] = humidity(self._humid, fine, data[6] << 8 | data[7])
        return found


def temperature(calibration: "tuple[int, ...]", raw: int) -> float:
    """t_fine of the datasheet (4.2.3, in floating point): 5120 a degree."""
    t1, t2, t3 = calibration[:3]
    return (raw / 16384 - t1 / 1024) * t2 + (raw / 131072 - t1 / 8192) ** 2 * t3


def pressure(calibration: "tuple[int, ...]", fine: float, raw: int) -> float:
    """In Pa."""
    p1, p2, p3, p4, p5, p6, p7, p8, p9 = calibration[3:]
    half = fine / 2 - 64000
    offset = half * half * p6 / 32768 + half * p5 * 2
    offset = offset / 4 + p4 * 65536
    slope = (p3 * half * half / 524288 + p2 * half) / 524288
    slope = (1 + slope / 32768) * p1
    if not slope:
        raise ValueError("the calibration of the BME280 cannot be right")
    found = (1048576 - raw - offset / 4096) * 6250 / slope
    return found + (p9 * found * found / 2147483648 + found * p8 / 32768 + p7) / 16


def humidity(calibration: "tuple[int, ...]", fine: float, raw: int) -> float:
    """In %."""
    h1, h2, h3, h4, h5, h6 = calibration
    half = fine - 76800
    found = (raw - (h4 * 64 + h5 / 16384 * half)) * (
        h2 / 65536 * (1 + h6 / 67108864 * half * (1 + h3 / 67108864 * half))
    )
    found *= 1 - h1 * found / 524288
    return max(0.0, min(found, 100.0))
