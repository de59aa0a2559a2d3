"""What a TOML file holds, and in which line: so that every mistake names file, line, table and key.

A place is a path of keys: ("limits", "filters"); in a list of tables with a number from 0 on: ("listener", 1, "url").
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any

Key = str | int

_SWITCHES = ("true", "false", "yes", "no", "on", "off")  # as people may write them


class Mistakes(ValueError):
    """What is wrong with a file. `lines`: all of it, a line for each mistake, in the order of the file."""

    def __init__(self, lines: list[str]) -> None:
        more = f" (and {len(lines) - 1} more; --test-config shows all)" if lines[1:] else ""
        super().__init__(lines[0] + more)
        self.lines = lines


class Found:
    """The content of a file. `data`: as tomllib has it, or none of it could be read (OSError is a ValueError here)."""

    def __init__(self, path: Path) -> None:
        from .toml_file import read_toml  # only who has a file loads it

        self.path = path
        try:
            self.data = read_toml(path)
        except ValueError as error:
            raise ValueError(_with_line_in_front(str(error), path)) from None
        self._mistakes: list[tuple[int, str]] = []
        self._line = 0  # of the last `where`

    def where(self, *at: Key) -> str:
        """How an error about this place begins."""
        self._line = self.line(*at)
        line = f": line {self._line}" if self._line else ""
        return f"{self.path}{line}: {label(self.data, at)}"

    def mistake(self, at: tuple[Key, ...], text: object) -> ValueError:
        """An error about this place, to be raised."""
        return ValueError(f"{self.where(*at)}{text}")

    @contextmanager
    def gathering(self, *at: Key) -> Iterator[None]:
        """A ValueError that ends the block is kept for `finish`, and the reader goes on behind it. `at`: the line of
        one that was not made with `where`.
        """
        self._line = 0
        try:
            yield
        except ValueError as error:
            line = self._line or (self.line(*at) if at else 0)  # which takes a while to find out
            self._mistakes.append((line, str(error)))

    @property
    def mistakes(self) -> int:
        """How many have been kept until now."""
        return len(self._mistakes)

    def finish(self) -> None:
        """Raise Mistakes where there are some."""
        if self._mistakes:
            raise Mistakes([text for _, text in sorted(self._mistakes, key=lambda each: each[0])])

    def names(self, at: tuple[Key, ...], known: Iterable[str], what: str = "key") -> None:
        """ValueError for a key below `at` that is none of `known`."""
        table: Any = self.data
        for key in at:
            table = table[key] if _has(table, key) else {}
        for name in table if isinstance(table, dict) else ():  # `table` and `tables` say that it is none
            self.name(at, name, known, what)

    def name(self, at: tuple[Key, ...], name: str, known: Iterable[str], what: str = "key") -> None:
        """ValueError where the key `name` below `at` is none of `known`."""
        try:
            check_name(name, known, what)
        except ValueError as error:
            raise self.mistake((*at, name), error) from None

    def table(self, key: str) -> dict[str, Any]:
        """The table of this name; an empty one where there is none."""
        value = self.data.get(key, {})
        if not isinstance(value, dict):
            raise self.mistake((key,), f"{key} has to be a table: write [{key}], and a line NAME = VALUE for each")
        return value

    def tables(self, key: str, for_each: str) -> list[dict[str, Any]]:
        """The tables [[key]]. `for_each`: what there is one for, as in "each pattern"."""
        value = self.data.get(key, [])
        if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
            raise self.mistake((key,), f"{key}: write [[{key}]] for {for_each}")
        return value

    def line(self, *at: Key) -> int:
        """The line in which this place begins, or else what it would be in; 0: there is none."""
        from .toml_file import line_of

        return line_of(self.path.read_text(encoding="utf-8-sig"), at)


def _with_line_in_front(error: str, path: Path) -> str:
    """What tomllib says of a file, with the line where all other mistakes have it."""
    found = re.fullmatch(rf"{re.escape(str(path))}: (.*) \(at (?:line (\d+), column \d+|end of document)\)", error)
    if not found:
        return error
    lines = path.read_bytes().rstrip().split(b"\n")
    line = int(found[2] or len(lines))
    shown = ""
    text = lines[line - 1].decode("utf-8", "replace") if line <= len(lines) else ""
    if found[1] == "Invalid value" and (bare := re.fullmatch(r"\s*([\w-]+)\s*=\s*([A-Za-z/][^\"'#]*)", text)):
        # Whatever it is, it is not shown: it may be a secret
        shown = f': a text stands in quotes, as in {bare[1]} = "..."'
        if bare[2].strip().lower() in _SWITCHES:
            shown = f": it is true or false, in small letters, or a text in quotes, as in {bare[1]} = true"
    if "overwrite" in found[1] and line <= len(lines):  # tomllib does not say what is there twice
        shown = f": {ascii(text.strip())[1:-1]:.60} is there twice, or in two ways"
    if path.suffix == ".conf" and found[1].startswith("Expected '='"):
        shown = "; if it is Mosquitto's, mqttlite broker import makes ours of it"
    return f"{path}: line {line}: {found[1]}{shown}"


def _has(data: Any, key: Key) -> bool:
    try:
        data[key]
    except (LookupError, TypeError):
        return False
    return True


def label(data: Any, at: tuple[Key, ...]) -> str:
    """How the table is written in which this place is, before what is said about it."""
    shown, name = "", ""
    for key in at:
        data = data[key] if _has(data, key) else None
        if isinstance(key, int):
            shown = f"[[{name}]] number {key + 1}: "
        elif isinstance(data, dict):
            name = f"{name}.{key}" if name else key
            shown = f"[{name}]: "
        else:
            name = f"{name}.{key}" if name else key
    return shown


def check_name(name: str, known: Iterable[str], what: str = "key") -> None:
    """ValueError for a name that is none of `known`, with the one that may be meant."""
    names = list(known)
    if name not in names:
        near = get_close_matches(name, names, 1)
        hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(names) or 'none'}"
        raise ValueError(f"there is no {what} {name!r:.60}{hint}")
