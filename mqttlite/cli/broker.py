"""`mqttlite broker`: the broker as a program, until SIGINT or SIGTERM ends it in good order."""

import argparse
import asyncio
import logging
import signal
from pathlib import Path

from ..broker import Broker, Limits
from ..broker.limits import NAMES, WHEN_FULL
from ..broker.listener import Listener
from . import broker_operating, log_forms
from .broker_config import Settings, load, option, queue_option
from .broker_config.listeners import joined
from .broker_listeners import add_options, options_of

log = logging.getLogger("mqttlite.broker")

DEFAULT = "mqtt://127.0.0.1:1883"
LIMITS = Limits()

EXAMPLES = """\
examples:
  mqttlite broker                                     for programs on this machine
  mqttlite broker --listen mqtt://0.0.0.0:1883        for everybody who can reach this machine
  mqttlite broker --listen mqtt://127.0.0.1:1883 --listen unix:///run/mqtt.sock
  mqttlite broker --listen mqtts://0.0.0.0:8883 --cert broker.pem --key broker.key
  mqttlite broker --listen mqtt://127.0.0.1:1883 --listen ws://0.0.0.0:8080/mqtt
  mqttlite broker --store broker.db                   nothing acknowledged is lost, whatever ends it
  mqttlite broker --config broker.toml                what the options say, in a file (examples/broker.toml)
  mqttlite broker --limit retained_message_bytes=1MiB --queue 'pump-*=refuse,32MiB'

  then, in another terminal:
  mqttlite sub -t 'room/#' -v
  mqttlite pub -t room/1 -m 21.5 -q 1

It speaks MQTT 3.1, 3.1.1 and 5.0 at QoS 0, 1 and 2. With --store, sessions that outlive their connection, the
messages queued for them and retained messages are on the disk before anything is acknowledged; without it they live
in memory, and a restart loses them. There are no user names and passwords yet: whoever can connect may do everything.
Counters are published below $SYS/broker/. SIGINT (Ctrl-C) and SIGTERM stop it: exit code 0; a store that fails: 1.
SIGHUP reads the certificates again: new connections get the new ones, those that are there stay; a file that is not as
it should be is refused, with a line in the log, and the old ones stay. Nothing else is read again, and a terminal that
is closed leaves the broker running.

A message for a session whose queue is full (queue_bytes) is dealt with as --queue says for its client identifier:
  drop-newest   it is dropped for this session (the default)
  drop-oldest   the oldest that was not sent yet is dropped
  refuse        its publisher's connection is closed before the acknowledgement: it keeps the message
  hold          its publishers wait, with PUBLISH alone, until the client has taken half of its queue
What is dropped is counted, logged, and told below $SYS/broker/clients/. A file for --config has listen, store,
server_reference, origins, tables [limits], [tls] and [[listener]] (docs/tls.md), [metrics], [control] and [log]
(docs/operating.md), and tables [[queue]] with clients, when_full and max_bytes; options count more than the file.

limits (--limit NAME=VALUE; names in _bytes take sizes as 8MiB, those in _ms are milliseconds):
{limits}"""


def _limits_help() -> str:
    return "\n".join(f"  {name:24}{text} ({_shown(name)})" for name, text in NAMES.items())


