"""[limits]: any field of mqttlite.broker.Limits. And `--limit NAME=VALUE`.

[limits]
retained_message_bytes = "1 MiB"
"""

from dataclasses import fields
from typing import Any

from ...settings.found import Found, check_name
from ...settings.numbers import whole
from ..limits import NAMES, Limits
from .settings import Settings

KEYS = ("limits",)

_SWITCHES = {each.name for each in fields(Limits) if isinstance(each.default, bool)}
# Smaller ones would shut everybody out.
_LEAST = {"packet_bytes": 16, "turn_work": 1, "parked_bytes": 1, "inbound": 1, "store_bytes": 1 << 18}
_MOST = {"packet_bytes": 268_435_455, "topic_bytes": 65_535, "client_id_bytes": 65_535}


def read(found: Found, settings: Settings) -> None:
    """Take the table over."""
    for name, value in found.table("limits").items():
        with found.gathering():
            try:
                settings.limits[name] = limit(name, value)
            except ValueError as error:
                raise found.mistake(("limits", name), error) from None


def limit(name: str, value: object) -> Any:
    """The value of a limit, checked. `value`: a number, in a string also with KiB, MiB or GiB behind it."""
    check_name(name, NAMES, "limit")
    if name in _SWITCHES:
        if isinstance(value, bool) or value in ("true", "false"):
            return value is True or value == "true"
        raise ValueError(f"{name} has to be true or false, not {value!r:.60}")
    unit = "bytes" if name.endswith("_bytes") else "ms" if name.endswith("_ms") else ""
    least = _LEAST.get(name, 0)
    most = _MOST.get(name, 1 << 62)
    number = whole(value, unit == "bytes")
    if number is None or not least <= number <= most:
        kind = f"a whole number ({unit})" if unit else "a whole number"
        sizes = ' or a size as "8 MiB"' if unit == "bytes" else ""
        bounds = f" from {least} to {most}" if name in _MOST else f" from {least} on"
        raise ValueError(f"{name} has to be {kind}{sizes}{bounds}, not {value!r:.60}")
    return number


def option(text: str, option_name: str = "--limit") -> tuple[str, Any]:
    """`NAME=VALUE`, as it stands behind `--limit`."""
    name, mark, value = text.partition("=")
    if not mark:
        raise ValueError(f"--limit {text}: write --limit NAME=VALUE, as in --limit retained_bytes=256MiB")
    try:
        return name, limit(name, value)
    except ValueError as error:
        raise ValueError(f"{option_name}: {error}") from None
