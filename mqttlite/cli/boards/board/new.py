"""`mqttlite board new`: a folder for a new application."""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

_DESCRIPTION = """\
Make a folder for a new application: app.py, the one place to edit; board.toml, the settings of this board with a key of
its own; tests that run on this computer; a README. Nothing that is there is overwritten. `mqttlite flash` and `mqttlite
board setup` enter the board and its key into devices.toml, which signs its updates, when they set it up.

  mqttlite board new my-sensor                                     on the board's USB socket
  mqttlite board new my-sensor --board esp32-devkitc --uart        on the UART and the pins that its board file names
  mqttlite board new my-sensor --wifi Garden --broker 192.168.1.10

Of --serial, --uart and --wifi two may be given: the board takes the first that works. The password of the network is
asked for; where nobody can be asked, $WIFI_PASSWORD is it.
"""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand to the parser of `mqttlite board`."""
    parser = subparsers.add_parser(
        "new",
        help="make a folder for a new application",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", metavar="NAME", help="of the board: its client identifier, its name on a serial line")
    parser.add_argument("--folder", type=Path, metavar="FOLDER", help="where to (default: NAME, here)")
    parser.add_argument("--board", metavar="BOARD", help="which kind it is (`mqttlite board list`): its pins")
    parser.add_argument("--serial", action="store_true", help="on its USB socket (what it is without any of these)")
    parser.add_argument("--uart", action="store_true", help="on a UART of its own; with --board")
    parser.add_argument("--wifi", metavar="NETWORK", help="over Wi-Fi; with --broker")
    parser.add_argument("--broker", metavar="HOST[:PORT]", help="the broker, as the board reaches it")
    parser.add_argument(
        "--ca", metavar="FILE", help="the certificate of that broker or of its CA, where it is mqtts://HOST"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command; its exit code. SettingError, ValueError: what cannot be; OSError."""
    from ....boards.settings.application_folder import make

    folder = args.folder or Path(args.name)
    values = _settings(args)
    files = make(folder, values)
    print(f"{folder}{os.sep}: {', '.join(files)}")
    if "wifi" in values and not values["wifi"].get("password"):
        print("wifi.password is not set: write it into board.toml, unless the network is an open one")
    print(f"next: cd {folder}; python3 -m pytest; mqttlite flash --app .")
    return 0


def _settings(args: argparse.Namespace) -> dict[str, Any]:
    from ....boards.known import data
    from ....boards.settings.settings_file import new_key
    from ....boards.settings.trusted_certificate import as_setting

    if (args.ca is not None) != (args.broker or "").startswith("mqtts://"):
        raise ValueError("--ca and --broker mqtts://HOST go together: a board is told whom it may trust")
    if (args.wifi is None) != (args.broker is None):
        raise ValueError("--wifi and --broker go together: the network, and the broker in it")
    urls = []
    values: dict[str, Any] = {"name": args.name, "key": new_key()}
    found = data.get(args.board) if args.board else None
    if args.uart:
        if found is None:
            raise ValueError("--uart needs --board, which says on which pins; `mqttlite board list` shows them")
        urls.append(found.link.url)
    if args.serial or (not args.uart and args.wifi is None):
        urls.append("serial:usb")
    if args.wifi is not None:
        urls.append(args.broker if "://" in args.broker else f"mqtt://{args.broker}")
        if args.ca is not None:
            values["ca"] = as_setting(args.ca, Path())
        values["wifi"] = {"name": args.wifi, "password": _password(args.wifi)}
    if len(urls) > 2:
        raise ValueError("two of --serial, --uart and --wifi at most")
    values["url"] = urls[0] if len(urls) == 1 else urls
    if found and found.plain_led is not None:
        values["led"] = found.plain_led
    return values


def _password(network: str) -> str:
    if "WIFI_PASSWORD" in os.environ:
        return os.environ["WIFI_PASSWORD"]
    if not sys.stdin.isatty():
        return ""
    import getpass

    return getpass.getpass(f"password of {network} (empty: an open network, or later): ")
