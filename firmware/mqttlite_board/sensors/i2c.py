"""An I²C bus: what its sensors share. Errors name the pins and the address, and what else answers.

from machine import I2C, Pin
bus = I2C(0, scl=Pin(22), sda=Pin(21))
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def ask(what: str, bus: "Any", address: int, write: bytes, size: int = 0) -> bytes:
    """Write to a device, then read `size` bytes. ValueError: it does not answer."""
    tried(what, bus, address, bus.writeto, write)
    return listen(what, bus, address, size) if size else b""


def listen(what: str, bus: "Any", address: int, size: int) -> bytes:
    """Read `size` bytes, which a device has been asked for before. ValueError: it does not answer."""
    return bytes(tried(what, bus, address, bus.readfrom, size))


def registers(what: str, bus: "Any", address: int, first: int, size: int) -> bytes:
    """What is in `size` registers of a device. ValueError: it does not answer."""
    return bytes(tried(what, bus, address, bus.readfrom_mem, first, size))


def tried(what: str, bus: "Any", address: int, method: "Callable[..., Any]", *arguments: "Any") -> "Any":
    """What a method of the bus says, called for a device. ValueError: it does not answer."""
    try:
        return method(address, *arguments)
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
