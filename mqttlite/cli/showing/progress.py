"""How far a long input is: a line on standard error that is written over, where that is a terminal.

A bar where the input's size is known (a file), else numbers. Nothing where the lines are typed: they stand there.
"""

import os
import stat
import sys
import time

from ..streams import status

EVERY_S = 0.5  # between two reports
BAR = 24  # signs


class Progress:
    """Of what is read from `fd` and published."""

    def __init__(self, fd: int) -> None:
        shows = sys.stderr.isatty() and not os.isatty(fd)
        self._began = time.monotonic()
        self._next = self._began + EVERY_S if shows else float("inf")
        self._shown = False
        found = os.fstat(fd) if shows else None
        self._size = found.st_size if found and stat.S_ISREG(found.st_mode) else 0  # bytes; 0: not known

    def show(self, read: int, accepted: int, unconfirmed: int) -> None:
        """So many bytes are read, so many messages accepted, and so many of those not confirmed."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + EVERY_S
            self._shown = True
            status(self._line(now, read, accepted, unconfirmed))

    def _line(self, now: float, read: int, accepted: int, unconfirmed: int) -> str:
        each = (accepted - unconfirmed) / (now - self._began)
        said = f"{accepted:,} messages published, {unconfirmed:,} not confirmed yet, {each:,.0f}/s"
        if not self._size:
            return said
        share = min(1.0, read / self._size)
        full = round(BAR * share)
        return f"[{'#' * full}{'-' * (BAR - full)}] {share:4.0%}  {said}"

    def end(self) -> None:
        """Leave no line behind."""
        if self._shown:
            status("")
