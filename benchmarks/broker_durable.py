"""What it costs a broker to acknowledge after the disk: acknowledgements a second, processor time, syncs and bytes.

    python -m benchmarks.broker_durable [--repeat N] [--count N] [--before FOLDER] [--sync MS ...]
                                        [--mosquitto PROGRAM] [--plugin FILE]
    python -m benchmarks.broker_durable --start 1000000     how long a start takes with so many messages queued
    python -m benchmarks.broker_durable --replay            how long the replay of a full log takes

Publishers with a window of 20 and messages of 64 bytes, and one persistent session that is away and gets all of them.
Every acknowledgement of ours comes after a sync of what it acknowledges. Mosquitto, beside it in the same run, holds
all in memory: it acknowledges what a kill loses. The disk is one in memory (benchmarks/disk.py) whose syncs take 0.2,
1, 5 and 20 ms; processor time is without what is spent in syncs. The best of N is given: the machine is not ours alone.
`--before`: another checkout of this project, measured in turns with this one. `--plugin`: Mosquitto's
mosquitto_persist_sqlite.so (2.1, of the same build as `--mosquitto`), set to write at once and to sync (`flush_period
0`, `sync extra`): beside the one in memory, one that says it persists. It acknowledges before it has written, too.
"""

import argparse
import asyncio
import contextlib
import functools
import os
import selectors
import shutil
import socket
import sqlite3
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from benchmarks.broker_cpu import ROOT, add_mosquitto, cpu_us, free_port, mosquitto, ours, running, version_of
from benchmarks.broker_load import Publisher, expect
from benchmarks.disk import MEMORY, disk
from mqttlite.broker.clients.broker_store import BrokerStore
from mqttlite.core import records
from mqttlite.core.codec import publish_head
from mqttlite.core.wire4 import encode_connect, encode_subscribe
from mqttlite.store.in_sqlite.sqlite_file import LOG_MAX
from mqttlite.store.tables.broker_tables import BEGUN
from tests.runtimes import installed

WINDOW = 20
SYNCS_MS = (0.2, 1.0, 5.0, 20.0)
SCENARIOS = ((1, 10), (2, 10), (1, 1), (2, 1))  # QoS, publishers
LIMITS = ("queue_bytes=2GiB", "queues_bytes=4GiB", "store_bytes=4GiB")
TIMEOUT_S = 60.0
HEAD = publish_head(2, b"bench/topic", 64)


class Figures(NamedTuple):
    rate: float  # acknowledgements a second
    cpu_us: float  # for each
    per_sync: float  # messages
    bytes: float  # written to files, for each message
    memory_mib: float  # of the process, with all that is queued


def durable(port: int, folder: Path) -> list[str]:
    """Our broker with a store in `folder`."""
    limits = [word for limit in LIMITS for word in ("--limit", limit)]
    return [*ours(port), "--store", f"{folder}/broker.db", *limits]


def persisting(port: int, folder: Path, program: str, plugin: Path) -> list[str]:
    """Mosquitto with its plugin for SQLite, which writes and syncs as soon as it can."""
    lines = f"plugin {plugin}\nplugin_opt_db_file {folder}/mosquitto.sqlite3\nplugin_opt_sync extra\n"
    return mosquitto(port, folder, program, lines + "plugin_opt_flush_period 0\n")


def memory_mib(pid: int) -> float:
    """What a process has in memory."""
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def subscribe_and_leave(port: int, topic_filter: bytes = b"bench/#") -> None:
    """A session that is away from now on."""
    with socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as sock:
        sock.sendall(encode_connect(b"away", False, 0))
        expect(sock, b"\x20\2\0\0")
        sock.sendall(encode_subscribe(1, [(topic_filter, 2)]))
        expect(sock, bytes((0x90, 3, 0, 1, 2)))
        sock.sendall(b"\xe0\0")


def publish(port: int, qos: int, publishers: int, count: int) -> float:
    """Have `count` messages of each publisher acknowledged; acknowledgements a second."""
    pubs = [Publisher(port, n, b"bench/topic/%d" % n, qos, count, WINDOW, [], 4) for n in range(publishers)]
    with selectors.DefaultSelector() as selector:
        for publisher in pubs:
            selector.register(publisher.sock, selectors.EVENT_READ, publisher)
        began = time.perf_counter()
        for publisher in pubs:
            publisher.send()
        unfinished = set(pubs)
        while unfinished:
            events = selector.select(TIMEOUT_S)
            if not events:
                raise SystemExit(f"nothing was acknowledged for {TIMEOUT_S:.0f} s")
            for key, _ in events:
                key.data.readable()
                key.data.send()
                if key.data.finished == count:
                    unfinished.discard(key.data)
        took = time.perf_counter() - began
    for publisher in pubs:
        publisher.sock.close()
    return publishers * count / took


