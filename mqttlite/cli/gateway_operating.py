"""What `mqttlite gateway` does instead of running: it installs itself as a service, and goes to another machine."""

import argparse
import os
from pathlib import Path


def add_options(parser: argparse.ArgumentParser) -> None:
    """Those of installing."""
    group = parser.add_argument_group("as a service (docs/install.md)")
    group.add_argument(
        "--install",
        action="store_true",
        help="make a systemd service of it: user, folders, settings, udev rules, unit; says each thing that it does, "
        "and may be run again. As root",
    )
    group.add_argument("--uninstall", action="store_true", help="take the service away; settings and queues stay")
    group.add_argument("--dry-run", action="store_true", help="with either: say what would be done, and do nothing")
    group.add_argument(
        "--root", metavar="FOLDER", type=Path, default=Path("/"), help="with either: an image that is mounted there (/)"
    )


def run(args: argparse.Namespace) -> int | None:
    """Do what is asked for instead; the exit code. None: nothing is. ValueError, OSError: what is in the way."""
    if not args.install and not args.uninstall:
        if args.dry_run or args.root != Path("/"):
            raise ValueError("--dry-run and --root go with --install or --uninstall")
        return None
    if args.install and args.uninstall:
        raise ValueError("--install and --uninstall: one of them")
    from mqttlite_gateway.operating.install import installing
    from mqttlite_gateway.operating.install.system import System

    system = System(args.root.resolve())
    if system.is_this_one and os.geteuid() and not args.dry_run:
        word = "--install" if args.install else "--uninstall"
        raise ValueError(f"this needs root: sudo mqttlite gateway {word} (or --dry-run, to see what it would do)")
    if args.install:
        installing.install(system, installing.program(), print, is_dry=args.dry_run)
    else:
        installing.uninstall(system, print, is_dry=args.dry_run)
    return 0
