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


class Retries(logging.Filter):
    """Of the log on standard error: that a client tries to connect again is said once for each cause, whichever client
    it is, until one is connected; and that it is, when something was said. `tells_all`: each attempt is said.
    """

    def __init__(self, command: str, tells_all: bool = False) -> None:
        super().__init__()
        self._tells_all = tells_all
        self._log = logging.getLogger(f"mqttlite.{command}")
        self._said: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a line is written."""
        if record.name != "mqttlite.client" or not isinstance(record.args, tuple) or len(record.args) != 2:
            return True
        cause, is_retry, _ = str(record.args[1]).rpartition(RETRY)  # behind the client identifier
        if not is_retry:
            return True
        is_new = cause not in self._said
        self._said.add(cause)
        return is_new or self._tells_all

    def on_connection(self, connected: bool, reason: str) -> None:
        """As Client calls it."""
        if connected and self._said:
            self._said.clear()
            self._log.warning("connected again")


def log_to_stderr(form: str, level: int, retries: Retries | None = None) -> None:
    """Log to standard error, a line for each record in the format `form`, of which `retries` may leave out some."""
    handler = logging.StreamHandler()
    handler.setFormatter(LogFormatter(form))
    if retries:
        handler.addFilter(retries)
    logging.basicConfig(handlers=[handler], level=level)
    logging.getLogger("asyncio").setLevel(logging.WARNING)


def log_of(args: Namespace, command: str) -> Retries:
    """The log of `pub`, `sub` and `rr` on standard error: with `-d` all, with `--quiet` nothing. The client shall tell
    `on_connection` of what is returned.
    """
    level = logging.DEBUG if args.debug else logging.CRITICAL + 1 if args.quiet else logging.WARNING
    retries = Retries(command, tells_all=args.debug)
    log_to_stderr(f"mqttlite {command}: %(message)s", level, retries)
    return retries


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
