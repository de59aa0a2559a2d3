"""Many boards, one after the other: whichever is plugged in next gets the next row of the table. What is done is
remembered beside the table, so that the work can go on tomorrow.
"""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..images.firmware_image import ImageError
from ..reaching import ports
from ..reaching.chip import FlashError
from ..reaching.first_message import First, NotStartedError

if TYPE_CHECKING:
    from ..report import Report

Plugged = tuple[str, tuple[int, int]]  # a port, and what it was when it was found

LOOK_S = 0.25  # from one look at the port to the next


class Done:
    """Which rows of a table are done: a file beside it, a JSON object a line. What a power cut has torn is no line."""

    def __init__(self, table: Path) -> None:
        self.path = table.with_name(table.name + ".done")
        self.rows: dict[str, dict[str, Any]] = {}
        text = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
        self._is_torn = bool(text) and not text.endswith("\n")
        for line in text.splitlines():
            try:
                row = json.loads(line)
                self.rows[row["name"]] = row
            except (ValueError, KeyError, TypeError):
                continue

    def put(self, name: str, mac: str, first: First | None) -> None:
        """This row is done."""
        row = {
            "name": name,
            "mac": mac,
            "at": time.strftime("%Y-%m-%d %H:%M:%S"),
            "first": first.topic if first else "",
        }
        self.rows[name] = row
        with self.path.open("a", encoding="utf-8") as file:
            file.write("\n" * self._is_torn + json.dumps(row) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._is_torn = False

    def name_of(self, mac: str) -> str | None:
        """Which board has this MAC already."""
        return next((name for name, row in self.rows.items() if row["mac"] == mac), None)


def run(
    table: Path,
    rows: list[dict[str, Any]],
    path: str | None,
    flash: Callable[[str, dict[str, Any], Callable[[str], None]], First | None],
    report: "Report",
) -> int:
    """Flash all rows that are not done; how many are not done then. `flash(port, row, check_mac)` does one board, and
    calls `check_mac` with its MAC before it writes. A board that fails keeps its row: the next one that is plugged in
    gets it.
    """
    done = Done(table)
    states = {row["name"]: "done before" if row["name"] in done.rows else "to do" for row in rows}
    waiting = [row for row in rows if row["name"] not in done.rows]
    before: Plugged | None = None
    try:
        for number, row in enumerate(waiting, 1):
            name = row["name"]
            while states[name] != "done":
                before = plugged = _next_port(path, before, f"{number} of {len(waiting)}, '{name}'", report)
                macs: list[str] = []

                def check(mac: str, macs: list[str] = macs) -> None:
                    macs.append(mac)
                    other = done.name_of(mac)
                    if other:
                        raise AlreadyDoneError(f"the board with the MAC {mac} is '{other}' already: take another one")

                try:
                    first = flash(plugged[0], row, check)
                    done.put(name, macs[0], first)
                    states[name] = "done"
                except AlreadyDoneError as error:
                    report.note(str(error))
                except (FlashError, NotStartedError, ImageError) as error:
                    states[name] = "failed"
                    report.note(f"'{name}': {error}")
    finally:  # also when somebody has had enough
        _show(rows, states, done, report)
    return sum(state not in ("done", "done before") for state in states.values())


class AlreadyDoneError(ValueError):
    """This board has a row of its own already."""


def _next_port(path: str | None, before: Plugged | None, what: str, report: "Report") -> Plugged:
    """The port of the next board: there, and not the one of before unless that was unplugged meanwhile."""
    report.step(f"board {what}: plug it in" + (", in the place of the last one" if before else ""))
    told = ""
    while True:
        try:
            found = ports.choose(path)
            now = ports.identity(found)
            if now is not None and (before is None or (found, now) != before):
                return found, now
        except ports.NoPortError as error:
            if error.is_choice and str(error) != told:
                told = str(error)
                report.note(told)
        time.sleep(LOOK_S)


def _show(rows: list[dict[str, Any]], states: dict[str, str], done: Done, report: "Report") -> None:
    width = max(len(row["name"]) for row in rows)
    for row in rows:
        name = row["name"]
        entry = done.rows.get(name, {})
        line = f"{name:{width}}  {states[name]:11}  {entry.get('mac', ''):17}  {entry.get('at', '')}"
        report.result(line.rstrip(), name=name, state=states[name], mac=entry.get("mac", ""))
