"""`mqttlite top`: a broker that runs, live: clients, rates, queues, what is in doubt, what is dropped."""

import argparse
import sys
import time

from ..showing.columns import table
from ..streams import one_line
from .chosen import add_options, path_of
from .client import ControlClient, reach
from .top_numbers import BY_NAME, COLUMNS, KEYS, Look

_DESCRIPTION = """\
A broker that runs, live, over its control socket: clients, rates, queues, what is in doubt, what is dropped.

  mqttlite top                     the one broker that runs here
  mqttlite top --sort m            who gets most messages of QoS 1 and 2 in front
  mqttlite top | head              once, as plain text; --count 10 -i 5: ten times, every five seconds

Keys: q ends it; c sorts by client identifier, the letters of --sort by the other columns; r turns the order round;
arrows, Page Up and Page Down move through the clients; space looks at once.

The live view needs rich (pip install 'mqttlite[top]'); plain text does not."""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the program's parser."""
    parser = subparsers.add_parser("top", help="a broker that runs, live", description=_DESCRIPTION)
    add_options(parser)
    parser.add_argument("-i", "--interval", type=float, default=2.0, metavar="SECONDS", help="between two looks (2)")
    parser.add_argument(
        "--sort",
        default=COLUMNS[0].key,
        metavar="KEY",
        help=f"{BY_NAME} by client; {', '.join(f'{each.key} {each.title}' for each in COLUMNS)} ({COLUMNS[0].key})",
    )
    parser.add_argument("-r", "--reverse", action="store_true", help="the other way round")
    parser.add_argument("--plain", action="store_true", help="plain text on a terminal, too")
    parser.add_argument("--count", type=int, metavar="N", help="so many looks, then end (plain text: 1)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Until somebody ends it; the exit code. ValueError and OSError: it cannot begin."""
    if args.sort not in KEYS:
        raise ValueError(f"--sort {args.sort}: it is one of {', '.join(KEYS)}")
    if args.interval <= 0 or (args.count is not None and args.count < 1):
        raise ValueError("--interval and --count have to be more than 0")
    if args.plain or not sys.stdout.isatty():
        return _plain(args)
    try:
        from .top_view import View
    except ImportError:
        raise ValueError("the live view needs rich: pip install 'mqttlite[top]' (--plain does without)") from None
    path = path_of(args)
    reach(path).close()  # what is wrong is said before the screen is taken
    return View(lambda: reach(path), args.interval, args.sort, args.reverse, args.count).run()


def look(broker: ControlClient, before: Look | None = None) -> Look:
    """What the broker says now."""
    return Look(broker.ask("status"), broker.ask("clients"), time.monotonic(), before)


def _plain(args: argparse.Namespace) -> int:
    found: Look | None = None
    with reach(path_of(args)) as broker:
        for number in range(args.count or 1):
            if number:
                time.sleep(args.interval)
            found = look(broker, found)
            print("\n" * bool(number) + plain(found, args.sort, args.reverse), flush=True)
    return 0


def plain(found: Look, sort: str, is_reversed: bool) -> str:
    """All of it as text."""
    head = ["client", "address", "user", *(column.title for column in COLUMNS)]
    rows = [
        [each["client"], each["address"], each["user"] or "-", *found.cells(each)]
        for each in found.sorted(sort, is_reversed)
    ]
    return "\n".join([*map(one_line, found.lines()), "", table(head, rows)])
