"""What a rollout says while it goes on: on a terminal a bar for each device, elsewhere a line for each change, for
programs a JSON object for each.
"""

import json
import sys
from typing import Any, TextIO

from ...core.shown import shown
from .rollout import DONE, FAILED, Progress

_BAR_WIDTH = 24
_WORDS = {
    "waiting": "waits",
    "sending": "is sent to",
    "trial": "on trial: it waits for the first confirmed message",
    "good": "good: a message of the new version was confirmed",
    "there": "has it already",
    "failed": "FAILED",
    "silent": "SILENT",
}
WHY_MAX = 200  # characters that a board may say
BARS_MAX = 30  # of devices that are on the way; what is done scrolls by


class RolloutReport:
    """Where to say it. `as_json`: for programs."""

    def __init__(self, *, as_json: bool = False, stream: TextIO | None = None) -> None:
        self._as_json = as_json
        self._stream = stream or sys.stdout
        self._is_terminal = not as_json and self._stream.isatty()
        self._said: dict[str, tuple[str, int]] = {}
        self._bars: dict[str, str] = {}  # of those under way
        self._drawn = 0  # lines

    def stage(self, number: int, of: int, devices: int) -> None:
        """A stage begins."""
        if self._as_json:
            self._write(json.dumps({"event": "stage", "stage": number, "of": of, "devices": devices}) + "\n")
        elif of > 1:
            self._line(f"==> stage {number} of {of}: {devices} device{'s' * (devices != 1)}")

    def device(self, progress: Progress) -> None:
        """Something has changed at a device."""
        name, percent = progress.device.name, int(100 * progress.share)
        key = (progress.phase, percent if self._is_terminal else percent // 25)
        if self._said.get(name) == key:
            return
        self._said[name] = key
        if self._as_json:
            self._write(json.dumps({"event": "device", **as_dict(progress)}, ensure_ascii=False) + "\n")
            return
        words = _WORDS[progress.phase] + (f": {shown(progress.why, WHY_MAX)}" if progress.why else "")
        if progress.phase in (*DONE, *FAILED):
            self._bars.pop(name, None)
            sent = f" ({progress.blocks_sent} blocks sent)" if progress.blocks_sent else ""
            self._line(f"    {name}: {words}{sent}")
        elif self._is_terminal:
            filled = _BAR_WIDTH * percent // 100
            self._bars[name] = f"    {name:<20} [{'#' * filled:{_BAR_WIDTH}}] {percent:3} % {_WORDS[progress.phase]}"
            self._draw()
        else:
            self._line(f"    {name}: {words}" + (f", {percent} %" if progress.phase == "sending" else ""))

    def end(self, text: str, **values: Any) -> None:
        """What came of it all."""
        if self._as_json:
            self._write(json.dumps({"event": "result", "text": text, **values}, ensure_ascii=False) + "\n")
        else:
            self._line(text)

    def _line(self, text: str) -> None:
        self._clear()
        self._write(text + "\n")
        self._draw()

    def _clear(self) -> None:
        if self._drawn:
            self._write(f"\x1b[{self._drawn}F\x1b[J")
            self._drawn = 0

    def _draw(self) -> None:
        if self._is_terminal:
            self._clear()
            lines = list(self._bars.values())[:BARS_MAX]
            if lines:
                self._write("\n".join(lines) + "\n")
            self._drawn = len(lines)

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def as_dict(progress: Progress) -> dict[str, Any]:
    """For programs."""
    return {
        "name": progress.device.name,
        "phase": progress.phase,
        "why": progress.why,
        "left": progress.left,
        "total": progress.total,
        "blocks_sent": progress.blocks_sent,
    }
