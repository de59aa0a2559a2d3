"""Which kind of board a chip is on, as far as chip and USB adapter tell, and which image is for it."""

import tomllib
from typing import TYPE_CHECKING, NamedTuple

from . import files

if TYPE_CHECKING:
    from .asking import Asker

DOWNLOADS = "https://micropython.org/download"


class Kind(NamedTuple):
    """A kind of board. `stem`: of its file in hardware/boards; `micropython`: the name of its images."""

    stem: str
    name: str
    chip: str
    micropython: str
    usb: tuple[int, int] | None

    @property
    def where(self) -> str:
        """Which image is for it, and where it is."""
        return f"{self.micropython}-<date>-v<version>.bin from {DOWNLOADS}/{self.micropython}/ (1.25 or newer)"


def kinds() -> dict[str, Kind]:
    """All that are known, by stem."""
    found = {}
    for path in sorted(files.board_files().glob("*.toml")):
        with path.open("rb") as file:
            data = tomllib.load(file)
        usb = data.get("usb_serial", {})
        ids = (usb["vid"], usb["pid"]) if {"vid", "pid"} <= usb.keys() else None
        found[path.stem] = Kind(path.stem, data["name"], data["chip"], data["micropython"], ids)
    return found


def fitting(chip: str, usb: tuple[int, int] | None) -> list[Kind]:
    """Those with this chip; where some of them have this USB adapter, these alone."""
    same = [kind for kind in kinds().values() if kind.chip == chip]
    by_usb = [kind for kind in same if usb and kind.usb == usb]
    return by_usb or same


def choose(chip: str, usb: tuple[int, int] | None, asker: "Asker", given: str | None = None) -> Kind:
    """The kind of the board with this chip; asks where several fit. Raises ValueError where `given` cannot be it."""
    if given is not None:
        known = kinds()
        if given not in known:
            raise ValueError(f"--board {given}: there is no such board file; there are {', '.join(known)}")
        if chip and known[given].chip != chip:
            raise ValueError(f"--board {given} has an {known[given].chip}, and what is plugged in is an {chip}")
        return known[given]
    found = fitting(chip, usb)
    if not found:
        generic = "ESP32_GENERIC" + chip.removeprefix("ESP32").replace("-", "_")
        return Kind("", f"a board with an {chip}", chip, generic, None)
    if len(found) > 1 and asker.may_ask:
        stem = asker.choice("which board is it?", [(kind.stem, kind.name) for kind in found])
        return next(kind for kind in found if kind.stem == stem)
    return found[0]
