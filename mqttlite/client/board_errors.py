"""What a board's bundle says in numbers, in words again: its errors, and its tracebacks. CPython only.

A bundle (tools/bundle) has no texts of errors: where the source says "no answer to PINGREQ within 5000 ms" it says
`E17;PINGREQ;5000`. The texts are in board_errors.json, which the builder writes. docs/decisions/0025 has both formats.
"""

import bisect
import functools
import json
import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

_NUMBER = re.compile(r"\bE(\d+)((?:;[^;\r\n]*)*)")
_FRAME = re.compile(r'File "([^"]*)", line (\d+), in (\S+)')
_QUOTED = re.compile(r"'(\w+)'")


@functools.cache
def texts() -> Mapping[int, str]:
    """The text of each number, {} for each value in it."""
    written = files(__package__).joinpath("board_errors.json").read_text(encoding="utf-8")
    return {int(number): text for number, text in json.loads(written).items()}


def explained(said: str) -> str:
    """`said`, lines of a board, with the numbers of errors turned into words; what is none of ours stays as it is."""
    return _NUMBER.sub(_words, said)


def _words(found: re.Match[str]) -> str:
    text = texts().get(int(found[1]))
    if text is None:
        return found[0]
    first, *parts = text.split("{}")
    values = found[2].split(";")[1:]
    filled = first + "".join((values.pop(0) if values else "?") + part for part in parts)
    return ";".join([filled, *values])


def traced(said: str, trace: Mapping[str, Any]) -> str:
    """`said`, lines of a board, with the places and names of a bundle turned back into those of the source.

    `trace` is the trace.json that was written with the bundle.
    """
    lines: Mapping[str, list[list[Any]]] = trace["lines"]
    names: Mapping[str, list[str]] = trace["names"]

    def frame(found: re.Match[str]) -> str:
        file, line, name = found.groups()
        if file not in lines:
            return found[0]
        starts = [start for start, _, _ in lines[file]]
        at = bisect.bisect_right(starts, int(line)) - 1
        if int(line) > 1 and at >= 0:  # line 1 is what stands there where mpy-cross has left the numbers out
            _, file, line = lines[file][at]
        return f'File "{file}", line {line}, in {" or ".join(names.get(name, [name]))}'

    said = _FRAME.sub(frame, said)
    return _QUOTED.sub(lambda found: f"'{' or '.join(names.get(found[1], [found[1]]))}'", said)
