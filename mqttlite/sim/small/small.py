"""Small worlds as data: a producer, a broker and a consumer, all durable, and a few messages."""

import re
from typing import NamedTuple

STORES = ("sqlite", "journal", "tight", "memory")


class Small(NamedTuple):
    """A small world.

    qos, messages: what is published. producer: its store, "sqlite", "journal", "tight" (a journal that is full after
    a few messages) or "memory" (none: the next life publishes all again, and one more). keys: messages carry an
    idempotency key of the application's, and what a producer is unsure of it publishes again. line: the producer is a
    device on a serial line of a gateway. slow: messages are published and handled slowly. few: there are FEW packet
    identifiers. wrap: the producer's first message has the last packet identifier. lose: disks may get lost, too.
    blackout: everything loses its power at once when the first message is on its way to the consumer. rollback: the
    consumer's database has a rollback journal, no WAL. poison: before the first message the producer publishes one that
    the broker never takes. large: before the first message it publishes one that the consumer never takes. reuse: each
    life of a producer without a store begins with another message, under the identifier of the first one. five: all
    speak MQTT 5.0. changes: the consumer speaks another version in each of its lives, 3.1.1 first, and so does a
    producer without a store, 5.0 first; one with a store speaks 5.0.
    """

    qos: int = 2
    messages: int = 1
    producer: str = "sqlite"
    keys: bool = False
    line: bool = False
    slow: bool = False
    few: bool = False
    wrap: bool = False
    lose: bool = False
    blackout: bool = False
    rollback: bool = False
    poison: bool = False
    large: bool = False
    reuse: bool = False
    five: bool = False
    changes: bool = False

    def __str__(self) -> str:
        return f"qos{self.qos}-{self.messages}-{self.producer}" + "".join(
            f"-{flag}" for flag in FLAGS if getattr(self, flag)
        )


FLAGS = Small._fields[3:]


def named(name: str) -> Small:
    """The small world of a name, as `qos2-1-sqlite-keys`. ValueError when it is none."""
    found = re.fullmatch(rf"qos([012])-(\d{{1,3}})-({'|'.join(STORES)})((?:-\w+)*)", name)
    if found:
        flags = {flag: f"-{flag}-" in f"{found[4]}-" for flag in FLAGS}
        small = Small(int(found[1]), int(found[2]), found[3], **flags)
        if str(small) == name:
            return small
    raise ValueError(f"'{name}' is no small world; one is called qos2-1-sqlite, or qos1-30-journal-keys")
