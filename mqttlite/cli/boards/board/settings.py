"""`mqttlite board settings`: board.toml, or a fleet.csv, to the settings.json of boards."""

import argparse
from pathlib import Path

from ...streams import say

_DESCRIPTION = """\
Check board.toml, and write what a board has: settings.json. Of a fleet.csv, whose columns are keys (name,
wifi.password, app.every_s), a file for each board, into a folder. Without -o it checks alone. What it writes holds
secrets and is readable for its owner alone.

  mqttlite board settings board.toml -o settings.json
  mqttlite board settings --fleet fleet.csv board.toml -o boards/

With both, board.toml has what all boards have in common.
"""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand to the parser of `mqttlite board`."""
    parser = subparsers.add_parser(
        "settings",
        help="check board.toml, make settings.json",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", type=Path, nargs="?", metavar="BOARD.TOML", help="the settings of one board, or of all")
    parser.add_argument("--fleet", type=Path, metavar="FLEET.CSV", help="a line for each board")
    parser.add_argument("-o", "--output", type=Path, metavar="PLACE", help="settings.json, or with --fleet a folder")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command; its exit code."""
    from ....boards.settings.settings_file import exposed, read_fleet, read_settings, to_json
    from ....broker.access.secret_files import write_secret

    if args.file is None and args.fleet is None:
        raise ValueError("give a board.toml, or --fleet fleet.csv")
    values = read_settings(args.file, partly=args.fleet is not None) if args.file else {}
    if args.file and (warning := exposed(args.file, values)):
        say(f"warning: {warning}")
    if args.fleet is None:
        if args.output:
            write_secret(args.output, to_json(values))
        print(f"{args.file}: the settings of '{values['name']}' are right")
        return 0
    fleet = read_fleet(args.fleet, values)
    if args.output:
        args.output.mkdir(parents=True, exist_ok=True)
        for each in fleet:
            write_secret(args.output / f"{each['name']}.json", to_json(each))
    print(f"{args.fleet}: the settings of {len(fleet)} boards are right")
    return 0
