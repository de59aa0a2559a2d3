"""TLS and WebSocket of `mqttlite broker` as options; broker/config/listener_tables.py has the same in its file."""

import argparse
from typing import Any

from ...broker.listening.listener import CLIENT_CERTIFICATES

_OPTIONS = {  # of the command line, by the key of [tls]
    "certificate": "cert",
    "key_file": "key",
    "client_ca": "client_ca",
    "client_certificates": "client_certificates",
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Those of TLS and WebSocket."""
    group = parser.add_argument_group("TLS and WebSocket (mqtts://, ws:// and wss:// of --listen)")
    group.add_argument("--cert", metavar="FILE", help="certificate (PEM), behind it those of its chain")
    group.add_argument("--key", metavar="FILE", help="its key (in the same file)")
    group.add_argument(
        "--client-ca", metavar="FILE", help="CAs whose certificates clients have to show (none is asked)"
    )
    group.add_argument(
        "--client-certificates",
        choices=CLIENT_CERTIFICATES,
        help="with --client-ca: who shows none is refused (required), or taken (optional)",
    )
    group.add_argument(
        "--origin",
        action="append",
        default=[],
        metavar="URL",
        help="pages from which browsers may open WebSockets, as https://example.org, or '*'; repeatable (pages from "
        "the broker's own host)",
    )


def options_of(args: argparse.Namespace) -> dict[str, Any]:
    """What the options say, by the keys of [tls]."""
    found = {key: getattr(args, name) for key, name in _OPTIONS.items() if getattr(args, name) is not None}
    for key, value in found.items():
        if value == "":
            raise ValueError(f"--{_OPTIONS[key].replace('_', '-')} has an empty name: give it the path of a file")
    return found
