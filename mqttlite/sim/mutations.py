"""Small bugs that could be in the real code, each of which a checker of the small worlds has to catch.

    python -m mqttlite.sim.mutations                    plants each, and prints the table of docs/mutations.md
    python -m mqttlite.sim.mutations --find NAME        which single faults reveal it (for a new hint)

Planting works on Python source, not on a compiled core.
"""

import argparse
import asyncio
import random
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

from ..broker import server
from ..broker.durable import BrokerStore
from ..broker.engine import Engine
from ..broker.gate import Gate
from ..broker.limits import Limits
from ..broker.router import Router
from ..broker.sessions import ClientSession
from ..client.base import BaseClient
from ..core import session as core
from ..core.client import ClientProtocol
from ..core.connection import Connection
from ..core.session import INBOUND, OUTBOUND, Session
from ..database.inbox import Inbox
from ..database.receipts import ReceiptStore
from ..store import area_host, broker_tables, sqlite_file
from ..store import records as r
from ..store.base import StoreError
from ..store.broker_tables import BEGUN
from ..store.journal import Journal
from ..store.records import State
from ..store.sqlite import SqliteStore, SqliteWriter
from ..store.sqlite_file import SqliteFile
from . import small as small_worlds
from .explore import explore, singles
from .planting import CHECKERS, Mutation, Patch, checker_of
from .small import Small

MUTATIONS: dict[str, Mutation] = {}

ONE = Small(1, 1, "sqlite")
ONE_JOURNAL = Small(1, 1, "journal")
ONE_TWO = Small(1, 2, "sqlite")
ONE_KEYS = Small(1, 1, "sqlite", True)
ONE_MANY = Small(1, 30, "sqlite")
TWO = Small(2, 1, "sqlite")
TWO_JOURNAL = Small(2, 1, "journal")
TWO_TWO = Small(2, 2, "sqlite")
TWO_MANY = Small(2, 30, "journal")


def mutation(
    name: str,
    breaks: str,
    checker: str,
    small: Small,
    *faults: str,
    setting: Callable[[Patch], None] | None = None,
) -> Callable[[Callable[[Patch], None]], None]:
    """Enter a function that plants a bug into MUTATIONS."""

    def enter(plant: Callable[[Patch], None]) -> None:
        assert checker in CHECKERS and name not in MUTATIONS
        MUTATIONS[name] = Mutation(name, breaks, checker, small, faults, plant, setting)

    return enter


# -- settings: what a world needs so that a bug can show


def few_identifiers(patch: Patch) -> None:
    """Packet identifiers are used again soon."""
    patch.set(core, "SPAN", 5)


def small_journal(patch: Patch) -> None:
    """The producer's journal is full after a few messages."""
    patch.set(small_worlds, "Journal", lambda area, size: Journal(area, 600))


def short_log(patch: Patch) -> None:
    """Every batch that SQLite gets is carried over to the tables at once."""

    def wrap(init: Any) -> Any:
        def initialise(self: SqliteFile, *args: Any) -> None:
            init(self, *args)
            self._log_max = 0

        return initialise

    patch.around(SqliteFile, "__init__", wrap)


def short_queue(patch: Patch) -> None:
    """The broker's queues are full after a few messages, and a consumer gets two at a time."""
    patch.set(server, "Limits", partial(Limits, queue_messages=4))
    _window_at_broker(patch, 2)


def _window_at_broker(patch: Patch, window: int) -> None:
    def wrap(init: Any) -> Any:
        def initialise(self: ClientSession, *args: Any) -> None:
            init(self, *args)
            self.state.window = window

        return initialise

    patch.around(ClientSession, "__init__", wrap)


# -- the session: records


def _unless(kinds: tuple[int, ...], place: int) -> Callable[[Any], Any]:
    """A method that takes records does not take those of these kinds; `place`: of the kind in its arguments."""

    def wrap(take: Any) -> Any:
        def taken(self: Any, *args: Any, **names: Any) -> None:
            if args[place] not in kinds:
                take(self, *args, **names)

        return taken

    return wrap


