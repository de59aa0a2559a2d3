"""Looks for brokers in this computer's network, by multicast DNS, and needs no package for that. Blocks.

What is found is what somebody says. Before a password is sent there, TLS has to show who it is.
"""

import errno
import select
import socket
import time
from collections.abc import Iterable
from typing import NamedTuple

from mqttlite_board import mdns

SERVICES = {"_secure-mqtt._tcp": "mqtts", "_mqtt._tcp": "mqtt"}
"""What is looked for, and the scheme of its URL."""
AGAIN_S = (0.0, 0.3, 1.0, 3.0, 9.0)  # since the begin: a question can be lost


class FoundBroker(NamedTuple):
    """`name`: of the instance; `url`: with the address, else the host's name; `host`: what a certificate is for."""

    name: str
    url: str
    host: str
    port: int
    address: str
    texts: dict[str, str]


def discover(
    wait_s: float = 2.0,
    *,
    services: Iterable[str] = SERVICES,
    to: tuple[str, int] = (mdns.GROUP, mdns.PORT),
    interface: str = "",
) -> list[FoundBroker]:
    """Ask, gather answers for `wait_s`, and say what there is. `interface`: the address of this computer from which is
    asked, where it has several; `to`: who is asked. OSError: this computer has no network.
    """
    gathered = mdns.Gathered()
    asked: set[str] = set()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        if interface:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(interface))
            sock.bind((interface, 0))
        began = time.monotonic()
        times = [began + each for each in AGAIN_S if each < wait_s]
        questions = [mdns.query(f"{service}.local") for service in services]
        while (left_s := began + wait_s - time.monotonic()) > 0:
            if times and time.monotonic() >= times[0]:
                times.pop(0)
                asked.clear()
                for question in questions:
                    _send(sock, question, to)
            for name, question in _open(gathered):
                if name not in asked:
                    asked.add(name)
                    _send(sock, question, to)
            pause_s = min(left_s, max(0.0, times[0] - time.monotonic())) if times else left_s
            if select.select([sock], [], [], pause_s)[0]:
                try:
                    gathered.take(sock.recv(mdns.MESSAGE_MAX))
                except OSError:  # that nobody listens there, said by ICMP
                    time.sleep(min(0.05, left_s))
    return [_found(each, scheme) for service, scheme in SERVICES.items() for each in gathered.services(service)]


def _open(gathered: mdns.Gathered) -> Iterable[tuple[str, bytes]]:
    """What answers have left open."""
    for full in gathered.unplaced():
        yield full, mdns.place_query(full)
    for service in SERVICES:
        for _, host, _, address, _ in gathered.services(service):
            if not address:
                yield host, mdns.address_query(host)


def _send(sock: socket.socket, data: bytes, to: tuple[str, int]) -> None:
    try:
        sock.sendto(data, to)
    except OSError as error:
        if error.errno != errno.ECONNREFUSED:
            raise OSError(error.errno, f"this computer cannot ask its network for brokers: {error.strerror}") from None


def _found(service: tuple[str, str, int, str, dict[str, str]], scheme: str) -> FoundBroker:
    name, host, port, address, texts = service
    return FoundBroker(name, f"{scheme}://{address or host}:{port}", host, port, address, texts)
