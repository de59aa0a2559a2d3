"""The attacks, each a function of a target: what a stranger, or a client of ours that has gone mad, does to a broker.

python -m benchmarks.attack.attacks NAME HOST PORT SECONDS     runs one
"""

import itertools
import os
import random
import socket
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

from .wire import Target, blocks, connect, field, garbage, packet, publish, raise_limit, subscribe

OWNED = "owned"  # the client identifier of an honest client that takeovers aims at
HOUSE = "house/temperature"  # what honest clients publish and subscribe to


class Attack(NamedTuple):
    """`row`: the limits that it is about. `from_afar`: it comes from an address that is not loopback, which has laxer
    rules.
    """

    run: Callable[[Target], None]
    row: str
    from_afar: bool = False


ATTACKS: dict[str, Attack] = {}


def attack(row: str, *, from_afar: bool = False) -> Callable[[Callable[[Target], None]], Callable[[Target], None]]:
    """Adds a function to ATTACKS."""

    def add(run: Callable[[Target], None]) -> Callable[[Target], None]:
        ATTACKS[run.__name__.replace("_", "-")] = Attack(run, row, from_afar)
        return run

    return add


# -- connections


@attack("half_open")
def half_open_flood(target: Target) -> None:
    """Connections as fast as they come, and nothing said on any."""
    while target.goes_on:
        if target.open(timeout=1) is None or len(target.sockets) > 3000:
            for sock in target.sockets[:1000]:
                target.drop(sock)


@attack("half_open_per_address", from_afar=True)
def half_open_flood_from_afar(target: Target) -> None:
    """The same from one address of the network."""
    half_open_flood(target)


@attack("connections")
def idle_connections(target: Target) -> None:
    """1,200 clients that want no keep alive and say nothing."""
    target.clients(1200, "idle")
    target.rest()


@attack("connects_a_second")
def connect_storm(target: Target) -> None:
    """CONNECT, then gone, as often as possible."""
    while target.goes_on:
        sock = target.open(connect("storm"))
        if sock:
            target.drop(sock, reset=bool(random.getrandbits(1)))


@attack("connects_per_address", from_afar=True)
def connect_storm_from_afar(target: Target) -> None:
    """The same from one address of the network."""
    connect_storm(target)


@attack("first_byte_ms, connect_ms")
def slow_connect(target: Target) -> None:
    """200 clients whose CONNECT comes a byte at a time."""
    start = connect("slow" * 20)
    target.drip([sock for sock in (target.open(start[:1]) for _ in range(200)) if sock], byte=b"\x80")


@attack("packet_ms, received_bytes")
def packets_that_never_end(target: Target) -> None:
    """100 clients, each with a message of which nearly 1 MiB has come, and then a byte now and then."""
    head = packet(0x30, field("t"), bytes(1_000_000))[:900_000]
    target.drip(target.clients(100, "half", head))


@attack("takeovers_a_minute")
def takeover_storm(target: Target) -> None:
    """Somebody else's client identifier, from another address than its owner's, again and again."""
    while target.goes_on:
        target.client(OWNED, clean=False)
        time.sleep(0.01)


# -- what the parser sees


@attack("malformed")
def bytes_of_all_kinds(target: Target) -> None:
    """Random bytes, HTTP, TLS, and packets with random bytes in them."""
    hello = b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03"
    while target.goes_on:
        kind = random.randrange(5)
        data = garbage(random.randrange(1, 3000))
        if kind == 0:
            data = hello + data
        elif kind == 1:
            data = b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n" + data
        elif kind == 2:
            data = connect("odd") + packet(random.choice((0x32, 0x34, 0x82, 0xA2, 0x40, 0x62)), data)
        elif kind == 3:
            data = connect("odd", level=5) + packet(0x30, field("t"), data)
        sock = target.open(data)
        if sock and (kind or random.getrandbits(1)):
            target.drop(sock)


@attack("malformed")
def text_that_is_none(target: Target) -> None:
    """Topics with U+0000, surrogates, half characters, wildcards."""
    names = [b"\0", b"\xed\xa0\x80", b"\xc3", b"a/+", b"#", b"\xff" * 500, b"a" * 60_000]
    while target.goes_on:
        sock = target.client("text", publish("", qos=1)[:1])
        if sock:
            target.drop(sock)
        for name in names:
            sock = target.client("text", packet(0x32, field(name), b"\0\1x"))
            if sock:
                target.drop(sock)


@attack("packet_bytes, connect_bytes")
def huge_lengths(target: Target) -> None:
    """Packets that say that they are 256 MiB, before CONNECT and after it, and CONNECT of 8 KiB."""
    while target.goes_on:
        for data in (b"\x10\xff\xff\xff\x7f", connect("x" * 8000), connect("huge") + b"\x30\xff\xff\xff\x7f"):
            sock = target.open(data)
            if sock:
                target.drop(sock)


@attack("properties")
def many_properties(target: Target) -> None:
    """Messages of 5.0 with 5,000 user properties to all."""
    pairs = b"\x26\0\1n\0\1v" * 5000
    block = b"\xb8\x91\x02" + pairs
    assert len(pairs) == 35_000
    data = publish(HOUSE, b"", 1, 7, block=block)
    target.pour(target.clients(4, "props", level=5), lambda: data)


@attack("log_lines_a_second")
def messages_that_are_refused(target: Target) -> None:
    """Each gets a refusal (5.0), and would have a line in the log."""
    data = b"".join(publish("a/" * 40, b"", 1, number, block=b"\0") for number in range(1, 500))
    target.pour(target.clients(3, "refused", level=5), lambda: data)


# -- subscriptions