def _unannounced(*kinds: int) -> Callable[[Any], Any]:
    """Session._record: nothing waits until a record of these kinds is durable."""

    def wrap(record: Any) -> Any:
        def recorded(self: Session, kind: int, *args: Any) -> None:
            wanted = self.wanted
            record(self, kind, *args)
            if kind in kinds:
                self.wanted = wanted

        return recorded

    return wrap


def _not_wanted(*kinds: int) -> Callable[[Any], Any]:
    """BrokerStore.note: nothing waits until a record of these kinds is durable."""

    def wrap(note: Any) -> Any:
        def noted(self: BrokerStore, session: int, kind: int, *args: Any) -> None:
            wanted = self.wanted
            note(self, session, kind, *args)
            if kind in kinds:
                self.wanted = wanted

        return noted

    return wrap


@mutation(
    "publish returns before the commit",
    "The client accepts a message that only its memory has.",
    "lost",
    ONE,
    "kill producer before disk 40",
)
def _(patch: Patch) -> None:
    patch.set(BaseClient, "publish", BaseClient.enqueue)


@mutation(
    "packets leave before the commit",
    "The client writes PUBLISH and PUBREL while what they tell of is not durable.",
    "release",
    TWO_TWO,
    "kill producer @ event 46",
)
def _(patch: Patch) -> None:
    patch.set(Session, "wanted", property(lambda self: False, lambda self, value: None))


@mutation(
    "PUBREL before RELEASED is durable",
    "The client releases a message before it is durable that it must not be published again.",
    "twice",
    TWO,
    "power off producer @ event 42",
)
def _(patch: Patch) -> None:
    patch.around(Session, "_record", _unannounced(r.RELEASED))


@mutation(
    "RELEASED is not stored",
    "After a restart, a message is published again although PUBREL was sent.",
    "twice",
    TWO,
    "kill producer @ event 46",
)
def _(patch: Patch) -> None:
    patch.around(Session, "_record", _unless((r.RELEASED,), 0))


@mutation(
    "PUBCOMP before FREED is durable",
    "The consumer completes an exchange and, after a power cut, takes the next message under the identifier for a"
    " repeat.",
    "lost",
    TWO_MANY,
    "power off consumer before disk 257",
    setting=few_identifiers,
)
def _(patch: Patch) -> None:
    patch.around(Session, "_record", _unannounced(r.FREED))


@mutation(
    "FREED is not stored",
    "The broker keeps a received identifier after PUBREL.",
    "leak",
    TWO,
)
def _(patch: Patch) -> None:
    patch.around(BrokerStore, "note", _unless((r.FREED,), 1))


@mutation(
    "DONE is never stored by the broker",
    "The broker keeps messages that are acknowledged.",
    "leak",
    ONE,
)
def _(patch: Patch) -> None:
    patch.around(BrokerStore, "note", _unless((r.DONE,), 1))


@mutation(
    "DONE is never stored by the client",
    "The producer keeps messages that are acknowledged.",
    "leak",
    ONE,
)
def _(patch: Patch) -> None:
    patch.around(SqliteStore, "record", _unless((r.DONE,), 0))


@mutation(
    "a message is finished when it is sent",
    "A QoS 1 message is forgotten before PUBACK.",
    "lost",
    ONE,
    "cut before packet 7 reset",
)
def _(patch: Patch) -> None:
    def finish(session: Session, seq: int) -> None:
        if seq in session.messages:
            session._finish(seq, 0)

    def wrap(pump: Any) -> Any:
        def pumped(self: Session) -> None:
            pump(self)
            for seq, message in self.messages.items():
                if seq < self.sent and message[0][0] & 6 == core.SENT1:
                    asyncio.get_running_loop().call_soon(finish, self, seq)

        return pumped

    patch.around(Session, "_pump", wrap)


# -- the session: the tables


@mutation(
    "PUBREC finishes the message",
    "PUBREL is never sent, so the receiver remembers the identifier for ever.",
    "leak",
    TWO,
)
def _(patch: Patch) -> None:
    patch.row(OUTBOUND, core.SENT2 << 8 | 0x50, core.FREE << 8 | core.FINISH)


@mutation(
    "PUBREL of an unknown identifier is not answered",
    "When PUBCOMP was lost, the sender never gets another.",
    "wait",
    TWO,
    "cut before packet 14 reset",
)
def _(patch: Patch) -> None:
    patch.row(INBOUND, core.FREE << 8 | 0x62, core.FREE << 8 | core.NOTHING)


