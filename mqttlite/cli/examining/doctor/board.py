"""`mqttlite doctor` of a board, from its port to a message that survives a power cut."""

import argparse
import sys
from typing import TYPE_CHECKING

from ...streams import say
from .showing import show

if TYPE_CHECKING:
    from ....boards.known.data import BoardData

# Options of a board; any of them says that one is meant.
_OPTIONS = ("port", "board", "broker", "link", "joined", "reset", "chip")


def add_options(parser: "argparse._ArgumentGroup") -> None:
    """Those of a board."""
    parser.add_argument("--port", metavar="PATH", help="serial port of the board (the only one there is)")
    parser.add_argument("--board", metavar="KIND", help="kind of board: `mqttlite board list`")
    parser.add_argument("--bundle", default="all", metavar="NAME", help="the bundle that the board should have (all)")
    parser.add_argument("--broker", metavar="URL", help="the broker, as this computer reaches it")
    parser.add_argument("--link", metavar="PATH", help="port of the link, where it is not the USB socket")
    parser.add_argument("--joined", action="store_true", help="TX and RX of the link are joined: do not ask")
    parser.add_argument("--reset", action="store_true", help="restart the board instead of asking for a power cut")
    parser.add_argument("--chip", action="store_true", help="ask the chip, though it cannot be reset afterwards")
    parser.add_argument("--wait", type=float, default=60.0, metavar="S", help="for each step with the program (60)")


def is_asked_for(args: argparse.Namespace) -> bool:
    """Whether a board is meant, and not this machine: by an option, or by a step that only boards have."""
    if any(getattr(args, name) for name in _OPTIONS):
        return True
    if not args.only:
        return False
    from mqttlite_gateway.operating.doctor.examining import STEPS

    from ....boards.examining.doctor import steps

    return any(name in {step.name for step in steps()} - {*STEPS} for name in args.only)


def run(args: argparse.Namespace) -> int:
    """Examine; the exit code. ValueError, OSError: what cannot be asked for."""
    from ....boards import supplies
    from ....boards.examining import doctor
    from ....boards.known import data
    from ....boards.reaching import ports
    from ....boards.report import Report
    from ....boards.settings.asking import Asker

    known = [step.name for step in doctor.steps()]
    for name in args.only:
        if name not in known:
            raise ValueError(f"--only {name}: there is no such step; there are {', '.join(known)}")
    given = data.get(args.board) if args.board else None  # what is asked for is looked at before a port is
    supplies.check_bundle(args.bundle)
    try:
        path = ports.choose(args.port)
    except ports.NoPortError as error:
        for line in str(error).splitlines():
            say(f"mqttlite doctor: {line}")
        return 1
    board = given or _kind(path)
    wishes = doctor.Wishes(
        path,
        bundle=args.bundle,
        broker=args.broker,
        link=args.link,
        joined=args.joined,
        resets=args.reset,
        does_chip=True if args.chip else None,
        only=tuple(args.only),
        wait_s=args.wait,
    )
    report = Report(stream=sys.stderr)
    case = doctor.Case(board, wishes, Asker(may_ask=False if args.json else None), report)
    if not args.json:
        print(f"{board.name} at {path}")
    is_wrong = False
    for finding in doctor.examine(case):
        is_wrong |= finding.state == doctor.WRONG
        show(finding, args.json)
    return 1 if is_wrong else 0


def _kind(path: str) -> "BoardData":
    """Which kind of board is at a port. ValueError: it has to be said."""
    from ....boards.known import data
    from ....boards.reaching.ports import usb_ids

    usb = usb_ids(path)
    found = [board for board in data.boards().values() if usb in board.usb_ids]
    if len(found) != 1:
        names = ", ".join(board.stem for board in found) or ", ".join(data.boards())
        raise ValueError(f"say which board it is with --board: {names}")
    say(f"{found[0].stem}, as its USB identifiers say")
    return found[0]
