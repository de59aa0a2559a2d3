"""`mqttlite demo`: three boards on noisy serial lines, the gateway, a broker; and a table of what arrives.

programs  starts them        tally  counts        table  shows
pty_line  a noisy line       resample  what a wrong baud rate makes of bytes
board/    the application of the boards             whole/  `mqttlite demo --whole`
"""

import argparse
import asyncio
import json
import os
import platform
import secrets
import signal
import time
from collections.abc import Callable
from typing import Any

from ...client import Client, Message
from ...core.errors import MQTTError
from .. import INTERRUPTED
from ..running import TERMINATED
from .programs import BAUD, Programs, micropython, root
from .table import Screen
from .tally import Tally

_DESCRIPTION = """\
Runs the whole way on real programs for a while: boards (each a MicroPython interpreter with the program of firmware/)
on serial lines with bit errors and dropped bytes, the gateway, a broker, and a subscriber that counts. Ends with a line
for each QoS; the exit code is 1 if QoS 1 or 2 lost a message, QoS 2 duplicated one, or either came out of order. Ctrl-C
ends it early and in good order, a second one at once.

  mqttlite demo
  mqttlite demo --seconds 60 --boards 5 --bit-errors 1e-3
"""

NAMES = ("fast", "event", "count")  # of the topics, by QoS; see board/app.py
STOP = -1  # the id of the command that ends a board
SHOW_EVERY_S = 0.5
SECONDS = 30.0
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 60.0


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the program's parser."""
    parser = subparsers.add_parser(
        "demo",
        help="boards, noisy lines, a gateway and a broker, to look at",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    environ = os.environ
    parser.add_argument(
        "--seconds",
        type=float,
        default=environ.get("DEMO_SECONDS") or None,
        help="how long the boards publish (default: $DEMO_SECONDS, else 30; with --whole 36)",
    )
    parser.add_argument(
        "--broker",
        metavar="URL",
        default=environ.get("BROKER", ""),
        help="a broker that runs already (default: $BROKER, else ours)",
    )
    parser.add_argument("--boards", type=int, default=3, metavar="N", help="how many boards (default: 3)")
    parser.add_argument("--every", type=int, default=200, metavar="MS", help="time between readings (default: 200)")
    parser.add_argument(
        "--bit-errors", type=float, default=1e-4, metavar="P", help="probability for each bit (default: 1e-4)"
    )
    parser.add_argument(
        "--dropped", type=float, default=1e-3, metavar="P", help="probability for each byte (default: 1e-3)"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the noise (default: 1)")
    parser.add_argument(
        "--whole",
        action="store_true",
        help="the whole: bridge mode, a second broker that is away for a while, kill -9, ledgers, a planted loss",
    )
    parser.add_argument(
        "--far-broker",
        choices=("mosquitto", "mqttlite"),
        help="with --whole: which broker is the second one (default: Mosquitto if it is installed, else ours)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the demo; 0 if every promise was kept."""
    if args.boards < 1 or args.every < 1 or (args.seconds is not None and args.seconds <= 0):
        raise ValueError("--boards, --every and --seconds must be more than 0")
    if args.whole:
        if args.broker:
            raise ValueError("--whole brings its own brokers: leave out --broker, and BROKER in the environment")
        from .whole.run import run as run_whole

        return run_whole(args)
    if args.far_broker:
        raise ValueError("--far-broker belongs to --whole")
    args.seconds = args.seconds or SECONDS
    root()  # before anything is started or promised
    return asyncio.run(_Demo(args).run())


def introduction(args: argparse.Namespace, broker: str) -> str:
    """What is what."""
    if micropython():
        boards = "MicroPython running firmware/mqttlite_board"
    else:
        boards = f"CPython {platform.python_version()} running firmware/ (no MicroPython interpreter was found)"
    whose = "yours" if args.broker else "mqttlite broker"
    return (
        f"{args.boards} boards, each a process: {boards}\n"
        f"lines   {BAUD} baud, bit errors {args.bit_errors:g}, dropped bytes {args.dropped:g}, both ways\n"
        f"gateway mqttlite gateway, a connection of its own to the broker for each board\n"
        f"broker  {broker} ({whose})\n"
        f"Each board publishes at QoS 0, 1 and 2 every {args.every} ms, and answers commands, which are timed.\n"
    )


class _Demo:
    """One run."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._args = args
        self._names = [f"board-{number}" for number in range(1, args.boards + 1)]
        self._tally = Tally(self._names)
        self._screen = Screen(self._tally, args.seconds)
        self._programs = Programs(
            self._names,
            run=secrets.token_hex(3),
            broker=args.broker,
            bit_errors=args.bit_errors,
            dropped=args.dropped,
            seed=args.seed,
            every_ms=args.every,
        )
        self._asked: dict[tuple[str, int], float] = {}  # when a ping left, by board and id
        self._changed = asyncio.Event()  # something has arrived, or Ctrl-C
        self._counting: asyncio.Task[None] | None = None
        self._publishing = False  # the boards are: Ctrl-C asks them to stop
        self._enough = False  # Ctrl-C
        self._signal = 0

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task

        def end(number: int) -> None:
            if number == signal.SIGINT and self._publishing and not self._enough:
                self._enough = True
                self._changed.set()
            else:
                self._signal = self._signal or number
                task.cancel()

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, end, number)
        try:
            async with self._programs:
                await self._with_client()
            if self._args.broker:
                await self._tidy_up()
        except asyncio.CancelledError:
            if not self._signal:
                raise
            return INTERRUPTED if self._signal == signal.SIGINT else TERMINATED
        self._screen.finish()
        broken = self._tally.broken_promises()
        for text in broken:
            print("BROKEN:", text)
        return 1 if broken else 0

    async def _with_client(self) -> None:
        programs = self._programs
        # A session of its own at the broker, so that the count goes on if this connection is cut.
        async with Client(programs.broker, client_id=programs.client_id("subscriber")) as client:
            print(introduction(self._args, programs.broker), flush=True)
            await client.subscribe(programs.topic + "/#", qos=2)
            await client.subscribe(programs.status_topic + "/#", qos=0)
            self._counting = asyncio.create_task(self._count(client))
            try:
                await programs.start()
                await self._boards_start()
                await self._boards_publish(client)
                await self._boards_stop(client)
            finally:
                self._counting.cancel()
                await asyncio.gather(self._counting, return_exceptions=True)

    async def _boards_start(self) -> None:
        await self._until(
            lambda: all(board.started for board in self._boards), START_TIMEOUT_S, 0, "boards are starting"
        )
        for board in self._boards:
            if not board.started:
                raise self._programs.boards[board.name].failed("is silent")

    async def _boards_publish(self, client: Client) -> None:
        self._publishing = True
        begin = time.monotonic()
        number = 0
        while (elapsed := time.monotonic() - begin) < self._args.seconds and not self._enough:
            for name in self._names:
                await self._ask(client, name, number, {"do": "ping"})
            number += 1
            left = min(SHOW_EVERY_S, self._args.seconds - elapsed)
            await self._until(lambda: self._enough, left, elapsed, "Ctrl-C ends it early")
        self._args.seconds = min(self._args.seconds, time.monotonic() - begin)

    async def _boards_stop(self, client: Client) -> None:
        """Tell every board to stop; wait until it has answered with its counts, and everything it sent has arrived."""
        for name in self._names:
            await self._ask(client, name, STOP, {"do": "stop"})
        await self._until(
            lambda: all(board.settled for board in self._boards),
            STOP_TIMEOUT_S,
            self._args.seconds,
            "the last messages are arriving",
            running=False,
        )
        for board in self._boards:
            if not board.finished:
                self._screen.note(str(self._programs.boards[board.name].failed("did not answer `stop`")))
        await self._programs.boards_end()

    @property
    def _boards(self) -> Any:
        return self._tally.boards.values()

    async def _until(
        self, condition: Callable[[], bool], limit_s: float, elapsed: float, doing: str, running: bool = True
    ) -> None:
        """Wait for `condition`, `limit_s` seconds at most, with the table on the screen. `running`: every program
        should be. Raises what ended the counting, ProgramError when a program has ended.
        """
        end = time.monotonic() + limit_s
        while not condition() and (left := end - time.monotonic()) > 0:
            self._show(elapsed, doing)
            next_show = time.monotonic() + min(left, SHOW_EVERY_S)
            while not condition() and (wait := next_show - time.monotonic()) > 0:
                self._changed.clear()
                try:
                    async with asyncio.timeout(wait):
                        await self._changed.wait()
                except TimeoutError:
                    break
            if running:
                self._programs.check()
            if self._counting and self._counting.done():
                self._counting.result()

    def _show(self, elapsed: float, doing: str) -> None:
        for board in self._boards:
            board.line_errors = self._programs.line_errors(board.name)
        self._screen.show(elapsed, doing)

    async def _ask(self, client: Client, name: str, number: int, command: dict[str, Any]) -> None:
        self._asked[name, number] = time.monotonic()
        await client.publish(f"{self._programs.topic}/{name}/command", json.dumps({**command, "id": number}), qos=2)

    async def _tidy_up(self) -> None:
        """Leave nothing at a broker that is not ours: neither sessions nor retained messages."""
        programs = self._programs
        try:
            async with Client(programs.broker) as client:
                for topic in [*(f"{programs.topic}/{name}" for name in self._names), programs.status_topic]:
                    await client.publish(f"{topic}/online", b"", qos=1, retain=True)
            for name in [*self._names, "subscriber"]:
                async with Client(programs.broker, client_id=programs.client_id(name), clean_session=True):
                    pass
        except MQTTError as error:
            self._screen.note(f"sessions and retained messages of this demo may be left at {programs.broker}: {error}")

    # -- what arrives

    async def _count(self, client: Client) -> None:
        async for message in client:
            self._take(message)
            self._changed.set()

    def _take(self, message: Message) -> None:
        root, _, what = message.topic.rpartition("/")
        if root == self._programs.status_topic:
            if what != "online":
                self._status(json.loads(message.payload))
            return
        board = self._tally.boards.get(root.rpartition("/")[2])
        if board is None:
            return
        if what in NAMES:
            board.flows[NAMES.index(what)].arrived(json.loads(message.payload)["n"])
        elif what in ("state", "answer"):
            self._state(board.name, json.loads(message.payload), answer=what == "answer")

    def _status(self, status: dict[str, Any]) -> None:
        for board in self._boards:
            if status["device"] == self._programs.client_id(board.name):
                board.repaired_here = status["frames"]["repaired"]
                board.reconnections = max(status["connections"] - 1, 0)

    def _state(self, name: str, state: dict[str, Any], answer: bool) -> None:
        board = self._tally.boards[name]
        board.repaired_there = state.get("repaired", 0)
        for qos, sent in enumerate(state["sent"][flow] for flow in NAMES):
            board.flows[qos].sent = max(board.flows[qos].sent, sent)
        if answer:
            asked = self._asked.pop((name, state["id"]), None)
            if asked is not None:
                board.round_trips_ms.append((time.monotonic() - asked) * 1000)
            board.finished |= state["id"] == STOP
