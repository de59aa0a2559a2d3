"""Measures a board: payload through its line each way at each QoS, messages a second, round trips, free heap, and the
time from a reset to the first message. What `mqttlite bench` does.

A small program runs from the board's prompt meanwhile; a reset ends it. Over the USB socket this computer is the
gateway. A result says on what it was measured: only that of a real board counts as one of hardware.
"""

import asyncio
import contextlib
import json
import os
import statistics
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mqttlite_board.settings import SettingError, decode, full

from ... import __version__
from ..known.data import PORTS
from ..reaching.copying import BoardError, at_prompt
from ..reaching.first_message import Hearing, Where, listening
from ..report import Clock
from .bench_program import program

if TYPE_CHECKING:
    from ...client.host import Client
    from ...client.messages import Message
    from ..known.data import BoardData
    from ..reaching.copying import Board
    from ..report import Report

URL = "serial:usb"  # the way that is measured,
LINE_BAUD = 115200  # at this speed
ECHOES = 10
REACH_S = 10.0
ONLINE_S = 60.0
_TOLD = """
import sys
i = sys.implementation
print(i.name, ".".join(map(str, i.version[:3])), sys.platform, getattr(i, "_machine", ""), sep="|")
"""


class BenchError(Exception):
    """The board was not measured; says how far it came."""


@dataclass(frozen=True)
class Bench:
    """What is asked for. `count`: messages of `size` bytes for each way and QoS."""

    path: str
    board: "BoardData"
    broker: str
    size: int = 64
    count: int = 200
    within_s: float = 120.0


def measure(bench: Bench, report: "Report") -> dict[str, Any]:
    """Measure; the result, as it is written to a file. Raises BenchError, BoardError."""
    name = f"bench-{os.getpid()}"
    where = Where(name, bench.broker, bench.path, bench.path)
    asyncio.run(_reach(where))
    with at_prompt(bench.path, report) as board:
        result = _told(bench, board)
        topic = _topic(board)
        code = program(URL, name, name, board.half())
        board.leave_running(code)
    result.update(url=URL, baud=LINE_BAUD, size=bench.size, count=bench.count)
    try:
        return {**result, **asyncio.run(_Session(bench, where, topic, report).measured())}
    except BenchError:
        with contextlib.suppress(BoardError), at_prompt(bench.path, report) as board:
            board.restart()
        raise


def wakings(bench: Bench, count: int, report: "Report") -> dict[str, Any]:
    """What so many wake-ups of a board that sleeps (the setting `sleep_s`) cost, as it says itself in its `state`: the
    result, with medians. Raises BenchError, BoardError.
    """
    name = f"bench-{os.getpid()}"
    where = Where(name, bench.broker, bench.path, None)
    asyncio.run(_reach(where))
    with at_prompt(bench.path, report) as board:
        result = _told(bench, board)
        topic = _topic(board)
        board.restart()
    if not topic:
        raise BenchError("the board's settings cannot be read: mqttlite doctor --board … says why")
    found = asyncio.run(_wakings(bench, topic, count, where))
    middle = {
        key: statistics.median(wake[key] for wake in found)
        for key in sorted(set.intersection(*(set(wake) for wake in found)))
        if all(isinstance(wake[key], int) for wake in found)
    }
    sizes = [sum(wake["bytes"]) for wake in found if "bytes" in wake]
    return {**result, "wakings": count, "wake": middle, "wake_bytes": statistics.median(sizes) if sizes else None}


async def _wakings(bench: Bench, topic: str, count: int, where: Where) -> list[dict[str, Any]]:
    from ...client.host import Client

    found: list[dict[str, Any]] = []
    async with Client(where.broker, client_id=f"{where.topic}-host", clean_session=True) as client:
        await client.subscribe(f"{topic}/state", qos=1)
        try:
            async with asyncio.timeout(bench.within_s):
                async for message in client:
                    wake = json.loads(message.payload).get("wake")
                    if wake and not message.retain:
                        found.append(wake)
                    if len(found) == count:
                        break
        except TimeoutError:
            raise BenchError(
                f"{len(found)} of {count} wake-ups within {bench.within_s:g} s (--wait): is `sleep_s` set, and does "
                "Wi-Fi or a gateway reach it?"
            ) from None
    return found


def _told(bench: Bench, board: "Board") -> dict[str, Any]:
    """On what it is measured."""
    runtime, version, platform, machine = board.run(_TOLD).strip().split("|")
    return {
        "board": bench.board.stem,
        "is_hardware": platform in PORTS,
        "runtime": f"{runtime} {version}",
        "machine": machine or platform,
        "mqttlite": __version__,
    }


async def _reach(where: Where) -> None:
    """Raise MQTTError, OSError where the broker cannot be reached: then the board is left alone."""
    from ...client.host import Client

    async with asyncio.timeout(REACH_S), Client(where.broker, client_id=f"{where.topic}-host", clean_session=True):
        pass


