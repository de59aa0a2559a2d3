"""The terminal of a console: keys as they are pressed, and the screen as the board wants it. POSIX."""

import asyncio
import contextlib
import os
import re
import sys
import termios
import tty
from collections.abc import Awaitable, Callable, Iterator

LEAVE = b"\x1d"  # Ctrl-]
_LONELY = re.compile(rb"(?<!\r)\n")
_READ = 1024


@contextlib.contextmanager
def keyboard_in(mode: Callable[[int, int], object]) -> Iterator[None]:
    """While the block runs, standard input is as `mode` (tty.setraw, tty.setcbreak) makes it, if it is a terminal."""
    if not sys.stdin.isatty():
        yield
        return
    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    try:
        mode(fd, termios.TCSADRAIN)
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


class Terminal:
    """Standard input and output. Where input is no terminal, its end does not end the console."""

    def __init__(self) -> None:
        self.is_tty = sys.stdin.isatty()
        self._at_start = True

    def raw(self) -> contextlib.AbstractContextManager[None]:
        """Every key is the board's while the block runs."""
        return keyboard_in(tty.setraw)

    def show(self, text: bytes) -> None:
        """What the board prints."""
        if text:
            self._at_start = text.endswith(b"\n")
            self._write(_LONELY.sub(b"\r\n", text) if self.is_tty else text.replace(b"\r\n", b"\n"))

    def note(self, words: str) -> None:
        """What the console says itself, on a line of its own."""
        end = b"\r\n" if self.is_tty else b"\n"
        self._write((b"" if self._at_start else end) + f"[{words}]".encode() + end)
        self._at_start = True

    def _write(self, data: bytes) -> None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()

    async def keys(self, take: Callable[[bytes], Awaitable[None]]) -> None:
        """Give what is typed to `take`, until Ctrl-]; what is not taken yet is left in the terminal."""
        loop = asyncio.get_running_loop()
        fd = sys.stdin.fileno()
        while True:
            ready = loop.create_future()
            try:
                loop.add_reader(fd, ready.set_result, None)
            except PermissionError:  # a file, which is always ready
                ready.set_result(None)
            try:
                await ready
            finally:
                loop.remove_reader(fd)
            data = os.read(fd, _READ)
            if not data and not self.is_tty:
                await loop.create_future()  # the log goes on
            keys, leave, _ = data.partition(LEAVE)
            if keys:
                await take(keys)
            if leave or not data:
                return
