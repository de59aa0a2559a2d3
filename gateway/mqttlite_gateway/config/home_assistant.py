"""[home_assistant]: announcing devices to Home Assistant."""

from mqttlite.settings.found import Found

from .whole import Config

KEYS = ("home_assistant",)


def read(found: Found, config: Config) -> None:
    """Take the table over."""
    if "home_assistant" in found.data:
        with found.gathering("home_assistant"):
            config.home_assistant = found.table("home_assistant")
