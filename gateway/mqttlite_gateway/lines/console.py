"""The console of the board on a line: what it prints, whoever looks on, and what they type. It goes on beside MQTT.

While the board's program runs, both go over the link (channels log and console). While there is no session, what comes
outside of frames is shown, and what is typed is written as it is: to the boot loader's window, or to MicroPython's
prompt. At the prompt the link says nothing: each of its frames would be typed there.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from mqttlite.link import Link
from mqttlite.link.frames import CONSOLE

from .separator import Separator

if TYPE_CHECKING:
    from mqttlite.serial.line import Port

NO_PORT = "no port"
SILENT = "silent"  # nobody speaks the link: boot loader, another program, nothing at all
PROMPT = "prompt"
PROGRAM = "program"

HISTORY = 4096  # bytes that who comes later is shown
QUIET_S = 0.1  # then what has come is all that comes
LINE_S = 1.0  # a line without an end waits so long for it
LINE_MAX = 250  # bytes
_AT_ONCE = 32  # bytes that are typed at once; a board's prompt takes 260 and drops the rest
_FRAME = 96  # the same over the link, which keeps room for MQTT
_WAIT_S = 0.05
_HOLD_S = 0.5  # behind what is typed past the link: a board takes Ctrl-C for one when nothing follows


class Onlooker(Protocol):
    """Somebody at the console. Neither may raise, or take long."""

    def shows(self, text: bytes, /) -> object:
        """What the board prints."""

    def becomes(self, state: str, /) -> object:
        """NO_PORT, SILENT, PROMPT or PROGRAM."""


class Console:
    """Of the board that `link` leads to, at `baud` bit/s. `log(line)` is told what it prints, line by line; `now()` is
    the link's time.
    """

    def __init__(self, link: Link, baud: int, log: Callable[[bytes], object], now: Callable[[], int]) -> None:
        self.history = bytearray()
        self._link = link
        self._baud = baud
        self._log = log
        self._now = now
        self._port: Port | None = None
        self._separator = Separator(self.shows, self._prompted)
        self._onlookers: set[Onlooker] = set()
        self._line = bytearray()
        self._said = NO_PORT
        self._held_until = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._line_timer: asyncio.TimerHandle | None = None

    @property
    def state(self) -> str:
        """NO_PORT, SILENT, PROMPT or PROGRAM."""
        if self._port is None:
            return NO_PORT
        if self._separator.is_at_prompt:
            return PROMPT
        return PROGRAM if self._link.up else SILENT

    def attach(self, onlooker: Onlooker) -> None:
        """Show everything from now on, and first what was last."""
        onlooker.becomes(self.state)
        if self.history:
            onlooker.shows(bytes(self.history))
        self._onlookers.add(onlooker)

    def detach(self, onlooker: Onlooker) -> None:
        """He has gone."""
        self._onlookers.discard(onlooker)

    # -- the line's side

    def port(self, port: "Port") -> "Port":
        """`port`, as the link is to have it."""
        self._separator.forget()
        self._port = port
        self.changed()
        return _Shared(port, self)

    def closed(self) -> None:
        """The port is gone."""
        self._port = None
        if self._timer:
            self._timer.cancel()
        self._flush()
        self.changed()

    def left(self) -> None:
        """The board has said that its program ends: what follows is the prompt."""
        self._separator.is_at_prompt = True
        self.changed()

    def changed(self) -> None:
        """The session has come or gone."""
        if self.state != self._said:
            self._said = self.state
            for onlooker in list(self._onlookers):
                onlooker.becomes(self._said)

    def shows(self, text: bytes) -> None:
        """What the board prints."""
        self.history += text
        del self.history[:-HISTORY]
        for onlooker in list(self._onlookers):
            onlooker.shows(text)
        self._line += text
        while (end := self._line.find(b"\n")) >= 0 or len(self._line) > LINE_MAX:
            end = end + 1 if 0 <= end <= LINE_MAX else LINE_MAX
            line = bytes(self._line[:end]).strip(b"\r\n")
            del self._line[:end]
            if line:
                self._log(line)
        if self._line_timer:
            self._line_timer.cancel()
        self._line_timer = asyncio.get_running_loop().call_later(LINE_S, self._flush) if self._line else None

    def _flush(self) -> None:
        line = bytes(self._line).strip(b"\r\n")
        self._line.clear()
        if line:
            self._log(line)

    def arrived(self, data: bytes) -> bytes:
        """What the port has brought; what of it is for the link."""
        frames = self._separator.feed(data)
        if self._timer:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(QUIET_S, self._separator.quiet)
        self.changed()
        return frames

    @property
    def is_peoples(self) -> bool:
        """Whether the link has to be silent now."""
        return self.state == PROMPT or asyncio.get_running_loop().time() < self._held_until

    def _prompted(self) -> None:
        """A prompt has come without a goodbye: the program has ended, or never began."""
        if self._link.up:
            self._link.reset(self._now())
        self.changed()

    # -- the people's side

    async def type(self, keys: bytes) -> None:
        """Bytes for the board, as fast as it takes them; they are lost while there is no port."""
        while keys and self._port:
            if self._link.up and self._separator.is_text:  # it prints past the link: a reset that nobody has noticed
                self._link.reset(self._now())
            if self._link.up:
                sent = self._link.send(CONSOLE, keys[:_FRAME])
            else:
                self._held_until = asyncio.get_running_loop().time() + _HOLD_S
                await self._port.write(keys[:_AT_ONCE])
                sent = len(keys[:_AT_ONCE])
            keys = keys[sent:]
            await asyncio.sleep(2 * sent * 10 / self._baud if sent else _WAIT_S)


class _Shared:
    """A port that the link shares with the prompt; see line.Port."""

    def __init__(self, port: "Port", console: Console) -> None:
        self._port = port
        self._console = console
        self.close = port.close

    async def read(self) -> bytes:
        """Frames, and what may be some."""
        while True:
            frames = self._console.arrived(await self._port.read())
            if frames:
                return frames

    async def write(self, data: bytes | bytearray) -> None:
        """A frame; where it would be typed it is dropped, as if the line had lost it."""
        if not self._console.is_peoples:
            await self._port.write(data)
