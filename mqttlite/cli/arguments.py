"""Command lines as the tools of Mosquitto take them, on top of argparse, and the options that `pub` and `sub` share.

- `-h` is the host, so help is `--help`.
- An option that takes a value takes the next word, whatever it is: `-m -12C` is a payload.
- A mistake is one line on stderr and exit code 1, because 2 to 5 are the broker's refusals.
"""

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Never

from ..core import PORT
from ..core.codec import REMAINING_MAX
from ..core.sizes import PACKET_MAX
from .streams import say

if TYPE_CHECKING:
    from _typeshed import SupportsWrite


def _formatter(prog: str) -> argparse.HelpFormatter:
    """argparse makes one with each option that it is told of. Without a width it imports shutil and what that needs."""
    columns = os.environ.get("COLUMNS", "")
    try:
        width = int(columns) if columns.isdecimal() else os.get_terminal_size(1).columns
    except OSError:  # no terminal
        width = 0
    return argparse.RawDescriptionHelpFormatter(prog, max_help_position=30, width=(width or 80) - 2)


class CommandLine(argparse.ArgumentParser):
    """An ArgumentParser with the habits above; the parsers of subcommands are of this class, too."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("formatter_class", _formatter)
        super().__init__(add_help=False, allow_abbrev=False, **options)
        self.add_argument("--help", action="help", help="show this and exit")

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """As argparse's, with each value joined to its option first: `-m -1C` is `-m-1C`."""
        words = iter(sys.argv[1:] if args is None else args)
        return super().parse_known_args(list(self._joined(words)), namespace)

    def _joined(self, words: Iterable[str]) -> Iterable[str]:
        words = iter(words)
        for word in words:
            action = self._option_string_actions.get(word)
            value = next(words, None) if action is not None and action.nargs is None else None
            if value is None:
                yield word
            elif word.startswith("--"):
                yield f"{word}={value}"
            elif value and not value.startswith("="):
                yield word + value
            else:
                yield from (word, value)

    def _print_message(self, message: str, file: "SupportsWrite[str] | None" = None) -> None:
        """As argparse's, which keeps it to itself when the output is closed or full."""
        if message:
            (file or sys.stderr).write(message)

    def error(self, message: str) -> Never:
        say(f"{self.prog}: {message}; see {self.prog} --help")
        raise SystemExit(1)


def add_common_options(parser: argparse.ArgumentParser) -> None:
    """The options of `pub` and `sub` that say to whom and how to connect."""
    to = parser.add_argument_group("connection")
    to.add_argument("-h", "--host", help="broker's host name or address (localhost)")
    to.add_argument("-p", "--port", type=int, help="broker's TCP port (1883)")
    to.add_argument(
        "-L",
        "--url",
        help="mqtt://[user[:password]@]host[:port][/topic], unix:///path or serial:///dev/ttyUSB0?baud=115200 "
        "instead of host and port",
    )
    to.add_argument("-i", "--id", default="", metavar="ID", help="client identifier (a random one)")
    to.add_argument(
        "-c",
        "--disable-clean-session",
        action="store_true",
        help="keep the session at the broker when this program ends; needs -i",
    )
    to.add_argument("-u", "--username", metavar="NAME", help="user name")
    to.add_argument(
        "-P",
        "--pw",
        metavar="PASSWORD",
        help="password; in MQTTLITE_PASSWORD it does not show in the list of processes",
    )
    to.add_argument("-k", "--keepalive", type=int, default=60, metavar="S", help="keep alive in seconds (60; 0: none)")
    to.add_argument(
        "--max-packet",
        type=int,
        default=PACKET_MAX,
        metavar="BYTES",
        help=f"largest packet to send or to take ({PACKET_MAX}); a larger one is not sent, or read past and reported",
    )
    to.add_argument("-V", "--protocol-version", type=_version, metavar="V", help="3.1.1, the only one so far")
    to.add_argument("--will-topic", metavar="TOPIC", help="published by the broker when this client is lost")
    to.add_argument("--will-payload", metavar="TEXT", help="payload of the will (empty)")
    to.add_argument("--will-qos", type=int, choices=(0, 1, 2), metavar="QOS", help="QoS of the will (0)")
    to.add_argument("--will-retain", action="store_true", help="the will is a retained message")
    parser.add_argument("-q", "--qos", type=int, choices=(0, 1, 2), default=0, help="quality of service (0)")
    parser.add_argument("-d", "--debug", action="store_true", help="tell on stderr what happens")


