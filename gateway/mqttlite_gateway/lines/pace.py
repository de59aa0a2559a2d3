"""A port is read no faster than its line can be: what babbles at the speed of USB, or of a pseudo-terminal, would take
the time that belongs to the other lines. What the driver's buffer does not hold is lost, as on any line that is too
fast for its reader.
"""

import asyncio
from typing import TYPE_CHECKING

from .saying import Saying

if TYPE_CHECKING:
    from mqttlite.serial.line import Port

PACE_MIN = 65536  # bytes a second that each port may have: a board's own USB has no baud rate
PACE_BURST = 16384  # bytes that may come at once
PACE_BITS = 5  # of the baud rate, for each byte a second: twice what it can carry


class Paced:
    """`port`, read at a pace that `baud` allows; see line.Port."""

    def __init__(self, port: "Port", baud: int, say: Saying) -> None:
        self._port = port
        self._say = say
        self._rate = max(baud // PACE_BITS, PACE_MIN)
        self._left = float(PACE_BURST)
        self._at = asyncio.get_running_loop().time()
        self._is_said = False
        self.write = port.write
        self.close = port.close

    async def read(self) -> bytes:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._left = min(self._left + (now - self._at) * self._rate, PACE_BURST)
        self._at = now
        if self._left < 0:
            if not self._is_said:
                self._is_said = True
                self._say.warning("more than %d bytes a second come: read no faster, for the other lines", self._rate)
            await asyncio.sleep(-self._left / self._rate)
        data = await self._port.read()
        self._left -= len(data)
        return data
