"""Numbers as people write them in a file or an option."""

import re

_UNITS = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_NUMBER = re.compile(r"([0-9][0-9_]{,40})\s*(KiB|MiB|GiB|)")


def whole(value: object, is_size: bool) -> int | None:
    """A whole number, also as a text; of bytes (`is_size`) with KiB, MiB or GiB behind it. None: it is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    found = _NUMBER.fullmatch(value.strip()) if isinstance(value, str) else None
    if not found or (found[2] and not is_size):
        return None
    return int(found[1]) * _UNITS[found[2]]
