"""In which line of a TOML file a key is set, for errors that name it in text. Imports settings' toml_file."""

import re

from ...settings import toml_file

_KEYS = re.compile(r"\[(\d+)\]|([^.\[\]]+)")


def line_of(text: str, key: str, otherwise: int = 1) -> int:
    """The number of the line that sets a key such as `link.tx`, `uart[1].default.rx` or `pins.avoid[0].pins[2]`; of
    what it is in where it is missing; `otherwise` where that is missing, too.
    """
    at = tuple(int(number) if number else name for number, name in _KEYS.findall(key))
    return toml_file.line_of(text, at) or otherwise
