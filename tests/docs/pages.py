"""The pages that people read, and what is in them: programs, commands, links, names of files."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from tests.runtimes import ROOT

PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *(ROOT / folder / "README.md" for folder in ("firmware", "hardware", "tests")),
]
_COLUMNS = re.compile(r"\s{2,}|\s[|>&]+\s?|\)")  # what ends a command: an explanation, a pipe, a bracket around it


def text_of(page: Path | str) -> str:
    """A page's text; a str is its name below the project's root."""
    return (ROOT / page).read_text(encoding="utf-8")


def programs(page: Path | str) -> list[str]:
    """Its blocks of Python."""
    return re.findall(r"^```python\n(.*?)^```$", text_of(page), re.MULTILINE | re.DOTALL)


def program(page: Path | str, part: str) -> str:
    """The one that has `part` in it."""
    (found,) = [text for text in programs(page) if part in text]
    return found


def commands(page: Path | str, name: str) -> Iterator[list[str]]:
    """The arguments of `name` wherever it stands on a line of a block, indented as in `    mqttlite pub -t a  # so`."""
    for line in re.findall(r"^ {4,}(.*)$", text_of(page), re.MULTILINE):
        for piece in _COLUMNS.split(re.sub(r"\s#\s.*", "", line)):
            piece = piece.removeprefix("$ ").removeprefix(".venv/bin/")
            if piece.startswith(name + " "):
                yield shlex.split(piece)[1:]


def codes(page: Path | str) -> list[str]:
    """What stands between backquotes within a line."""
    return re.findall(r"`([^`\n]+)`", text_of(page))
