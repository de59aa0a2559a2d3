"""`mqttlite gateway`: devices on serial lines to a broker."""

import argparse
import asyncio
import logging
import signal
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mqttlite_gateway.config import Config

log = logging.getLogger("mqttlite.gateway")

_DESCRIPTION = """\
Carries MQTT from devices on serial lines to a broker, each device over a connection of its own.

The line may be noisy: frames are checked and repeated, and a device that was reset is noticed. The gateway goes on when
the broker restarts or an adapter is unplugged, tells the device, and opens the port again when it is back. When no
device comes, it says after 15 s what it has heard on the line, and what that looks like.

  mqttlite gateway --serial /dev/ttyUSB0
  mqttlite gateway --serial /dev/serial/by-id/usb-… --serial '/dev/ttyAMA0?baud=921600' --upstream mqtt://10.0.0.5
  mqttlite gateway --config /etc/mqttlite/gateway.toml
"""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the program's parser."""
    parser = subparsers.add_parser(
        "gateway",
        help="carry devices on serial lines to a broker",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--serial",
        action="append",
        default=[],
        metavar="PATH[?baud=…]",
        help="a serial port; may be given more than once. Options behind a question mark: baud (115200), "
        "frame_size (128), window (8), rtscts (0); quote them for the shell",
    )
    parser.add_argument(
        "--upstream",
        metavar="URL",
        help="the broker: mqtt://host:1883 or unix:///path (default: mqtt://localhost:1883)",
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="a TOML file with the same settings; options win")
    parser.add_argument(
        "--status-topic",
        metavar="TOPIC",
        help="publish the state of each line as JSON on TOPIC/line/<port> and TOPIC/<device>",
    )
    parser.add_argument("--status-every", type=float, metavar="SECONDS", help="how often (default: 5)")
    parser.add_argument("-v", "--verbose", action="store_true", help="also show what devices log")
    parser.set_defaults(run=run)


def configuration(args: argparse.Namespace) -> "Config":
    """The file, overridden by the options. Raises ConfigError."""
    from mqttlite_gateway.config import Config, ConfigError, SerialPort, load

    config = load(args.config) if args.config else Config()
    if args.serial:
        config.serial = [SerialPort.parse(text) for text in args.serial]
    if args.upstream is not None:
        config.upstream = args.upstream
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
    """Run until SIGINT or SIGTERM; SIGHUP changes nothing."""
    from mqttlite_gateway.config import exposed, load

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)-7s %(message)s")
    if args.verbose:
        logging.getLogger("mqttlite").setLevel(logging.DEBUG)
    config = configuration(args)
    if args.config and (warning := exposed(args.config, load(args.config))):
        log.warning("%s", warning)
    return asyncio.run(_until_stopped(config))


async def _until_stopped(config: "Config") -> int:
    from mqttlite_gateway.gateway import run as run_gateway

    set_up = None
    if config.provision is not None:
        from ..boards.gateway_setup import setter_up

        set_up = setter_up(config.provision)
    gateway = asyncio.create_task(run_gateway(config, check=True, set_up=set_up))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, gateway.cancel)
    loop.add_signal_handler(signal.SIGHUP, log.info, "SIGHUP: goes on as it is; to read the settings again, restart it")
    try:
        await gateway
    except asyncio.CancelledError:
        return 0
    return 1