@mutation(
    "PUBREL of an unknown identifier is an error",
    "When PUBCOMP was lost, every connection ends with the repeated PUBREL.",
    "wait",
    TWO,
    "cut before packet 14 reset",
)
def _(patch: Patch) -> None:
    patch.row(INBOUND, core.FREE << 8 | 0x62, None)


@mutation(
    "a repeat is not answered",
    "When PUBREC was lost, the sender never gets another.",
    "wait",
    TWO,
    "cut before packet 8 reset",
)
def _(patch: Patch) -> None:
    patch.row(INBOUND, core.HELD << 8 | core.PUBLISH2_DUP, core.HELD << 8 | core.NOTHING)


@mutation(
    "a recognised repeat is delivered",
    "The receiver knows the identifier and delivers the repeat all the same.",
    "twice",
    TWO,
    "cut before packet 8 reset",
)
def _(patch: Patch) -> None:
    patch.row(INBOUND, core.HELD << 8 | core.PUBLISH2_DUP, core.TAKEN2 << 8 | core.DELIVER)


@mutation(
    "deliver again at PUBREL",
    "The receiver delivers at PUBLISH (method B) and at PUBREL (method A).",
    "twice",
    TWO,
)
def _(patch: Patch) -> None:
    def publishing(publish: Any) -> Any:
        def published(self: Any, session: Session, first: int, buf: bytes, start: int, end: int) -> None:
            publish(self, session, first, buf, start, end)
            at = start + 2 + (buf[start] << 8 | buf[start + 1])
            if first & 4:
                packet_id = buf[at] << 8 | buf[at + 1]
                self.late = {packet_id: (first, bytes(buf[start + 2 : at]), bytes(buf[at + 2 : end]))}

        return published

    def releasing(acknowledgement: Any) -> Any:
        def released(self: Any, session: Session, first: int, buf: bytes, start: int, end: int) -> None:
            packet_id = buf[start] << 8 | buf[start + 1]
            kept = getattr(self, "late", {}).pop(packet_id, None)
            if first == 0x62 and kept:
                self.deliver(*kept, packet_id)
            acknowledgement(self, session, first, buf, start, end)

        return released

    patch.around(Connection, "_publish", publishing)
    patch.around(Connection, "_acknowledgement", releasing)


@mutation(
    "the loss of a connection is not foreseen: broker",
    "A QoS 2 message that was received and not released has no row for the end of its connection.",
    "error",
    TWO,
    "cut producer reset @ event 40",
)
def _(patch: Patch) -> None:
    patch.row(INBOUND, core.HELD << 8 | core.LOST, None)


@mutation(
    "the loss of a connection is not foreseen: consumer",
    "The same; the client says that it has a fault, ends, and is started again.",
    "error",
    TWO,
    "cut consumer reset @ event 50",
)
def _(patch: Patch) -> None:
    patch.row(INBOUND, core.HELD << 8 | core.LOST, None)


# -- the session: sending again


@mutation(
    "new identifier on resend",
    "After a reconnection, what is unacknowledged is sent under another packet identifier.",
    "identifier",
    TWO,
    "cut before packet 9 close",
)
def _(patch: Patch) -> None:
    def wrap(connected: Any) -> Any:
        def reconnected(self: Session, out: list[bytes], session_present: bool) -> None:
            if session_present:
                for seq in range(self.first, self.sent):
                    message = self.messages.get(seq)
                    if message and message[0][0] & 6 != core.RELEASED:
                        self.messages[self.next] = self.messages.pop(seq)
                        self.next += 1
            connected(self, out, session_present)

        return reconnected

    patch.around(Session, "connected", wrap)


@mutation(
    "identifiers are reused",
    "The packet identifier of a message that is not finished is given to another.",
    "identifier",
    ONE_MANY,
)
def _(patch: Patch) -> None:
    patch.set(core, "SPAN", 4)
    patch.set(Session, "span", property(lambda self: 65535, lambda self, value: None))


@mutation(
    "no DUP",
    "A message that is sent again does not say so.",
    "dup",
    ONE,
    "kill consumer @ event 45",
)
def _(patch: Patch) -> None:
    patch.set(core, "repeated", lambda head: head)


