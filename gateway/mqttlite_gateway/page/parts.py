"""What browsers are shown, in parts, each a piece of JSON under a name of its own: a browser is sent what has changed
since it was sent something last. So one that is slow misses states and never gets more than one of them. No I/O.
"""

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any


class Parts:
    """`put_all` tells what there is now; `news` what a browser does not know yet."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._versions: dict[str, int] = {}
        self._version = 0

    def put_all(self, found: Mapping[str, Any], kinds: Iterable[str]) -> bool:
        """All parts of these kinds (the word in front of the slash) as they are now; whether something is new."""
        kinds = frozenset(kinds)
        before = self._version
        for name in [name for name in self._texts if kind_of(name) in kinds and name not in found]:
            del self._texts[name], self._versions[name]
            self._version += 1
        for name, value in found.items():
            text = as_json(value)
            if self._texts.get(name) != text:
                self._version += 1
                self._texts[name] = text
                self._versions[name] = self._version
        return self._version != before

    def news(self, known: dict[str, int]) -> str:
        """JSON of what is not `known`, which it knows afterwards; "": nothing. `known`: the browser's, its version of
        each part.
        """
        changed = [name for name, version in self._versions.items() if known.get(name) != version]
        gone = [name for name in known if name not in self._versions]
        if not changed and not gone:
            return ""
        for name in gone:
            del known[name]
        for name in changed:
            known[name] = self._versions[name]
        pairs = ",".join(f"{json.dumps(name)}:{self._texts[name]}" for name in changed)
        return f'{{"set":{{{pairs}}},"gone":{json.dumps(gone)}}}'


def kind_of(name: str) -> str:
    """The kind of a part: `line` of line//dev/ttyUSB0."""
    return name.partition("/")[0]


def as_json(value: Any) -> str:
    """In one line, as browsers read it: numbers that are none become null."""
    return json.dumps(_plain(value), separators=(",", ":"), allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 3) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(each) for each in value]
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if value is None or isinstance(value, str | int):
        return value
    return str(value)
