"""What runs beside a broker while `mqttlite broker` does: its page of metrics, its control socket, what systemd hears;
and the options for that.
"""

import argparse
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from ...broker import Broker
from ...broker.config import Settings
from ...broker.config.operating import FORMS, log_form, metrics
from ...broker.operating.actions import Reload
from ...broker.operating.control import Control
from ...broker.operating.control_path import default_path
from ...broker.operating.systemd import Service

log = logging.getLogger("mqttlite.broker")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Those of metrics, control, ledger and log."""
    group = parser.add_argument_group("looking at it and after it (docs/operating.md)")
    group.add_argument(
        "--metrics",
        metavar="HOST:PORT",
        help="/metrics for Prometheus and /healthz over HTTP, as 127.0.0.1:9883; nobody is asked for a name (none)",
    )
    group.add_argument(
        "--control",
        metavar="PATH",
        help="Unix socket for `mqttlite ctl`, mode 0600; none: there is none (broker-PID.sock in a folder for that)",
    )
    group.add_argument(
        "--ledger",
        metavar="FILE",
        help="note there what becomes of messages with idempotency keys, for `mqttlite verify` (none)",
    )
    group.add_argument(
        "--log",
        metavar="FORM",
        help=f"{', '.join(FORMS)} (journal where standard error goes to systemd's journal, else text)",
    )


def take(args: argparse.Namespace, settings: Settings) -> None:
    """What the options say counts more. ValueError for what is none."""
    if args.metrics is not None:
        settings.metrics = metrics("--metrics: ", args.metrics)
    if args.control == "":
        raise ValueError("--control has an empty name: give it a path, or none")
    if args.control is not None:
        settings.control = None if args.control == "none" else args.control
    if args.ledger is not None:
        if not args.ledger:
            raise ValueError("--ledger has an empty name: give it a path")
        settings.ledger = {**(settings.ledger or {}), "path": args.ledger}
    if args.log is not None:
        settings.log = log_form("--log: ", args.log)


@asynccontextmanager
async def operated(broker: Broker, settings: Settings, reload: Reload) -> AsyncIterator[None]:
    """All that the settings ask for, while the block runs. `reload`: what SIGHUP does."""
    async with AsyncExitStack() as stack:
        if settings.metrics:
            from ...broker.operating.metrics_page import MetricsPage

            await stack.enter_async_context(MetricsPage(broker, settings.metrics))
        if settings.control is not None:
            path = settings.control or default_path()
            if path:
                await stack.enter_async_context(Control(broker, path, reload))
            else:
                log.info("no control socket: this user has no folder for one; --control PATH says where")
        await stack.enter_async_context(Service(broker))
        yield
