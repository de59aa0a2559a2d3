"""`mqttlite discover`: the brokers that are announced in this computer's network."""

import argparse
import json

from ...core.shown import shown
from ..showing.columns import table

_DESCRIPTION = """\
Looks for MQTT brokers that are announced in the network by multicast DNS (_mqtt._tcp and _secure-mqtt._tcp), and prints
the name and the URL of each. It needs no further package.

  mqttlite discover
  mqttlite discover home                    the URL of the one broker of this name, and nothing else
  mqttlite sub --url "$(mqttlite discover home)" --cafile ca.pem -u ann -P … -t '#'

Whoever is in the network can say that it is a broker. So send a password only over mqtts://, with the CA of your broker
or its fingerprint. `mqttlite gateway` announces its broker and its page ([mdns] in gateway.toml)."""

_EPILOG = "exit codes: 0 something is found; 1 nothing is, or the one that was asked for is not"


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the program's parser."""
    parser = subparsers.add_parser(
        "discover", help="look for brokers in the network", description=_DESCRIPTION, epilog=_EPILOG
    )
    parser.add_argument("name", metavar="NAME", nargs="?", help="of the one that is wanted: of its instance or host")
    parser.add_argument("--wait", type=float, default=2.0, metavar="S", help="for answers (2)")
    parser.add_argument("--interface", default="", metavar="ADDRESS", help="ask from this address of this computer")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Ask, and print what there is; the exit code."""
    from mqttlite_gateway.radio.discover import discover

    if not 0 < args.wait <= 3600:
        raise ValueError("--wait: seconds, more than 0 and at most 3600")
    found = discover(args.wait, interface=args.interface)
    if args.name is not None:
        found = [each for each in found if args.name in (each.name, each.host, each.host.removesuffix(".local"))]
        if not found:
            raise ValueError(f"no broker {args.name!a} is announced here within {args.wait:g} s")
        names = {each.name for each in found}
        if len(names) > 1:
            raise ValueError(f"{args.name!a} is the host of several: {', '.join(map(ascii, sorted(names)))}; name one")
        found = found[:1]  # the one with TLS
    if args.json:
        print(json.dumps([each._asdict() for each in found], indent=2))
    elif args.name is not None:
        print(shown(found[0].url))
    elif found:
        rows = [(shown(each.name), shown(each.url), shown(each.host), _texts(each.texts)) for each in found]
        print(table(("name", "URL", "host", "says"), rows))
    if not found:
        raise ValueError(f"no broker is announced in this network within {args.wait:g} s")
    return 0


def _texts(texts: dict[str, str]) -> str:
    return shown(", ".join(f"{key} {value}" for key, value in sorted(texts.items())), 60) or "-"
