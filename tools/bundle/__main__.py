"""Command line of the builder: `python -m tools.bundle SET -o FOLDER`."""

import argparse
import sys
from pathlib import Path

from . import SETS, BundleError, build


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.bundle", description="Builds a board's bundle.")
    parser.add_argument("set", choices=sorted(SETS), help="the features that it has (docs/board.md)")
    parser.add_argument("-o", dest="folder", type=Path, required=True, help="where to: py/, mpy/ and trace.json in it")
    parser.add_argument(
        "-O", dest="optimisation", type=int, choices=range(4), default=3, help="of mpy-cross (default: 3)"
    )
    parser.add_argument("--long-names", action="store_true", help="do not shorten names, for reading")
    args = parser.parse_args()
    try:
        bundle = build(args.set, args.folder, short=not args.long_names, optimisation=args.optimisation)
    except BundleError as error:
        print(f"tools.bundle: {error}", file=sys.stderr)
        return 1
    for place, size in bundle.sizes.items():
        print(f"{size:8,}  {place}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
