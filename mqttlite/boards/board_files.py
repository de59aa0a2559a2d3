"""Which files a board gets, from its settings and its application. Pure but for reading folders.

/boot.py /main.py /start.mpy   the starter
/settings.json                 the settings, secrets included
/a/…                           the half that runs first: the application, and lib/ with mqttlite and mqttlite_board
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import files
from .compiling import compiled
from .settings_file import to_json

SETTINGS = "settings.json"
MAIN = "app.py"
LEFT_OUT = ("tests", "build", "dist")  # folders of an application that are the computer's


class ApplicationError(ValueError):
    """A folder is no application; says why and what to do."""


def bundle_for(values: Mapping[str, Any]) -> str:
    """The smallest bundle that has what the settings ask for."""
    urls = values["url"] if isinstance(values["url"], list) else [values["url"]]
    wanted = []
    if values.get("store", "journal"):
        wanted.append("journal")
    if any(url.startswith("serial:") for url in urls):
        wanted.append("serial")
    return {0: "thin", 1: f"thin+{''.join(wanted)}", 2: "all"}[len(wanted)]


def application(folder: Path) -> dict[str, bytes]:
    """The modules of an application as they go to a board, compiled where there is mpy-cross. Raises ApplicationError,
    CompileError.
    """
    if not (folder / MAIN).is_file():
        raise ApplicationError(
            f"{folder} has no {MAIN}: an application is a folder with one; mqttlite board new {folder.name} makes it"
        )
    made = {}
    for source in sorted(folder.rglob("*")):
        place = source.relative_to(folder)
        if place.parts[0] in LEFT_OUT or any(part.startswith((".", "__pycache__")) for part in place.parts):
            continue
        if source.suffix == ".py":
            name, content = compiled(source, place.as_posix())
            made[name] = content
        elif source.suffix == ".mpy":
            made[place.as_posix()] = source.read_bytes()
    return made


def library(values: Mapping[str, Any]) -> dict[str, bytes]:
    """lib/ with mqttlite and the board's program, by place."""
    inside = f"{files.HALF}/"
    found = files.file_system(bundle_for(values))
    return {place.removeprefix(inside): data for place, data in found.items() if place.startswith(f"{inside}lib/")}


def board(values: dict[str, Any], folder: Path, *, has_library: bool = True) -> dict[str, bytes]:
    """All files of a fresh board, by their place; without `has_library` it finds its lib/ elsewhere. Raises
    SettingError, ApplicationError, CompileError, NoFilesError.
    """
    made = files.file_system(bundle_for(values))
    lib = f"{files.HALF}/lib/"
    if not has_library:
        made = {place: content for place, content in made.items() if not place.startswith(lib)}
    made |= {f"{files.HALF}/{place}": content for place, content in application(folder).items()}
    made[SETTINGS] = to_json(values)
    return made
