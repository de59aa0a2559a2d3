"""How the broker's work grows with what it holds: subscriptions, retained messages, filters that double their branches.

    python -m benchmarks.broker_scale

The engine alone, in this process, without sockets; processor time. A publish to a topic for the first time computes its
route (which clients, with which QoS), so each topic here is a new one: what is measured is the search, not the cache.
"""

import gc
import itertools
import logging
import time
from collections.abc import Callable, Iterator

from mqttlite.broker.clients.peer import Peer
from mqttlite.broker.engine import Engine
from mqttlite.broker.limits import Limits
from mqttlite.core.codec import publish_head
from mqttlite.core.wire4 import encode_connect, encode_subscribe

SIZES = (1_000, 10_000, 100_000)
SOME = 2000  # measurements, in ...
BLOCKS = 10  # ... so many parts
MANY = 1 << 30


class Clients:
    """An engine and clients of bytes."""

    def __init__(self) -> None:
        limits = Limits(
            filters=MANY,
            filters_bytes=MANY,
            all_filters_bytes=MANY,
            retained_bytes=MANY,
            connections=1000,
            wildcards=MANY,
            all_wildcards=MANY,
        )
        self.engine = Engine(limits)

    def connect(self, name: str) -> Peer:
        peer = self.engine.open("", 0)
        self.send(peer, encode_connect(name.encode(), True, 0))
        return peer

    def send(self, peer: Peer, data: bytes) -> int:
        """The bytes that the broker writes to everybody for it."""
        self.engine.receive(peer, data, 0)
        written = 0
        while self.engine.dirty or self.engine.busy:
            for each in list(self.engine.dirty):
                written += sum(map(len, each.out))
                each.out.clear()
            self.engine.dirty.clear()
            self.engine.go_on(0)
        return written

    def subscribe(self, peer: Peer, topic_filters: Iterator[str]) -> None:
        while some := [(each.encode(), 0) for each in itertools.islice(topic_filters, 200)]:
            self.send(peer, encode_subscribe(1, some))


def mean_us(call: Callable[[int], object], count: int = 0) -> float:
    """The best of some means: other work on the machine only adds to them."""
    count = count or SOME
    means = []
    gc.collect()
    for block in range(0, count, max(1, count // BLOCKS)):
        began = time.process_time()
        for number in range(block, block + max(1, count // BLOCKS)):
            call(number)
        means.append((time.process_time() - began) / max(1, count // BLOCKS) * 1e6)
    return min(means)


def publish(clients: Clients, peer: Peer, topic: str, retain: bool = False) -> int:
    return clients.send(peer, publish_head(int(retain), topic.encode(), 1) + b"x")


def subscriptions(count: int) -> None:
    clients = Clients()
    publisher = clients.connect("publisher")
    for part in range(100):
        subscriber = clients.connect(f"subscriber-{part}")
        own = count // 100
        clients.subscribe(subscriber, (f"site/{part}/device/{number}/+" for number in range(own)))
    step = max(1, count // 100 // 20)
    matching = mean_us(
        lambda n: publish(clients, publisher, f"site/{n % 100}/device/{n // 100 * step % (count // 100)}/value-{n}")
    )
    none = mean_us(lambda n: publish(clients, publisher, f"site/{n % 100}/nothing/{n}/value"))
    another = clients.connect("another")
    subscribing = mean_us(lambda n: clients.send(another, encode_subscribe(1, [(b"own/%d/+" % n, 0)])))
    print(f"{count:>7} subscriptions    {matching:8.1f} {none:8.1f} {subscribing:8.1f}", flush=True)


def retained(count: int) -> None:
    clients = Clients()
    publisher = clients.connect("publisher")
    for number in range(count):
        publish(clients, publisher, f"site/{number % 100}/device/{number // 100}/value", retain=True)
    subscriber = clients.connect("subscriber")
    storing = mean_us(lambda n: publish(clients, publisher, f"site/{n % 100}/device/{n // 100}/value", retain=True))
    one = mean_us(
        lambda n: clients.send(subscriber, encode_subscribe(1, [(b"site/%d/+/3/value" % (n % 100), 0)])), SOME // 4
    )
    none = mean_us(lambda n: clients.send(subscriber, encode_subscribe(1, [(b"site/+/nothing/%d" % n, 0)])), SOME // 4)
    print(f"{count:>7} retained         {storing:8.1f} {one:8.1f} {none:8.1f}", flush=True)


def doubling(levels: int) -> None:
    clients = Clients()
    publisher = clients.connect("publisher")
    for part in range(4):
        subscriber = clients.connect(f"subscriber-{part}")
        every = itertools.islice(itertools.product("a+", repeat=levels), part, None, 4)
        clients.subscribe(subscriber, ("/".join([*each, "x"]) for each in every))
    topic = "/".join("a" * levels)
    publish(clients, publisher, f"{topic}/x")
    publish(clients, publisher, f"{topic}/first")
    matching = mean_us(lambda n: publish(clients, publisher, f"{topic}/x"), max(BLOCKS, SOME // 40))
    none = mean_us(lambda n: publish(clients, publisher, f"{topic}/{n}"), max(BLOCKS, SOME // 40))
    print(f"{1 << levels:>7} filters of a and + {matching:6.1f} {none:8.1f}", flush=True)


def main() -> None:
    logging.disable(logging.WARNING)
    print("microseconds of processor time for each\n")
    print("                         publish to a new topic   another")
    print("                          1 match  no match     SUBSCRIBE")
    for count in SIZES:
        subscriptions(count)
    print("\n                         retain  SUBSCRIBE, its retained messages")
    print("                                  1 match  no match")
    for count in SIZES:
        retained(count)
    print("\n                       publish, 4 clients match  no match")
    for levels in (5, 10, 15):
        doubling(levels)


if __name__ == "__main__":
    main()
