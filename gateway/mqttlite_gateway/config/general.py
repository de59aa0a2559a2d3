"""mode, and console: keys above the first table that belong to no other module."""

import os

from mqttlite.core.shown import shown
from mqttlite.settings.found import Found

from .errors import ConfigError
from .values import top_value
from .whole import AUTO, BRIDGE, FORWARD, Config

KEYS = ("mode", "console")

MODES = (FORWARD, BRIDGE)
SOCKET_MAX = 107  # bytes of the path of a Unix socket


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


def check_mode(mode: str) -> None:
    """ConfigError for one that there is not."""
    if mode not in MODES:
        raise ConfigError(f"mode '{shown(mode)}': there are {' and '.join(MODES)}")


def check_console(path: str) -> None:
    """ConfigError for a path that no socket can have."""
    if path not in ("", AUTO) and not (path[0] == "/" and len(os.fsencode(path)) <= SOCKET_MAX):
        raise ConfigError(f"console '{shown(path)}': must be a path of at most {SOCKET_MAX} bytes that begins with /")