@mutation(
    "DUP is forgotten with the process",
    "After a restart, a message that may have been sent before does not say so.",
    "dup",
    ONE,
    "kill producer @ event 38",
)
def _(patch: Patch) -> None:
    def wrap(load: Any) -> Any:
        def loaded(self: Session, state: State) -> None:
            load(self, state)
            self.sent_before = self.first

        return loaded

    patch.around(Session, "load", wrap)


@mutation(
    "order reversed on resend",
    "After a reconnection, the last message is sent first.",
    "order",
    ONE_MANY,
    "cut after packet 28 reset",
)
def _(patch: Patch) -> None:
    def wrap(connected: Any) -> Any:
        def reconnected(self: Session, out: list[bytes], session_present: bool) -> None:
            fresh: list[bytes] = []
            connected(self, fresh, session_present)
            groups = []
            while fresh:
                size = 1 if fresh[0][0] == 0x62 else 3
                groups.append(fresh[:size])
                del fresh[:size]
            for group in reversed(groups):
                out += group
            self.out = out

        return reconnected

    patch.around(Session, "connected", wrap)


@mutation(
    "order reversed by a restart",
    "A session that is loaded has its messages in the wrong order.",
    "order",
    ONE_MANY,
    "kill broker @ event 109",
)
def _(patch: Patch) -> None:
    def wrap(load: Any) -> Any:
        def loaded(self: Session, state: State) -> None:
            state.messages = dict(zip(sorted(state.messages, reverse=True), state.messages.values(), strict=True))
            load(self, state)

        return loaded

    patch.around(Session, "load", wrap)


@mutation(
    "what is sent again goes out twice",
    "A reconnection repeats each message two times.",
    "repeat",
    ONE,
    "cut consumer close @ event 32",
)
def _(patch: Patch) -> None:
    def wrap(connected: Any) -> Any:
        def reconnected(self: Session, out: list[bytes], session_present: bool) -> None:
            connected(self, out, session_present)
            if session_present:
                connected(self, out, session_present)

        return reconnected

    patch.around(Session, "connected", wrap)


@mutation(
    "a new message repeats those before it",
    "Whenever a message is sent, all that are unacknowledged are sent again.",
    "repeat",
    ONE_MANY,
)
def _(patch: Patch) -> None:
    def wrap(pump: Any) -> Any:
        def pumped(self: Session) -> None:
            self.sent = self.first
            self.unfinished = 0
            pump(self)

        return pumped

    patch.around(Session, "_pump", wrap)


@mutation(
    "the client ignores the window",
    "After a long disconnection, the client sends all that it has at once.",
    "window",
    ONE_MANY,
    "power off broker @ event 108",
)
def _(patch: Patch) -> None:
    def wrap(init: Any) -> Any:
        def initialise(self: ClientProtocol, owner: Any, fields: Any, session: Session, *sizes: int) -> None:
            session.window = 1000
            init(self, owner, fields, session, *sizes)

        return initialise

    patch.around(ClientProtocol, "__init__", wrap)


@mutation(
    "the broker ignores the window",
    "A consumer gets everything at once.",
    "window",
    TWO_MANY,
    "power off broker @ event 73",
)
def _(patch: Patch) -> None:
    _window_at_broker(patch, 1000)


# -- the client's connections


@mutation(
    "PUBLISH before CONNACK",
    "The client sends what is published while it waits for CONNACK.",
    "connack",
    ONE,
    "kill producer @ event 37",
)
def _(patch: Patch) -> None:
    def wrap(connect: Any) -> Any:
        def connected(self: ClientProtocol, now: int) -> None:
            connect(self, now)
            self.state.out = self.out
            self.state._pump()

        return connected

    patch.around(ClientProtocol, "connect", wrap)


@mutation(
    "SUBSCRIBE before CONNACK",
    "The client asks for its subscriptions together with CONNECT.",
    "connack",
    ONE,
    "power off broker @ event 32",
)
def _(patch: Patch) -> None:
    def wrap(connect: Any) -> Any:
        def connected(self: ClientProtocol, now: int) -> None:
            connect(self, now)
            self._subscribe_again(False)

        return connected

    patch.around(ClientProtocol, "connect", wrap)


