"""A board that shows itself as a drive (Raspberry Pi Pico W), from its image to its first message: the .uf2 file onto
the drive, then files through the prompt.
"""

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..images import board_files, uf2
from ..known import kinds
from ..reaching import ports
from ..reaching.copying import Board, at_prompt
from ..reaching.first_message import check_broker
from ..supplies import HALF
from .flashing import Wishes, begin, record, remember, where

if TYPE_CHECKING:
    from ..reaching.first_message import First
    from ..report import Report
    from ..settings.asking import Asker

PLUGGED_S = 30.0  # from the copied image to the serial port
LOOK_S = 0.2
_IDENTITY = """
import machine
print(machine.unique_id().hex() if hasattr(machine, "unique_id") else "", end="")
"""


class NoDriveError(ValueError):
    """No drive of a board is there; says which button to press."""


def flash(wishes: Wishes, known: dict[str, Any], asker: "Asker", report: "Report") -> "First | None":
    """As flashing.flash, for the .uf2 file `wishes.image`. `wishes.path`: "" where the port is not named."""
    assert wishes.image is not None
    image = uf2.read(wishes.image)
    kind = kinds.choose(image.chip, None, asker, wishes.board)
    report.step(f"MicroPython {image.version_text} for {image.chip}: {kind.name}", board=kind.stem)
    drive = wishes.drive or _drive()
    if wishes.only_shows:
        report.step(
            f"it would be copied to {drive}, then the files through the prompt; nothing was written (--dry-run)"
        )
        return None
    report.step(f"copying {image.path.name} to {drive}")
    uf2.copy(image, drive)
    path = _port(wishes.path)
    with at_prompt(path, report) as board:
        values, broker = record(wishes, known, asker, board.run(_IDENTITY))
        if wishes.wait_s:
            asyncio.run(check_broker(where(wishes, path, values, broker)))
        bundle = wishes.bundle or board_files.bundle_for(values, wishes.application)
        remember(wishes, values, kind.stem)
        _copy(board, board_files.board(values, wishes.application, bundle), report)

        def start() -> bool:
            board.restart()
            board.close()
            return True

        return begin(wishes, path, values, broker, start, report)


def _copy(board: Board, files: dict[str, bytes], report: "Report") -> None:
    """All files; what else is in the half goes."""
    half = {place.removeprefix(f"{HALF}/"): content for place, content in files.items() if place.startswith(f"{HALF}/")}
    report.step(f"copying {len(files)} files, {sum(map(len, files.values())):,} bytes, through the prompt")
    board.put(half, HALF, keep=())
    board.put({place: content for place, content in files.items() if "/" not in place}, "", keep=(), removes=False)


def _drive() -> Path:
    found = uf2.drives()
    if len(found) == 1:
        return found[0]
    if found:
        raise NoDriveError(
            f"there are several drives of boards, {', '.join(map(str, found))}: say which one with --drive"
        )
    raise NoDriveError(
        "no drive of a board is there: hold BOOTSEL while you plug the board in, then release it; the drive RPI-RP2 "
        "appears (if your system shows it elsewhere, or not by itself: mount it, and give --drive FOLDER)"
    )


def _port(given: str) -> str:
    """The serial port of the board once it runs MicroPython."""
    end = time.monotonic() + PLUGGED_S
    while True:
        try:
            path = ports.choose(given or None)
            if ports.identity(path) is not None:
                return path
        except ports.NoPortError:
            if time.monotonic() > end:
                raise
        if time.monotonic() > end:
            raise ports.NoPortError(f"{given} has not appeared: is the board still in BOOTSEL mode? Plug it in again")
        time.sleep(LOOK_S)
