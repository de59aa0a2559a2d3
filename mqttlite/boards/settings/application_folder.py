"""A folder for a new application: a copy of the template, with the settings of one board filled in."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...settings.toml_file import toml_value
from ..supplies import application_template, contents
from .settings_file import check_on_host

NAME = "my-sensor"  # of the board in the template
SETTINGS = "board.toml"
RENAMED = {"gitignore": ".gitignore"}  # in the template it would hide files of the template from builds

_TABLE = re.compile(r"(# )?\[(\w+)\]")
_LINE = re.compile(r"(?:# )?(\w+) = (.*?)(\s+# .*)?$")


class ThereAlreadyError(ValueError):
    """The folder has something in it, which is not overwritten."""


def make(folder: Path, values: Mapping[str, Any]) -> list[str]:
    """Fill `folder` with an application for a board with these settings (`name` is one); the names of its files. Raises
    SettingError for what no board can have, before anything is written; ThereAlreadyError; OSError.
    """
    check_on_host(dict(values))
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ThereAlreadyError(f"{folder} is there already and not empty: choose another name, or --folder")
    written = []
    for place, data in contents(application_template()).items():
        name = Path(place).name
        path = folder / Path(place).with_name(RENAMED.get(name, name))
        path.parent.mkdir(parents=True, exist_ok=True)
        text = data.decode("utf-8")
        if place == SETTINGS:
            text = filled(text, values)
            mode = 0o600  # secrets
        else:
            text = text.replace(NAME, str(values["name"]))
            mode = 0o666
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        written.append(path.relative_to(folder).as_posix())
    return sorted(written)


def filled(text: str, values: Mapping[str, Any]) -> str:
    """A board.toml with these values in the place of its own, which may be commented out; its comments stay."""
    wanted = {("", key): value for key, value in values.items() if not isinstance(value, dict)}
    for table, inner in values.items():
        if isinstance(inner, dict):
            wanted.update({(table, key): value for key, value in inner.items()})
    table, lines = "", []
    for line in text.splitlines():
        header, pair = _TABLE.match(line), _LINE.match(line)
        if header:
            table = header[2]
            if header[1] and any(name == table for name, _ in wanted):
                line = line.removeprefix(header[1])
        elif pair and (table, pair[1]) in wanted:
            value = wanted.pop((table, pair[1]))
            line = f"{pair[1]} = {toml_value(value)}{pair[3] or ''}"
        elif pair and not table and pair[1] == "topic":
            line = line.replace(NAME, str(values["name"]))
        lines.append(line)
    if wanted:
        raise LookupError(f"the template of {SETTINGS} has no line for {', '.join(key for _, key in wanted)}")
    return "\n".join(lines) + "\n"
