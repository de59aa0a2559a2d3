"""Finds the broker in the board's network, by multicast DNS: `mqtts://discover`, `mqtts://discover/NAME`, or a host
whose name ends in .local. Loaded where the settings have such a URL. Both runtimes.

Whoever is in the network can answer. So what is found is tried, one after the other, and TLS shows which is the broker:
its certificate has to be the one in the settings (`ca`), or signed by it. A password goes nowhere else: the settings
are refused otherwise (settings_rules.py). Who answers first, or loudest, can make the board look in vain, and no more.
"""

import asyncio
import errno
import socket

from . import clock, mdns, seldom

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

NOWHERE = "127.0.0.1:9"  # where the client looks for its broker as long as nothing is found: nobody listens there
LISTEN_MS = 1500  # for answers to a question
ASKED_MAX = 4  # questions of one search
LOST_S = 20  # without a connection, before the broker is looked for elsewhere
PAUSE_MAX_S = 60  # from one search in vain to the next, at most
INTERFACE = b""  # address from which is asked, where it is not for the network to choose

_SERVICES = {"mqtt": "_mqtt._tcp", "mqtts": "_secure-mqtt._tcp"}
_IP_MULTICAST_IF = 32


async def keep(program: "Any") -> None:
    """For ever: finds the broker, and finds it again when the connection is lost and does not come back."""
    tried: "set[str]" = set()  # since the last connection
    since = clock.up_ms() - LOST_S * 1000
    pause_s = 1
    while True:
        await asyncio.sleep(1)
        now = clock.up_ms()
        if program.is_connected or not is_wanted(program.settings, program.url):
            tried.clear()
            since = now if program.place else now - LOST_S * 1000
            pause_s = 1
        elif now - since >= LOST_S * 1000:
            found = await look(program.url)
            fresh = [each for each in found if each[0] not in tried]
            if found and not fresh:  # none was the broker: from the beginning
                tried.clear()
                fresh = found
            since = clock.up_ms()
            if not fresh:
                print("no broker answers to", program.url)
                since += (pause_s - LOST_S) * 1000
                pause_s = min(2 * pause_s, PAUSE_MAX_S)
            elif is_wanted(program.settings, program.url) and program.ready.is_set() and not program.is_connected:
                tried.add(fresh[0][0])
                if program.place != fresh[0]:
                    program.place = fresh[0]
                    print("broker at", program.place[0])
                    await seldom.switch(program, program.url)


def is_wanted(settings: "dict[str, Any]", url: str) -> bool:
    """Whether the broker of this URL is looked for here. A host in .local to which a password goes without TLS is left
    to the network's own resolver, as any other name.
    """
    scheme, host, _, _ = parts(url)
    return host == "discover" or (host.endswith(".local") and (scheme == "mqtts" or not settings["password"]))


def found(program: "Any", url: str, options: "dict[str, Any]") -> str:
    """The URL to connect to, and into `options` the name that its certificate is for."""
    if not is_wanted(program.settings, url):
        return url
    place, name = program.place or (NOWHERE, "")
    scheme = parts(url)[0]
    if scheme == "mqtts":
        options["server_name"] = name
    return scheme + "://" + place


def parts(url: str) -> "tuple[str, str, str, str]":
    """Scheme, host, port and name of a URL."""
    scheme, _, rest = cut(url, "://")
    place, _, name = cut(rest, "/")
    host, _, port = cut(place, ":")
    return scheme, host if scheme in _SERVICES else "", port, name


def cut(text: str, mark: str) -> "tuple[str, str, str]":
    """str.partition, which MicroPython's small builds lack."""
    at = text.find(mark)
    return (text, "", "") if at < 0 else (text[:at], mark, text[at + len(mark) :])


async def look(url: str) -> "list[tuple[str, str]]":
    """Where the broker of a URL may be: (HOST:PORT, name for its certificate) each, the preferred first."""
    scheme, host, port, name = parts(url)
    gathered = mdns.Gathered()
    try:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            if INTERFACE:
                sock.setsockopt(0, _IP_MULTICAST_IF, INTERFACE)
            to = socket.getaddrinfo(mdns.GROUP, mdns.PORT)[0][-1]
            if host != "discover":
                await _ask(sock, to, gathered, mdns.address_query(host))
                address = gathered.address(host)
                port = port or ("8883" if scheme == "mqtts" else "1883")
                return [(address + ":" + port, host)] if address else []
            service = _SERVICES[scheme]
            await _ask(sock, to, gathered, mdns.query(service + ".local"))
            for full in gathered.unplaced():
                await _ask(sock, to, gathered, mdns.place_query(full))
            for _, target, _, address, _ in gathered.services(service):
                if not address:
                    await _ask(sock, to, gathered, mdns.address_query(target))
            found = gathered.services(service)
        finally:
            sock.close()
    except OSError as error:  # there is no network
        print("mDNS:", error)
        return []
    return [
        ("%s:%d" % (address, number), target)
        for instance, target, number, address, _ in found
        if address and (not name or name in (instance, target))
    ]


async def _ask(sock: "Any", to: "Any", gathered: mdns.Gathered, question: bytes) -> None:
    """Ask until there is an answer; then hear what else there is for LISTEN_MS."""
    for _ in range(ASKED_MAX):
        sock.sendto(question, to)
        begun = clock.up_ms()
        has_come = False
        while clock.up_ms() - begun < LISTEN_MS:
            await asyncio.sleep(0.02)
            try:
                has_come |= gathered.take(sock.recv(1500))
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.ECONNREFUSED):
                    raise
        if has_come:
            return
