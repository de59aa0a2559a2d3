"""[[bus]]: serial lines that several devices share, which are polled (RS-485)."""

from mqttlite.settings.found import Found

from .whole import Config

KEYS = ("bus",)


def read(found: Found, config: Config) -> None:
    """Take the tables over."""
    with found.gathering("bus"):
        config.buses = found.tables("bus", "each line that devices share")
