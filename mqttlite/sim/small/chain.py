"""The line of a small world: a device in the producer's place, a serial line, a gateway. And what goes wrong with it.

    unplug gateway inside frame 7     (the adapter at that end; it is plugged in again)
    part line long before frame 7     (the wires: for long, or briefly)
    damage line frame 7               (a burst: some bytes of it arrive as others; "shorten": one is lost;
                                      "swallow": all are)

A frame is what one end has written at once; they are counted from the beginning of the world.
"""

from typing import TYPE_CHECKING

from ..lines import serial
from ..programs import Program, gateway

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..world import World
    from .faults import Fault

DEVICE_PORT = "/dev/ttyUSB0"
GATEWAY_PORT = "/dev/ttyACM0"
URL = f"serial://{DEVICE_PORT}"
UNPLUGGED_S = 1.5
PARTED_S = {"briefly": 0.01, "long": 6.0}  # within one frame; longer than keep alive and every time-out
BURST = 4  # bytes
AT_ONCE = ("damage", "shorten", "swallow")  # what is done to a frame itself


def lay(world: "World") -> serial.SerialLine:
    """The line between "device" and "gateway"."""
    line = serial.SerialLine(world, "device", DEVICE_PORT, "gateway", GATEWAY_PORT)
    line.split = 0.0
    return line


def program() -> Program:
    """The gateway's."""
    return gateway(GATEWAY_PORT)


def spoil(what: str, data: bytes) -> bytes:
    """What arrives of a frame."""
    middle = len(data) // 2
    if what == "damage":
        burst = bytes(byte ^ 0x5A for byte in data[middle : middle + BURST])
        return data[:middle] + burst + data[middle + BURST :]
    return data[:middle] + data[middle + 1 :] if what == "shorten" else b""


def strike(
    fault: "Fault", line: serial.SerialLine, frame: serial.Frame, note: "Callable[[str], None]"
) -> "serial.Fault | bytes":
    """Let a fault happen at a frame, for SerialLine.on_frame; `note` is told where, when it does."""
    where = f"{frame.kind} {frame.way.source.host} to {frame.way.sink.host}"
    if fault.what in AT_ONCE:
        note(where)
        return spoil(fault.what, frame.data)

    def then() -> None:
        note(f"{fault.where} {where}")
        if fault.what == "part":
            line.part()
            line.world.after(PARTED_S[fault.how], line.join)
        else:
            port = line.a if fault.who == line.a.host else line.b
            port.unplug()
            line.world.after(UNPLUGGED_S, port.plug)

    return serial.Fault(fault.where, then)