def _topic(board: "Board") -> str:
    """Of the board's own program; "" where its settings cannot be read."""
    try:
        topic: str = full(decode(board.settings() or b""))["topic"]
    except (SettingError, KeyError):
        return ""
    return topic


class _Session:
    def __init__(self, bench: Bench, where: Where, topic: str, report: "Report") -> None:
        self._bench = bench
        self._topic = topic  # of the board's own program, "" where it is not known
        self._where = where
        self._report = report
        self._messages: asyncio.Queue[Message] = asyncio.Queue()
        self._client: Client | None = None
        self._hearing = Hearing(report)

    async def measured(self) -> dict[str, Any]:
        from ...client.host import Client

        client = Client(self._where.broker, client_id=f"{self._where.topic}-host", clean_session=True)
        async with AsyncExitStack() as stack:
            self._client = await stack.enter_async_context(client)
            for level in ("ready", "up", "sent", "got", "waits", "echo"):
                await client.subscribe(f"{self._where.topic}/{level}", qos=2)
            if self._topic:
                await client.subscribe(f"{self._topic}/online", qos=1)
            reader = asyncio.create_task(self._read(client))
            stack.callback(reader.cancel)
            stack.enter_context(listening(self._where, self._hearing))
            try:
                async with asyncio.timeout(self._bench.within_s):
                    return await self._all()
            except TimeoutError:
                raise BenchError(self._how_far()) from None

    async def _all(self) -> dict[str, Any]:
        ready = await self._next("ready")
        found: dict[str, Any] = {"free": ready["free"]}
        for qos in (0, 1, 2):
            for way in ("up", "down"):
                found[f"{way}_{qos}"] = await (self._up(qos) if way == "up" else self._down(qos))
                self._report.note(f"{way}, QoS {qos}: {found[f'{way}_{qos}']}")
            times = [await self._echo(qos) for _ in range(ECHOES)]
            found[f"round_trip_{qos}_ms"] = round(statistics.median(times), 1)
        await self._do(what="end")
        clock = Clock()
        if self._topic:
            found["reset_to_online_s"] = await self._online(clock)
        return found

    async def _online(self, clock: Clock) -> float | None:
        """From the reset to the board's own program saying that it is there; None: not in time."""
        try:
            async with asyncio.timeout(ONLINE_S):
                while True:
                    message = await self._messages.get()
                    if message.topic == f"{self._topic}/online" and message.payload == b"1" and not message.retain:
                        return round(clock.s, 1)
        except TimeoutError:
            return None

    async def _up(self, qos: int) -> dict[str, float]:
        clock = Clock()  # with the command's way to the board, and the last word's way back
        await self._do(what="up", qos=qos, count=self._bench.count, size=self._bench.size)
        arrived = 0
        while True:
            message = await self._messages.get()
            level = message.topic.rpartition("/")[2]
            arrived += level == "up"
            if level == "sent":
                took = json.loads(message.payload)
                break
        return self._figures(arrived, clock.s, took)

    async def _down(self, qos: int) -> dict[str, float]:
        await self._do(what="down", count=self._bench.count)
        await self._next("waits")
        assert self._client is not None
        payload = b"x" * self._bench.size
        clock = Clock()
        for _ in range(self._bench.count):
            await self._client.publish(f"{self._where.topic}/down", payload, qos=qos)
        took = await self._next("got")
        return self._figures(self._bench.count, clock.s, took)

    def _figures(self, arrived: int, seconds: float, took: dict[str, Any]) -> dict[str, float]:
        each = arrived / seconds
        return {
            "arrived": arrived,
            "per_s": round(each, 1),
            "bytes_per_s": round(each * self._bench.size),
            "of_line": round(each * self._bench.size * 10 / LINE_BAUD, 3),
            "free": took["free"],
        }

    async def _echo(self, qos: int) -> float:
        clock = Clock()
        await self._do(what="echo", qos=qos)
        await self._next("echo")
        return clock.s * 1000

    async def _do(self, **what: Any) -> None:
        assert self._client is not None
        await self._client.publish(f"{self._where.topic}/do", json.dumps(what), qos=1)

    async def _next(self, level: str) -> dict[str, Any]:
        while True:
            message = await self._messages.get()
            if message.topic == f"{self._where.topic}/{level}":
                found: dict[str, Any] = json.loads(message.payload) if message.payload else {}
                return found

    async def _read(self, client: "Client") -> None:
        async for message in client:
            self._messages.put_nowait(message)

    def _how_far(self) -> str:
        problem = self._hearing.problem()
        return (
            f"not all was measured within {self._bench.within_s:g} s (--wait): "
            f"{self._hearing.last or problem or 'the board says nothing: mqttlite doctor --board … finds the cause'}"
        )
