"""What a board's bundle says in numbers, in words again: its errors, and its tracebacks. CPython only.

A bundle (tools/bundle) has no texts of errors: where the source says "no answer to PINGREQ within 5000 ms" it says
`E17[PINGREQ|5000]`. The texts are in board_errors.json, which the builder writes. docs/decisions/0025 has both formats.
"""

import bisect
import functools
import json
import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

_NUMBER = re.compile(r"(?<!\w)E(\d+)(\[|(?!\w))")
_FRAME = re.compile(r'File "([^"]*)", line (\d+), in (\S+)')
_QUOTED = re.compile(r"'(\w+)'")


@functools.cache
def texts() -> Mapping[int, str]:
    """The text of each number, {} for each value in it."""
    written = files(__package__).joinpath("board_errors.json").read_text(encoding="utf-8")
    return {int(number): text for number, text in json.loads(written).items()}


def explained(said: str) -> str:
    """`said`, lines of a board, with the numbers of errors turned into words; what is none of ours stays as it is."""
    return _explained(said, 0, "")[0]


def _explained(said: str, at: int, ends: str) -> tuple[str, int]:
    """Words for `said` from `at` to its end, or to the first of the characters `ends` outside a number; where that is.
    A value of a text may be a number again.
    """
    words = ""
    while at < len(said) and said[at] not in ends:
        found = _NUMBER.match(said, at)
        text = texts().get(int(found[1])) if found else None
        if not found or text is None:
            words += said[at]
            at += 1
            if ends and words[-1] == "[":  # brackets in a value, as around the number of a rule
                inner, at = _explained(said, at, "]\r\n")
                words += inner + said[at : at + 1]
                at += 1
            continue
        at = found.end()
        values = []
        open_ = found[2] == "["
        while open_ and at < len(said):
            value, at = _explained(said, at, "|]\r\n")
            values.append(value)
            open_ = said[at : at + 1] == "|"
            at += said[at : at + 1] in ("|", "]")
        first, *parts = text.split("{}")
        words += first + "".join((values.pop(0) if values else "?") + part for part in parts)
    return words, at


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
