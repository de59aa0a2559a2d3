"""`mqttlite board setup`: settings for a board on a serial port that waits for some."""

import argparse
import asyncio
import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...streams import say

if TYPE_CHECKING:
    from ....boards.reaching.improv_client import ImprovClient, Network

_DESCRIPTION = """\
Set up a board on a serial port (its USB socket): asks what it does not know, shows the networks that the board sees,
gives it its settings, which it keeps once its network has let it in, and waits until it has reached its broker. Any
device that speaks Improv over serial gets its Wi-Fi this way; one of mqttlite the whole record and a key of its own.

  mqttlite board setup                                          the only serial port there is; asks
  mqttlite board setup --port /dev/ttyUSB0 --settings board.toml
"""
WAIT_S = 45.0


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand to the parser of `mqttlite board`."""
    parser = subparsers.add_parser(
        "setup",
        help="settings for a board on a serial port",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", metavar="PORT", help="the board's serial port (the only one there is)")
    parser.add_argument("--baud", type=int, default=115200, metavar="B", help="of the console (%(default)d)")
    parser.add_argument("--settings", type=Path, metavar="BOARD.TOML", help="the settings; what they lack is asked for")
    parser.add_argument("--again", action="store_true", help="a board that has its settings gets these instead")
    parser.add_argument("--devices", type=Path, metavar="FILE", help="devices.toml (~/.config/mqttlite/devices.toml)")
    parser.add_argument(
        "--wait",
        type=float,
        default=WAIT_S,
        metavar="S",
        help="for the board to reach its broker (%(default)g; 0: not)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command; its exit code."""
    from ....boards.reaching.ports import NoPortError, choose
    from ....boards.settings.settings_file import exposed, read_settings

    values = read_settings(args.settings, partly=True) if args.settings else {}
    if args.settings and (warning := exposed(args.settings, values)):
        say(f"warning: {warning}")
    try:
        port = choose(args.port)
    except NoPortError as error:
        for line in str(error).splitlines():
            say(f"mqttlite board setup: {line}")
        return 1
    return asyncio.run(_set_up(args, port, values))


async def _set_up(args: argparse.Namespace, port: str, values: dict[str, Any]) -> int:
    from mqttlite_board import improv

    from ....boards.flashing.gateway_setup import keyed
    from ....boards.reaching.improv_client import ImprovClient
    from ....boards.settings.settings_file import urls_of
    from ....boards.updating.devices import Devices
    from ....serial.ports import open_port

    lines: asyncio.Queue[str] = asyncio.Queue()
    opened = open_port(port, args.baud)
    async with ImprovClient(opened, lines.put_nowait, baud=args.baud, reset=opened.reset_board) as board:
        state = await board.detect()
        info = await board.info()
        print(f"{port}: {info.name}: {info.firmware} {info.version} on {info.chip}")
        if not info.is_ours:
            return await _wifi_alone(board, values)
        if state == improv.PROVISIONED and not args.again:
            known = await board.settings()
            raise ValueError(f"'{known.get('name', info.name)}' has its settings; --again gives it others")
        await _ask_rest(values, board, info.name)
        device = keyed(Devices(args.devices), values)
        while not lines.empty():
            lines.get_nowait()
        address = await board.put({**values, "key": device.key, "counter": device.counter})
        print(f"'{values['name']}' has its settings{f' and the address {address}' if address else ''}")
        if urls_of(values)[0].startswith("serial:"):
            print(f"it reaches its broker through a gateway: mqttlite gateway --serial {port}")
            return 0
        return await _until_connected(lines, args.wait)


async def _until_connected(lines: "asyncio.Queue[str]", wait_s: float) -> int:
    """Show what the board prints until it is connected."""
    if not wait_s:
        return 0
    try:
        async with asyncio.timeout(wait_s):
            while True:
                line = await lines.get()
                print(f"    {line}")
                if line == "connected":
                    print("connected to its broker")
                    return 0
    except TimeoutError:
        say(f"it is not connected to its broker within {wait_s:g} s; what it prints is above")
        return 1


async def _wifi_alone(board: "ImprovClient", values: dict[str, Any]) -> int:
    """Any other device that speaks Improv."""
    await _ask_wifi(values, board)
    url = await board.set_wifi(values["wifi"]["name"], values["wifi"].get("password", ""))
    print(f"it is in the network{f': {url}' if url else ''}")
    return 0


async def _ask_rest(values: dict[str, Any], board: "ImprovClient", name: str) -> None:
    """What a record needs and nobody has said. Raises ValueError where nobody can be asked."""
    from ....boards.settings.settings_file import urls_of

    if "name" not in values:
        values["name"] = _asked("name of the board", name)
    if "url" not in values:
        print("How does it reach its broker? mqtt://HOST over Wi-Fi, or serial:usb through a gateway on this port")
        values["url"] = _asked("URL", "serial:usb")
    if any(url.startswith("mqtt") for url in urls_of(values)) and "wifi" not in values:
        await _ask_wifi(values, board)


async def _ask_wifi(values: dict[str, Any], board: "ImprovClient") -> None:
    if values.get("wifi", {}).get("name"):
        return
    networks = await board.scan()
    if not networks:  # it has no radio, or there is nothing in its reach
        return
    for number, network in enumerate(networks, 1):
        lock = "" if network.is_secured else ", open"
        print(f"  {number:2}  {network.name}  ({network.rssi} dBm, {network.strength}{lock})")
    chosen = _chosen(networks, _asked("network (number or name)", networks[0].name))
    values["wifi"] = {"name": chosen.name}
    if chosen.is_secured:
        values["wifi"]["password"] = getpass.getpass(f"password of {chosen.name}: ")


def _chosen(networks: "list[Network]", answer: str) -> "Network":
    from ....boards.reaching.improv_client import Network

    by_name = {network.name: network for network in networks}
    if answer in by_name:
        return by_name[answer]
    if answer.isdecimal() and 0 < int(answer) <= len(networks):
        return networks[int(answer) - 1]
    return Network(answer, -100, True)  # one that does not show itself


def _asked(question: str, default: str) -> str:
    from ....boards.settings.asking import Asker

    asker = Asker()
    if not asker.may_ask:
        raise ValueError(f"the {question} is not known: give it in --settings board.toml")
    return asker.text(question, default)
