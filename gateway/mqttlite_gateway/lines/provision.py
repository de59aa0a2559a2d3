"""[provision] in gateway.toml: settings for boards that wait for some on one of the gateway's ports. A record as in
board.toml, but `name` is a pattern, and `devices` says where the key of each is kept. How a board is set up is the
business of whoever starts the gateway (GatewayLine's `set_up`).
"""

import os
from typing import Any

from mqttlite_board.settings import SettingError, check

NAME = "{name}"
URL = "serial:usb"
NOT_OF_ONE = ("key", "counter", "trial", "topic")  # what all boards would share


def check_provision(table: Any) -> None:
    """Raise SettingError for what no board can be given."""
    if not isinstance(table, dict):
        raise SettingError("must be a table of settings, as in board.toml")
    for key in NOT_OF_ONE:
        if key in table:
            raise SettingError(f"{key}: must differ from board to board, and each gets its own")
    if not isinstance(table.get("devices", ""), str):
        raise SettingError("devices: must be the path of a file")
    record_for(table, "board-1a2b3c", "/dev/ttyUSB0")


def record_for(table: dict[str, Any], board: str, port: str) -> dict[str, Any]:
    """The settings, checked, for a board that calls itself `board`, on `port`. Raises SettingError."""
    pattern = table.get("name", NAME)
    if not isinstance(pattern, str) or not ("{name}" in pattern or "{port}" in pattern):
        raise SettingError("name: must have {name} or {port} in it, so that no two boards share one")
    name = pattern.replace("{name}", board).replace("{port}", os.path.basename(port))
    if "{" in name or "}" in name:
        raise SettingError("name: only {name} and {port} can stand in braces")
    values = {key: value for key, value in table.items() if key != "devices"}
    values = {"url": URL, **values, "name": name}
    check(values)
    return values
