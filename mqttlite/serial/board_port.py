"""Serial ports on MicroPython: a UART, or a terminal device on the Unix port."""

import asyncio

from ..core import const
from ..core.errors import SettingError

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from typing import Any

    from .line import Place

UART_READ = const(128)  # bytes asked for at once; what a read allocates
# The default receive buffer of 256 bytes holds 22 ms at 115,200 baud: less than a garbage collection may take.
RX_BUFFER = const(1024)
TX_BUFFER = const(512)
_VTIME = const(5)
_VMIN = const(6)


class BoardPort:
    """A UART or file, as the pump wants it."""

    def __init__(self, file: "Any") -> None:
        self._file = file
        self._stream = asyncio.StreamReader(file)

    async def read(self) -> bytes:
        """What has arrived, at least one byte; b"" when the port is gone."""
        while True:
            data: "bytes | None" = await self._stream.read(UART_READ)
            if data is not None:  # None: nothing there after all
                return data

    async def write(self, data: "bytes | bytearray") -> None:
        """Hand over `data`. Hardly ever waits: the line is paced above. What a driver does not take is repaired like
        what the line loses."""
        self._file.write(data)

    def sent(self) -> None:
        """Wait, and let nobody else run, until the last byte has left the UART."""
        self._file.flush()

    def close(self) -> None:
        """Give the port back."""
        if hasattr(self._file, "deinit"):
            self._file.deinit()
        else:
            self._file.close()


def open_port(place: "Place", baud: int) -> BoardPort:
    """serial://2?tx=17&rx=16: UART 2 on these pins; serial:///dev/ttyUSB0 on the Unix port."""
    return open_tty(place.path, baud) if place.path else open_uart(place, baud)


def open_uart(place: "Place", baud: int) -> BoardPort:
    """UART number `place.host`; the query may name the pins `tx` and `rx`. SettingError when this board has no such."""
    try:
        from machine import UART

        pins = {key: int(place.query[key]) for key in ("tx", "rx") if key in place.query}
        return BoardPort(UART(int(place.host), baud, timeout=0, rxbuf=RX_BUFFER, txbuf=TX_BUFFER, **pins))
    except ImportError:
        error: "object" = "only a board has UARTs; here it is serial:///dev/ttyUSB0"
    except (ValueError, TypeError) as failure:
        error = failure
    raise SettingError("serial://%s with %s: %s" % (place.host, place.query, error))


def open_tty(path: str, baud: int = 115200) -> BoardPort:
    """A terminal device, raw."""
    import termios

    file = open(path, "r+b")  # noqa: SIM115 (BoardPort closes it)
    descriptor = file.fileno()
    termios.setraw(descriptor)  # type: ignore[attr-defined]
    attributes = termios.tcgetattr(descriptor)
    # A read gives what is there, and does not wait for all that it asked for.
    attributes[6][_VTIME] = attributes[6][_VMIN] = 0
    speed = getattr(termios, "B" + str(baud), None)
    if speed is not None:
        attributes[4] = attributes[5] = speed
    termios.tcsetattr(descriptor, termios.TCSANOW, attributes)
    return BoardPort(file)
