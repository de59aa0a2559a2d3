"""[ledger]: what has become of each message."""

from mqttlite.settings.found import Found

from .whole import Config

KEYS = ("ledger",)


def read(found: Found, config: Config) -> None:
    """Take the table over."""
    if "ledger" in found.data:
        with found.gathering("ledger"):
            config.ledger = found.table("ledger")
