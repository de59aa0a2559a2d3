"""Waits for the first message of a board: it has arrived here, through the broker, with all acknowledgements.

For a board on the USB cable this is the gateway meanwhile; for a board on Wi-Fi it listens to what the board prints. A
message of QoS 2 leaves the broker for us when the board has released it, so it has been confirmed to the board, and
it comes once.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mqttlite_board.api import TAKEN

from ...core.errors import MQTTError
from ..report import Clock
from .troubles import HOLD_BOOT, of_starting

if TYPE_CHECKING:
    from ...client.host import Client
    from ...link import Link
    from ..report import Report

BETTER_S = 5.0  # after a message of QoS 1 one of QoS 2 has so long
PRINTED_MAX = 8192  # bytes of what the board has printed last, in which troubles are looked for
CONNECT_S = 10.0
REOPEN_S = 0.2
WITH_IT_S = 0.2  # the broker's last word to the board is here so long after the message
SETTLING_S = 3.0  # what is on the line to the board, the last confirmation, has so long to reach it


class NoBrokerError(ValueError):
    """The broker cannot be reached from this computer."""


class NotStartedError(Exception):
    """No message has come; says what is known of why."""


@dataclass(frozen=True)
class First:
    """The first message."""

    topic: str
    payload: str
    qos: int
    after_s: float  # from the board's start

    @property
    def words(self) -> str:
        """In a sentence."""
        how = "exactly once" if self.qos == 2 else "at least once"
        return f"first message confirmed {how}: {self.topic} {self.payload} {self.after_s:.0f} s after the start"


@dataclass(frozen=True)
class Where:
    """How to hear of a board. `port`, `baud`: of its USB socket; `link`: the port that carries its link, None for a
    board on Wi-Fi, or whose link somebody else carries; `broker`: as this computer reaches it;
    `ca`: the certificate that it trusts there.
    """

    topic: str
    broker: str
    port: str
    link: str | None
    baud: int = 115200
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca: bytes | None = None


async def check_broker(where: Where) -> None:
    """Raise NoBrokerError where the broker cannot be reached from here: then a board may send what it wants."""
    client = _client(where)
    try:
        async with asyncio.timeout(CONNECT_S):
            await client.start()
    except (OSError, MQTTError, TimeoutError) as error:
        raise NoBrokerError(
            "the broker cannot be reached from here, so the board's first message could not be seen: "
            f"{error or 'no answer'} (`mqttlite broker` starts one, --broker names another one, --wait 0 does not wait)"
        ) from None
    finally:
        await client.close()


def _client(where: Where) -> "Client":
    from ...client.host import Client

    return Client(
        where.broker,
        client_id=f"mqttlite-flash-{os.getpid()}",
        clean_session=True,
        username=where.username,
        password=where.password,
        ca=where.ca,
    )


async def wait(where: Where, start: Callable[[], bool], report: "Report", within_s: float) -> First:
    """Subscribe, then `start` the board (whether it could be told to), and wait. Raises NotStartedError."""
    client = _client(where)
    hearing = Hearing(report)
    try:
        try:
            async with asyncio.timeout(CONNECT_S):
                await client.start()
                await client.subscribe(where.topic + "/#", qos=2)
        except (OSError, MQTTError, TimeoutError) as error:
            start()
            raise NotStartedError(
                f"the board is written and started, but the broker is gone meanwhile: {error or 'no answer'}"
            ) from None
        was_told = start()
        clock = Clock()
        if not was_told:
            report.note("press Reset (EN) on the board now")
        with listening(where, hearing):
            try:
                async with asyncio.timeout(within_s):
                    first = await _first(client, where.topic, clock)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(SETTLING_S):
                        await hearing.settled()
                return first
            except TimeoutError:
                raise NotStartedError(why_not(where, hearing, within_s)) from None
    finally:
        await client.close()


async def _first(client: "Client", topic: str, clock: Clock) -> First:
    found: First | None = None
    messages = aiter(client)
    while True:
        try:
            async with asyncio.timeout(BETTER_S if found else None):
                message = await anext(messages)
        except TimeoutError:
            assert found is not None
            return found
        level = message.topic.removeprefix(topic + "/")
        if message.retain or not message.qos or level.split("/")[0] in TAKEN:
            continue
        payload = bytes(message.payload).decode(errors="backslashreplace")
        if found is None or message.qos > found.qos:
            found = First(message.topic, payload, message.qos, clock.s)
        if found.qos == 2:
            return found


class Hearing:
    """What a board prints after its start, and what the gateway says of its line."""

    def __init__(self, report: "Report") -> None:
        self.printed = ""
        self.problem: Callable[[], str] = lambda: ""
        self.is_up = False  # the link
        self.link: Link | None = None
        self._report = report
        self._told: set[str] = set()
        self._line = ""

    @property
    def last(self) -> str:
        """The last lines that it has printed, in one."""
        return " | ".join(line for line in self.printed.splitlines()[-3:] if line.strip())

    async def settled(self) -> None:
        """Return when the board has acknowledged what the broker has sent it with the message."""
        await asyncio.sleep(WITH_IT_S)
        while self.link and self.link.unsettled():  # noqa: ASYNC110 (a link tells nobody)
            await asyncio.sleep(0.02)

    def take(self, text: str) -> None:
        """Something that the board has printed."""
        self.printed = (self.printed + text)[-PRINTED_MAX:]
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            if line.strip():
                self._report.note(f"board: {line.strip()}")
        trouble = of_starting(self.printed)
        if trouble and trouble not in self._told:
            self._told.add(trouble)
            self._report.note(f"this means: {trouble}")


@contextlib.contextmanager
def listening(where: Where, hearing: Hearing) -> Iterator[None]:
    """While the block runs: the gateway for the board's link, and an ear at its console where that is another port."""
    tasks = []
    handler = _Handler(hearing)
    logger = logging.getLogger("mqttlite.gateway")
    level = logger.level
    if where.link:
        from mqttlite_gateway.config import SerialPort
        from mqttlite_gateway.lines.line import GatewayLine
        from mqttlite_gateway.lines.upstream import Upstream

        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
        line = GatewayLine(SerialPort(where.link, where.baud), Upstream(where.broker))
        hearing.link = line.link
        hearing.problem = lambda: line.problem()[1] or line.forwarder.problem
        tasks.append(asyncio.ensure_future(line.run()))
    if where.link != where.port:
        tasks.append(asyncio.ensure_future(_listen(where, hearing)))
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        logger.removeHandler(handler)
        logger.setLevel(level)