@mutation(
    "keep alive is ignored",
    "The client never asks whether the broker is still there.",
    "wait",
    ONE,
    "power off broker @ event 37",
)
def _(patch: Patch) -> None:
    def wrap(deadline: Any) -> Any:
        return lambda self: None if self.session else deadline(self)

    patch.around(ClientProtocol, "deadline", wrap)


@mutation(
    "CONNACK is waited for without end",
    "The client does not give up a connection on which nothing comes.",
    "wait",
    ONE,
    "cut before packet 2 silence",
)
def _(patch: Patch) -> None:
    def wrap(deadline: Any) -> Any:
        return lambda self: deadline(self) if self.session else None

    patch.around(ClientProtocol, "deadline", wrap)


@mutation(
    "subscriptions are not asked for again",
    "A SUBSCRIBE that was lost with its connection is not repeated.",
    "wait",
    ONE,
    "cut before packet 3 reset",
)
def _(patch: Patch) -> None:
    patch.set(ClientProtocol, "_subscribe_again", lambda self, session_present: None)


@mutation(
    "reconnection without a pause",
    "The client tries again at once, as long as it takes.",
    "loop",
    ONE,
    "fail broker disk 26",
)
def _(patch: Patch) -> None:
    def wrap(pause: Any) -> Any:
        async def paused(self: BaseClient, ms: int) -> None:
            reconnects = not self.is_connected and self._protocol.waiting_since is None
            await pause(self, 0 if reconnects else ms)

        return paused

    patch.around(BaseClient, "_pause", wrap)


@mutation(
    "the pause gets shorter",
    "The client waits half as long before each further try.",
    "loop",
    ONE,
    "fail broker disk 26",
)
def _(patch: Patch) -> None:
    def wrap(pause: Any) -> Any:
        async def paused(self: Any, ms: int) -> None:
            if not self.is_connected and self._protocol.waiting_since is None:
                self.tries = getattr(self, "tries", 0) + 1
                ms = 100 >> self.tries
            await pause(self, ms)

        return paused

    patch.around(BaseClient, "_pause", wrap)


# -- the inbox


@mutation(
    "the inbox acknowledges before its commit",
    "The consumer acknowledges a message, then handles it.",
    "confirmed",
    ONE,
    "fail consumer disk 116",
)
def _(patch: Patch) -> None:
    async def settle_first(self: Inbox, handler: Any) -> None:
        message = self._taken.popleft()
        self.client.acknowledge(message)
        await asyncio.sleep(0)
        await self._settle(handler, message)

    patch.set(Inbox, "_settle_first", settle_first)


@mutation(
    "the receipt has a transaction of its own",
    "What a handler writes is committed before the receipt is.",
    "twice",
    TWO,
    "power off consumer before disk 119",
)
def _(patch: Patch) -> None:
    async def handle(self: Inbox, handler: Any, message: Any) -> None:
        async with self.database.transaction() as db:
            await self._check_new(db, message)
            handler(db, message)
        async with self.database.transaction() as db:
            done = await self._keep_receipt(db, message)
        self._kept(message, done)

    patch.set(Inbox, "_handle", handle)


@mutation(
    "the receipt is not kept",
    "The consumer's database does not know which identifiers were handled.",
    "twice",
    TWO,
    "power off consumer before disk 119",
)
def _(patch: Patch) -> None:
    async def add(self: ReceiptStore, db: Any, generation: int, packet_id: int) -> bool:
        return True

    patch.set(ReceiptStore, "add", add)


@mutation(
    "receipts are never deleted",
    "An identifier that is used again is taken for a repeat.",
    "lost",
    TWO_MANY,
    setting=few_identifiers,
)
def _(patch: Patch) -> None:
    async def clear(self: ReceiptStore, db: Any) -> Any:
        return self._generation(), frozenset(self._freed)

    patch.set(ReceiptStore, "clear", clear)


@mutation(
    "keys are ignored",
    "The inbox does not look whether a key was handled before.",
    "twice",
    ONE_KEYS,
    "kill consumer @ event 40",
)
def _(patch: Patch) -> None:
    async def window(self: Inbox, *args: Any) -> list[int]:
        return []

    patch.set(Inbox, "_window", window)


