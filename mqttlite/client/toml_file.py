"""A TOML file as people save it, for the programs that have settings in one. CPython only; imports nothing of ours."""

import codecs
import tomllib
from pathlib import Path
from typing import Any

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
