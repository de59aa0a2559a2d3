"""`mqttlite explain`: what a board's numbers mean."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from ...client.board_errors import explained, texts, traced
from ..streams import say

_DESCRIPTION = """\
Says in words what a board says in numbers. The bundles for boards have no texts of errors: they say E17, and in
brackets what belongs to the text. Without a number it reads what a board has printed, and prints it in
words.

  mqttlite explain 17
  mqttlite explain 'E17[PINGREQ|5000]'
  mpremote repl | mqttlite explain
  mqttlite explain --trace build/bundle/thin/trace.json < traceback.txt    names as in the source, too"""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the program's parser."""
    parser = subparsers.add_parser("explain", help="what a board's numbers mean", description=_DESCRIPTION)
    parser.add_argument("error", nargs="*", metavar="NUMBER", help="of an error, as 17 or E17, with values or without")
    parser.add_argument(
        "--trace", type=Path, metavar="FILE", help="trace.json, written with the bundle that the board has"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Explain numbers, or what comes on standard input; the exit code."""
    trace = _trace(args.trace) if args.trace else None
    code = 0
    for error in args.error:
        number = error.removeprefix("E").split("[")[0]
        if not number.isdecimal() or int(number) not in texts():
            say(f"mqttlite explain: no error has the number '{error}'")
            code = 1
        elif "[" in error:
            print(explained(f"E{error.removeprefix('E')}"))
        else:
            print(texts()[int(number)].replace("{}", "…"))
    if not args.error:
        for line in sys.stdin:
            print(explained(traced(line, trace) if trace else line), end="", flush=True)
    return code


def _trace(path: Path) -> dict[str, Any]:
    trace = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(trace, dict) or not {"lines", "names"} <= trace.keys():
        raise ValueError(f"{path} is not the trace.json of a bundle")
    return trace
