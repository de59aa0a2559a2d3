"""`mqttlite demo`: three boards on noisy serial lines, the gateway, a broker; and a table of what arrives.

world  starts the programs        tally  counts        table  shows
"""

import argparse
import asyncio
import json
import os
import time
from typing import Any

from ...client import Client, Message
from .table import Screen, summary
from .tally import Tally
from .world import BAUD, STATUS_TOPIC, World, micropython

_DESCRIPTION = """\
Runs the whole way on real programs for a while: boards (each a MicroPython interpreter with firmware/main.py) on serial
lines with bit errors and dropped bytes, the gateway, a broker, and a subscriber that counts. Ends with a line for each
QoS; the exit code is 1 if QoS 1 or 2 lost a message, QoS 2 duplicated one, or either came out of order.
"""

NAMES = ("fast", "event", "count")  # of the topics, by QoS; see firmware/examples/readings.py
STOP = -1  # the id of the command that ends a board
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
        default=float(environ.get("DEMO_SECONDS", "30")),
        help="how long the boards publish (default: $DEMO_SECONDS, else 30)",
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
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the demo; 0 if every promise was kept."""
    return asyncio.run(_Demo(args).run())


class _Demo:
    """One run."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._args = args
        self._names = [f"board-{number}" for number in range(1, args.boards + 1)]
        self._tally = Tally(self._names)
        self._asked: dict[tuple[str, int], float] = {}  # when a ping left, by board and id
        self._changed = asyncio.Event()

    async def run(self) -> int:
        args = self._args
        runtime = "MicroPython" if micropython() else "CPython, as no MicroPython interpreter was found"
        print(
            f"{args.boards} boards ({runtime}), {BAUD} baud, "
            f"bit errors {args.bit_errors:g}, dropped bytes {args.dropped:g}; {args.seconds:g} s",
            flush=True,
        )
        world = World(
            self._names,
            broker=args.broker,
            bit_errors=args.bit_errors,
            dropped=args.dropped,
            seed=args.seed,
            every_ms=args.every,
        )
        async with world:
            print(f"broker {world.broker}", flush=True)
            # A session of its own at the broker, so that the count goes on if this connection is cut.
            async with Client(world.broker, client_id=f"demo-{os.getpid()}") as client:
                await client.subscribe("demo/#", qos=2)
                await client.subscribe(STATUS_TOPIC + "/#", qos=0)
                counting = asyncio.create_task(self._count(client))
                try:
                    await self._show_while_running(client, world)
                finally:
                    counting.cancel()
                    await asyncio.gather(counting, return_exceptions=True)
        for line in summary(self._tally):
            print(line)
        broken = self._tally.broken_promises()
        for text in broken:
            print("BROKEN:", text)
        return 1 if broken else 0

    async def _show_while_running(self, client: Client, world: World) -> None:
        screen = Screen(self._tally, self._args.seconds)
        begin = time.monotonic()
        while (elapsed := time.monotonic() - begin) < self._args.seconds:
            screen.show(elapsed)
            for name in self._names:
                await self._ask(client, name, int(elapsed * 2), {"do": "ping"})
            await asyncio.sleep(0.5)
            world.check()
        for name in self._names:
            await self._ask(client, name, STOP, {"do": "stop"})
        await self._all_finished(world)
        screen.show(self._args.seconds, last=True)

    async def _ask(self, client: Client, name: str, number: int, command: dict[str, Any]) -> None:
        self._asked[name, number] = time.monotonic()
        await client.publish(f"demo/{name}/command", json.dumps({**command, "id": number}), qos=2)

    async def _all_finished(self, world: World) -> None:
        """Wait until every board has answered `stop` with its counts, and everything it sent has arrived."""
        boards = self._tally.boards.values()
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                while not all(board.finished and not any(board.flows[q].missing for q in (1, 2)) for board in boards):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            for board, running in zip(boards, world.boards, strict=True):
                if not board.finished:
                    print(running.failed("did not answer `stop`"))

    # -- what arrives

    async def _count(self, client: Client) -> None:
        async for message in client:
            self._take(message)
            self._changed.set()

    def _take(self, message: Message) -> None:
        root, _, rest = message.topic.partition("/")
        name, _, what = rest.partition("/")
        board = self._tally.boards.get(name)
        if board is None or message.retain:
            return
        if root == STATUS_TOPIC:
            status = json.loads(message.payload)
            board.repaired = status["frames"]["repaired"] + status["frames"]["resent"]
            board.reconnections = status["connections"] - 1
        elif what in NAMES:
            board.flows[NAMES.index(what)].arrived(json.loads(message.payload)["n"])
        elif what in ("state", "answer"):
            self._state(board.name, json.loads(message.payload), answer=what == "answer")

    def _state(self, name: str, state: dict[str, Any], answer: bool) -> None:
        board = self._tally.boards[name]
        board.runtime = state["runtime"]
        for qos, sent in enumerate(state["sent"]):
            board.flows[qos].sent = max(board.flows[qos].sent, sent)
        if answer:
            number: int = state["id"]
            board.round_trips_ms.append((time.monotonic() - self._asked.pop((name, number))) * 1000)
            board.finished |= number == STOP
