"""Who may connect to `mqttlite broker`, as options; broker/config/access.py has more of it in its file."""

import argparse

from ...broker.config import Settings
from ...broker.config.access import ANYBODY


def add_options(parser: argparse.ArgumentParser) -> None:
    """Those of users."""
    group = parser.add_argument_group("who may connect (docs/configuration.md)")
    group.add_argument(
        "--password-file",
        metavar="FILE",
        help="users and their passwords, written by mqttlite passwd or mosquitto_passwd; nobody else may connect",
    )
    group.add_argument(
        "--let-anybody-on-the-network-in",
        action="store_true",
        help="everybody who can reach this machine may connect without a user name, and without rules read and publish "
        "everything",
    )


def take(args: argparse.Namespace, settings: Settings) -> None:
    """What the options say counts more. ValueError for what is none."""
    if args.password_file == "":
        raise ValueError("--password-file has an empty name: give it the path of a file")
    if args.password_file is not None:
        settings.access["password_file"] = args.password_file
    if args.let_anybody_on_the_network_in:
        settings.access["anonymous"] = ANYBODY
