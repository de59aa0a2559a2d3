"""The options of `pub`, `sub`, `rr` and `bench` that say to whom and how to connect, and what they are for `Client`."""

import argparse
import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...core import PORT
from ...core.codec import REMAINING_MAX
from ...core.sizes import PACKET_MAX
from . import loading, needs_tls
from .properties import FOUR_BYTES, expiry_s

TLS_PORT = 8883
if TYPE_CHECKING:
    from ...client.will import Will

_TLS = {  # options, and what they are for Client
    "cafile": "ca",
    "capath": "ca",
    "cert": "certificate",
    "key": "key_file",
    "fingerprint": "fingerprint",
    "server_name": "server_name",
    "tls_alpn": "alpn",
    "insecure": "insecure",
}
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
        "-V", "--protocol-version", type=_version, metavar="V", help="version of MQTT: 5.0, 3.1.1 or 3.1 (%(default)s)"
    )
    to.add_argument(
        "--max-packet",
        type=int,
        default=PACKET_MAX,
        metavar="BYTES",
        help=f"largest packet to send or to take ({PACKET_MAX}); a larger one is not sent, or read past and reported",
    )
    to.add_argument("--nodelay", action="store_true", help="as mosquitto's; packets are never held back here anyway")
    add_tls_options(parser)
    parser.set_defaults(protocol_version="3.1.1", id="")


def add_tls_options(parser: argparse.ArgumentParser) -> None:
    """How to speak TLS with the broker; any of them makes mqtts:// of host and port."""
    tls = parser.add_argument_group("TLS")
    tls.add_argument(
        "--cafile", metavar="FILE", help="certificates of the CAs that may vouch for the broker (the system's)"
    )
    tls.add_argument("--capath", metavar="FOLDER", help="the same, in a folder as `openssl rehash` makes it")
    tls.add_argument("--cert", metavar="FILE", help="certificate of this client")
    tls.add_argument("--key", metavar="FILE", help="its private key (in the file of --cert)")
    tls.add_argument(
        "--fingerprint",
        metavar="SHA256",
        help="take this one certificate of the broker, and no other, whoever vouches for it: for a self-signed one",
    )
    tls.add_argument("--server-name", metavar="NAME", help="that the broker's certificate is for (the host)")
    tls.add_argument("--tls-alpn", metavar="PROTOCOL", help="protocol to ask for in ALPN; several with commas")
    tls.add_argument(
        "--insecure",
        action="store_true",
        help="do not look for whom the certificate is; without --cafile, take any: whoever is in between can read all",
    )
    tls.add_argument("--tls-use-os-certs", action="store_true", help="TLS with the system's CAs, which are the default")


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
        "-x",
        "--session-expiry-interval",
        type=expiry_s,
        metavar="S",
        help="keep it for S seconds after the connection has ended (-1: for ever); MQTT 5.0",
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
    if name in ("31", "3.1", "3"):
        return "3.1"
    raise argparse.ArgumentTypeError(f"{text!r} is not supported; this command speaks MQTT 5.0, 3.1.1 and 3.1")


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
    scheme, port = ("mqtts", TLS_PORT) if _tls_given(args) else ("mqtt", PORT)
    return _url_of_host(scheme, "localhost" if args.host is None else args.host, args.port or port), ""


def in_options(text: str) -> str:
    """An error of Client, with options of the command line in the place of the arguments that it names."""
    text = text.replace(
        "speaks TLS: use mqtts:// for this port (or wss:// for WebSockets)",
        "speaks TLS: give --cafile, --fingerprint or --tls-use-os-certs (with -L: mqtts://, or wss:// for WebSockets)",
    )
    options = {"username": "--username", "password": "--pw"}
    options |= {name: "--" + option.replace("_", "-") for option, name in reversed(_TLS.items())}
    return re.sub(rf"\b({'|'.join(options)})=(True\b)?(?=(')?)", lambda m: options[m[1]] + (" " if m[3] else ""), text)


def _tls_given(args: argparse.Namespace) -> list[str]:
    return [name for name in (*_TLS, "tls_use_os_certs") if getattr(args, name)]


