"""The application alone, onto a board that runs: what has changed of it, into the half of the flash that runs."""

from pathlib import Path
from typing import TYPE_CHECKING

from ..images.board_files import application
from ..reaching.copying import BoardError, at_prompt

if TYPE_CHECKING:
    from ..report import Report

KEPT = ("lib/",)  # of a half: mqttlite and the board's program


def run(path: str, folder: Path, report: "Report") -> int:
    """Copy the application in `folder` to the board at the port `path`, and start it again. Raises BoardError,
    ApplicationError, CompileError. 0: the exit code.
    """
    files = application(folder)
    with at_prompt(path, report) as board:
        half = board.half()
        if not half:
            raise BoardError("the board has no program of mqttlite yet: leave out --app-only, and give --image")
        report.step(f"the application in half '{half}' of the board at {path}", half=half, port=path)
        changed = board.put(files, half, keep=KEPT)
        for place in changed:
            report.note(f"{place}: {len(files[place]):,} bytes" if place in files else f"{place}: removed")
        report.result(
            f"{len(changed)} of {len(files)} files changed; the board starts again"
            if changed
            else "nothing has changed",
            changed=changed,
        )
        board.restart()
    return 0
