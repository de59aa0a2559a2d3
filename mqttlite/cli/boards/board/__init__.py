"""`mqttlite board`: a board's settings, and a board on a port. A module here is a subcommand, with `add_parser` as
those of `mqttlite` have it.

list  kinds that are known, and their pins        settings  board.toml, or a fleet.csv, to settings.json
new   a folder for an application                 setup     settings for a board on a port that waits for some
rotate  a new password, and more, for a board that runs
"""

import argparse
import importlib

SUBCOMMANDS = ("new", "list", "settings", "setup", "rotate")

_DESCRIPTION = """\
Boards: their settings, and setting them up.

  mqttlite board new my-sensor                            a folder for a new application
  mqttlite board list                                     kinds of boards and their pins
  mqttlite board settings board.toml -o settings.json     what a board has, from what people edit
  mqttlite board setup --port /dev/ttyUSB0                a board that waits for its settings gets them
  mqttlite board rotate pump-7                            a new password for a board that runs
"""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the program's parser."""
    parser = subparsers.add_parser(
        "board",
        help="boards: settings, setting one up",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    inner = parser.add_subparsers(title="commands", dest="subcommand", metavar="COMMAND", required=True)
    for name in SUBCOMMANDS:
        importlib.import_module(f"{__name__}.{name}").add_parser(inner)