@attack("filters, all_filters_bytes")
def many_filters(target: Target) -> None:
    """Topic filters of 16 levels, as many as there may be."""
    for number in range(40):
        sock = target.client(f"filters{number}")
        for part in range(10):
            if sock is None or not target.goes_on:
                break
            filters = [f"{number}/{part}/" + "/".join(f"{n}x{level}" for level in range(13)) for n in range(100)]
            try:
                sock.sendall(subscribe(*filters))
                sock.recv(4096)
            except OSError:
                break
    target.rest()


@attack("wildcards, all_wildcards")
def doubling_wildcards(target: Target) -> None:
    """2 ** 13 filters that all match one topic name, and messages to always new names."""
    filters = ["/".join(levels) for levels in itertools.product("a+", repeat=13)]
    for number in range(8):
        sock = target.client(f"wild{number}")
        for part in range(10):
            if sock is None or not target.goes_on:
                break
            try:
                sock.sendall(subscribe(*filters[number * 1000 + part * 100 :][:100]))
                sock.recv(4096)
            except OSError:
                break
    new = blocks(lambda number: publish("a/" * 12 + str(number)), 2000)
    target.pour(target.clients(2, "names"), new)


@attack("routes_bytes")
def routes_thrown_away(target: Target) -> None:
    """SUBSCRIBE and UNSUBSCRIBE of everything, without end."""
    both = subscribe("#") + packet(0xA2, b"\0\1", field("#"))
    target.pour(target.clients(3, "routes"), lambda: both * 200)


@attack("turn_work")
def a_subscribe_of_very_many(target: Target) -> None:
    """SUBSCRIBE packets of nearly 1 MiB."""
    data = subscribe(*[f"l/{number}" for number in range(9000)] * 10)
    target.pour(target.clients(4, "long"), lambda: data)


# -- messages


@attack("turn_work, turn_ms")
def publish_flood(target: Target) -> None:
    """QoS 0 without end from one client, to nobody."""
    data = publish("flood", b"x") * 8000
    target.pour(target.clients(1, "flood"), lambda: data)


@attack("turn_work, turn_ms")
def publish_flood_of_many(target: Target) -> None:
    """The same from 200 clients, to a topic that two subscribe to."""
    target.clients(2, "listener", subscribe("flood", qos=1))
    data = publish("flood", b"x" * 20) * 500
    target.pour(target.clients(200, "flood"), lambda: data)


@attack("queue_bytes, write_buffer_bytes")
def flood_to_the_house(target: Target) -> None:
    """QoS 1 without end to topics below those that honest clients use, and a subscriber that never reads."""
    target.client("hung", subscribe("house/#", qos=1), receive_buffer=4096)
    data = b"".join(publish("house/other", bytes(200), 1, 1 + number) for number in range(300))
    target.pour(target.clients(5, "loud"), lambda: data)


@attack("output_bytes")
def answers_that_nobody_reads(target: Target) -> None:
    """PINGREQ, SUBSCRIBE, QoS 1 and unknown PUBREL from clients that do not read."""
    sockets = target.clients(40, "deaf", receive_buffer=4096)
    kinds = [b"\xc0\0" * 8000, subscribe(*["a"] * 2000), publish("a", b"", 1, 1) * 3000, b"\x62\2\0\1" * 4000]
    target.pour(sockets, blocks(lambda number: kinds[number % 4], 1), reads=False)


@attack("queue_bytes, queues_bytes")
def a_client_that_feeds_itself(target: Target) -> None:
    """It subscribes to everything with QoS 1, publishes, and acknowledges nothing."""
    sockets = target.clients(8, "self", subscribe("self/#", qos=1))
    target.pour(sockets, blocks(lambda number: publish("self/x", bytes(1000), 1, 1 + number % 60_000)))


@attack("inbound, identifiers_bytes")
def identifiers_never_released(target: Target) -> None:
    """QoS 2 messages, and no PUBREL."""
    sockets = target.clients(60, "never", clean=False)
    target.pour(sockets, blocks(lambda number: publish("q", b"", 2, 1 + number % 65_000), 4000))


@attack("retained_bytes")
def retained_flood(target: Target) -> None:
    """Retained messages to ever new topics, large and small, and others that ask for all of them."""
    sockets = target.clients(4, "keep")
    target.clients(20, "all", subscribe("#"), receive_buffer=4096)
    sizes = (50_000, *[10] * 49)
    target.pour(sockets, blocks(lambda n: publish(f"r/{n}/{n % 7}", bytes(sizes[n % 50]), retain=True)))


@attack("wills")
def wills_without_end(target: Target) -> None:
    """Clients with a large will to everybody that are cut."""
    while target.goes_on:
        sock = target.client(f"will{random.randrange(50)}", will=("house/will", bytes(3500), 1))
        if sock:
            target.drop(sock, reset=True)


# -- sessions


@attack("persistent_sessions")
def strangers_with_sessions(target: Target) -> None:
    """Persistent sessions under ever new identifiers, half of them with a subscription in them."""
    number = 0
    while target.goes_on:
        number += 1
        sock = target.client(f"stranger{number}", subscribe("house/#", qos=1) if number % 2 else b"\xc0\0", clean=False)
        if sock:
            target.drop(sock)


def main() -> int:
    raise_limit()
    name, host, port, seconds = sys.argv[1:]
    target = Target(host, int(port), float(seconds))
    random.seed(name)
    ATTACKS[name].run(target)
    target.rest()
    for sock in list(target.sockets):
        if isinstance(sock, socket.socket):
            sock.close()
    os._exit(0)  # thousands of sockets need no good-bye


if __name__ == "__main__":
    sys.exit(main())
