"""What a gateway does with a board that waits for its settings: what [provision] says, and a key of its own."""

import dataclasses
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from mqttlite_board import improv
from mqttlite_gateway.lines.provision import record_for

from ...core.shown import shown
from ...serial.ports import open_port
from ..reaching.improv_client import BoardError, ImprovClient
from ..settings.settings_file import new_key, urls_of
from ..updating.devices import Device, Devices


def setter_up(table: dict[str, Any]) -> Callable[[str, int], Awaitable[str]]:
    """For GatewayLine: sets up the board on a port as `table` says; what was done, in words."""
    devices = Devices(Path(table["devices"]) if table.get("devices") else None)

    async def set_up(path: str, baud: int) -> str:
        async with ImprovClient(open_port(path, baud), baud=baud) as board:
            if await board.detect() != improv.READY:
                raise BoardError("it has its settings by now")
            info = await board.info()
            if not info.is_ours:
                raise BoardError(f"it runs {shown(info.firmware)}, not mqttlite's program")
            device = keyed(devices, record_for(table, info.name, path))
            address = await board.put(
                {**record_for(table, info.name, path), "key": device.key, "counter": device.counter}
            )
        at = f" at {shown(address)}" if address else ""
        return f"the board is set up as '{shown(device.name)}'{at}; its key is in {devices.path}"

    return set_up


def keyed(devices: Devices, values: dict[str, Any]) -> Device:
    """The device of a record, known to this computer from now on: with the key that it had, or a new one. Kept before
    the board gets it: a key that nobody has can sign nothing.
    """
    known = devices.find(values["name"]) or Device(values["name"])
    device = dataclasses.replace(
        known,
        key=values.get("key") or known.key or new_key(),
        topic=values.get("topic", ""),
        url=urls_of(values)[0],
        username=values.get("username") or "",
    )
    devices.put(device)
    return device