# -- the broker


@mutation(
    "acknowledge before commit",
    "The broker's output does not wait for the store.",
    "confirmed",
    ONE,
    "power off broker after disk 38",
)
def _(patch: Patch) -> None:
    patch.set(Gate, "is_closed", False)


@mutation(
    "the gate forgets what it waits for",
    "The broker's output passes when a commit ends that does not have its records.",
    "confirmed",
    ONE_MANY,
    "power off broker @ event 202",
)
def _(patch: Patch) -> None:
    async def pass_all(self: Any) -> None:
        try:
            self._store.wanted = False
            await self._store.commit()
            held, self._held = self._held, []
            self.bytes = 0
            for write, data, close in held:
                write(data, close)
        except StoreError as error:
            self._held.clear()
            self._failed(error)
        finally:
            self._task = None

    patch.set(Gate, "_pass", pass_all)


@mutation(
    "SUBACK before commit",
    "The broker confirms a subscription that it forgets with its power.",
    "session",
    ONE,
    "power off broker before disk 38",
)
def _(patch: Patch) -> None:
    patch.around(BrokerStore, "note", _not_wanted(BEGUN, r.SUBSCRIBED))


@mutation(
    "sessions are not resumed",
    "The broker begins a new session with every connection.",
    "session",
    ONE,
    "cut consumer close @ event 32",
)
def _(patch: Patch) -> None:
    def wrap(resume: Any) -> Any:
        return lambda self, client_id, clean: resume(self, client_id, True)

    patch.around(Engine, "_resume", wrap)


@mutation(
    "the received identifier has a commit of its own",
    "The broker stores a message, and later that it has received it.",
    "twice",
    TWO,
    "power off broker @ event 38",
)
def _(patch: Patch) -> None:
    def wrap(note: Any) -> Any:
        def noted(self: BrokerStore, session: int, kind: int, *args: Any) -> None:
            if kind == r.HELD:
                asyncio.get_running_loop().call_later(0.005, note, self, session, kind, *args)
            else:
                note(self, session, kind, *args)

        return noted

    patch.around(BrokerStore, "note", wrap)


@mutation(
    "received identifiers are forgotten",
    "After a restart, the broker delivers the repeat of a message.",
    "twice",
    TWO,
    "power off broker @ event 38",
)
def _(patch: Patch) -> None:
    def wrap(load: Any) -> Any:
        def loaded(self: Session, state: State) -> None:
            state.held.clear()
            load(self, state)

        return loaded

    patch.around(Session, "load", wrap)


@mutation(
    "the broker forgets what was released",
    "After a restart, the broker publishes again what it has sent PUBREL for.",
    "release",
    TWO,
    "kill broker before disk 47",
)
def _(patch: Patch) -> None:
    patch.set(broker_tables, "released", lambda head: head)


@mutation(
    "subscriptions are not stored",
    "After a restart, the broker routes nothing to a session that it has kept.",
    "lost",
    ONE,
    "power off broker @ event 34",
)
def _(patch: Patch) -> None:
    patch.around(BrokerStore, "note", _unless((r.SUBSCRIBED,), 1))


@mutation(
    "nothing is queued for who is offline",
    "A message for a client that is not connected is forgotten.",
    "lost",
    ONE,
    "cut consumer close @ event 32",
)
def _(patch: Patch) -> None:
    patch.set(Router, "_queue_offline", lambda self, client, head, payload: None)


@mutation(
    "dropped when the queue is full",
    "What does not fit the queue of a connected client is dropped, without a word.",
    "lost",
    ONE_MANY,
    setting=short_queue,
)
def _(patch: Patch) -> None:
    _drop_when_full(patch, 0)


@mutation(
    "dropped and counted when the queue is full",
    "What does not fit the queue of a connected client is dropped, although its publisher could wait.",
    "drop",
    ONE_MANY,
    setting=short_queue,
)
def _(patch: Patch) -> None:
    _drop_when_full(patch, 1)


