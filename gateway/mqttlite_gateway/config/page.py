"""[page]: the web page."""

from mqttlite.settings.found import Found

from .whole import Config

KEYS = ("page",)


def read(found: Found, config: Config) -> None:
    """Take the table over."""
    if "page" in found.data:
        with found.gathering("page"):
            config.page = found.table("page")
