"""What others sent, in a form that a log and a terminal can take: escaped, and bounded. CPython."""

from .characters import unwanted

MOST = 64  # characters


def shown(data: bytes | bytearray | memoryview | str, most: int = MOST) -> str:
    """`data` as text on one line: what is not printable, or not UTF-8, as an escape sequence such as \\x1b; at most
    `most` characters, with … in the last place when there was more.
    """
    if not isinstance(data, str):
        data = bytes(data[: 4 * most + 4]).decode(errors="backslashreplace")
    text = "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in data[: most + 1])
    return text if len(text) <= most else text[: most - 1] + "…"


def sendable(text: str) -> str:
    """`text` as a string of MQTT may carry it to any receiver: what has no place there (U+0000 and surrogates [1.5.4]),
    or what a receiver may close the connection for (characters.py), as an escape sequence such as \\x1b.
    """
    if text.isprintable():
        return text
    return "".join(sign.encode("unicode_escape").decode() if _is_unwanted(sign) else sign for sign in text)


def _is_unwanted(sign: str) -> bool:
    return 0xD800 <= ord(sign) <= 0xDFFF or bool(unwanted(sign))


def amount(size: int) -> str:
    """A number of bytes in words."""
    if size < 1000:
        return f"{size} byte{'s' * (size != 1)}"
    return f"{size / 1000:.1f} kB" if size < 100_000 else f"{size // 1000} kB"
