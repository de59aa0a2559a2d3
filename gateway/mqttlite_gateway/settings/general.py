"""mode and console: what they may be."""

import os

from mqttlite.core.shown import shown

from .errors import ConfigError

FORWARD = "forward"  # each device has a connection of its own to a broker elsewhere
BRIDGE = "bridge"  # the broker is inside, and passes on what it holds
MODES = (FORWARD, BRIDGE)
AUTO = "auto"
SOCKET_MAX = 107  # bytes of the path of a Unix socket


def check_mode(mode: str) -> None:
    """ConfigError for one that there is not."""
    if mode not in MODES:
        raise ConfigError(f"mode '{shown(mode)}': there are {' and '.join(MODES)}")


def check_console(path: str) -> None:
    """ConfigError for a path that no socket can have."""
    if path not in ("", AUTO) and not (path[0] == "/" and len(os.fsencode(path)) <= SOCKET_MAX):
        raise ConfigError(f"console '{shown(path)}': must be a path of at most {SOCKET_MAX} bytes that begins with /")
