"""Which files a board gets, from its settings and its application. Pure but for reading folders.

/boot.py /main.py /start.mpy   the starter
/settings.json                 the settings, secrets included
/a/…                           the half that runs first: the application, and lib/ with mqttlite and mqttlite_board
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .. import supplies
from ..settings.settings_file import to_json, urls_of
from .compiling import compiled

SETTINGS = "settings.json"
MAIN = "app.py"
LEFT_OUT = ("tests", "build", "dist", "env", "venv")  # folders of an application that are the computer's
# What only this bundle has: numbers that go on, keys, acknowledgement by the application, MQTT 5.0.
_ASKS_FOR_ALL = re.compile(r"\b(counted|last_number|key|acknowledge|manual_ack|user_properties|version)\s*[=(]")


class ApplicationError(ValueError):
    """A folder is no application; says why and what to do."""


def bundle_for(values: Mapping[str, Any], folder: Path) -> str:
    """The smallest bundle that has what the settings and the application in `folder` ask for. The board's program asks
    for what comes with the journal, whether one is configured or not.
    """
    if any(url.startswith(("serial:", "mqtts:")) for url in urls_of(values)):
        return "all"
    for source in _sources(folder):
        if source.suffix == ".mpy" or _ASKS_FOR_ALL.search(source.read_text(encoding="utf-8", errors="replace")):
            return "all"
    return "thin+journal"


def _sources(folder: Path) -> Iterator[Path]:
    """The modules of an application, without those that are the computer's."""
    for source in sorted(folder.rglob("*")):
        parts = source.relative_to(folder).parts
        is_the_computers = parts[0] in LEFT_OUT or any(part.startswith((".", "__pycache__")) for part in parts)
        if source.suffix in (".py", ".mpy") and not is_the_computers:
            yield source


def application(folder: Path) -> dict[str, bytes]:
    """The modules of an application as they go to a board, compiled where there is mpy-cross. Raises ApplicationError,
    CompileError.
    """
    if not folder.exists():
        raise ApplicationError(f"there is no folder {folder}; mqttlite board new {folder.name} makes one")
    if not (folder / MAIN).is_file():
        raise ApplicationError(
            f"{folder} has no {MAIN}: an application is a folder with one; mqttlite board new {folder.name} makes it"
        )
    made = {}
    for source in _sources(folder):
        place = source.relative_to(folder).as_posix()
        if source.suffix == ".py":
            name, content = compiled(source, place)
            made[name] = content
        else:
            made[place] = source.read_bytes()
    return made


def library(bundle: str) -> dict[str, bytes]:
    """lib/ with a bundle of mqttlite and the board's program, by place."""
    inside = f"{supplies.HALF}/"
    found = supplies.file_system(bundle)
    return {place.removeprefix(inside): data for place, data in found.items() if place.startswith(f"{inside}lib/")}


def board(values: dict[str, Any], folder: Path, bundle: str, *, has_library: bool = True) -> dict[str, bytes]:
    """All files of a fresh board, by their place; without `has_library` it finds its lib/ elsewhere. Raises
    SettingError, ApplicationError, CompileError, NoFilesError.
    """
    made = supplies.file_system(bundle)
    lib = f"{supplies.HALF}/lib/"
    if not has_library:
        made = {place: content for place, content in made.items() if not place.startswith(lib)}
    made |= {f"{supplies.HALF}/{place}": content for place, content in application(folder).items()}
    made[SETTINGS] = to_json(values)
    return made
