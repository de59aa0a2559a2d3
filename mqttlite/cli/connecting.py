"""The options of `pub`, `sub`, `rr` and `bench` that say to whom and how to connect, and what they are for `Client`."""

import argparse
import os
from collections.abc import Mapping
from typing import Any

from ..core import PORT
from ..core.codec import REMAINING_MAX
from ..core.sizes import PACKET_MAX

TLS_PORT = 8883
FOREVER = 0xFFFFFFFF  # seconds: a session that does not expire
WITH_TOPIC = ("mqtt", "mqtts")  # schemes of URLs whose path is a topic, as mosquitto_pub takes them


def add_connection_options(parser: argparse.ArgumentParser, *, url: bool = True) -> None:
    """To whom and how to connect. `url`: as an option; else the command takes it as an argument, `args.url`."""
    to = parser.add_argument_group("connection")
    if url:
        to.add_argument("-h", "--host", help="broker's host name or address (localhost)")
        to.add_argument("-p", "--port", type=int, help=f"broker's TCP port ({PORT}; with TLS {TLS_PORT})")
        to.add_argument(
            "-L",
            "--url",
            help="mqtt://[user[:password]@]host[:port][/topic], mqtts:// with TLS, ws:// and wss:// for WebSocket, "
            "unix:///path or serial:///dev/ttyUSB0?baud=115200 instead of host and port",
        )
        to.add_argument("--unix", metavar="PATH", help="a broker's Unix socket instead of host and port")
    name = to.add_mutually_exclusive_group()
    if url:
        name.add_argument("-i", "--id", metavar="ID", help="client identifier (a random one)")
    name.add_argument(
        "-I", "--id-prefix", metavar="PREFIX", help="client identifier: PREFIX and the number of this process"
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
        "-V", "--protocol-version", type=_version, metavar="V", help="version of MQTT: 5.0 or 3.1.1 (%(default)s)"
    )
    to.add_argument(
        "--max-packet",
        type=int,
        default=PACKET_MAX,
        metavar="BYTES",
        help=f"largest packet to send or to take ({PACKET_MAX}); a larger one is not sent, or read past and reported",
    )
    to.add_argument("--nodelay", action="store_true", help="as mosquitto's; packets are never held back here anyway")
    parser.set_defaults(protocol_version="3.1.1", id="")


def add_session_options(parser: argparse.ArgumentParser) -> None:
    """The session, the will, what is under way at once, and what is told: `pub`, `sub` and `rr`."""
    to = parser.add_argument_group("session and will")
    to.add_argument(
        "-c",
        "--disable-clean-session",
        action="store_true",
        help="keep the session at the broker when this program ends; needs -i",
    )
    to.add_argument(
        "--store",
        metavar="FILE",
        help="keep this end of the session in an SQLite file, so that a kill or a power cut loses nothing; needs -i "
        "and keeps the session at the broker, too",
    )
    to.add_argument(
        "-M",
        "--max-inflight",
        type=int,
        metavar="N",
        help="messages of QoS 1 and 2 that are sent and not confirmed (18)",
    )
    to.add_argument("--will-topic", metavar="TOPIC", help="published by the broker when this client is lost")
    to.add_argument("--will-payload", metavar="TEXT", help="payload of the will (empty)")
    to.add_argument("--will-qos", type=int, choices=(0, 1, 2), metavar="QOS", help="QoS of the will (0)")
    to.add_argument("--will-retain", action="store_true", help="the will is a retained message")
    parser.add_argument("-q", "--qos", type=int, choices=(0, 1, 2), default=0, help="quality of service (0)")
    told = parser.add_mutually_exclusive_group()
    told.add_argument("-d", "--debug", action="store_true", help="tell on stderr what happens")
    told.add_argument("--quiet", action="store_true", help="no errors and warnings on stderr: the exit code tells")


def _version(text: str) -> str:
    name = text.lower().removeprefix("mqttv")
    if name in ("311", "3.1.1", "4"):
        return "3.1.1"
    if name in ("5", "50", "5.0"):
        return "5.0"
    raise argparse.ArgumentTypeError(f"{text!r} is not supported; this command speaks MQTT 5.0 and 3.1.1")


def url_of(args: argparse.Namespace) -> tuple[str, str]:
    """The broker's URL, and the topic that stood at its end. ValueError for what contradicts itself."""
    given = [name for name in ("url", "unix") if getattr(args, name) is not None]
    if args.host is not None or args.port is not None:
        given.append("host and --port")
    if len(given) > 1:
        raise ValueError(f"give either --{given[0]} or --{given[1]}")
    if args.port is not None and not 0 < args.port < 65536:
        raise ValueError(f"--port {args.port} is not between 1 and 65535")
    if args.unix is not None:
        return f"unix://{os.path.abspath(args.unix)}", ""
    if args.url is not None:
        return split_topic(args.url)
    return _url_of_host("localhost" if args.host is None else args.host, args.port or PORT), ""


def client_options(args: argparse.Namespace, url: str) -> dict[str, Any]:
    """The arguments for `Client` that say to whom and how to connect. ValueError for options that contradict each
    other.
    """
    if not 16 <= args.max_packet <= REMAINING_MAX:
        raise ValueError(f"--max-packet {args.max_packet} is not between 16 and {REMAINING_MAX}")
    options: dict[str, Any] = {
        "url": url,
        "version": args.protocol_version,
        "client_id": args.id if args.id_prefix is None else f"{args.id_prefix}{os.getpid()}",
        "keep_alive_s": args.keepalive,
        "size_max": args.max_packet,
        "username": args.username,
        "password": None if args.pw is None else os.fsencode(args.pw),
    }
    if args.pw is None and "MQTTLITE_PASSWORD" in os.environ and (args.username is not None or _has_only_user(url)):
        options["password"] = os.fsencode(os.environ["MQTTLITE_PASSWORD"])
    return options


def session_options(args: argparse.Namespace, options: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments for `Client` of the session and the will, beside `options`. ValueError as there."""
    if (args.disable_clean_session or args.store is not None) and not args.id:
        option = "--store" if args.store is not None else "-c"
        raise ValueError(f"{option} keeps a session, and a session needs a client identifier: add -i")
    if args.will_topic is None and (args.will_payload is not None or args.will_qos is not None or args.will_retain):
        raise ValueError("options for a will need --will-topic")
    found: dict[str, Any] = {"clean_session": not (args.disable_clean_session or args.store is not None)}
    if args.store is not None:
        if not args.store:
            raise ValueError("--store takes the path of a file")
        found["store"] = args.store
    if args.max_inflight is not None:
        if not 0 < args.max_inflight < 65536:
            raise ValueError(f"-M {args.max_inflight} is not between 1 and 65535")
        found["window"] = args.max_inflight
    if args.will_topic is not None:
        payload = os.fsencode(args.will_payload or "")
        found["will"] = (args.will_topic, payload, args.will_qos or 0, args.will_retain)
    return {**options, **found}


def _url_of_host(host: str, port: int) -> str:
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
    if scheme not in WITH_TOPIC:
        return url, ""
    authority, _, topic = rest.partition("/")
    return scheme + mark + authority, topic


def _has_only_user(url: str) -> bool:
    login, at, _ = url.partition("://")[2].rpartition("@")
    return bool(at) and ":" not in login