class _Handler(logging.Handler):
    """What the gateway logs: a board's own lines are what it prints."""

    def __init__(self, hearing: Hearing) -> None:
        super().__init__(logging.DEBUG)
        self._hearing = hearing

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.name.endswith(".device"):
            self._hearing.take(text.partition(": ")[2].replace("\\r", "").replace("\\n", "\n") + "\n")
        elif " is there" in text:
            self._hearing.is_up = True


async def _listen(where: Where, hearing: Hearing) -> None:
    from ...serial.ports import open_port

    while True:  # a board with USB of its own is gone while it resets
        try:
            port = open_port(where.port, where.baud)
        except OSError:
            await asyncio.sleep(REOPEN_S)
            continue
        try:
            while True:
                hearing.take((await port.read()).decode(errors="backslashreplace").replace("\r", ""))
        except OSError:
            await asyncio.sleep(REOPEN_S)
        finally:
            port.close()


def why_not(where: Where, hearing: Hearing, within_s: float) -> str:
    """What is known of why no message has come."""
    begin = f"no message of the board within {within_s:g} s of its start"
    trouble = of_starting(hearing.printed)
    if trouble:
        return f"{begin}: {trouble}"
    if where.link and (problem := hearing.problem()):
        return f"{begin}: {problem}"
    if where.link and hearing.is_up:
        return (
            f"{begin}, though its link is up: does the application publish anything at QoS 1 or 2 by then? --wait "
            "waits longer"
        )
    if not hearing.printed:
        return (
            f"{begin}, and it prints nothing: press Reset (EN) once. If that does not help, it is still in download "
            f"mode, or the image is for another board; to write it again: {HOLD_BOOT}"
        )
    return f"{begin}; what it has printed last: {hearing.last}"