def _drop_when_full(patch: Patch, count: int) -> None:
    def wrap(publish: Any) -> Any:
        def published(self: Router, publisher: Any, flags: int, topic: bytes, payload: bytes) -> None:
            clients = self._routes[topic].clients
            if any(client.unsent >= self._limits.queue_messages for client in clients):
                self._stats.dropped_queue_full += count
            else:
                publish(self, publisher, flags, topic, payload)

        return published

    patch.around(Router, "publish", wrap)


@mutation(
    "a queue without room",
    "The broker keeps no message for a client that is offline, and says so only in its counters.",
    "drop",
    ONE,
    "cut consumer close @ event 32",
)
def _(patch: Patch) -> None:
    patch.set(server, "Limits", partial(Limits, queue_messages=0))


# -- the stores


@mutation(
    "SQLite does not sync: client",
    "The client's store commits without flushing.",
    "lost",
    ONE,
    "power off producer @ event 35",
)
def _(patch: Patch) -> None:
    _synchronous_off(patch)


@mutation(
    "SQLite does not sync: broker",
    "The broker's store commits without flushing.",
    "confirmed",
    ONE,
    "power off broker @ event 34",
)
def _(patch: Patch) -> None:
    _synchronous_off(patch)


def _synchronous_off(patch: Patch) -> None:
    def wrap(open_file: Any) -> Any:
        def opened(self: Any) -> Any:
            state = open_file(self)
            self._connection.execute("PRAGMA synchronous = OFF")
            return state

        return opened

    patch.around(SqliteFile, "_open_file", wrap)


@mutation(
    "the WAL is not synced at open",
    "A store takes for durable what a process wrote that was killed before its sync.",
    "session",
    TWO,
    "kill broker before disk 57",
    "power off broker before disk 62",
    setting=short_log,
)
def _(patch: Patch) -> None:
    def wrap(row: Any) -> Any:
        return lambda connection, sql: None if "wal_checkpoint" in sql else row(connection, sql)

    patch.around(sqlite_file, "row", wrap)


@mutation(
    "the log is not read at open",
    "A store forgets the batches that were not carried over.",
    "lost",
    ONE,
    "power off broker @ event 32",
)
def _(patch: Patch) -> None:
    patch.set(sqlite_file, "load", lambda connection, tables: tables.load(connection))


@mutation(
    "commit does not wait",
    "A commit returns when the batch has begun.",
    "lost",
    ONE,
    "power off broker before disk 39",
)
def _(patch: Patch) -> None:
    def wrap(commit: Any) -> Any:
        async def committed(self: SqliteWriter) -> None:
            if self._records and not self._busy and not self._failure:
                self._start()

        return committed

    patch.around(SqliteWriter, "commit", wrap)


@mutation(
    "a write that failed counts",
    "A store goes on when its disk has failed, as if nothing had happened.",
    "leak",
    TWO,
    "fail broker disk 49",
)
def _(patch: Patch) -> None:
    def wrap(write: Any) -> Any:
        def written(self: SqliteFile, *args: Any) -> None:
            try:
                write(self, *args)
            except StoreError:
                self._failed = False

        return written

    patch.around(SqliteFile, "write", wrap)


@mutation(
    "the journal does not sync",
    "The journal hands its bytes to the operating system, and no further.",
    "wait",
    ONE_JOURNAL,
    "power off producer before disk 6",
)
def _(patch: Patch) -> None:
    patch.set(area_host.FileArea, "_sync", lambda self: self._file.flush())


@mutation(
    "the journal's folder is not synced",
    "A new generation of the journal has no durable name.",
    "lost",
    ONE_JOURNAL,
    "kill broker @ event 29",
    "power off producer @ event 48",
)
def _(patch: Patch) -> None:
    patch.set(area_host.FileArea, "_sync_folder", lambda self: None)


@mutation(
    "compaction forgets messages",
    "A journal that is rewritten does not have what is not finished.",
    "lost",
    Small(1, 30, "journal"),
    "kill producer @ event 105",
    setting=small_journal,
)
def _(patch: Patch) -> None:
    def wrap(records: Any) -> Any:
        return lambda self: (record for record in records(self) if record[0] != r.ACCEPTED)

    patch.around(State, "records", wrap)