def measure(
    command: Callable[[int, Path], list[str]], project: Path, sync_ms: float, qos: int, publishers: int, count: int
) -> Figures:
    """One broker, from its start on."""
    with contextlib.ExitStack() as stack:
        place = stack.enter_context(disk(sync_ms))
        port = free_port()
        pid = stack.enter_context(running(command(port, place.folder), port, project, place.environment))
        subscribe_and_leave(port)
        publish(port, qos, publishers, max(WINDOW, count // 10))
        written, used = place.written(), cpu_us(pid)
        rate = publish(port, qos, publishers, count)
        written, used = place.written().since(written), cpu_us(pid) - used
        memory = memory_mib(pid)
    messages = publishers * count
    per_sync = messages / written.syncs if written.syncs else float("inf")
    return Figures(rate, (used - written.spent_us) / messages, per_sync, written.bytes / messages, memory)


def compare(args: argparse.Namespace) -> None:
    brokers: dict[str, tuple[Callable[[int, Path], list[str]], Path]] = {"mqttlite": (durable, ROOT)}
    if args.before:
        brokers["before"] = (durable, args.before.resolve())
    if args.mosquitto or installed("mosquitto"):
        brokers["mosquitto"] = (functools.partial(mosquitto, program=args.mosquitto), ROOT)
        print(version_of(args.mosquitto))
    if args.plugin:
        plugin = args.plugin.resolve()
        brokers["with plugin"] = (functools.partial(persisting, program=args.mosquitto, plugin=plugin), ROOT)
    print(f"{args.count} messages of each publisher, 64 bytes, window {WINDOW}; best of {args.repeat}\n")
    print("sync ms  QoS  publishers  broker        acks/s   CPU us  messages/sync  bytes/message  memory MiB")
    for sync_ms in args.sync or SYNCS_MS:
        for qos, publishers in SCENARIOS:
            count = max(WINDOW, round(args.count * min(1, 1 / sync_ms) * (1 if publishers > 1 else 2)))
            found: dict[str, list[Figures]] = {name: [] for name in brokers}
            for _ in range(args.repeat):
                for name, (command, project) in brokers.items():
                    if name != "mosquitto" or sync_ms <= SYNCS_MS[0]:  # it never waits for it
                        found[name].append(measure(command, project, sync_ms, qos, publishers, count))
            for name, figures in found.items():
                if figures:
                    rate, cpu = max(each.rate for each in figures), min(each.cpu_us for each in figures)
                    each = figures[0]
                    print(
                        f"{sync_ms:7}  {qos:3}  {publishers:10}  {name:11}{rate:9.0f} {cpu:8.1f}"
                        f" {each.per_sync:14.1f} {each.bytes:14.0f} {each.memory_mib:11.0f}",
                        flush=True,
                    )


def start(count: int) -> None:
    """Fill a queue, kill the broker, and start it again."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        port = free_port()
        with running(durable(port, folder), port) as pid:
            subscribe_and_leave(port)
            publish(port, 1, 10, count // 10)
            os.kill(pid, 9)
        size = sum(file.stat().st_size for file in folder.iterdir())
        began = time.monotonic()
        with running(durable(port, folder), port) as pid:
            took = time.monotonic() - began
            memory = memory_mib(pid)
    print(f"{count} messages queued, {size / (1 << 20):.0f} MiB on the disk, killed: up again after {took:.1f} s,")
    print(f"with {memory:.0f} MiB of memory")


async def replay(repeat: int) -> None:
    """Open a store whose process was killed with a log that is nearly full, and the same one once more."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as name:
        alive, left = Path(name, "alive.db"), Path(name, "left.db")
        store = BrokerStore(alive)
        await store.open()
        store.note(1, BEGUN, 0, b"away")
        count = size = 0
        with contextlib.closing(sqlite3.connect(alive)) as connection:
            while size < LOG_MAX * 5 // 6:
                for _ in range(100):
                    store.note(1, records.ACCEPTED, count, HEAD, bytes(64))
                    count += 1
                await store.commit()
                ((size,),) = connection.execute("SELECT sum(length(records)) FROM log")
        took: tuple[list[float], list[float]] = [], []
        for _ in range(repeat):
            for suffix in ("", "-wal"):
                shutil.copy(f"{alive}{suffix}", f"{left}{suffix}")
            for times in took:
                opened = BrokerStore(left)
                began = time.perf_counter()
                await opened.open()
                times.append(time.perf_counter() - began)
                await opened.close()
        await store.close()
    replayed, again = (1000 * min(times) for times in took)
    print(f"{count} messages in a log of {size >> 10} KiB: opened in {replayed:.1f} ms; without it in {again:.1f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=3, metavar="N", help="repetitions, in turns (3)")
    parser.add_argument("--count", type=int, default=8000, metavar="N", help="messages of each publisher (8000)")
    parser.add_argument("--before", type=Path, metavar="FOLDER", help="another checkout, measured beside this one")
    parser.add_argument(
        "--sync", type=float, action="append", metavar="MS", help="only this time of a sync; repeatable"
    )
    parser.add_argument("--start", type=int, metavar="N", help="instead: how long a start takes with N messages queued")
    parser.add_argument("--replay", action="store_true", help="instead: how long the replay of a full log takes")
    add_mosquitto(parser)
    parser.add_argument("--plugin", type=Path, metavar="FILE", help="beside it, Mosquitto that persists with this one")
    args = parser.parse_args()
    if args.replay:
        asyncio.run(replay(args.repeat))
    elif args.start:
        start(args.start)
    else:
        compare(args)


if __name__ == "__main__":
    main()
