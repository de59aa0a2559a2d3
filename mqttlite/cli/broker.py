"""`mqttlite broker`: the broker as a program, until SIGINT or SIGTERM ends it in good order."""

import argparse
import asyncio
import logging
import signal

from ..broker import Broker, Limits
from .streams import set_up_logging

log = logging.getLogger("mqttlite.broker")

DEFAULT = "mqtt://127.0.0.1:1883"
LIMITS = Limits()

EXAMPLES = """\
examples:
  mqttlite broker                                     for programs on this machine
  mqttlite broker --listen mqtt://0.0.0.0:1883        for everybody who can reach this machine
  mqttlite broker --listen mqtt://127.0.0.1:1883 --listen unix:///run/mqtt.sock
  mqttlite broker --store broker.db                   nothing acknowledged is lost, whatever ends it

  then, in another terminal:
  mqttlite sub -t 'room/#' -v
  mqttlite pub -t room/1 -m 21.5 -q 1

It speaks MQTT 3.1.1 at QoS 0, 1 and 2. With --store, persistent sessions (clean session 0), the messages queued
for them and retained messages are on the disk before anything is acknowledged; without it they live in memory, and a
restart loses them. There are no user names and passwords yet: whoever can connect may do everything. Counters are
published below $SYS/broker/. SIGINT (Ctrl-C) and SIGTERM stop it: exit code 0; a store that fails: 1. SIGHUP does
nothing but a line in the log: a terminal that is closed leaves the broker running."""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `broker` with its options."""
    parser = subparsers.add_parser("broker", description="An MQTT broker.", epilog=EXAMPLES)
    parser.add_argument(
        "--listen",
        action="append",
        metavar="URL",
        help=f"mqtt://HOST:PORT (port 0: any that is free) or unix:///PATH; repeatable ({DEFAULT})",
    )
    parser.add_argument(
        "--max-packet",
        type=int,
        default=LIMITS.packet_bytes,
        metavar="BYTES",
        help=f"largest packet that a client may send; a larger one ends its connection ({LIMITS.packet_bytes})",
    )
    parser.add_argument(
        "--store",
        metavar="FILE",
        help="SQLite file for sessions, queued and retained messages; made if it is not there, mode 0600 (memory)",
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="log subscriptions, too")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the broker until a signal stops it; the exit code. ListenError when it cannot listen, StoreError when its
    store cannot be used.
    """
    if not 16 <= args.max_packet <= 268435455:
        raise ValueError(f"--max-packet {args.max_packet} is not between 16 and 268435455")
    set_up_logging("%(asctime)s %(levelname)s %(message)s", logging.DEBUG if args.verbose else logging.INFO)
    return asyncio.run(_serve(args.listen or [DEFAULT], Limits(packet_bytes=args.max_packet), args.store))


async def _serve(listen: list[str], limits: Limits, store: str | None) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, log.info, "SIGHUP: the broker has no file to read again, and goes on")
    async with Broker(listen, limits, store) as broker:
        broker.failed.add_done_callback(lambda _: stop.set())
        await stop.wait()
        return 1 if broker.failed.done() else 0