@mutation(
    "compaction forgets what was released",
    "A journal that is rewritten has released messages as ones that may be published again.",
    "twice",
    TWO_MANY,
    "kill producer @ event 103",
    setting=small_journal,
)
def _(patch: Patch) -> None:
    def wrap(records: Any) -> Any:
        def without(self: State) -> Any:
            for kind, number, head, payload, key in records(self):
                yield kind, number, bytes((head[0] & 0xFD,)) + head[1:] if kind == r.ACCEPTED else head, payload, key

        return without

    patch.around(State, "records", wrap)


# -- the command


HEAD = """# Planted bugs, and what caught them

A checker that has never caught anything proves nothing. So each of the checkers that watch the simulated worlds is shown
bugs: small changes of the real code, planted while a schedule of faults runs (`mqttlite/sim/mutations.py`). The same
schedule without the bug has to be clean (`tests/sim/test_mutations.py`). Written by `python -m mqttlite.sim.mutations`.

A world is called by the QoS, the number of messages, the producer's store, and whether messages carry keys; faults are
explained in `mqttlite/sim/faults.py`. Where one fault is not enough, there are two.

| planted bug | what it breaks | caught by | world | fault | also noticed by |
|---|---|---|---|---|---|
"""

TAIL = """
| checker | what it says | planted bugs that it catches |
|---|---|---|
"""

SAYS = {
    "lost": "an accepted message was not handled",
    "confirmed": "a message was confirmed to its publisher, and not handled",
    "twice": "what a handler wrote is there more than once",
    "order": "a message was handled for the first time after a later one",
    "connack": "a client has sent something else than CONNECT before CONNACK",
    "identifier": "a packet identifier that is in use was given to another message, or a message got another one",
    "dup": "a message was sent again without DUP",
    "release": "a message was published again after PUBREL, or released before PUBREC",
    "repeat": "a message was published twice on one connection",
    "window": "more than 20 messages were unfinished",
    "session": "a client was told of a session that the broker has forgotten",
    "leak": "in the end, a message or packet identifier is still stored",
    "drop": "the broker has counted a message at QoS 1 or 2 that it dropped",
    "wait": "somebody waits without end",
    "loop": "a client connects again and again without a pause",
    "error": "a program got an exception, or logged a fault, that is nobody's doing but ours",
}


def table() -> str:
    """All mutations and what caught them, as Markdown. LookupError when one is not caught."""
    lines = []
    caught: Counter[str] = Counter()
    for planted in MUTATIONS.values():
        schedule, problems, _count = planted.find()
        names = {checker_of(problem) for problem in problems}
        caught.update(names)
        others = ", ".join(sorted(names - {planted.checker}))
        faults = ", then ".join(map(str, schedule.faults)) or "none"
        lines.append(
            f"| {planted.name} | {planted.breaks} | {planted.checker} | {schedule.small} | {faults} | {others} |\n"
        )
    tail = [f"| {name} | {says} | {caught[name]} |\n" for name, says in SAYS.items()]
    return HEAD + "".join(lines) + TAIL + "".join(tail)


def search(name: str, count: int, jobs: int) -> None:
    """Print which single faults of a world reveal a mutation."""
    planted = MUTATIONS[name]
    with planted.planted(bug=False):
        schedules = singles(planted.small)
    random.Random(1).shuffle(schedules)
    found: Counter[str] = Counter()
    tried: Counter[str] = Counter()

    def each(result: Any) -> None:
        (fault,) = result.schedule.faults
        kind = " ".join(filter(None, (fault.what, fault.who, fault.where, fault.unit, fault.how)))
        tried[kind] += 1
        names = {checker_of(problem) for problem in result.problems}
        if planted.checker in names:
            found[kind] += 1
            print(f"{fault}: {'; '.join(result.problems)}")

    with planted.planted():
        explore(schedules[:count], jobs, each, lambda done: None)
    for kind, hits in found.most_common():
        print(f"{hits:4} of {tried[kind]:4}: {kind}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m mqttlite.sim.mutations", description=__doc__)
    parser.add_argument("--find", metavar="NAME", choices=list(MUTATIONS))
    parser.add_argument("--count", type=int, default=400, help="schedules that --find tries")
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    sys.unraisablehook = lambda _: None  # apsw tells it of each death in the middle of a write
    if args.find:
        search(args.find, args.count, args.jobs)
    else:
        print(table(), end="")


if __name__ == "__main__":
    main()
