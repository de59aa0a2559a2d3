"""The demo on the screen: a table that is drawn again in place, or plain lines where there is no terminal."""

import sys
from typing import TextIO

from .tally import Board, Tally

_HEAD = ("board", "QoS", "sent", "received", "under way", "lost", "twice", "frames repaired", "round trip")


class Screen:
    """Shows a tally on `stream`; draws in place if that is a terminal."""

    def __init__(self, tally: Tally, seconds: float, stream: TextIO = sys.stdout) -> None:
        self._tally = tally
        self._seconds = seconds
        self._stream = stream
        self._live = stream.isatty()
        self._drawn = 0  # lines to go up before the table is drawn again
        self._next_plain_s = 0.0

    def show(self, elapsed_s: float, last: bool = False) -> None:
        """Show how things stand: in a terminal at each call, else a line every five seconds, then the table."""
        if self._live or last:
            lines = table(self._tally, final=last)
            lines.append(f"{min(elapsed_s, self._seconds):.0f} of {self._seconds:.0f} s" if not last else "")
            up = f"\x1b[{self._drawn}A\x1b[J" if self._drawn and self._live else ""
            self._stream.write(up + "\n".join(lines) + "\n")
            self._drawn = 0 if last else len(lines)
        elif elapsed_s >= self._next_plain_s:
            self._next_plain_s = elapsed_s + 5
            totals = self._tally.totals()
            counts = ", ".join(f"QoS {qos} {flow.received} of {flow.sent}" for qos, flow in sorted(totals.items()))
            repaired = sum(board.repaired for board in self._tally.boards.values())
            self._stream.write(f"{elapsed_s:4.0f} s  received {counts}; {repaired} frames repaired\n")
        self._stream.flush()


def table(tally: Tally, final: bool) -> list[str]:
    """The table as lines. Before the end a QoS 1 or 2 message that is missing is under way; at the end it is lost."""
    rows: list[tuple[str, ...]] = [_HEAD]
    for board in tally.boards.values():
        rows += _rows(board, final)
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    lines.insert(1, "─" * len(lines[0]))
    return lines


def _rows(board: Board, final: bool) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for qos, flow in board.flows.items():
        # QoS 0 keeps its order, so a number that was overtaken is lost; QoS 1 and 2 come as long as the board is there.
        lost = flow.missing if final else flow.last - flow.received if qos == 0 else 0
        round_trip = board.round_trip_ms
        rows.append(
            (
                board.name if qos == 0 else "",
                str(qos),
                str(flow.sent),
                str(flow.received),
                str(flow.missing - lost),
                str(lost),
                str(flow.duplicated),
                str(board.repaired) if qos == 0 else "",
                "" if qos or round_trip is None else f"{round_trip:.0f} ms",
            )
        )
    return rows


def summary(tally: Tally) -> list[str]:
    """One line for each QoS."""
    return [
        f"QoS {qos}: sent {flow.sent}, received {flow.received}, lost {flow.missing}, twice {flow.duplicated}"
        for qos, flow in sorted(tally.totals().items())
    ]
