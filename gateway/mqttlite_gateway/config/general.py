"""mode, and console: keys above the first table that belong to no other module."""

from mqttlite.settings.found import Found

from ..settings.general import BRIDGE, FORWARD, check_console, check_mode
from ..settings.whole import Config
from .values import top_value

KEYS = ("mode", "console")


def read(found: Found, config: Config) -> None:
    """Take them over; [[upstream]] alone says which mode it is, too."""
    with found.gathering():
        upstream = found.data.get("upstream")
        implied = BRIDGE if isinstance(upstream, list) and all(isinstance(each, dict) for each in upstream) else FORWARD
        config.mode = implied
        config.mode = top_value(found, "mode", str, implied, check_mode, '"bridge"')
        if config.mode == FORWARD and implied == BRIDGE:
            raise found.mistake(("mode",), "mode is forward, and [[upstream]] is the bridge's: leave one of them out")
    with found.gathering():
        config.console = top_value(found, "console", str, config.console, check_console, '"auto"')