def _version(text: str) -> str:
    name = text.lower().removeprefix("mqttv")
    if name in ("311", "3.1.1", "4"):
        return "3.1.1"
    if name in ("5", "50", "5.0"):
        raise argparse.ArgumentTypeError("MQTT 5 is not there yet; this command speaks MQTT 3.1.1 (-V 3.1.1)")
    raise argparse.ArgumentTypeError(f"{text!r} is not supported; this command speaks MQTT 3.1.1 (-V 3.1.1)")


def client_options(args: argparse.Namespace) -> dict[str, Any]:
    """The arguments for `Client`. Raises ValueError for options that contradict each other."""
    if args.url is not None and (args.host is not None or args.port is not None):
        raise ValueError("give either --url or --host and --port")
    if args.port is not None and not 0 < args.port < 65536:
        raise ValueError(f"--port {args.port} is not between 1 and 65535")
    if not 16 <= args.max_packet <= REMAINING_MAX:
        raise ValueError(f"--max-packet {args.max_packet} is not between 16 and {REMAINING_MAX}")
    if args.disable_clean_session and not args.id:
        raise ValueError("-c keeps a session, and a session needs a client identifier: add -i")
    if args.will_topic is None and (args.will_payload is not None or args.will_qos is not None or args.will_retain):
        raise ValueError("options for a will need --will-topic")
    if args.url is not None:
        url, topic = split_topic(args.url)
    else:
        url, topic = _url_of("localhost" if args.host is None else args.host, args.port or PORT), ""
    if topic:
        args.topic = [*args.topic, topic]
    options: dict[str, Any] = {
        "url": url,
        "client_id": args.id,
        "clean_session": not args.disable_clean_session,
        "keep_alive_s": args.keepalive,
        "size_max": args.max_packet,
        "username": args.username,
        "password": None if args.pw is None else os.fsencode(args.pw),
    }
    if args.pw is None and "MQTTLITE_PASSWORD" in os.environ and (args.username is not None or _has_only_user(url)):
        options["password"] = os.fsencode(os.environ["MQTTLITE_PASSWORD"])
    if args.will_topic is not None:
        payload = os.fsencode(args.will_payload or "")
        options["will"] = (args.will_topic, payload, args.will_qos or 0, args.will_retain)
    return options


def _url_of(host: str, port: int) -> str:
    if not host:
        raise ValueError("--host is empty; give a host name or an address, or leave it out for localhost")
    if "/" in host:
        raise ValueError("--host takes a host name or an address; a URL goes with --url")
    if host.count(":") == 1:
        raise ValueError("--host takes a host name or an address; the port goes with --port")
    if host[0] == "[" and host[-1] == "]":
        host = host[1:-1]
    return f"mqtt://[{host}]:{port}" if ":" in host else f"mqtt://{host}:{port}"


def split_topic(url: str) -> tuple[str, str]:
    """A URL as mosquitto_pub takes it may end in a topic: `mqtt://host:1883/room/1`."""
    scheme, mark, rest = url.partition("://")
    if scheme == "mqtts":
        raise ValueError("mqtts:// (TLS) is not there yet; use mqtt://")
    if scheme != "mqtt":
        return url, ""
    authority, _, topic = rest.partition("/")
    return scheme + mark + authority, topic


def _has_only_user(url: str) -> bool:
    login, at, _ = url.partition("://")[2].rpartition("@")
    return bool(at) and ":" not in login
