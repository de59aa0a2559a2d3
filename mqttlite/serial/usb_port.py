"""The board's own USB socket as the line to the gateway: the UART of MicroPython's prompt, or native USB.

MicroPython; loaded for "serial:usb" alone. What shares the socket with the link:

* What the program prints is sent on the link's log channel while a session is up, and printed as ever while none is.
  What is printed past that (tracebacks, C) stands between two frames, since each begins with a 0x00 of its own. (Not
  os.dupterm: it doubles what is printed, and does not keep it from the socket.)
* 0x03 is a byte of frames, so MicroPython's Ctrl-C is off. Ctrl-C on the console channel ends the program. So does,
  while no session is up, what a tool sends that wants the prompt: 0x03 three times, or 0x03 and 0x01, with nothing but
  control characters between, and then silence. Noise does not do that, and where a gateway is, there is a session.
  Without one, a packet of Improv ends the program, too: the starter answers it.
* sys.stdin of a board blocks until it has all that was asked for, so one byte is read at a time.
* A write to native USB whose host does not read waits half a second, then loses the rest. So nothing is written while
  it says that it is full; the link repeats what was lost.
"""

import asyncio
import builtins
import io
import select
import sys

import micropython

from ..core import const
from .clock import now_ms

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from typing import Any

    from .dialer import SerialDialer

_READ = const(128)  # bytes at once: what the link is given, and others wait for
_LINE = const(120)  # bytes of what is printed at once that are kept or dropped together: a frame has room for them
_ENOUGH = const(5)  # see `read`
_QUIET_MS = const(300)
_UNDER_WAY = const(4096)  # bytes of frames at most that come before the gateway has heard the goodbye,
_DRAIN_MS = const(60)  # with no gap as long as this


class UsbPort:
    """The socket while `dialer` uses it; see line.Port. `close` gives it back to the prompt."""

    def __init__(self, dialer: "SerialDialer") -> None:
        self._link = dialer.link
        self._log = dialer.log
        self._in: Any = sys.stdin.buffer
        self._out: Any = sys.stdout.buffer
        self._wait = asyncio.StreamReader(self._in)  # type: ignore[arg-type]
        self._readable: Any = select.poll()
        self._readable.register(sys.stdin, select.POLLIN)
        self._writable: Any = select.poll()
        self._writable.register(sys.stdout, select.POLLOUT)
        self._one = bytearray(1)
        self._data = bytearray(_READ)
        self._hits = self._last = self._at = 0
        self._asked = False
        self._print: Any = builtins.print
        builtins.print = self.print
        dialer.stream.on_side = self._side
        micropython.kbd_intr(-1)

    async def read(self) -> "Any":
        """What has arrived, at least one byte."""
        one = self._one
        one[:] = await self._wait.read(1)
        data = self._data
        hits = self._hits
        size = 0
        while True:
            byte = one[0]
            data[size] = byte
            size += 1
            # 0x03 counts 2, and 0x01 behind it 3
            if byte > 13 or not byte:
                hits = 0
            elif byte == 3:
                hits += 2
            elif byte == 1 and hits:
                hits += 3
            if size == _READ or not any(self._readable.ipoll(0)):
                break
            self._in.readinto(one)
        self._hits = hits
        self._last = byte
        self._at = now_ms()
        found = data[:size]
        if not self._link.up and b"IMPROV\1" in found:
            self._asked = True
            raise KeyboardInterrupt(2)  # as start/window.py knows it: somebody wants to set the board up
        return found

    async def write(self, data: "bytes | bytearray") -> None:
        """Hand over a frame, or lose it. Raises KeyboardInterrupt when somebody wants the prompt."""
        if self._hits >= _ENOUGH and not self._link.up and now_ms() - self._at > _QUIET_MS:
            self._leave(1)
        self._send(data)

    def print(self, *values: "Any", **options: "Any") -> None:
        """In the place of builtins.print."""
        if not self._link.up or "file" in options:
            if any(self._writable.ipoll(0)) or "file" in options:
                self._print(*values, **options)
            return
        text = io.StringIO()
        self._print(*values, file=text, **options)
        data = text.getvalue().encode()
        for at in range(0, len(data), _LINE):
            self._log(data[at : at + _LINE])

    def close(self) -> None:
        """The socket is the prompt's; any number of times."""
        builtins.print = self._print
        if not self._asked:  # the next packet, with the byte that is Ctrl-C, may be on its way
            micropython.kbd_intr(3)

    def _send(self, data: "bytes | bytearray") -> None:
        for _ in self._writable.ipoll(0):
            if data and data[0]:
                self._out.write(b"\0")
            self._out.write(data)

    def _side(self, channel: int, data: "bytes | memoryview") -> None:
        """What comes from the gateway beside the connection is the console: of what is typed, Ctrl-C counts."""
        if b"\3" in bytes(data):
            self._leave(0)

    def _leave(self, raw: int) -> None:
        """End the program as Ctrl-C does, with an argument where the raw prompt is waited for."""
        self._send(self._link.bye(now_ms()))
        left = _UNDER_WAY
        while not raw and left and any(self._readable.ipoll(_DRAIN_MS)):  # frames: they are not for the prompt
            self._in.readinto(self._one)
            left -= 1
        self.close()
        raise KeyboardInterrupt(1) if raw and self._last == 1 else KeyboardInterrupt
