"""`mqttlite doctor` without a board: this machine as a gateway (mqttlite_gateway/operating/doctor)."""

import argparse
from pathlib import Path

from .showing import show

SETTINGS = Path("/etc/mqttlite/gateway.toml")


def add_options(parser: "argparse._ArgumentGroup") -> None:
    """Those of this machine."""
    parser.add_argument(
        "--config", type=Path, default=SETTINGS, metavar="FILE", help=f"settings of the gateway ({SETTINGS})"
    )


def run(args: argparse.Namespace) -> int:
    """Examine; 1: something is wrong."""
    from mqttlite_gateway.operating.doctor.examining import STEPS, examine
    from mqttlite_gateway.operating.doctor.finding import WRONG, Case

    for name in args.only:
        if name not in STEPS:
            raise ValueError(f"--only {name}: there is no such step of this machine; there are {', '.join(STEPS)}")
    is_wrong = False
    for finding in examine(Case(args.config), args.only):
        is_wrong |= finding.state == WRONG
        show(finding, args.json)
    return 1 if is_wrong else 0
