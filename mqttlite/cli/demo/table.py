"""The demo on the screen: a table that is drawn again in place, or plain lines where there is no terminal."""

import os
import shutil
import sys
from typing import TextIO

from .tally import Board, Tally

PROMISES = ("at most once", "at least once", "exactly once")  # by QoS

_COLUMNS = (
    "board",
    "QoS",
    "sent",
    "received",
    "under way",
    "lost",
    "twice",
    "damaged",
    "repaired",
    "round trip",
)
_LEFT = 2  # so many columns are words
_PLAIN_FIRST_S = 1.0
_PLAIN_EVERY_S = 5.0
_BAR = 30

_BOLD = "\x1b[1m"
_DIM = "\x1b[2m"
_RED = "\x1b[31m"
_NORMAL = "\x1b[0m"

Line = tuple[str, str]  # how it is shown, "" for plainly, and the text


class Screen:
    """Shows a tally on `stream`; draws in place if that is a terminal. `seconds`: how long the run takes."""

    def __init__(self, tally: Tally, seconds: float, stream: TextIO | None = None) -> None:
        self._tally = tally
        self._seconds = seconds
        self._stream = stream or sys.stdout
        self._live = self._stream.isatty() and os.environ.get("TERM") != "dumb"
        self._colours = self._live and not os.environ.get("NO_COLOR")
        self._drawn = 0  # lines to go up before the table is drawn again
        self._next_plain_s = _PLAIN_FIRST_S

    def show(self, elapsed_s: float, doing: str) -> None:
        """How things stand: in a terminal at each call, else a line now and then. `doing`: a word or two."""
        lines = table(self._tally, final=False)
        lines += [("", ""), ("", progress(elapsed_s, self._seconds, doing))]
        columns, rows = shutil.get_terminal_size()
        if self._live and len(lines) < rows:
            self._draw([(style, text[: columns - 1]) for style, text in lines])
        elif elapsed_s >= self._next_plain_s:
            self._next_plain_s = elapsed_s + _PLAIN_EVERY_S
            totals = self._tally.totals()
            counts = ", ".join(f"QoS {qos} {total.received} of {total.sent}" for qos, total in totals.items())
            repaired = sum(board.repaired for board in self._tally.boards.values())
            self._stream.write(f"{elapsed_s:4.0f} s  received {counts}; {repaired} frames repaired\n")
        self._stream.flush()

    def finish(self) -> None:
        """The table as it stays, and what it comes to."""
        self._draw([*table(self._tally, final=True), ("", ""), *summary(self._tally)])
        self._drawn = 0
        self._stream.flush()

    def note(self, text: str) -> None:
        """A line that stays; the table goes on below it."""
        self._draw([("", text)])
        self._drawn = 0
        self._stream.flush()

    def _draw(self, lines: list[Line]) -> None:
        if self._drawn:
            self._stream.write(f"\x1b[{self._drawn}A")
        end = "\x1b[K\n" if self._live else "\n"  # what is longer below is overwritten, not cleared first: no flicker
        for style, text in lines:
            self._stream.write(f"{style}{text}{_NORMAL}{end}" if self._colours and style else text + end)
        if self._drawn > len(lines):
            self._stream.write("\x1b[J")
        self._drawn = len(lines) if self._live else 0


def progress(elapsed_s: float, seconds: float, doing: str) -> str:
    """How far it is, as a bar."""
    share = min(elapsed_s / seconds, 1.0) if seconds > 0 else 1.0
    full = round(share * _BAR)
    return f"{'█' * full}{'░' * (_BAR - full)}  {min(elapsed_s, seconds):.0f} of {seconds:g} s  {doing}"


def table(tally: Tally, final: bool) -> list[Line]:
    """The table. Before the end a QoS 1 or 2 message that is missing is under way; at the end it is lost."""
    rows: list[tuple[str, tuple[str, ...]]] = [(_BOLD, _COLUMNS)]
    for board in tally.boards.values():
        rows += _rows(board, final)
    widths = [max(len(cells[column]) for _, cells in rows) for column in range(len(_COLUMNS))]
    lines = []
    for style, cells in rows:
        padded = [
            cell.ljust(width) if column < _LEFT else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        lines.append((style, "  ".join(padded).rstrip()))
    lines.insert(1, (_DIM, "─" * max(len(text) for _, text in lines)))
    return lines


def _rows(board: Board, final: bool) -> list[tuple[str, tuple[str, ...]]]:
    rows: list[tuple[str, tuple[str, ...]]] = []
    for qos, flow in board.flows.items():
        # QoS 0 keeps its order, so a number that was overtaken is lost; QoS 1 and 2 come as long as the board is there.
        lost = flow.missing if final else flow.last - flow.received if qos == 0 else 0
        broken = qos > 0 and (lost or (qos == 2 and flow.duplicated))
        round_trip = board.round_trip_ms
        of_the_board = (
            str(board.line_errors),
            str(board.repaired),
            "" if round_trip is None else f"{round_trip:.0f} ms",
        )
        rows.append(
            (
                _RED if broken else "",
                (
                    board.name if qos == 0 else "",
                    f"{qos}  {PROMISES[qos]}",
                    str(flow.sent),
                    str(flow.received),
                    str(flow.missing - lost),
                    str(lost),
                    str(flow.duplicated),
                    *(of_the_board if qos == 0 else ("", "", "")),
                ),
            )
        )
    return rows


def summary(tally: Tally) -> list[Line]:
    """One line for each QoS, one for the lines."""
    boards = tally.boards.values()
    lines: list[Line] = [
        (
            _RED if qos and (total.missing or (qos == 2 and total.duplicated)) else _BOLD,
            f"QoS {qos}  {PROMISES[qos] + ':':14} sent {total.sent}, received {total.received}, "
            f"lost {total.missing}, twice {total.duplicated}",
        )
        for qos, total in tally.totals().items()
    ]
    errors, repaired = sum(board.line_errors for board in boards), sum(board.repaired for board in boards)
    reconnections = sum(board.reconnections for board in boards)
    lines.append(
        ("", f"The lines damaged or lost {errors} bytes; {repaired} frames repaired, {reconnections} reconnections.")
    )
    return lines
