"""`mqttlite device`: devices of a broker or gateway: user, password, rights and settings in one step."""

import argparse
import getpass
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..showing.columns import table
from ..streams import Choice, say
from .chosen import settings_of

if TYPE_CHECKING:
    from mqttlite_gateway.radio.devices import NewDevice

    from ...broker.config.settings import Settings

_DESCRIPTION = """\
Adds a device to a broker or gateway: a user with a password that nobody chooses, rights by a template, and the settings
that the board needs, which are printed once, with a QR code. A broker that runs knows it at once.

  mqttlite device add greenhouse-7                            settings and QR code on the terminal
  mqttlite device add greenhouse-7 -o board.toml --qr 7.svg   into files that you alone can read
  mqttlite device add greenhouse-7 --wifi Garden              with the network; its password is asked for
  mqttlite device add pump-1 --template pump                  other rights: [devices.templates.pump] in the file
  mqttlite device add cellar --url serial:usb                 on a line of a gateway
  mqttlite device list
  mqttlite device renew greenhouse-7                          another password; the old one is of no use any more
  mqttlite device remove greenhouse-7                         its connection ends, and its session

The file of the broker or gateway is --config, or what is there of /etc/mqttlite/gateway.toml, /etc/mqttlite/broker.toml
and ./mqttlite-broker/broker.toml. It needs [access] password_file; mqttlite broker init makes all of it. A device that
is there stays as it is. A board gets its settings with mqttlite board setup --settings board.toml."""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the program's parser."""
    parser = subparsers.add_parser("device", help="add devices to a broker", description=_DESCRIPTION)
    inner = parser.add_subparsers(title="commands", dest="subcommand", metavar="COMMAND", required=True)

    def action(name: str, text: str) -> argparse.ArgumentParser:
        added = inner.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        added.add_argument("--config", type=Path, metavar="FILE", help="broker.toml or gateway.toml (see above)")
        added.add_argument(
            "--socket",
            metavar="PATH",
            help="the broker's control socket (the one that its file names, or that of the one broker that runs here)",
        )
        added.set_defaults(run=run)
        return added

    for name, text in (("add", "add a device"), ("renew", "another password for a device")):
        added = action(name, text)
        added.add_argument("name", metavar="NAME", help="of the device: its user, its client identifier")
        if name == "add":
            added.add_argument("--template", default="device", metavar="T", help="what it may do (device)")
        added.add_argument("--url", default="", metavar="URL", help="as it reaches the broker (as the file says)")
        added.add_argument("--wifi", metavar="NETWORK", help="its network; $WIFI_PASSWORD, or asked for")
        added.add_argument("-o", "--output", type=Path, metavar="FILE", help="write board.toml instead of printing it")
        added.add_argument("--qr", type=Path, metavar="FILE", help="write the QR code as .svg or .png")
        added.add_argument("--no-qr", action="store_true", help="no QR code on the terminal")
        added.add_argument(
            "--devices", type=Path, metavar="FILE", help="of devices' keys (~/.config/mqttlite/devices.toml)"
        )
        added.add_argument("--no-key", action="store_true", help="no key for updates and commands that are signed")
    action("list", "list the devices").add_argument("--json", action="store_true", help="print JSON")
    action("remove", "remove a device").add_argument("name", metavar="NAME", help="of the device")


def run(args: argparse.Namespace) -> int:
    """Do what is asked for; the exit code. ValueError, OSError: what cannot be."""
    from mqttlite_gateway.radio import devices

    settings = settings_of(args.config)
    if args.subcommand == "list":
        return _list(settings, args.json)
    if args.subcommand == "remove":
        say(devices.remove(settings, args.name))
        _tell_broker(args, settings, remove=args.name)
        return 0
    if args.output and args.output.exists():
        raise ValueError(f"{args.output} is there already: choose another name, or remove it")
    wifi = {"name": args.wifi, "password": _password(args.wifi)} if args.wifi else None
    key = "" if args.no_key else _key(args)
    if args.subcommand == "add":
        found = devices.add(settings, args.name, template=args.template, url=args.url, wifi=wifi, key=key)
    else:
        found = devices.renew(settings, args.name, url=args.url, wifi=wifi, key=key)
    if found.settings and not args.no_key:
        _keep_key(args, found.settings)
    for line in found.words:
        say(line)
    if found.settings:
        _hand_over(args, found)  # first: what stands nowhere else must not be lost
    _tell_broker(args, settings)
    return 0


def _list(settings: "Settings", as_json: bool) -> int:
    from mqttlite_gateway.radio.devices import listed

    found = listed(settings)
    if as_json:
        import dataclasses
        import json

        print(json.dumps([dataclasses.asdict(each) for each in found], indent=2))
    elif found:
        print(table(("device", "template", "added"), [(each.name, each.template, each.added or "-") for each in found]))
    else:
        say("there is no device yet: mqttlite device add NAME")
    return 0


def _key(args: argparse.Namespace) -> str:
    """The key that the device has, or a new one."""
    from ...boards.settings.settings_file import new_key
    from ...boards.updating.devices import Devices

    known = Devices(args.devices).find(args.name)
    return known.key if known and known.key else new_key()


def _keep_key(args: argparse.Namespace, record: dict[str, Any]) -> None:
    from ...boards.flashing.gateway_setup import keyed
    from ...boards.updating.devices import Devices

    keyed(Devices(args.devices), record)


def _tell_broker(args: argparse.Namespace, settings: "Settings", remove: str = "") -> None:
    """Have the broker of these settings, if it runs, read its files again, and end the session of a device that is none
    any more.
    """
    from .client import reach

    if settings.control is None and not args.socket:
        say("no broker has been told, for its file has [control] socket = false: it reads this at SIGHUP, or a restart")
        return
    try:
        with reach(args.socket or settings.control or None) as broker:
            broker.ask("reload")
            if remove and any(each["client"] == remove for each in broker.ask("sessions")):
                broker.ask("remove", client=remove)
    except OSError as error:
        if args.socket:
            raise
        say(f"no broker has been told, it reads this when it starts: {error}")
    except ValueError as error:
        there = f" ({'; '.join(error.lines)})" if isinstance(error, Choice) else ""
        raise ValueError(
            f"the files are written, and no broker has been told: {error}{there}; `mqttlite ctl --socket … "
            "reload` does it, or a restart"
        ) from None


def _hand_over(args: argparse.Namespace, found: "NewDevice") -> None:
    """The settings, with their secrets, and the QR code: this once."""
    from mqttlite_gateway.radio import devices

    if args.output:
        from ...broker.access.secret_files import write_secret

        write_secret(args.output, found.toml.encode())
        say(f"{args.output} has the settings: mqttlite board setup --settings {args.output}")
    else:
        say("its board.toml; the password is shown this once:")
        print(f"\n{found.toml}")
    if not found.qr:
        return
    if args.qr:
        devices.write_qr(found.qr, args.qr)
        say(f"{args.qr} has the URL with user name and password as a QR code")
    elif not args.no_qr and not args.output and sys.stdout.isatty():
        try:
            print(devices.terminal_qr(found.qr))
        except ValueError as error:
            say(str(error))


def _password(network: str) -> str:
    if "WIFI_PASSWORD" in os.environ:
        return os.environ["WIFI_PASSWORD"]
    if not sys.stdin.isatty():
        raise ValueError(f"the password of {network} is not known: put it into $WIFI_PASSWORD")
    return getpass.getpass(f"password of {network} (empty: an open network): ")
