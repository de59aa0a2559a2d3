"""[home_assistant]: telling Home Assistant of the devices (settings/home_assistant.py has its keys)."""

from typing import Any

from mqttlite.settings.found import Found

from ..settings.home_assistant import HomeSettings, Reading
from ..settings.whole import Config
from .values import values_of

KEYS = ("home_assistant",)


def read(found: Found, config: Config) -> None:
    """Take the table over."""
    if "home_assistant" not in found.data:
        return
    at = ("home_assistant",)
    with found.gathering(*at):
        table = found.table("home_assistant")
        readings = table.get("reading", [])
        if not isinstance(readings, list) or not all(isinstance(each, dict) for each in readings):
            raise found.mistake((*at, "reading"), "write [[home_assistant.reading]] for each")
        made = []
        for number in range(len(readings)):
            with found.gathering(*at, "reading", number):
                made.append(_reading(found, number))
        values: dict[str, Any] = values_of(found, at, HomeSettings, but=("reading",), others=("reading",))
        try:
            config.home_assistant = HomeSettings(**values, reading=tuple(made))
        except ValueError as error:
            raise found.mistake((*at, str(error).partition(":")[0].split()[0]), error) from None


def _reading(found: Found, number: int) -> Reading:
    at = ("home_assistant", "reading", number)
    values = values_of(found, at, Reading)
    for key in ("topic", "name"):
        if key not in values:
            raise found.mistake(at, f"{key} is missing")
    try:
        return Reading(**values)
    except ValueError as error:
        raise found.mistake((*at, str(error).partition(":")[0]), error) from None
