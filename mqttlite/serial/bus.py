"""A client as one of many devices on a half-duplex bus (two-wire RS-485); loaded where a URL has an address. Both
runtimes.

`serial://2?tx=17&rx=16&de=4&address=7`: the pin `de` leads to DE and /RE of the driver, high while this device speaks;
without it the driver, or the USB adapter, sees to that itself.
"""

import asyncio

from ..core import const
from ..core.errors import SettingError
from ..link.bus.addressed import FROM_DEVICE, AddressedLink, ends_turn
from ..link.bus.device import BusDevice
from .clock import now_ms

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .line import Port

_PATIENCE_MS = const(5000)  # or as long as the bus may need for everybody:
_ROUND_BITS = const(300000)  # bits, of 32 devices that all have much to say
_SOON_MS = const(1)  # before the end of what is sent, nobody else gets the processor


def make_link(address: int, epoch: int, baud: int, options: "dict[str, Any]") -> AddressedLink:
    """The link of the device at `address`. Raises ValueError."""
    keepalive_ms = max(_PATIENCE_MS, _ROUND_BITS * 1000 // baud)
    return AddressedLink(epoch, address, FROM_DEVICE, baud=baud, keepalive_ms=keepalive_ms, **options)


def join(
    link: AddressedLink, query: "dict[str, str]", turnaround_ms: int, open_port: "Callable[[int], Port]"
) -> "tuple[BusDevice, Callable[[int], Port]]":
    """The device's end of the bus, and how its port is opened."""
    end = BusDevice(link, max(turnaround_ms, 1))
    if "de" not in query:
        return end, open_port
    pin = _pin(query["de"])
    return end, lambda baud: DrivenPort(open_port(baud), pin, baud)


def why_silent(where: str, end: BusDevice) -> str:
    """Words for a bus on which no session begins."""
    address = str(end.link.address)
    if end.asked:
        return (
            "the gateway asks for address " + address + " on " + where + ", and does not hear the answer; is DE wired?"
        )
    return (
        "nobody asks for address " + address + " on " + where + "; does the gateway run, is that one of its addresses, "
        "is its baud rate the same, and does A go to A and B to B?"
    )


class DrivenPort:
    """A port behind a driver that is switched by `pin`: on from the first byte of a turn until its last one has left.

    `port` is board_port.BoardPort.
    """

    def __init__(self, port: "Any", pin: "Any", baud: int) -> None:
        self._port = port
        self._pin = pin
        self._baud = baud
        self._free_at = 0  # ms; when the wire will have carried what was written
        self.read = port.read

    async def write(self, frame: "bytes | bytearray") -> None:
        """Hand over a frame of a turn; waits for the end of the last one."""
        self._pin.value(1)
        self._free_at = max(self._free_at, now_ms()) + (len(frame) * 10000 + self._baud - 1) // self._baud
        await self._port.write(frame)
        if ends_turn(frame):
            try:
                await asyncio.sleep(max(self._free_at - now_ms() - _SOON_MS, 0) / 1000)
                self._port.sent()
            finally:
                self._pin.value(0)

    def close(self) -> None:
        """Let go of the wires, and give the port back."""
        self._pin.value(0)
        self._port.close()


def _pin(name: str) -> "Any":
    try:
        from machine import Pin

        return Pin(int(name) if name.isdigit() else name, Pin.OUT, value=0)
    except ImportError:
        error: "object" = "only a board has pins; an adapter switches its driver itself"
    except (ValueError, TypeError) as failure:
        error = failure
    raise SettingError("de=%s: %s" % (name, error))
