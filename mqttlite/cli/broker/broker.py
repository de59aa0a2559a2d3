"""`mqttlite broker`: the broker as a program, until SIGINT or SIGTERM ends it in good order."""

import argparse
import asyncio
import logging
import signal
from collections.abc import Callable
from pathlib import Path

from ...broker import Broker, Limits
from ...broker.config import Settings, load, option, queue_option
from ...broker.config.doubts import doubts
from ...broker.config.ledger import make_ledger
from ...broker.config.listeners import joined
from ...broker.config.make_access import make_access
from ...broker.connections.broker_loop import new_loop
from ...broker.limits import NAMES, WHEN_FULL
from ..arguments import Elsewhere
from ..serving import collector, log_forms, open_files
from . import access, importing, init, operating
from .check import check
from .listeners import add_options, options_of
from .reload import Reloader

log = logging.getLogger("mqttlite.broker")

DEFAULT = "mqtt://127.0.0.1:1883"
LIMITS = Limits()

EXAMPLES = """\
examples:
  mqttlite broker                                     for programs on this machine
  mqttlite broker --init                              users, rules and certificates for a network, in one step
  mqttlite broker --listen mqtt://0.0.0.0:1883 --password-file users     for users, whom mqttlite passwd adds
  mqttlite broker --listen mqtt://127.0.0.1:1883 --listen unix:///run/mqtt.sock
  mqttlite broker --listen mqtts://0.0.0.0:8883 --cert broker.pem --key broker.key --password-file users
  mqttlite broker --listen mqtt://127.0.0.1:1883 --listen ws://127.0.0.1:8080/mqtt
  mqttlite broker --store broker.db                   nothing acknowledged is lost, whatever ends it
  mqttlite broker --config broker.toml                what the options say, in a file (examples/broker.toml)
  mqttlite broker --config broker.toml --test-config  whether it is in order, and in which line it is not
  mqttlite broker import mosquitto.conf               the same for who comes from Mosquitto
  mqttlite broker --limit retained_message_bytes=1MiB --queue 'pump-*=refuse,32MiB'

  then, in another terminal:
  mqttlite sub -t 'room/#' -v
  mqttlite pub -t room/1 -m 21.5 -q 1

It speaks MQTT 3.1, 3.1.1 and 5.0 at QoS 0, 1 and 2. With --store, sessions that outlive their connection, the
messages queued for them and retained messages are on the disk before anything is acknowledged; without it they live
in memory, and a restart loses them. Without users, programs of this machine may do everything, and nobody else may
connect: the broker does not start on an address that others can reach, unless there are users, all clients have to show
a certificate, or --let-anybody-on-the-network-in says that everybody may.
Counters are published below $SYS/broker/. SIGINT (Ctrl-C) and SIGTERM stop it: exit code 0; a store that fails: 1.
SIGHUP reads all files again: users, rules, certificates, listeners, limits. All of it holds from then on, with a line
in the log for each change, or nothing, with lines that say why. Connections stay, but for those of users who are gone
or have another password. store, server_reference, [metrics], [control] and [log] need a restart.

A message for a session whose queue is full (queue_bytes) is dealt with as --queue says for its client identifier:
  drop-newest   it is dropped for this session (the default)
  drop-oldest   the oldest that was not sent yet is dropped
  refuse        its publisher's connection is closed before the acknowledgement: it keeps the message
  hold          its publishers wait, with PUBLISH alone, until the client has taken half of its queue
What is dropped is counted, logged, and told below $SYS/broker/clients/. docs/configuration.md has what a file for
--config may say; options count more than the file.

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
    parser.add_argument("--config", metavar="FILE", help="TOML file with what these options say, and more")
    parser.add_argument(
        "--test-config", action="store_true", help="look at all of it, say what is wrong, and end: exit code 0 or 1"
    )
    parser.add_argument(
        "--init",
        metavar="FOLDER",
        nargs="?",
        const=init.FOLDER,
        help="make a user, rules and certificates for a network in FOLDER, say what clients need, and end",
    )
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
    access.add_options(parser)
    add_options(parser)
    operating.add_options(parser)
    parser.add_argument("-v", "--verbose", action="store_true", help="log subscriptions, too")
    parser.add_argument(
        "-c", action=Elsewhere, const="--config FILE reads ours; mqttlite broker import MOSQUITTO.CONF makes it"
    )
    parser.add_argument("-p", "--port", action=Elsewhere, const="--listen mqtt://127.0.0.1:PORT says where to listen")
    parser.add_argument("-d", action=Elsewhere, const="it stays in the foreground; for a service see docs/operating.md")
    parser.set_defaults(run=run)
    actions = parser.add_subparsers(title="other actions", dest="subcommand", metavar="ACTION", required=False)
    init.add_parser(actions)
    importing.add_parser(actions)


def run(args: argparse.Namespace) -> int:
    """Run the broker until a signal stops it; the exit code. ListenError when it cannot listen, StoreError when its
    store cannot be used, ValueError for settings that are none.
    """
    if args.init is not None:
        return init.init(args.init)
    if args.test_config:
        return check(lambda: settings_of(args), args.config or "what the options say")
    settings = settings_of(args)
    log_forms.start(settings.log, logging.DEBUG if args.verbose else logging.INFO, "mqttlite-broker")
    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(_serve(settings, lambda: settings_of(args)))


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
    access.take(args, settings)
    operating.take(args, settings)
    return settings


async def _serve(settings: Settings, read: Callable[[], Settings]) -> int:
    listeners, limits, access = settings.make_listeners(), settings.make_limits(), make_access(settings)
    open_files.allow(limits.connections)
    for doubt in doubts(settings, access):
        log.warning("doubtful: %s", doubt)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    early = asyncio.Event()  # it starts with what the files say now, and reads them again once it has
    loop.add_signal_handler(signal.SIGHUP, early.set)
    async with Broker(
        listeners,
        limits,
        settings.store,
        access=access,
        server_reference=settings.server_reference,
        ledger=make_ledger(settings, settings.store),
    ) as broker:
        reloader = Reloader(broker, settings, read)
        async with operating.operated(broker, settings, reloader.reload):
            reloader.start(early.is_set())
            broker.failed.add_done_callback(lambda _: stop.set())
            with collector.looks_seldom():
                await stop.wait()
            return 1 if broker.failed.done() else 0
