"""The screen of `mqttlite top`: drawn by rich, keys as they are pressed. Imports rich, top_numbers, client."""

import contextlib
import os
import select
import signal
import sys
import time
import tty
from collections.abc import Callable, Iterator
from types import FrameType

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ..showing.terminal import keyboard_in
from ..streams import one_line
from .client import ControlClient
from .top_numbers import BY_NAME, COLUMNS, KEYS, Look

TERMINATED = 143  # 128 + SIGTERM, as a shell reports it

WIDE, NARROW = 100, 80  # columns of a terminal from which on there is room for addresses, for all numbers
FEW = 4  # numbers of a client for which there is always room

UP, DOWN, PAGE_UP, PAGE_DOWN, HOME = b"\x1b[A", b"\x1b[B", b"\x1b[5~", b"\x1b[6~", b"\x1b[H"
_ESCAPES = (UP, DOWN, PAGE_UP, PAGE_DOWN, HOME)


class View:
    """`open_`: connects to the broker; again, when it has gone and may be back. `count`: looks, then it ends."""

    def __init__(
        self,
        open_: Callable[[], ControlClient],
        interval_s: float,
        sort: str,
        is_reversed: bool,
        count: int | None = None,
    ) -> None:
        self._open = open_
        self._interval_s = interval_s
        self._sort = sort
        self._is_reversed = is_reversed
        self._count = count
        self._broker: ControlClient | None = None
        self._look: Look | None = None
        self._why = ""  # why there is nothing newer
        self._first = 0  # of the clients that are shown
        self._console = Console()
        self._code = 0
        self._ends = False

    def run(self) -> int:
        """Until q, Ctrl-C or SIGTERM; the exit code."""
        wake, waker = os.pipe()
        os.set_blocking(waker, False)

        def woken(number: int, frame: FrameType | None) -> None:
            if number == signal.SIGTERM:
                self._code, self._ends = TERMINATED, True
            with contextlib.suppress(OSError):
                os.write(waker, b"x")

        before = {number: signal.signal(number, woken) for number in (signal.SIGWINCH, signal.SIGTERM)}
        try:
            with keyboard_in(tty.setcbreak), Live(console=self._console, screen=True, auto_refresh=False) as live:
                self._turn(live, wake)
        except KeyboardInterrupt:
            pass
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            os.close(wake)
            os.close(waker)
            if self._broker:
                self._broker.close()
        return self._code

    def _turn(self, live: Live, wake: int) -> None:
        looks = 0
        due = 0.0
        keyboard = sys.stdin.fileno() if sys.stdin.isatty() else -1
        while not self._ends:
            now = time.monotonic()
            if now >= due:
                self._see()
                looks += 1
                due = now + self._interval_s
            live.update(self._drawn(), refresh=True)
            if self._count is not None and looks >= self._count:
                return
            watched = [wake, keyboard] if keyboard >= 0 else [wake]
            ready, _, _ = select.select(watched, [], [], max(0.0, due - time.monotonic()))
            if wake in ready:
                os.read(wake, 64)
            if keyboard in ready:
                data = os.read(keyboard, 64)
                if not data:  # the terminal is gone
                    return
                for key in _keys(data):
                    if key == b" ":
                        due = 0.0
                    self._press(key)

    def _see(self) -> None:
        from .top import look

        try:
            if self._broker is None:
                self._broker = self._open()
            self._look = look(self._broker, self._look)
            self._why = ""
        except (OSError, ValueError) as error:
            if self._broker:
                self._broker.close()
            self._broker = None
            self._why = str(error)

    def _press(self, key: bytes) -> None:
        text = key.decode(errors="replace")
        page = max(1, self._rows())
        if text in ("q", "Q", "\x03", "\x04"):
            self._ends = True
        elif text == "r":
            self._is_reversed = not self._is_reversed
        elif text in KEYS:
            self._sort, self._first = text, 0
        elif key in _ESCAPES:
            step = {UP: -1, DOWN: 1, PAGE_UP: -page, PAGE_DOWN: page, HOME: -self._first}[key]
            self._first = min(max(0, self._first + step), self._last())

    def _last(self) -> int:
        """What `_first` is at most: the end of the list is at the end of the screen."""
        return max(0, len(self._look.clients) - max(1, self._rows())) if self._look else 0

    def _rows(self) -> int:
        """How many clients there is room for."""
        above = len(self._look.lines()) if self._look else 0
        return self._console.size.height - above - 3  # why, the head, the keys

    def _drawn(self) -> Table:
        screen = Table.grid(expand=True)
        screen.add_column(no_wrap=True, overflow="ellipsis")
        if self._look is None:
            screen.add_row(Text(one_line(self._why) or "looking ...", style="bold red" if self._why else ""))
            return screen
        for line in self._look.lines():
            screen.add_row(Text(one_line(line), style="bold red" if line.startswith("TROUBLE") else ""))
        screen.add_row(Text(one_line(self._why), style="bold red"))
        screen.add_row(self._clients(self._look))
        screen.add_row(Text("q quit  r reverse  space look now  arrows move  sort by: " + _legend(), style="dim"))
        return screen

    def _clients(self, found: Look) -> Table:
        clients = Table(box=None, expand=True, pad_edge=False, header_style="reverse", show_edge=False)
        clients.add_column(_title("client", BY_NAME, self._sort), no_wrap=True, ratio=2, overflow="ellipsis")
        width = self._console.size.width
        has_address = width >= WIDE
        if has_address:
            clients.add_column("address", no_wrap=True, ratio=2, overflow="ellipsis")
        columns = COLUMNS if width >= NARROW else COLUMNS[:FEW]
        for column in columns:
            clients.add_column(_title(column.title, column.key, self._sort), no_wrap=True, justify="right")
        rows = max(0, self._rows())
        self._first = min(self._first, self._last())
        for each in found.sorted(self._sort, self._is_reversed)[self._first : self._first + rows]:
            style = "yellow" if each["held_back"] or not each["writable"] else ""
            texts = [one_line(str(each["client"])), *found.cells(each)[: len(columns)]]
            if has_address:
                texts.insert(1, one_line(str(each["address"])))
            clients.add_row(*(Text(text, style=style) for text in texts))
        return clients


def _title(title: str, key: str, sort: str) -> str:
    return f"{title}*" if key == sort else title


def _legend() -> str:
    return ", ".join([f"{BY_NAME} client", *(f"{column.key} {column.title}" for column in COLUMNS)])


def _keys(data: bytes) -> Iterator[bytes]:
    while data:
        found = next((key for key in _ESCAPES if data.startswith(key)), data[:1])
        yield found
        data = data[len(found) :]
