"""`mqttlite flash`: from a bare board to its first message."""

import argparse
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import TIMED_OUT
from ..streams import say, why

if TYPE_CHECKING:
    from ...boards.reaching.first_message import First
    from ...boards.report import Report
    from ...boards.settings.asking import Asker


_DESCRIPTION = """\
Puts MicroPython, mqttlite and an application on a board, starts it, and waits for its first message.

Plug the board in; then, with the image of MicroPython that this command names when --image is left out:

  mqttlite flash --image ESP32_GENERIC-20250415-v1.25.0.bin

It finds port, chip and kind of board by itself, asks for a name and how the board reaches the broker (over the USB
cable or over Wi-Fi), checks the image, writes and verifies, resets the board, and prints the first message that has
arrived with all confirmations. For a board on the cable it is the gateway meanwhile; afterwards
`mqttlite gateway --serial PORT` is. Nothing is downloaded. What is interrupted, by a power cut too, is repaired by the
same command.

  mqttlite flash --image … --settings board.toml            asks nothing
  mqttlite flash --image … --settings fleet.csv             a board after the other, a row each
  mqttlite flash --image … --dry-run                        shows each step and writes nothing
  mqttlite flash --app my-sensor --app-only                 the application alone, what has changed of it, in seconds
"""

_EPILOG = """\
exit codes: 0 done; 1 error; 27 the board is written, but no message has come (--wait); 130 Ctrl-C"""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the program's parser."""
    parser = subparsers.add_parser(
        "flash",
        help="from a bare board to its first message",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = parser.add_argument_group("what goes onto the board")
    what.add_argument(
        "--image", type=Path, metavar="FILE", help="MicroPython 1.25 or newer for its chip: a .bin; a .uf2 for a Pico W"
    )
    what.add_argument("--sha256", metavar="HEX", help="what the SHA-256 of the image must be")
    what.add_argument("--app", type=Path, metavar="FOLDER", help="the application (one that measures the chip's heat)")
    what.add_argument(
        "--settings",
        type=Path,
        metavar="FILE",
        help="board.toml (the one in --app FOLDER); or fleet.csv for many boards, a row each",
    )
    what.add_argument(
        "--common", type=Path, metavar="FILE", help="a board.toml with what all rows of a fleet.csv share"
    )
    what.add_argument("--bundle", metavar="NAME", help="of mqttlite (the smallest that fits: docs/board.md)")
    what.add_argument("--name", help="name of the board, instead of the one in the settings")
    where = parser.add_argument_group("where")
    where.add_argument("--port", metavar="PATH", help="serial port of the board (the only one there is)")
    where.add_argument("--board", metavar="KIND", help="kind of board, a file of hardware/boards (found out, or asked)")
    where.add_argument(
        "--broker",
        metavar="URL",
        default="mqtt://localhost:1883",
        help="the broker as this computer reaches it, for a board on the cable (mqtt://localhost:1883)",
    )
    where.add_argument(
        "--link", metavar="PATH", help="serial port of the link, where it is not the USB socket: a second adapter"
    )
    where.add_argument(
        "--drive", type=Path, metavar="FOLDER", help="where the drive of a board is, for a .uf2 (the only one there is)"
    )
    where.add_argument(
        "--devices", type=Path, metavar="FILE", help="where keys of devices are kept (~/.config/mqttlite/devices.toml)"
    )
    how = parser.add_argument_group("how")
    how.add_argument(
        "--app-only", action="store_true", help="copy the application of --app alone, onto a board that runs already"
    )
    how.add_argument(
        "--romfs", action="store_true", help="mqttlite into the ROMFS of an image that has one: half the heap"
    )
    how.add_argument("--erase", action="store_true", help="erase the whole flash first")
    how.add_argument("--dry-run", action="store_true", help="show each step, write nothing")
    how.add_argument(
        "--wait", type=float, default=120.0, metavar="S", help="for the first message (120; 0: not at all)"
    )
    how.add_argument(
        "--baud", type=int, default=460800, help="speed of writing (460800); a slower one is tried by itself"
    )
    how.add_argument(
        "--no-stub", action="store_true", help="speak to the chip's own loader only: slower, fewer surprises"
    )
    how.add_argument("--json", action="store_true", help="say everything as JSON, an object a line")
    how.add_argument("-v", "--verbose", action="store_true", help="show what esptool says, too")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Do it; the exit code."""
    from ...boards.extras import MissingPartError
    from ...boards.reaching.chip import FlashError
    from ...boards.reaching.first_message import NotStartedError
    from ...boards.report import Report

    if args.verbose:
        logging.basicConfig(level=logging.DEBUG, format="    %(message)s")
        logging.getLogger("asyncio").setLevel(logging.WARNING)
    else:
        logging.getLogger("mqttlite").addHandler(
            logging.NullHandler()
        )  # what the gateway logs comes through the report
    report = Report(as_json=args.json)
    code = 1
    try:
        return _run(args, report)
    except NotStartedError as error:
        failure: Exception = error
        code = TIMED_OUT
    except (FlashError, MissingPartError, OSError, ValueError) as error:
        failure = error
    text = why(failure)
    report.error(text, code=code)
    for line in text.splitlines():
        say(f"mqttlite flash: {line}")
    return code


def _run(args: argparse.Namespace, report: "Report") -> int:
    from ...boards.extras import need
    from ...boards.reaching import ports
    from ...boards.settings.asking import Asker

    _check(args)
    need("esptool")
    need("littlefs")
    asker = Asker(may_ask=False if args.json else None)
    if args.settings and args.settings.suffix == ".csv":
        return _fleet(args, asker, report)
    known = _known(args)
    _look(args)
    if args.app_only:
        from ...boards.flashing import app_only

        return app_only.run(ports.choose(args.port), _application(args), report)
    path = args.port or "" if _is_uf2(args) else ports.choose(args.port)
    _flash(args, path, known, asker, report)
    return 0


def _look(args: argparse.Namespace) -> None:
    """At what is given, before a port is looked for: some mistakes are mistakes for any board. ValueError, OSError."""
    from ...boards import supplies
    from ...boards.images import board_files, firmware_image, uf2
    from ...boards.known import data

    if args.image and uf2.is_uf2(args.image):
        uf2.read(args.image)
    elif args.image:
        image = firmware_image.read(args.image)
        firmware_image.check(image, image.chip, args.sha256)
    if args.app:
        board_files.application(args.app)
    if args.board:
        data.get(args.board)
    if args.bundle:
        supplies.check_bundle(args.bundle)


def _check(args: argparse.Namespace) -> None:
    """Raise ValueError for options that contradict each other."""
    if args.common and not (args.settings and args.settings.suffix == ".csv"):
        raise ValueError(
            "--common is what the rows of a fleet have in common: give the table, too (--settings fleet.csv)"
        )
    if args.wait < 0:
        raise ValueError(f"--wait {args.wait:g}: must be 0 or more")
    if not 9600 <= args.baud <= 4000000:
        raise ValueError(f"--baud {args.baud}: must be 9600 to 4000000")
    if args.app_only and args.erase:
        raise ValueError("--erase erases everything, --app-only copies the application alone: leave one out")
    if args.app_only and not args.app:  # the starter's own would replace what the board runs
        raise ValueError("--app-only: of which application? Name its folder (--app FOLDER)")
    if args.app_only and args.dry_run:
        raise ValueError("--dry-run shows what would be flashed, --app-only copies at once: leave one out")
    if args.app_only and args.settings:
        raise ValueError(
            "--app-only copies no settings: leave out --settings (mqttlite board setup --again has others)"
        )


def _known(args: argparse.Namespace) -> dict[str, Any]:
    from ...boards.settings.settings_file import exposed, read_settings

    known: dict[str, Any] = {}
    beside = args.app / "board.toml" if args.app else None
    path = args.settings or (beside if beside and beside.exists() else None)
    if path:
        known = read_settings(path, partly=bool(args.name))
        if warning := exposed(path, known):
            say(f"mqttlite flash: {warning}")
    if args.name:
        known["name"] = args.name
    return known


def _is_uf2(args: argparse.Namespace) -> bool:
    from ...boards.images.uf2 import is_uf2

    return args.image is not None and is_uf2(args.image)


def _application(args: argparse.Namespace) -> Path:
    from ...boards.supplies import application_template

    return args.app or application_template()


def _flash(
    args: argparse.Namespace,
    path: str,
    known: dict[str, Any],
    asker: "Asker",
    report: "Report",
    check_mac: "Callable[[str], None] | None" = None,
) -> "First | None":
    from ...boards.flashing.flashing import Wishes, flash
    from ...boards.updating.devices import default_path

    if _is_uf2(args):
        from ...boards.flashing.drive_board import flash
    wishes = Wishes(
        path=path,
        image=args.image,
        sha256=args.sha256,
        application=_application(args),
        devices=args.devices or default_path(),
        broker=args.broker,
        board=args.board,
        bundle=args.bundle,
        link=args.link,
        drive=args.drive,
        baud=args.baud,
        stub=False if args.no_stub else None,
        erases=args.erase,
        uses_romfs=args.romfs,
        only_shows=args.dry_run,
        wait_s=args.wait,
        check_mac=check_mac,
    )
    return flash(wishes, known, asker, report)


def _fleet(args: argparse.Namespace, asker: "Asker", report: "Report") -> int:
    from ...boards.flashing import fleet
    from ...boards.settings.settings_file import read_fleet, read_settings

    common = read_settings(args.common, partly=True) if args.common else None
    rows = read_fleet(args.settings, common)

    def one(path: str, row: dict[str, Any], check_mac: "Callable[[str], None]") -> "First | None":
        return _flash(args, path, row, asker, report, check_mac)

    return 1 if fleet.run(args.settings, rows, args.port, one, report) else 0
