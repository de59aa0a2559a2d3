"""An I²C bus: what its sensors share. Errors name the pins and the address, and what else answers.

from machine import I2C, Pin
bus = I2C(0, scl=Pin(22), sda=Pin(21))
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def ask(what: str, bus: "Any", address: int, write: bytes, size: int = 0) -> bytes:
    """Write to a device, then read `size` bytes. ValueError: it does not answer."""
    try:
        bus.writeto(address, write)
        return bytes(bus.readfrom(address, size)) if size else b""
    except OSError:
        raise silent(what, bus, address) from None


def registers(what: str, bus: "Any", address: int, first: int, size: int) -> bytes:
    """What is in `size` registers of a device. ValueError: it does not answer."""
    try:
        return bytes(bus.readfrom_mem(address, first, size))
    except OSError:
        raise silent(what, bus, address) from None


def silent(what: str, bus: "Any", address: int) -> ValueError:
    """The error for a device that does not answer."""
    try:
        others = ", ".join(["0x%02x" % other for other in bus.scan()])
    except OSError:
        others = ""
    return ValueError(
        "%s at 0x%02x on %s does not answer; %s. Check power, SDA, SCL and their pull-ups"
        % (what, address, bus, "others do: " + others if others else "nothing else does")
    )
