"""Which kind of board a chip is on, as far as chip and USB adapter tell, and which image is for it."""

from typing import TYPE_CHECKING, NamedTuple

from . import data

if TYPE_CHECKING:
    from ..settings.asking import Asker


class Kind(NamedTuple):
    """What `flash` wants to know of a board. `stem`: of its file in hardware/boards, "" for one without; `micropython`:
    the name of its images.
    """

    stem: str
    name: str
    micropython: str
    image: str = "bin"

    @property
    def where(self) -> str:
        """Which image is for it, and where it is."""
        page = f"https://micropython.org/download/{self.micropython}/"
        return f"{self.micropython}-<date>-v<version>.{self.image} from {page} (1.25 or newer)"


def choose(chip: str, usb: tuple[int, int] | None, asker: "Asker", given: str | None = None) -> Kind:
    """The kind of the board with this chip; asks where several fit. Raises ValueError where `given` cannot be it."""
    if given is not None:
        board = data.get(given)
        if chip and board.chip != chip:
            raise ValueError(f"--board {given} has an {board.chip}, and what is plugged in is an {chip}")
        return _of(board)
    found = data.find(chip, usb)
    if not found:
        return Kind("", f"a board with an {chip}", "ESP32_GENERIC" + chip.removeprefix("ESP32").replace("-", "_"))
    if len(found) > 1 and asker.may_ask:
        stem = asker.choice("which board is it?", [(board.stem, board.name) for board in found])
        return _of(data.get(stem))
    return _of(found[0])


def _of(board: data.BoardData) -> Kind:
    return Kind(board.stem, board.name, board.micropython, board.flash.image)
