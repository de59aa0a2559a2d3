"""`mqttlite verify`: what has left one end and not come to the other, and how far it came.

ends    reads what an end is: a ledger, an inbox's table, a list    words   says how far a message came
report  prints what was found       chart   one message's way, as text and as SVG
newest  which keys there are
"""

import argparse
import sqlite3
import time
from contextlib import ExitStack
from pathlib import Path

from ....ledger.compare import compare
from ....ledger.reading import Reader
from ....ledger.steps import key_from
from ....ledger.way import way
from ...streams import say
from . import report
from .chart import svg_of, text_of
from .ends import Wanted, end_of, is_ledger
from .newest import newest
from .newest import text_of as text_of_keys

_DESCRIPTION = """\
Compares two ends of a way by the idempotency keys of their messages: names every key that has left FROM and not come to
TO, with how far it came and where it was last seen, and every key that came to TO more than once.

An end is one of
  ledger.db              a delivery ledger: of a broker or gateway ([ledger] in its settings), of an inbox or client
                         (Client(ledger=...)). At FROM what it has accepted counts, at TO what was handled there
  app.db                 the SQLite database of an application with an inbox (table mqttlite_keys)
  postgresql://...       the same in PostgreSQL, and the table of messages of a gateway that has it as an upstream
  keys.txt, -            a list: PRODUCER/EPOCH/SEQUENCE, or JSON with "key", a line each; -: standard input

Several TO are one end together: what one of them has, has arrived. An inbox's table knows the last 1024 numbers of a
producer one by one and nothing of earlier ones; its ledger knows those, but may lack the last second before a power
cut. Name both.

  mqttlite verify gateway.ledger.db far.ledger.db app.db
  mqttlite verify gateway.ledger.db app.db --via cloud.ledger.db     and say how far what is missing came
  mqttlite verify sent.txt 'postgresql://localhost/app' --topic 'sensors/#' --json
  mqttlite verify --keys gateway.ledger.db                           which messages there are, the newest first
  mqttlite verify --chart board-7/1764512345/42 gateway.ledger.db far.ledger.db
"""

_EXIT = """\
exit codes: 0 all that has left FROM has come to TO, once; 1 something is missing, or came more than once; 2 that cannot
be told: an end cannot be read, or has forgotten some of the keys. A ledger is evidence of what was noted in time: what
happened in the last second before a power cut may be missing from it."""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the program's parser."""
    parser = subparsers.add_parser(
        "verify",
        help="compare two ends: what is missing, what came twice",
        description=_DESCRIPTION,
        epilog=_EXIT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("ends", nargs="+", metavar="FROM TO", help="the two ends; further TO belong to the second one")
    parser.add_argument(
        "--via",
        action="append",
        default=[],
        metavar="LEDGER",
        help="a ledger of a place between them, to say how far a message came; may be repeated",
    )
    parser.add_argument("--topic", default="", metavar="FILTER", help="only what was published to such topics")
    parser.add_argument("--producer", default="", metavar="PATTERN", help="only of these: board-*, as in a shell")
    parser.add_argument("--inbox", default="", metavar="NAME", help="of an inbox's tables, those of this inbox alone")
    parser.add_argument(
        "--table",
        default="mqttlite_messages",
        metavar="NAME",
        help="in PostgreSQL, where a gateway puts messages (default: mqttlite_messages)",
    )
    parser.add_argument(
        "--settle",
        type=float,
        default=0,
        metavar="SECONDS",
        help="what FROM has noted since then may still be under way, and is not missing (default: 0)",
    )
    parser.add_argument(
        "--named", type=int, default=100, metavar="N", help="name so many keys of a kind, and count all (default: 100)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--keys", action="store_true", help="instead: list the newest keys in the ledgers named")
    parser.add_argument("--chart", metavar="KEY", help="instead: the way of one message, from the ledgers named")
    parser.add_argument("-o", "--output", metavar="FILE.svg", help="with --chart: draw it into a file")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Compare, or draw."""
    try:
        if args.named < 0 or args.settle < 0:
            raise ValueError("--settle and --named must not be less than 0")
        if args.chart:
            return _draw(args)
        if args.output:
            raise ValueError("-o belongs to --chart KEY")
        if args.keys:
            if not args.named:
                raise ValueError("--keys lists --named N of them: N must be 1 or more")
            return _list(args)
        if len(args.ends) < 2:
            raise ValueError("two ends are compared: mqttlite verify FROM TO")
        return _compare(args)
    except (ValueError, OSError, sqlite3.Error) as error:
        say(f"mqttlite verify: {error}")
        return 2


def _compare(args: argparse.Namespace) -> int:
    wanted = Wanted(args.topic, args.producer, args.inbox, args.table)
    young_ms = int((time.time() - args.settle) * 1000) if args.settle else None
    start = end_of(args.ends[0], wanted, True, young_ms)
    found = compare(start, [end_of(name, wanted, False) for name in args.ends[1:]])
    with ExitStack() as stack:
        # In the order of the way; what is no ledger says nothing of how far a message came
        names = [args.ends[0], *args.via, *args.ends[1:]]
        witnesses = []
        for name in dict.fromkeys(names):
            if name in args.via or is_ledger(name):
                witnesses.append(Reader(name))
                stack.callback(witnesses[-1].close)
        report.show(report.result(found, witnesses, args.named), args.json)
    if not found.is_clean:
        return 1
    return 2 if found.untold.count else 0


def _list(args: argparse.Namespace) -> int:
    wanted = Wanted(args.topic, args.producer)
    with ExitStack() as stack:
        readers = []
        for name in dict.fromkeys([*args.ends, *args.via]):
            readers.append(Reader(name))
            stack.callback(readers[-1].close)
        found = newest(readers, args.named, wanted.takes)
    if args.json:
        report.print_json({"keys": found})
    elif found:
        print(text_of_keys(found))
    else:
        ends = ", ".join([*args.ends, *args.via])
        if args.topic or args.producer:
            say(
                f"mqttlite verify: no message with an idempotency key that --topic and --producer let through in {ends}"
            )
        else:
            say(
                f"mqttlite verify: no message with an idempotency key in {ends}; a program gives them with "
                "Client(..., keys=True), and one without is in no ledger"
            )
        return 1
    return 0


def _draw(args: argparse.Namespace) -> int:
    key = key_from(args.chart)
    entries = []
    for name in [*args.ends, *args.via]:
        reader = Reader(name)
        try:
            entries += reader.of(key)
        finally:
            reader.close()
    if not entries:
        ends = ", ".join(args.ends)
        say(f"mqttlite verify: nothing is known of {args.chart} in {ends}; --keys instead of --chart KEY lists what is")
        return 1
    found = way(entries)
    if args.output:
        Path(args.output).write_text(svg_of(found), encoding="utf-8")
    elif args.json:
        report.print_json(found)
    else:
        print(text_of(found))
    return 0
