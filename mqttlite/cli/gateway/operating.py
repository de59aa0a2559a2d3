"""What `mqttlite gateway` does instead of running: it becomes a service, is copied, goes to another machine."""

import argparse
import os
from pathlib import Path

SETTINGS = Path("/etc/mqttlite/gateway.toml")
# What goes with what
_BELONGS = {
    "dry_run": ("install", "uninstall"),
    "root": ("install", "uninstall", "restore"),
    "move": ("backup",),
    "old_is_gone": ("restore",),
}


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
        "--root",
        metavar="FOLDER",
        type=Path,
        default=Path("/"),
        help="with these and --restore: an image that is mounted there (/)",
    )
    group = parser.add_argument_group("backup, and the move to another machine (docs/backup.md)")
    group.add_argument(
        "--backup",
        metavar="FILE",
        type=Path,
        help=f"settings, keys, users, devices, queues and ledger in one archive, while it runs; --config: of which "
        f"gateway ({SETTINGS})",
    )
    group.add_argument(
        "--move",
        action="store_true",
        help="with --backup: for another machine; the gateway does not start here any more",
    )
    group.add_argument("--restore", metavar="FILE", type=Path, help="put it in its place; what is there is kept aside")
    group.add_argument(
        "--old-is-gone",
        action="store_true",
        help="with --restore: the machine that the backup comes from will never run it again",
    )


def run(args: argparse.Namespace) -> int | None:
    """Do what is asked for instead; the exit code. None: nothing is. ValueError, OSError: what is in the way."""
    asked = [name for name in ("install", "uninstall", "backup", "restore") if getattr(args, name)]
    if len(asked) > 1:
        raise ValueError(f"--{asked[0]} and --{asked[1]}: one of them")
    wish = asked[0] if asked else ""
    for name, wishes in _BELONGS.items():
        if getattr(args, name) not in (False, Path("/")) and wish not in wishes:
            raise ValueError(f"--{name.replace('_', '-')} goes with {' or '.join(f'--{each}' for each in wishes)}")
    if not wish:
        return None
    if wish in ("install", "uninstall"):
        _install(args)
    elif wish == "backup":
        from mqttlite_gateway.operating.moving.leaving import leave

        leave(args.config or SETTINGS, args.backup, print, is_move=args.move)
    else:
        from mqttlite_gateway.operating.moving.arriving import arrive

        arrive(args.restore, print, is_old_gone=args.old_is_gone, root=args.root.resolve())
    return 0


def _install(args: argparse.Namespace) -> None:
    from mqttlite_gateway.operating.install import installing
    from mqttlite_gateway.operating.install.program import WHOLE_MACHINE, UnreachableError, program
    from mqttlite_gateway.operating.install.system import System

    system = System(args.root.resolve())
    if system.is_this_one and os.geteuid() and not args.dry_run:
        word = "--install" if args.install else "--uninstall"
        raise ValueError(f"this needs root: sudo mqttlite gateway {word} (or --dry-run, to see what it would do)")
    if args.install:
        try:
            path = program()
        except UnreachableError:
            if args.dry_run:  # what would be done can be said all the same
                installing.install(system, WHOLE_MACHINE, print, is_dry=True)
            raise
        installing.install(system, path, print, is_dry=args.dry_run)
    else:
        installing.uninstall(system, print, is_dry=args.dry_run)
