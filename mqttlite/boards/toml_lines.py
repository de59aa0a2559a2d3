"""In which line of a TOML file a key is set, for errors. Pure."""

import re

_HEADER = re.compile(r"\s*(\[{1,2})\s*([\w.-]+)\s*\]{1,2}")


def line_of(text: str, key: str, otherwise: int = 1) -> int:
    """The number of the line that sets a key such as `link.tx`, `uart[1].default.rx` or `pins.avoid[0].pins[2]`; of
    what it is in where it is missing; `otherwise` where that is missing, too.
    """
    places = _places(text)
    while key and key not in places:
        key = key[: max(key.rfind("."), key.rfind("["), 0)]
    return places.get(key, otherwise)


def _places(text: str) -> dict[str, int]:
    """The line of each table and key. Headers without a number stand for the last one of a list of tables."""
    found: dict[str, int] = {}
    counts: dict[str, int] = {}
    table = ""
    for number, line in enumerate(text.splitlines(), 1):
        header = _HEADER.match(line)
        if header:
            name = header[2]
            if header[1] == "[[":
                counts[name] = counts.get(name, -1) + 1
                found.setdefault(name, number)
                table = f"{name}[{counts[name]}]"
            else:
                table = name
            found[table] = number
            continue
        key = re.match(r'\s*"?([\w.-]+)"?\s*=', line)
        if key:
            name = f"{table}.{key[1]}" if table else key[1]
            found[name] = number
            for dot in re.finditer(r"\.", name):  # wifi.name = … sets something in `wifi`
                found.setdefault(name[: dot.start()], number)
    return found
