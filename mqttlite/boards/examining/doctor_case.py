"""A board under examination: what steps of the doctor are told and have found, and how one says what is wrong."""

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..known.data import BoardData
    from ..reaching.copying import Board
    from ..report import Report
    from ..settings.asking import Asker


class Trouble(Exception):
    """What is wrong with a board. `todo`: what to do about it."""

    def __init__(self, text: str, todo: str) -> None:
        super().__init__(text)
        self.todo = todo


class LeftOut(Exception):
    """A step cannot be taken, or there is nothing to examine; says why."""


@dataclass(frozen=True)
class Wishes:
    """What the command line says. `broker`: as this computer reaches it, None for that of the settings. `link`: the
    port of the link, where it is not the USB socket. `joined`: TX and RX are. `resets`: a reset in the place of a
    power cut. `does_chip`: None where the board can be reset afterwards.
    """

    path: str
    bundle: str = "all"
    broker: str | None = None
    link: str | None = None
    joined: bool = False
    resets: bool = False
    does_chip: bool | None = None
    only: tuple[str, ...] = ()
    wait_s: float = 60.0


@dataclass
class Case:
    """A board under examination: what steps have found that later ones use."""

    data: "BoardData"
    wishes: Wishes
    asker: "Asker"
    report: "Report"
    board: "Board | None" = None  # at its prompt
    prompt: ExitStack = field(default_factory=ExitStack)  # what doctor_prompt.leave ends
    service: Any = None  # doctor_service.Service, while steps are taken
    settings: dict[str, Any] | None = None
    values: dict[str, Any] = field(default_factory=dict)  # of the step that is taken

    def run(self, code: str) -> str:
        """What code prints on the board."""
        assert self.board is not None
        return self.board.run(code).strip().replace("\r", "")