def _shown(name: str) -> str:
    value = getattr(LIMITS, name)
    if isinstance(value, bool):
        return str(value).lower()
    if name.endswith("_bytes"):
        for unit, size in (("MiB", 1 << 20), ("KiB", 1 << 10)):
            if value >= size and not value % size:
                return f"{value // size} {unit}"
    return str(value)


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `broker` with its options."""
    parser = subparsers.add_parser(
        "broker", description="An MQTT broker.", epilog=EXAMPLES.format(limits=_limits_help())
    )
    parser.add_argument(
        "--listen",
        action="append",
        metavar="URL",
        help=f"mqtt://HOST:PORT (port 0: any that is free), mqtts:// with TLS, ws://HOST:PORT/PATH and wss:// for "
        f"WebSocket, or unix:///PATH; repeatable ({DEFAULT})",
    )
    parser.add_argument(
        "--store",
        metavar="FILE",
        help="SQLite file for sessions, queued and retained messages; made if it is not there, mode 0600 (memory)",
    )
    parser.add_argument("--config", metavar="FILE", help="TOML file with what these options say, and the limits")
    parser.add_argument(
        "--server-reference",
        metavar="HOST:PORT",
        help="another server, told to clients of 5.0 when there is no room for one more session, or at the end (none)",
    )
    parser.add_argument(
        "--max-packet",
        metavar="BYTES",
        help=f"largest packet that a client may send; a larger one ends its connection ({LIMITS.packet_bytes})",
    )
    parser.add_argument(
        "--limit",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="any of the limits below, such as filters=20000 (topic filters of one client); repeatable",
    )
    parser.add_argument(
        "--queue",
        action="append",
        default=[],
        metavar="PATTERN=RULE[,BYTES]",
        help=f"what to do when a session's queue is full, by client identifier: {', '.join(WHEN_FULL)}; repeatable",
    )
    add_options(parser)
    broker_operating.add_options(parser)
    parser.add_argument("-v", "--verbose", action="store_true", help="log subscriptions, too")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the broker until a signal stops it; the exit code. ListenError when it cannot listen, StoreError when its
    store cannot be used, ValueError for settings that are none.
    """
    settings = settings_of(args)
    log_forms.start(settings.log, logging.DEBUG if args.verbose else logging.INFO)
    return asyncio.run(_serve(settings, settings.make_listeners(), settings.make_limits()))


def settings_of(args: argparse.Namespace) -> Settings:
    """What the file says, and the options instead of it. ValueError: a shell variable that is not set must
    not mean memory instead of a file.
    """
    for name, value in (("--config", args.config), ("--store", args.store)):
        if value == "":
            raise ValueError(f"{name} has an empty name: give it the path of a file")
    settings = load(Path(args.config)) if args.config else Settings()
    if args.listen:
        settings.listen, settings.listeners = args.listen, []
    elif not settings.listeners:
        settings.listen = settings.listen or [DEFAULT]
    settings.tls = joined(settings.tls, options_of(args))
    settings.origins = args.origin or settings.origins
    settings.store = args.store or settings.store
    settings.server_reference = args.server_reference or settings.server_reference
    settings.limits.update(option(text) for text in args.limit)
    if args.max_packet is not None:
        settings.limits.update([option(f"packet_bytes={args.max_packet}", "--max-packet")])
    settings.queues = [queue_option(text) for text in args.queue] + settings.queues
    broker_operating.take(args, settings)
    return settings


async def _serve(settings: Settings, listen: list[Listener], limits: Limits) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, log.info, "SIGHUP: still starting")
    async with (
        Broker(listen, limits, settings.store, server_reference=settings.server_reference) as broker,
        broker_operating.operated(broker, settings, lambda: _read_again(broker)),
    ):
        loop.add_signal_handler(signal.SIGHUP, _reload, broker)
        broker.failed.add_done_callback(lambda _: stop.set())
        await stop.wait()
        return 1 if broker.failed.done() else 0


def _reload(broker: Broker) -> None:
    """SIGHUP."""
    try:
        log.info("SIGHUP: %s", _read_again(broker))
    except ValueError as error:
        log.error("SIGHUP: %s", error)


def _read_again(broker: Broker) -> str:
    """The certificates may have been renewed; what has been done. ValueError: why nothing has."""
    try:
        count = broker.reload_certificates()
    except ValueError as error:
        raise ValueError(f"the certificates stay as they are: {error}") from None
    if count:
        return f"the certificates of {count} listener{'s'[: count > 1]} are read again"
    return "the broker reads no file again, and goes on"
