"""SIGHUP: the file and all files that it names are read again, and hold from then on, all of it or nothing.

What cannot change while the gateway runs is told apart before anything does: `RESTART`. Lines, upstreams and clients of
the broker inside that are as they were are left alone.
"""

from mqttlite.broker.config.make_access import check_rules_stay

from .settings.errors import ConfigError
from .settings.whole import Config

RESTART = ("mode", "console", "provision", "page")
BESIDE = ("mdns", "home_assistant")  # whoever is about these looks at the configuration now and then
OF_BROKER = ("store", "ledger", "server_reference", "metrics", "control", "log")  # above the first table, and tables


def check_same(before: Config, after: Config) -> None:
    """ConfigError for what needs a restart."""
    for name in RESTART:
        if getattr(before, name) != getattr(after, name):
            raise ConfigError(f"{after.where(name)}{name} is another one, which needs a restart of the gateway")
    for name in OF_BROKER:
        if getattr(before.broker, name) != getattr(after.broker, name):
            raise ConfigError(f"{after.where(name)}{name} is another one, which needs a restart of the gateway")
    try:
        check_rules_stay(before.broker, after.broker)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    if before.broker.limits.get("store_bytes") != after.broker.limits.get("store_bytes"):
        where = after.where("limits", "store_bytes")
        raise ConfigError(f"{where}store_bytes is another one, which needs a restart of the gateway")
