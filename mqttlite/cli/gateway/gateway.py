"""`mqttlite gateway`: devices on serial lines to a broker."""

import argparse
import asyncio
import logging
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from ...broker.connections.broker_loop import new_loop
from ...store.base import StoreError
from ..serving import collector, log_forms, open_files
from . import check, operating

if TYPE_CHECKING:
    from mqttlite_gateway.config import Config

log = logging.getLogger("mqttlite.gateway")

_DESCRIPTION = """\
Carries MQTT from devices on serial lines to a broker.

The line may be noisy: frames are checked and repeated, and a device that was reset is noticed. When no device comes, it
says after 15 s what it has heard on the line, and what that looks like.

In forward mode each device has a connection of its own to a broker elsewhere, which has all messages; while that cannot
be reached, devices wait. In bridge mode (--bridge, or [[upstream]] in the file) the broker is inside: what a device has
been told is received is on this machine's disk, and goes upstream as soon as that can be reached, in order, with its
QoS, and whatever ends this program. What is published with QoS 0, of which a device is told nothing, is dropped while
the upstream is away; queue_qos0 = true in the file has it queued, too.
"""
_EXAMPLES = """\
examples:
  mqttlite gateway --serial /dev/ttyUSB0                              to a broker on this machine
  mqttlite gateway --serial /dev/serial/by-id/usb-… --serial '/dev/ttyAMA0?baud=921600' --upstream mqtt://10.0.0.5
  mqttlite gateway --bus '/dev/ttyUSB0?addresses=1-8'                 eight boards on one pair of wires (docs/rs485.md)
  mqttlite gateway --bridge --serial /dev/ttyUSB0 --upstream mqtts://gateway:secret@broker.example
  mqttlite gateway --bridge --serial /dev/ttyUSB0 --store /var/lib/mqttlite/gateway.db
  mqttlite gateway --config /etc/mqttlite/gateway.toml                topics, both directions, users, more upstreams
  mqttlite gateway --config gateway.toml --test-config                whether it is in order, and which line is not
  sudo mqttlite gateway --install                                     a service, from now on

  then, in another terminal:
  mqttlite console /dev/ttyUSB0                                       the board's log and prompt, while MQTT goes on
  mqttlite ctl status                                                 in bridge mode: what the broker inside holds

gateway/gateway.example.toml has all that a file may say; docs/pi.md has the rest.
"""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the program's parser."""
    parser = subparsers.add_parser(
        "gateway",
        help="carry devices on serial lines to a broker",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--serial",
        action="append",
        default=[],
        metavar="PORT[?baud=…]",
        help="a serial port by its path; or each that fits, as it is plugged in: '/dev/ttyUSB*', usb:10c4:ea60 (as "
        "lsusb shows it), serial:0001. May be given more than once. Options behind a question mark: baud (115200), "
        "frame_size (128), window (8), rtscts (0); quote them for the shell",
    )
    parser.add_argument(
        "--bus",
        action="append",
        default=[],
        metavar="PATH[?addresses=…]",
        help="a port with an RS-485 bus, whose devices are asked in turn; may be given more than once. Options: "
        "addresses (1-32), baud (115200), frames (4), frame_size (128), turnaround_ms (2), idle_ms (100), silent_ms "
        "(5000), driver (adapter, or rts)",
    )
    parser.add_argument(
        "--upstream",
        action="append",
        default=[],
        metavar="URL",
        help="the broker: mqtt://host:1883, mqtts://user:password@host or unix:///path (default in forward mode: "
        "mqtt://localhost:1883); in bridge mode all messages go there, and it may be given more than once",
    )
    parser.add_argument("--bridge", action="store_true", help="with a broker and its store inside, see above")
    parser.add_argument(
        "--store",
        metavar="FILE",
        help="in bridge mode: where messages and sessions are kept; made if it is not there (gateway.db in the folder "
        "that systemd gives, or in ~/.local/state/mqttlite); memory: nowhere",
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="a TOML file with the same settings; options win")
    parser.add_argument(
        "--test-config", action="store_true", help="look at all of it, say what is wrong, and end: exit code 0 or 1"
    )
    parser.add_argument(
        "--status-topic",
        metavar="TOPIC",
        help="publish the state of each line as JSON on TOPIC/line/<port> and TOPIC/<device>",
    )
    parser.add_argument("--status-every", type=float, metavar="SECONDS", help="how often (default: 5)")
    parser.add_argument(
        "--page",
        nargs="?",
        const="",
        metavar="URL",
        help="show devices, queues and messages on a web page (http://127.0.0.1:8080, for this machine alone; for "
        "others, http://0.0.0.0:8080, it needs users: docs/page.md)",
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="also show what devices log")
    operating.add_options(parser)
    parser.set_defaults(run=run)


def configuration(args: argparse.Namespace) -> "Config":
    """The file, overridden by the options. Raises ConfigError."""
    from mqttlite_gateway.config import BRIDGE, Config, ConfigError, SerialPort, exposed, load
    from mqttlite_gateway.settings.port import parsed

    config = load(args.config) if args.config else Config()
    if args.config:
        config.doubt = exposed(args.config, config)
    if args.bridge:
        config.mode = BRIDGE
    if args.serial:
        given = [parsed(text) for text in args.serial]
        config.serial = [port for port in given if isinstance(port, SerialPort)]
        config.wanted = [rule for rule in given if not isinstance(rule, SerialPort)]
    if args.bus:
        from mqttlite_gateway.settings.bus_port import BusPort

        config.buses = [BusPort.parse(text) for text in args.bus]
    if args.upstream:
        config.lead_to(args.upstream)
    if args.store is not None:
        if not config.is_bridge:
            raise ConfigError("--store is for the broker of bridge mode: add --bridge, or leave it out")
        config.broker.store = args.store
    if args.page is not None:
        config.show_page(args.page)
    if args.status_topic is not None:
        config.status_topic = args.status_topic
    if args.status_every is not None:
        config.status_every_s = args.status_every
    try:
        config.check()
    except ConfigError as error:
        raise ConfigError(f"{args.config}: {error}") if args.config else error from None
    return config


def run(args: argparse.Namespace) -> int:
    """Run until SIGINT or SIGTERM: exit code 0; 1 where a store fails."""
    if (code := operating.run(args)) is not None:
        return code
    if args.test_config:
        return check.check(lambda: configuration(args), str(args.config or "what the options say"))
    from mqttlite_gateway.config.plain import plain_passwords

    config = configuration(args)
    log_forms.start(config.broker.log, logging.DEBUG if args.verbose else logging.INFO, "mqttlite-gateway")
    for doubt in filter(None, (config.doubt, *plain_passwords(config))):
        log.warning("%s", doubt)
    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(_until_stopped(config, args))


async def _until_stopped(config: "Config", args: argparse.Namespace) -> int:
    from mqttlite_gateway.gateway import Gateway

    set_up = None
    if config.provision is not None:
        from ...boards.flashing.gateway_setup import setter_up

        set_up = setter_up(config.provision)
    gateway = Gateway(config, path=args.config, read=lambda: configuration(args), check=True, set_up=set_up)
    if config.is_bridge:
        open_files.allow(config.broker.make_limits().connections)
    running = asyncio.create_task(gateway.run())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, running.cancel)
    loop.add_signal_handler(signal.SIGHUP, gateway.hang_up)
    try:
        with collector.looks_seldom():
            await running
    except asyncio.CancelledError:
        return 0
    except StoreError:
        if gateway.broker is None:  # at the start
            raise
        return 1  # it is in the log
    return 1
