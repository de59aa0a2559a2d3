"""[mdns]: announcing the broker in the local network."""

from mqttlite.settings.found import Found

from .whole import Config

KEYS = ("mdns",)


def read(found: Found, config: Config) -> None:
    """Take the table over."""
    if "mdns" in found.data:
        with found.gathering("mdns"):
            config.mdns = found.table("mdns")
