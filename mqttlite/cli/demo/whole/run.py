"""The play: the site runs, is cut off, is killed here and there; then all is counted, and a loss is planted."""

import argparse
import asyncio
import contextlib
import json
import logging
import os
import platform
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from ....client import Client
from ....client.arguments.reconnect import Reconnect
from ....core.keys import to_text
from ....ledger.reading import Reader
from ... import INTERRUPTED
from ...running import TERMINATED
from ..programs import BAUD, ProgramError, micropython, root
from . import settings
from .far_end import DATABASE
from .far_end import LEDGER as FAR_LEDGER
from .planted import plant
from .schedule import Fault, faults
from .site import Site

SECONDS = 36.0  # of faults
SHOW_EVERY_S = 3.0
ANSWER_S = 20.0
ARRIVAL_S = 30.0
SENT = "boards.txt"  # the keys that the boards have accepted
RED, GREEN, BLUE, NORMAL = "\x1b[31m", "\x1b[32m", "\x1b[34m", "\x1b[0m"
PLANTED_MIN = 6  # messages that wait at the gateway when one of them is taken away


def run(args: argparse.Namespace) -> int:
    """Play it; 0 if everything was as it should be."""
    root()  # before anything is started or promised
    return asyncio.run(_main(args))


async def _main(args: argparse.Namespace) -> int:
    """The play, which a signal ends."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task
    signals: list[int] = []

    def end(number: int) -> None:
        signals.append(number)
        task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, end, number)
    try:
        with tempfile.TemporaryDirectory(prefix="mqttlite-demo-", ignore_cleanup_errors=True) as folder:
            return await _Play(args, Path(folder)).run()
    except asyncio.CancelledError:
        if not signals:
            raise
        return INTERRUPTED if signals[0] == signal.SIGINT else TERMINATED


class _Play:
    """One run."""

    def __init__(self, args: argparse.Namespace, folder: Path) -> None:
        self._seconds = args.seconds or SECONDS
        self._seed = args.seed
        self._folder = folder
        self._boards = [f"board-{number}" for number in range(1, args.boards + 1)]
        self._site = Site(
            folder,
            self._boards,
            bit_errors=args.bit_errors,
            dropped=args.dropped,
            seed=args.seed,
            every_ms=args.every,
            mosquitto=settings.find_mosquitto() if args.far_broker != "mqttlite" else None,
        )
        if args.far_broker == "mosquitto" and not self._site.mosquitto:
            raise ProgramError("Mosquitto is not installed here: leave out --far-broker, or install it")
        self._every_ms = args.every
        self._noise = f"bit errors {args.bit_errors:g}, dropped bytes {args.dropped:g}, both ways"
        self._answers: dict[tuple[str, int], dict[str, int]] = {}
        self._answered = asyncio.Event()
        self._asked = 0
        self._began = 0.0
        self._killed: dict[str, int] = {}
        self._away: set[str] = set()
        self._failed = False

    async def run(self) -> int:
        """0: everything was as it should be."""
        print(self._introduction(), flush=True)
        async with self._site, self._operator() as operator:
            print(f"page    {self._site.page or 'none: pip install aiohttp'}", flush=True)
            await operator.subscribe(settings.ANSWERS, 1)
            listening = asyncio.create_task(self._listen(operator))
            try:
                await self._until(lambda: self._handled() >= len(self._boards), 60, "the boards start")
                await self._suffer()
                code, _ = await self._judge(operator, "after all that")
                self._failed |= code != 0
                await self._mqttlite("verify", "--chart", self._last_key(), *self._ledgers(), FAR_LEDGER)
                await self._plant(operator)
            finally:
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)
        return 1 if self._failed else 0

    def _operator(self) -> Client:
        """Who tells the boards what to do, at the second broker."""
        logging.getLogger("mqttlite.client").setLevel(logging.ERROR)  # that it comes and goes is what is played here
        reconnect = Reconnect(greatest_s=1)
        return Client(self._site.cloud, client_id="operator", retry_first=True, reconnect=reconnect)

    def _introduction(self) -> str:
        count = len(self._boards)
        what = "MicroPython" if micropython() else f"CPython {platform.python_version()}, for want of MicroPython,"
        if self._site.mosquitto:
            cloud = "Mosquitto; it is shut down and not killed, for it saves what it has acknowledged later"
        else:
            cloud = "mqttlite broker, with a store"
        return (
            f"boards  {count}, each a process: {what} running firmware/mqttlite_board, with a journal\n"
            f"lines   {BAUD} baud, {self._noise}\n"
            "gateway mqttlite gateway in bridge mode: a broker inside, with store and ledger\n"
            f"cloud   {self._site.cloud} ({cloud})\n"
            "far end an inbox on SQLite behind it, with a ledger\n"
            f"Each board counts at QoS 2, every {self._every_ms} ms. Seed {self._seed}: `--seed` chooses other faults."
        )

    # -- how it is

    def _handled(self) -> int:
        """Rows that the application at the far end has written."""
        return self._ask_app("SELECT count(*) FROM counted")

    def _ask_app(self, sql: str) -> int:
        path = self._folder / DATABASE
        if not path.exists():
            return 0
        try:
            with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=2)) as connection:
                return int(connection.execute(sql).fetchone()[0])
        except sqlite3.OperationalError:  # its table is not there yet
            return 0

    def _waiting(self) -> int:
        """Messages in the gateway's store for the second broker, as its ledger has it: a second late."""
        path = self._folder / settings.LEDGER
        if not path.exists():
            return 0
        try:
            with contextlib.closing(Reader(path)) as reader:
                return reader.waiting
        except (sqlite3.Error, ValueError):  # it is being made
            return 0

    def _say(self, text: str, colour: str = "") -> None:
        shown = f"{colour}{text}{NORMAL}" if colour and sys.stdout.isatty() and not os.environ.get("NO_COLOR") else text
        print(f"{time.monotonic() - self._began:5.1f} s  {shown}", flush=True)

    def _show(self) -> None:
        away = f"; away: {', '.join(sorted(self._away))}" if self._away else ""
        self._say(f"the far end has handled {self._handled()}, about {self._waiting()} wait at the gateway{away}")

    async def _until(self, condition: Callable[[], bool], limit_s: float, what: str) -> None:
        self._began = self._began or time.monotonic()
        end = time.monotonic() + limit_s
        while not condition():  # files of other processes: nothing announces them
            self._check()
            if time.monotonic() > end:
                raise ProgramError(f"{what}: that took longer than {limit_s:g} s\n{self._site.last_words()}")
            await asyncio.sleep(0.2)

    def _check(self) -> None:
        for name, life in self._site.lives.items():
            if name not in self._away:
                life.check()

    # -- faults

    async def _suffer(self) -> None:
        self._began = time.monotonic()
        plan = faults(self._seed, self._seconds, self._boards, not self._site.mosquitto)
        turn = {name: asyncio.Lock() for name in self._site.lives}
        try:
            async with asyncio.TaskGroup() as group:
                for fault in plan:
                    group.create_task(self._strike(fault, turn[fault.who]))
                group.create_task(self._watch())
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def _strike(self, fault: Fault, turn: asyncio.Lock) -> None:
        await asyncio.sleep(fault.at_s)
        life = self._site.lives[fault.who]
        async with turn:
            if fault.is_frozen:
                self._say(f"❄ frozen for {fault.for_s:.1f} s, connected and mute: {life.name}", BLUE)
                await life.freeze(fault.for_s)
                return
            self._say(f"{'✂ shut down' if fault.is_kind else '✂ kill -9'}: {life.name}", RED)
            self._killed[fault.who] = self._killed.get(fault.who, 0) + (not fault.is_kind)
            self._away.add(fault.who)
            await life.die(fault.is_kind)
            await asyncio.sleep(fault.for_s)
            await life.start()
            self._away.discard(fault.who)
            self._say(f"▶ {life.name} is back, life {life.lives}", GREEN)

    async def _watch(self) -> None:
        while time.monotonic() - self._began < self._seconds:
            await asyncio.sleep(SHOW_EVERY_S)
            self._show()
            self._check()

    # -- what has come of it

    async def _listen(self, operator: Client) -> None:
        async for message in operator:
            answer = json.loads(message.payload)
            self._answers[message.topic.split("/")[-2], answer.get("id", 0)] = answer
            self._answered.set()

    async def _ask(self, operator: Client, what: str) -> dict[str, int]:
        """Tell every board through both brokers; how many messages each has accepted."""
        self._asked += 1
        number = self._asked
        for name in self._boards:
            command = json.dumps({"do": what, "id": number})
            await operator.publish(f"{settings.PREFIX}sensors/{name}/command", command, 2)
        try:
            async with asyncio.timeout(ANSWER_S):
                while not all((name, number) in self._answers for name in self._boards):
                    self._answered.clear()
                    await self._answered.wait()
        except TimeoutError:
            silent = [name for name in self._boards if (name, number) not in self._answers]
            text = f"{', '.join(silent)}: no answer to '{what}' within {ANSWER_S:g} s"
            raise ProgramError(f"{text}\n{self._site.last_words()}") from None
        return {name: self._answers[name, number]["accepted"] for name in self._boards}

    async def _judge(self, operator: Client, when: str, missing: int = 0) -> tuple[int, str]:
        """Stop the boards, wait until all is there but for so many, and have it verified (`_verify`)."""
        self._say("the boards are told to pause, and asked what they have accepted")
        accepted = await self._ask(operator, "pause")
        total = sum(accepted.values())
        end = time.monotonic() + ARRIVAL_S
        while self._handled() < total - missing and time.monotonic() < end:  # noqa: ASYNC110
            await asyncio.sleep(0.2)
        await asyncio.sleep(1.5)  # a repeat would come now; and ledgers are written once a second
        self._say(f"the far end has handled {self._handled()}")
        self._write_keys(accepted)
        rows = self._handled()
        different = self._ask_app("SELECT count(*) FROM (SELECT DISTINCT board, n FROM counted)")
        print(
            f"\nThe boards have accepted {total}; {when} the far end has {different} of them, {rows - different} twice."
        )
        killed = [f"{self._site.lives[who].name} {times}" for who, times in sorted(self._killed.items()) if times]
        print(f"kill -9: {', '.join(killed)}; the lines damaged or lost {self._site.line_errors()} bytes.")
        self._failed |= rows != different
        return await self._verify()

    def _write_keys(self, accepted: dict[str, int]) -> None:
        """What the boards say that they have accepted, as a list for `verify`."""
        keys = [(name.encode(), 0, n) for name, count in accepted.items() for n in range(1, count + 1)]
        (self._folder / SENT).write_text("".join(f"{to_text(key).decode()}\n" for key in keys), encoding="utf-8")

    def _ledgers(self) -> list[str]:
        """On the way."""
        return [settings.LEDGER] if self._site.mosquitto else [settings.LEDGER, settings.CLOUD_LEDGER]

    def _last_key(self) -> str:
        """Of a message that has arrived."""
        return (self._folder / SENT).read_text(encoding="utf-8").split()[-1]

    async def _verify(self) -> tuple[int, str]:
        """Exit code, and what was printed."""
        via = [word for ledger in self._ledgers() for word in ("--via", ledger)]
        return await self._mqttlite("verify", SENT, FAR_LEDGER, DATABASE, *via)

    async def _mqttlite(self, *words: str) -> tuple[int, str]:
        print(f"\n$ mqttlite {' '.join(words)}", flush=True)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "mqttlite",
            *words,
            stdout=asyncio.subprocess.PIPE,
            cwd=self._folder,
            env={**os.environ, "PYTHONPATH": str(root())},
        )
        out, _ = await process.communicate()
        print(out.decode(), flush=True)
        return process.returncode or 0, out.decode()

    async def _plant(self, operator: Client) -> None:
        """Lose a message on purpose."""
        site = self._site
        self._say("and now a loss is planted: the second broker goes, messages wait at the gateway,")
        await self._ask(operator, "go")
        await site.lives["cloud"].die(True)
        self._away.add("cloud")
        await self._until(lambda: self._waiting() >= PLANTED_MIN * len(self._boards), 20, "messages wait")
        await site.lives["gateway"].die()
        key = await plant(self._folder / settings.STORE, f"$bridge/{settings.UPSTREAM}")
        self._say(f"and {key} is taken out of its store while it is down")
        for name in ("cloud", "gateway"):
            await site.lives[name].start()
        self._away.clear()
        code, said = await self._judge(operator, "now", 1)
        is_named = code == 1 and "MISSING  1 key" in said and f"\n  {key}" in said
        self._failed |= not is_named
        print("The planted loss is named." if is_named else "BROKEN: the planted loss is not what verify says")
