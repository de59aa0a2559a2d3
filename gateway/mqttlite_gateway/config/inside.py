"""The tables of broker.toml, for the broker inside: read by its own modules. They are of use in bridge mode alone."""

from mqttlite.broker.config import TABLES
from mqttlite.settings.found import Found

from ..settings.whole import Config

OF_ALL = (
    "log",
    "metrics",
    "access",
    "groups",
    "rule",
    "devices",
)  # which a gateway that forwards has, too: its page has users
KEYS = tuple(key for table in TABLES for key in table.KEYS)


def read(found: Found, config: Config) -> None:
    """Take them over."""
    config.broker.found = found
    if not config.is_bridge:
        for name in found.data:
            if name in KEYS and name not in (*OF_ALL, "tls"):
                with found.gathering(name):
                    text = f'{name} is for the broker of bridge mode: add mode = "bridge" above the first table'
                    raise found.mistake((name,), text)
    for table in TABLES:
        if config.is_bridge or not set(table.KEYS).isdisjoint(OF_ALL):
            with found.gathering():
                table.read(found, config.broker)
