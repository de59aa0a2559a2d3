"""`python -m mqttlite.planning FILE [--json] [--seed N]`."""

import argparse
import sys

from .fleet import FleetError
from .report import plan


def main() -> int:
    """Print the answer to a plan; 1 if it cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m mqttlite.planning", description=__doc__)
    parser.add_argument("file", help="the plan, TOML (see examples/fleet.toml)")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--seed", type=int, help="another course of chance than the file's")
    args = parser.parse_args()
    try:
        print(plan(args.file, args.json, args.seed))
    except FleetError as error:
        print(f"plan: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
