"""Log lines of one serial line, at a rate that nobody at its other end decides.

What a device sends, real or forged, must not fill the gateway's disk: each kind of line (its text before anything is
filled in) may come BURST times at once, and then once in EVERY_S; how many were left out is said with it.
"""

import asyncio
import logging

BURST = 10
EVERY_S = 10.0


class _Kind:
    """The lines of one text."""

    def __init__(self, now: float, burst: int) -> None:
        self.left = float(burst)  # so many may come at once
        self.at = now  # when `left` was right
        self.held = 0  # were left out since the last one
        self.latest: tuple[int, str] = (0, "")
        self.timer: asyncio.TimerHandle | None = None  # says how many


class Saying:
    """`name` stands in front of each line. `burst` lines of a kind at once, then one in `every_s` seconds.

    `left_out` counts the lines that nobody saw. Needs a running event loop, whose clock is the one that counts.
    """

    def __init__(self, logger: logging.Logger, name: str, burst: int = BURST, every_s: float = EVERY_S) -> None:
        self.left_out = 0
        self._logger = logger
        self._name = name
        # For logs that have fields
        self._fields = {"event": "line", "fields": {"port" if name.startswith("/") else "part": name}}
        self._burst = burst
        self._every_s = every_s
        self._kinds: dict[str, _Kind] = {}  # as many as there are texts in the code

    def debug(self, text: str, *args: object) -> None:
        """A line at level DEBUG: `text` % `args`."""
        self._say(logging.DEBUG, text, args)

    def info(self, text: str, *args: object) -> None:
        """A line at level INFO."""
        self._say(logging.INFO, text, args)

    def warning(self, text: str, *args: object, trace: bool = False) -> None:
        """A line at level WARNING; with `trace` the exception that is being handled is shown."""
        self._say(logging.WARNING, text, args, trace)

    def close(self) -> None:
        """Say what is still to be said."""
        for kind in self._kinds.values():
            if kind.timer:
                kind.timer.cancel()
                self._sum_up(kind)

    def _say(self, level: int, text: str, args: tuple[object, ...], trace: bool = False) -> None:
        if not self._logger.isEnabledFor(level):
            return
        loop = asyncio.get_running_loop()
        now = loop.time()
        kind = self._kinds.get(text)
        if kind is None:
            kind = self._kinds[text] = _Kind(now, self._burst)
        kind.left = min(kind.left + (now - kind.at) / self._every_s, self._burst)
        kind.at = now
        line = text % args
        if kind.timer is None and kind.left >= 1:
            kind.left -= 1
            self._logger.log(level, "%s: %s", self._name, line, exc_info=trace, extra=self._fields)
            return
        kind.held += 1
        self.left_out += 1
        kind.latest = (level, line)
        if kind.timer is None:
            kind.timer = loop.call_later(self._every_s, self._sum_up, kind)

    def _sum_up(self, kind: _Kind) -> None:
        kind.timer = None
        kind.left = max(kind.left - 1, 0.0)
        held, kind.held = kind.held, 0
        level, line = kind.latest
        more = f"; {held - 1} more of these were left out" if held > 1 else ""
        self._logger.log(level, "%s: %s%s", self._name, line, more, extra=self._fields)


def without(path: str, error: Exception) -> str:
    """What an error of a port says, behind the port's path, with which a line of the log begins already."""
    text = str(error)
    return text.removeprefix(path).lstrip(": ") if text.startswith((f"{path} ", f"{path}:")) else text
