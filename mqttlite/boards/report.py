"""What a long command says while it works: steps, progress, notes, and what it has found.

On a terminal a line that fills up; elsewhere plain lines, a quarter at a time; for programs one JSON object a line,
whose `event` is step, progress, note, result or error. Secrets never come here.
"""

import json
import sys
import time
from typing import Any, TextIO

_WIDTH = 30


class Report:
    """Where to say it. `as_json`: for programs. `stream`: standard output unless another is given."""

    def __init__(self, *, as_json: bool = False, stream: TextIO | None = None) -> None:
        self.as_json = as_json
        self._stream = stream or sys.stdout
        self._is_terminal = not as_json and self._stream.isatty()
        self._open = False  # a line of progress is not ended yet
        self._quarter = -1
        self._what = ""

    def step(self, text: str, **values: Any) -> None:
        """What is done now."""
        self._say("step", f"==> {text}", text, values)

    def note(self, text: str, **values: Any) -> None:
        """Something to know beside it."""
        self._say("note", f"    {text}", text, values)

    def result(self, text: str, **values: Any) -> None:
        """What it was all for."""
        self._say("result", text, text, values)

    def error(self, text: str, **values: Any) -> None:
        """Why it ends; for programs only, as people get it on standard error."""
        self._end()
        if self.as_json:
            self._say("error", text, text, values)

    def progress(self, what: str, done: int, total: int) -> None:
        """`done` of `total` bytes of `what`."""
        quarter = 4 * done // max(total, 1)
        if what != self._what:
            self._end()
            self._what, self._quarter = what, -1
        if self._is_terminal:
            filled = _WIDTH * done // max(total, 1)
            self._write(f"\r    {what} [{'#' * filled:{_WIDTH}}] {100 * done // max(total, 1):3} %")
            self._open = True
            if done >= total:
                self._end()
        elif quarter != self._quarter:
            self._quarter = quarter
            self._say("progress", f"    {what}: {25 * quarter} %", what, {"done": done, "total": total})

    def _say(self, event: str, line: str, text: str, values: dict[str, Any]) -> None:
        self._end()
        if self.as_json:
            self._write(json.dumps({"event": event, "text": text, **values}, ensure_ascii=False) + "\n")
        else:
            self._write(line + "\n")

    def _end(self) -> None:
        if self._open:
            self._open = False
            self._write("\n")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


class Clock:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._begun = time.monotonic()

    @property
    def s(self) -> float:
        """So many."""
        return time.monotonic() - self._begun
