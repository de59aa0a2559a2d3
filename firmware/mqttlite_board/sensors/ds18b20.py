"""A DS18B20: temperature on one wire, -55 to 125 °C, many on one pin. Between pin and 3.3 V there must be 4.7 kΩ.

    from mqttlite_board.sensors.ds18b20 import Ds18b20
    water = Ds18b20(4)                                      # the only one on pin 4
    tank = Ds18b20(4, "28ff641e8616043c")                   # one of several, by its address
    app.measure("water", water.read, every_s=60, change=0.25)

`Ds18b20(4).addresses()` lists those that answer.
"""

import asyncio
from binascii import hexlify, unhexlify

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

CONVERSION_S = 0.75  # at 12 bits, as the datasheet has it
FAMILY = 0x28
POWER_ON = 85.0  # what it holds after its power has come, before it has measured


class Ds18b20:
    """`pin`: of the wire; `address`: 16 hexadecimal digits, "" where it is the only one."""

    def __init__(self, pin: int, address: str = "") -> None:
        self._pin = pin
        self._wire: "Any" = None
        self._address = unhexlify(address) if address else b""

    def _open(self) -> "Any":
        if self._wire is None:
            from machine import Pin
            from onewire import OneWire

            self._wire = OneWire(Pin(self._pin))
        return self._wire

    def addresses(self) -> "list[str]":
        """Of all sensors of this kind that answer on the pin."""
        return [hexlify(rom).decode() for rom in self._open().scan() if rom[0] == FAMILY]

    async def read(self) -> float:
        """In °C. ValueError: it does not answer, or what it says is damaged."""
        wire = self._open()
        address = self._address
        if not address:
            found = [rom for rom in wire.scan() if rom[0] == FAMILY]
            if len(found) != 1:
                raise self._error("%d sensors answer" % len(found) if found else "no sensor answers")
            address = found[0]
        self._select(address)
        wire.writebyte(0x44)  # convert
        await asyncio.sleep(CONVERSION_S)
        self._select(address)
        wire.writebyte(0xBE)  # read the scratchpad
        data = bytearray(9)
        wire.readinto(data)
        if crc8(data[:8]) != data[8]:
            raise self._error("no sensor answers" if min(data) == 255 else "what it says is damaged (CRC)")
        raw = data[1] << 8 | data[0]
        celsius = (raw - 65536 if raw & 0x8000 else raw) / 16
        if celsius == POWER_ON and data[6] == 0x0C:  # the count that is left is 12 only after power-on
            raise self._error("it has lost its power while it measured: is it wired with three wires?")
        return celsius

    def _select(self, address: "bytes | bytearray") -> None:
        wire = self._open()
        if not wire.reset():
            raise self._error("no sensor answers")
        wire.select_rom(address)

    def _error(self, what: str) -> ValueError:
        return ValueError("DS18B20 on pin %s: %s; 4.7 kΩ between the pin and 3.3 V?" % (self._pin, what))


def crc8(data: "bytes | bytearray") -> int:
    """The CRC of the 1-Wire bus, polynomial x^8 + x^5 + x^4 + 1."""
    crc = 0
    for byte in data:
        for _ in range(8):
            crc = crc >> 1 ^ (0x8C if (crc ^ byte) & 1 else 0)
            byte >>= 1
    return crc
