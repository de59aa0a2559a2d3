"""TLS and WebSocket of `mqttlite broker`: tables [tls] and [[listener]] of its file, and the options for the same.

    listen = ["mqtt://127.0.0.1:1883", "mqtts://0.0.0.0:8883", "wss://0.0.0.0:8884/mqtt"]
    origins = ["https://dashboard.example"]     # pages from which browsers may open WebSockets

    [tls]                                       # for all of them
    certificate = "/etc/mqttlite/broker.pem"
    key_file = "/etc/mqttlite/broker.key"

    [[listener]]                                # one with something of its own, which counts more
    url = "mqtts://0.0.0.0:8885"
    client_ca = "/etc/mqttlite/devices-ca.pem"

Every mistake is a ValueError that says where it is and what is expected.
"""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from ..broker.listener import CLIENT_CERTIFICATES, TLS_NAMES, Listener, Tls

_OPTIONS = {  # of the command line, by the key of [tls]
    "certificate": "cert",
    "key_file": "key",
    "client_ca": "client_ca",
    "client_certificates": "client_certificates",
}
_LISTS = ("alpn", "origins")
LISTENER_NAMES = ("url", *TLS_NAMES, "origins")


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


def check_table(where: str, table: Mapping[str, Any]) -> None:
    """ValueError for a value of [tls] or [[listener]] of another type."""
    for name, value in table.items():
        if name in _LISTS:
            if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
                example = '["mqtt"]' if name == "alpn" else '["https://example.org"]'
                raise ValueError(f"{where}: {name} has to be a list, as {example}, not {value!r:.60}")
        elif not isinstance(value, str) or not value:
            shown = "" if name == "key_password" else f", not {value!r:.60}"
            raise ValueError(f"{where}: {name} has to be a text in quotes{shown}")


def make_listeners(
    urls: Sequence[str],
    tables: Sequence[Mapping[str, Any]],
    tls: Mapping[str, Any],
    origins: Sequence[str],
) -> list[Listener]:
    """Listeners for `urls`, and for tables that have a url and, of [tls] and origins, something of their own."""
    found = [Listener(url, _tls(tls, f"for {url}"), tuple(origins)) for url in urls]
    for number, table in enumerate(tables, 1):
        own = {name: value for name, value in table.items() if name in TLS_NAMES}
        where = f"[[listener]] number {number}"
        if "url" not in table:
            raise ValueError(f'{where}: url is missing, as in url = "mqtts://0.0.0.0:8883"')
        found.append(Listener(table["url"], _tls(joined(tls, own), where), tuple(table.get("origins", origins))))
    return found


def joined(tls: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """`own`, and what it does not say of `tls`: but with a certificate of its own it needs its own key."""
    of_key = ("key_file", "key_password") if "certificate" in own else ()
    return {**{name: value for name, value in tls.items() if name not in of_key}, **own}


def _tls(table: Mapping[str, Any], where: str) -> Tls | None:
    """None without a certificate: then there is no TLS, and nothing else may be said about it."""
    if not table:
        return None
    if "certificate" not in table:
        given = next(iter(table))
        raise ValueError(f"{where}: {given} without a certificate: add certificate below [tls], or --cert")
    try:
        return Tls(**table)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: {error}") from None
