"""Which broker is meant, by the options of a command and by the broker's or gateway's file."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..arguments import Elsewhere

if TYPE_CHECKING:
    from ...broker.config.settings import Settings

FILES = ("/etc/mqttlite/gateway.toml", "/etc/mqttlite/broker.toml", "mqttlite-broker/broker.toml")


def add_options(parser: argparse.ArgumentParser, **more: Any) -> None:
    """Add the options that say which broker is meant."""
    text = "the broker's control socket (the one broker that runs here)"
    parser.add_argument("--socket", metavar="PATH", help=text, **more)
    parser.add_argument("-s", "--control", action=Elsewhere, const="--socket PATH says which broker")
    text = "the broker's or gateway's file, where that names its control socket ([control] socket)"
    parser.add_argument("--config", metavar="FILE", help=text, **more)


def path_of(args: argparse.Namespace) -> str | None:
    """The control socket that the options name; None: they name none."""
    if not args.config:
        path: str | None = args.socket
        return path
    if args.socket:
        raise ValueError("--socket says which broker already: leave out --config")
    control = settings_of(Path(args.config)).control
    if control is None:
        raise ValueError(f"{args.config} says that its broker has no control socket ([control] socket = false)")
    return control or None


def settings_of(path: Path | None) -> "Settings":
    """What a broker's or gateway's file says of the broker. ValueError: there is no file, or it is broken."""
    if path is None:
        there = [Path(each) for each in FILES if Path(each).exists()]
        if not there:
            raise ValueError(f"say which broker, with --config FILE: there is none of {', '.join(FILES)}")
        path = there[0]
    import tomllib

    from ...broker.config import TABLES, load

    try:
        data = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError):
        data = {}  # whoever reads it properly says what is wrong
    known = {key for each in TABLES for key in each.KEYS}
    if set(data) <= known:
        return load(path)
    from mqttlite_gateway.config import load as load_gateway

    return load_gateway(path).broker
