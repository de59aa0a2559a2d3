"""`mqttlite board rotate`: a new password, and more, for a board that runs, over MQTT."""

import argparse
import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...streams import say

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_DESCRIPTION = """\
Give a board that runs a new password at the broker, over MQTT, sealed and signed with the device's key. The board keeps
the old one until a connection with the new one is confirmed, and goes back where there is none; a loss of power at any
moment leaves it with one that works. The password is made here, and never shown.

How the broker learns of it, once the board has it:

  --password-file FILE      Mosquitto's password file, followed by --reload COMMAND
  --password-command CMD    a command of yours that reads user name and password, a line each, on its standard input
  --new-password-file FILE  the broker has it already: the first line of FILE, which only its owner may read

  mqttlite board rotate pump-7 --password-file /etc/mosquitto/passwd --reload 'systemctl reload mosquitto'
  mqttlite board rotate pump-7 --password-command ./set-password.sh --url mqtt://admin@broker
  mqttlite board rotate pump-7 --key                                     a new device key, and no new password

MQTTLITE_PASSWORD is the password of the user in --url, who must be able to publish to the board's command topic and to
read its answers.
"""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand to the parser of `mqttlite board`."""
    parser = subparsers.add_parser(
        "rotate",
        help="a new password for a board that runs",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", metavar="NAME", help="the board, as devices.toml has it")
    parser.add_argument("--url", default="mqtt://localhost:1883", metavar="URL", help="the broker (%(default)s)")
    parser.add_argument("--password-file", type=Path, metavar="FILE", help="Mosquitto's password file")
    parser.add_argument("--reload", metavar="COMMAND", help="what makes the broker read that file again")
    parser.add_argument("--password-command", metavar="CMD", help="a command that sets the password at the broker")
    parser.add_argument("--new-password-file", type=Path, metavar="FILE", help="take the new password from this file")
    parser.add_argument("--username", metavar="NAME", help="a new user name, too")
    parser.add_argument(
        "--wifi", metavar="NETWORK", help="another network; its password is asked for, or $WIFI_PASSWORD"
    )
    parser.add_argument("--key", action="store_true", help="a new device key, too")
    parser.add_argument("--devices", type=Path, metavar="FILE", help="devices.toml (~/.config/mqttlite/devices.toml)")
    parser.add_argument(
        "--timeout", type=float, default=600, metavar="S", help="for the board to be back (%(default)g)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command; its exit code."""
    return asyncio.run(_rotate(args))


async def _rotate(args: argparse.Namespace) -> int:
    from ....boards.updating.devices import Devices
    from ....boards.updating.rotating import rotate
    from ....client import Client

    devices = Devices(args.devices)
    device = devices.get(args.name)
    new = _new(args)
    at_broker = _at_broker(args, new, args.username or device.username)
    password = os.environ.get("MQTTLITE_PASSWORD")
    options: dict[str, Any] = {"password": password} if password and "@" in args.url else {}
    async with Client(args.url, client_id=f"rotate-{os.getpid()}", **options) as client:
        await rotate(client, devices, args.name, new, at_broker=at_broker, say=say, done_s=args.timeout)
    return 0


def _new(args: argparse.Namespace) -> dict[str, Any]:
    """What the board gets."""
    from ....boards.settings.settings_file import new_key
    from ....boards.updating.rotating import new_password

    new: dict[str, Any] = {}
    ways = [args.password_file, args.password_command, args.new_password_file]
    if sum(way is not None for way in ways) > 1:
        raise ValueError("one of --password-file, --password-command, --new-password-file")
    if args.reload and not args.password_file:
        raise ValueError("--reload goes with --password-file")
    if args.new_password_file:
        new["password"] = _first_line(args.new_password_file)
    elif args.password_file or args.password_command:
        new["password"] = new_password()
    if args.username:
        new["username"] = args.username
    if args.wifi:
        new["wifi"] = {"name": args.wifi, "password": _wifi_password(args.wifi)}
    if args.key:
        new["key"] = new_key()
    if not new:
        raise ValueError(
            "nothing is new: give --password-file, --password-command, --new-password-file, --wifi or --key"
        )
    return new


def _first_line(path: Path) -> str:
    mode = path.stat().st_mode
    if mode & 0o077:
        raise ValueError(f"{path} holds a password, and others can read it (mode {mode & 0o777:o}): chmod 600 {path}")
    lines = path.read_text(encoding="utf-8").splitlines()
    if not lines or not lines[0]:
        raise ValueError(f"{path} is empty")
    return lines[0]


def _wifi_password(network: str) -> str:
    if "WIFI_PASSWORD" in os.environ:
        return os.environ["WIFI_PASSWORD"]
    import getpass

    return getpass.getpass(f"password of {network}: ")


def _at_broker(args: argparse.Namespace, new: dict[str, Any], username: str) -> "Callable[[], Awaitable[None]]":
    """What makes the broker know the new password."""
    from ....boards.updating import broker_passwords

    if (args.password_file or args.password_command) and not username:
        raise ValueError(f"the user name of '{args.name}' at the broker is not known: give --username")

    async def set_it() -> None:
        if args.password_file:
            broker_passwords.set_in_file(args.password_file, username, new["password"])
            if args.reload:
                await broker_passwords.reload(args.reload)
        elif args.password_command:
            await broker_passwords.run_command(args.password_command, username, new["password"])

    return set_it
