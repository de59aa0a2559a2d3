"""How a command runs: in an event loop that SIGTERM ends in order, with its log on standard error."""

import logging
import signal
from argparse import Namespace
from asyncio import CancelledError, current_task, get_running_loop, run
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from .streams import clearing, one_line

if TYPE_CHECKING:
    from ..client import Client

TERMINATED = 143  # 128 + SIGTERM, as a shell reports it
RETRY = "; trying again in "  # behind the reason of a lost connection, in the client's log


def run_until_done(work: Callable[[], Awaitable[int]], terminated: int = TERMINATED) -> int:
    """Run a coroutine to its exit code. SIGTERM cancels it, so that it disconnects: then the code is `terminated`."""
    stopped = False

    async def supervised() -> int:
        task = current_task()
        assert task is not None

        def stop() -> None:
            nonlocal stopped
            stopped = True
            task.cancel()

        get_running_loop().add_signal_handler(signal.SIGTERM, stop)
        try:
            return await work()
        except CancelledError:
            if not stopped:
                raise
            return terminated

    return run(supervised())


class LogFormatter(logging.Formatter):
    """One line for each record, whatever names, topics or reasons from elsewhere stand in it; a traceback of our own
    follows as it is. What the client says about its arguments names options.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:
        if record.name == "mqttlite.client":
            record.message = _in_options(record)
        record.message = one_line(record.message)
        return clearing() + super().formatMessage(record)


def _in_options(record: logging.LogRecord) -> str:
    """The message of a record of the client. Topics and the like, which are arguments of it, stay as they are."""
    from .messages.connecting import in_options

    values = record.args if isinstance(record.args, tuple) else ()
    shown = (in_options(value) if isinstance(value, str) and RETRY in value else value for value in values)
    return in_options(str(record.msg)) % tuple(shown) if values else record.getMessage()


def log_to_stderr(form: str, level: int) -> None:
    """Log to standard error, a line for each record in the format `form`."""
    handler = logging.StreamHandler()
    handler.setFormatter(LogFormatter(form))
    logging.basicConfig(handlers=[handler], level=level)
    logging.getLogger("asyncio").setLevel(logging.WARNING)


def log_of(args: Namespace, command: str) -> None:
    """The log of `pub`, `sub` and `rr` on standard error: with `-d` all, with `--quiet` nothing."""
    level = logging.DEBUG if args.debug else logging.CRITICAL + 1 if args.quiet else logging.WARNING
    log_to_stderr(f"mqttlite {command}: %(message)s", level)


def timed_out(client: "Client", is_unanswered: bool, what: str = "") -> str:
    """Words for -W: what has been done until then; or that nobody has answered CONNECT."""
    if not is_unanswered:
        return f"timed out{what}"
    from ..client.connecting.unreachable import where

    return f"timed out; {where(client.url)} has not answered CONNECT: is it a broker, and the right port?"


async def close_with(client: "Client", args: Namespace) -> None:
    """Disconnect with what `-D disconnect` says, when all is done."""
    if properties := args.properties["disconnect"]:
        await client.drain()
        await client.close(**properties)
