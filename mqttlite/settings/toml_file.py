"""A TOML file as people save it, for the programs that have settings in one. CPython only; imports nothing of ours."""

import codecs
import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Key = str | int
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_toml(path: Path) -> dict[str, Any]:
    """What the file holds; a byte order mark is no part of it. ValueError names the file, and the line where one is
    wrong.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from None
    if raw[:2] in _UTF_16:
        raise ValueError(f"{path}: is UTF-16 ('Unicode' in a Windows editor); save it as UTF-8")
    try:
        return tomllib.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{path}: line {line} is not UTF-8; save the file as UTF-8") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def line_of(text: str, at: tuple[Key, ...]) -> int:
    """The line in which a place of a file begins, or else what it would be in; 0: neither is there. `at`: a path of
    keys, as ("limits", "filters"), with numbers from 0 on in lists.

    A file is cut off behind a line, and what is left is read: the place begins in the line behind the longest part
    that can be read and has it not. That is right for every form that TOML has for it.
    """
    lines = text.split("\n")
    data = tomllib.loads(text)
    while at and not _has(data, at):
        at = at[:-1]
    if not at:
        return 0
    low, high = 0, len(lines)  # a part of `low` lines has it not, one of `high` lines has it
    while high - low > 1:
        middle = (low + high) // 2
        part = middle
        while part > low and (found := _read(lines[:part])) is None:
            part -= 1
        if part == low:  # from `low` to `middle` is one value of several lines, perhaps the one that is looked for
            part = middle
            while (found := _read(lines[:part])) is None:
                part += 1
            if part >= high or _has(found, at):
                return low + 1
            low = part
        elif _has(found, at):
            high = part
        else:
            low = part
    return high


def toml_text(values: Mapping[str, Any]) -> str:
    """A file with these values and, one level deep, tables; what is None is left out."""
    plain = {key: value for key, value in values.items() if value is not None}
    lines = [f"{toml_key(key)} = {toml_value(value)}" for key, value in plain.items() if not isinstance(value, dict)]
    for key, value in plain.items():
        if isinstance(value, dict) and value:
            lines += ["", f"[{toml_key(key)}]"]
            lines += [f"{toml_key(name)} = {toml_value(inner)}" for name, inner in value.items()]
    return "\n".join(lines) + "\n"


def toml_value(value: Any) -> str:
    """A value as TOML has it."""
    if isinstance(value, str):
        # What JSON escapes TOML escapes alike, but for DEL, and for what lies outside the first plane.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml_key(key)} = {toml_value(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml_value, value)) + "]"
    return json.dumps(value)


def toml_key(key: str) -> str:
    """A key as TOML has it."""
    return key if re.fullmatch("[A-Za-z0-9_-]+", key) else toml_value(key)


def _read(lines: list[str]) -> dict[str, Any] | None:
    try:
        return tomllib.loads("\n".join(lines))
    except ValueError:
        return None


def _has(data: Any, at: tuple[Key, ...]) -> bool:
    try:
        for key in at:
            data = data[key]
    except (LookupError, TypeError):
        return False
    return True