def _tls_options(args: argparse.Namespace, url: str) -> dict[str, Any]:
    given = _tls_given(args)
    if given and not needs_tls(url):
        scheme = url.partition("://")[0]
        better = {"mqtt": "mqtts://", "ws": "wss://"}.get(scheme, "")
        option = "--" + given[0].replace("_", "-")
        raise ValueError(f"{option} is about TLS, which {scheme}:// has not" + (f"; write {better}" if better else ""))
    if args.cafile and args.capath:
        raise ValueError("give either --cafile or --capath")
    if args.key and not args.cert:
        raise ValueError("--key needs --cert: a key alone says nothing")
    if args.insecure and args.fingerprint:
        raise ValueError("--insecure takes any certificate and --fingerprint a single one: give one of them")
    options = {_TLS[name]: getattr(args, name) for name in given if name in _TLS}
    if args.insecure and (args.cafile or args.capath):
        return _for_any_name(options, url)
    return options


def _for_any_name(options: dict[str, Any], url: str) -> dict[str, Any]:
    """As mosquitto's --insecure: signed by a CA that is known, but for any name."""
    with loading(url):
        from ...client.secure.tls_options import TlsOptions  # with all of the client, which no other option needs here

    context = TlsOptions(**{**options, "insecure": False}).context(url.partition("://")[0], url)
    context.check_hostname = False
    return {"tls": context, "server_name": options.get("server_name")}


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
        **_tls_options(args, url),
    }
    if args.pw is None and "MQTTLITE_PASSWORD" in os.environ and (args.username is not None or _has_only_user(url)):
        options["password"] = os.fsencode(os.environ["MQTTLITE_PASSWORD"])
    return options


def session_options(args: argparse.Namespace, options: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments for `Client` of the session and the will, beside `options`. ValueError as there."""
    if (args.disable_clean_session or args.store is not None) and not args.id:
        option = "--store" if args.store is not None else "-c"
        raise ValueError(f"{option} keeps a session, and a session needs a client identifier: add -i")
    found: dict[str, Any] = {"clean_session": not (args.disable_clean_session or args.store is not None)}
    found |= args.properties["connect"]
    if args.session_expiry_interval is not None:
        if "session_expiry_s" in found:
            raise ValueError("-x and -D connect session-expiry-interval are the same: give one of them")
        if args.protocol_version != "5.0":
            raise ValueError(
                "-x needs MQTT 5.0: add -V 5.0; in 3.1.1 -c keeps a session for as long as the broker likes"
            )
        found["session_expiry_s"] = args.session_expiry_interval
    ever = (found.get("session_expiry_s"), args.properties["disconnect"].get("session_expiry_s"))
    if FOUR_BYTES in ever and not args.id:
        raise ValueError("a session that does not expire needs a client identifier, to be found again: add -i")
    if args.properties["disconnect"].get("session_expiry_s") and not found.get(
        "session_expiry_s", not found["clean_session"]
    ):
        raise ValueError("-D disconnect session-expiry-interval keeps a session that is not kept: add -x, or -c and -i")
    if args.store is not None:
        if not args.store:
            raise ValueError("--store takes the path of a file")
        found["store"] = args.store
    if args.max_inflight is not None:
        if not 0 < args.max_inflight < 65536:
            raise ValueError(f"-M {args.max_inflight} is not between 1 and 65535")
        found["window"] = args.max_inflight
    if will := _will(args, options["url"]):
        found["will"] = will
    return {**options, **found}


def _will(args: argparse.Namespace, url: str) -> "tuple[str, bytes, int, bool] | Will | None":
    properties = args.properties["will"]
    if args.will_topic is None:
        if args.will_payload is not None or args.will_qos is not None or args.will_retain or properties:
            raise ValueError("options for a will need --will-topic")
        return None
    will = (args.will_topic, os.fsencode(args.will_payload or ""), args.will_qos or 0, args.will_retain)
    if properties:
        with loading(url):
            from ...client.will import Will  # with all of the client, which a mistake in the command line does not need

        return Will(*will, **properties)
    return will


def _url_of_host(scheme: str, host: str, port: int) -> str:
    if not host:
        raise ValueError("--host is empty; give a host name or an address, or leave it out for localhost")
    if "/" in host:
        raise ValueError("--host takes a host name or an address; a URL goes with --url")
    if host.count(":") == 1:
        raise ValueError("--host takes a host name or an address; the port goes with --port")
    if host[0] == "[" and host[-1] == "]":
        host = host[1:-1]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


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
