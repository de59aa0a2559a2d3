"""Arguments of requests: of the right type, or a ValueError that names them."""

from typing import Any

TEXT_MAX = 1 << 16  # characters


def text(arguments: dict[str, Any], name: str, default: str | None = None) -> str:
    """A text. Without `default` it has to be there."""
    value = arguments.get(name, default)
    if not isinstance(value, str) or len(value) > TEXT_MAX or (default is None and not value):
        raise ValueError(f"{name} has to be a text")
    return value


def texts(arguments: dict[str, Any], *names: str) -> dict[str, str]:
    """Those of these that are there and not empty."""
    return {name: text(arguments, name) for name in names if arguments.get(name)}
