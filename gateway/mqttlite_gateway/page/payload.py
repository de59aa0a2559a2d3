"""How a payload is shown: as text where it is text, else as hexadecimal numbers; of a long one the beginning."""

from typing import Any

SHOWN_BYTES = 1024
_BLANKS = "\t\n\r"


def shown(payload: bytes, most: int = SHOWN_BYTES) -> dict[str, Any]:
    """`bytes`: its size; `text` or `hex`: what it is; `cut`: whether that is the beginning alone."""
    part = bytes(payload[:most])
    found: dict[str, Any] = {"bytes": len(payload), "cut": len(payload) > most}
    text = _text(part, found["cut"])
    if text is None:
        found["hex"] = part.hex(" ")
    else:
        found["text"] = text
    return found


def _text(part: bytes, is_cut: bool) -> str | None:
    try:
        text = part.decode()
    except UnicodeDecodeError as error:
        if not is_cut or error.end < len(part) or len(part) - error.start > 3:
            return None
        text = part[: error.start].decode()  # the cut goes through a sign
    return text if all(sign.isprintable() or sign in _BLANKS for sign in text) else None
