"""`mqttlite broker init`: all that a broker for a network at home needs, in one folder and one step; and what its
clients have to be told.

certificates   a CA, and what it signs
instructions   what is printed
"""

import argparse
import grp
import ipaddress
import os
import socket
from pathlib import Path

from ....net import own_names

USER = "home"
FOLDER = "mqttlite-broker"
_OF_A_GATEWAY = ("gateway.toml", "gateway.example.toml", "secrets")  # it may be installed there already
_OF_THE_SERVICE = ("server.key", "server.pem", "users", "broker.toml")

_DESCRIPTION = """\
Makes a folder with all that a broker for a network at home needs: a user with a password, rules, a CA, a certificate
for this machine's names and addresses, and a file for --config. Then it prints what a phone, a board, mosquitto_pub and
mqttlite need. Nothing that is there is overwritten.

  mqttlite broker init                              in ./mqttlite-broker
  mqttlite broker init /etc/mqttlite --user ann     elsewhere, for a user of this name
  mqttlite broker init /etc/mqttlite --group mqttlite     for a service in this group (docs/operating.md)
  mqttlite broker init --name broker.example.org    the certificate is for this name, too
  mqttlite broker init --renew                      a new certificate of the server: signed by the same CA"""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the action to `broker`."""
    parser = subparsers.add_parser(
        "init", help="a user, rules and certificates for a network", description=_DESCRIPTION
    )
    parser.add_argument("folder", metavar="FOLDER", nargs="?", default=FOLDER, help=f"to be made ({FOLDER})")
    parser.add_argument("--user", metavar="NAME", default=USER, help=f"of the first user ({USER})")
    parser.add_argument(
        "--name", action="append", default=[], metavar="HOST", help="another name or address; repeatable"
    )
    parser.add_argument("--port", type=int, default=8883, help="for TLS (8883)")
    parser.add_argument("--local-port", type=int, default=1883, help="for programs on this machine, without TLS (1883)")
    parser.add_argument(
        "--group",
        metavar="GROUP",
        help="this group may read it, but ca.key; its unit says where the store is",
    )
    parser.add_argument("--renew", action="store_true", help="a new certificate of the server, and nothing else")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Do it; the exit code. ValueError: something stands in the way."""
    folder = Path(args.folder).absolute()
    for port in (args.port, args.local_port):
        if not 0 < port < 65536:
            raise ValueError(f"a port is a number from 1 to 65535, not {port}")
    for name in args.name:
        if not own_names.is_name(name) and not _is_address(name):
            raise ValueError(f"--name {name!r}: neither a host's name nor an address")
    if args.renew:
        _renew(folder, args.name)
        return 0
    print(_init(folder, args.user, args.name, args.port, args.local_port, args.group))
    return 0


def init(folder: str) -> int:
    """As `--init FOLDER`, which has no further options."""
    print(_init(Path(folder).absolute(), USER, [], 8883, 1883))
    return 0


def _init(folder: Path, user: str, more: list[str], port: int, local_port: int, group: str | None = None) -> str:
    """Make the folder; what is to be printed."""
    from ....broker.access.passwords import hashed
    from ....broker.access.secret_files import write_secret
    from ....broker.access.users import check_name
    from . import certificates, instructions

    check_name(user)
    number = None if group is None else _number_of(group)
    if folder.exists() and (not folder.is_dir() or any(each.name not in _OF_A_GATEWAY for each in folder.iterdir())):
        raise ValueError(f"{folder} is there, and not empty: choose another folder (--renew: a new certificate)")
    names = [*more, *own_names.own_names()]
    addresses = own_names.own_addresses()
    password = certificates.make_password()
    ca = certificates.make_ca(f"CA of the MQTT broker on {socket.gethostname()}")
    server = certificates.make_server(ca.certificate, ca.key, [*names, *addresses])
    line = f"{user}:{hashed(password.encode())}\n"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, data in (
        ("ca.key", ca.key),
        ("server.key", server.key),
        ("server.pem", server.certificate + ca.certificate),
        ("users", line.encode()),
        ("broker.toml", instructions.config(folder, user, port, local_port, group is not None).encode()),
        ("ca.pem", ca.certificate),
        ("ca.der", ca.der),
    ):
        write_secret(folder / name, data)
    for name in ("ca.pem", "ca.der"):
        (folder / name).chmod(0o644)
    if number is not None:
        for path, mode in (folder, 0o750), *((folder / name, 0o640) for name in _OF_THE_SERVICE):
            os.chown(path, -1, number)
            path.chmod(mode)
    here = ipaddress.ip_address(addresses[0]).is_loopback  # no network yet: the name will do, once there is one
    host = more[0] if more else names[0] if here else addresses[0]
    return instructions.text(folder, host, port, user, password, [*names, *addresses], server)


def _renew(folder: Path, more: list[str]) -> None:
    from ....broker.access.secret_files import write_secret
    from . import certificates

    ca, key = ((folder / name).read_bytes() for name in ("ca.pem", "ca.key"))
    names = [*more, *own_names.own_names(), *own_names.own_addresses()]
    server = certificates.make_server(ca, key, names)
    write_secret(folder / "server.key", server.key, as_before=True)
    write_secret(folder / "server.pem", server.certificate + ca, as_before=True)
    print(f"{folder}/server.pem is new: for {', '.join(names)}, until {server.until}, fingerprint")
    print(f"  {server.fingerprint}")
    print("A broker that runs takes it at SIGHUP (systemctl reload). Clients that have ca.pem need nothing.")


def _number_of(group: str) -> int:
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise ValueError(f"there is no group {group!r}: sudo groupadd --system {group}") from None


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
