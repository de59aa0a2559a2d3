"""What an operator can ask of a broker that runs, and have done: each that changes something is a line of the audit.

A request is a dictionary: `do` names the action, the rest are its arguments. What is wrong with one is a ValueError in
words. Whatever takes long is done in slices, between which the broker serves its clients. Imports view, health, audit.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ...core.codec import topic_of
from ...core.errors import MQTTError
from ...core.text import check_topic_filter
from ...store.tending.backup import backup
from ..access.identity import HOOK, PASSWORD, Identity
from ..audit import audit
from ..connections.broker_loop import poll_of
from ..connections.turns import now_ms
from ..counting.ledger import MESSAGE
from ..messages.extras import share_of
from ..queues.named_queue import untagged
from . import health, view
from .loop_watch import LoopWatch
from .named_actions import NamedActions

if TYPE_CHECKING:
    from ..clients.client_session import ClientSession
    from ..server import Broker

# Told who has asked for it; says what it has done; ValueError: nothing, and why
Reload = Callable[[str], "str | Awaitable[str]"]

ADMINISTRATIVE_ACTION = 0x98  # reason code of DISCONNECT (5.0)
SLICE = 500  # clients or topics before the broker has its turn
MOST = 1000  # retained messages and queued ones that one answer has, unless asked for more

# Answered when it is durable
_CHANGES = ("disconnect", "take-over", "remove", "drop", "retry", "clear", "retry-dead", "drop-dead", "delete")

_Arguments = dict[str, Any]
Action = Callable[[_Arguments, str], Awaitable[Any]]  # of its arguments, and of who asks


class Actions:
    """`loop_watch`: of the control socket's owner. `reload`: what the request of this name does. `trouble`: what is
    wrong with the program around the broker, in words, "": nothing; None: there is none.
    """

    def __init__(
        self,
        broker: "Broker",
        loop_watch: LoopWatch,
        reload: Reload | None = None,
        trouble: Callable[[], str] | None = None,
    ) -> None:
        self._broker = broker
        self._loop_watch = loop_watch
        self._reload = reload
        self._trouble = trouble or (lambda: health.trouble(broker))
        self._began_at = time.time()
        self._changes = set(_CHANGES)
        self._actions: dict[str, tuple[Action, dict[str, type]]] = {
            "status": (self._status, {}),
            "clients": (self._clients, {}),
            "sessions": (self._sessions, {}),
            "show": (self._show, {"client": str}),
            "disconnect": (self._disconnect, {"client": str}),
            "take-over": (self._take_over, {"client": str, "user": str}),
            "remove": (self._remove, {"client": str}),
            "queue": (self._queue, {"client": str, "most": int}),
            "drop": (self._drop, {"client": str, "seq": int, "all": bool}),
            "retry": (self._retry, {"client": str, "seq": int}),
            "retained": (self._retained, {"filter": str, "most": int}),
            "clear": (self._clear, {"filter": str}),
            "reload": (self._do_reload, {}),
            "backup": (self._backup, {"to": str}),
            **NamedActions(broker).actions,
        }

    def also(self, name: str, action: Callable[[], Any]) -> None:
        """One more, which has no arguments and changes nothing."""

        async def answered(arguments: _Arguments, by: str) -> Any:
            return action()

        self._actions[name] = (answered, {})

    def add(self, name: str, action: Action, known: dict[str, type], changes: bool) -> None:
        """One more, with the arguments that are `known`; one that `changes` something is answered when it is durable.
        ValueError: it is not done, and why.
        """
        self._actions[name] = (action, known)
        if changes:
            self._changes.add(name)

    async def do(self, request: _Arguments, by: str) -> Any:
        """Do what is asked. `by`: who asks, for the audit."""
        name = request.get("do")
        if not isinstance(name, str) or name not in self._actions:
            raise ValueError(f"there is no request {name!r:.60}; there are {', '.join(self._actions)}")
        action, known = self._actions[name]
        arguments = {key: value for key, value in request.items() if key != "do"}
        for key, value in arguments.items():
            if key not in known:
                raise ValueError(f"{name} has no {key!r:.60}; it has {', '.join(known) or 'nothing'}")
            if type(value) is not known[key]:
                raise ValueError(f"{name}: {key} has to be of type {known[key].__name__}, not {value!r:.60}")
        found = await action(arguments, by)
        if name in self._changes and self._broker.store:
            try:
                await self._broker.store.commit()
            except MQTTError as error:
                raise ValueError(str(error)) from None
        return found

    # -- to look at

    async def _status(self, arguments: _Arguments, by: str) -> dict[str, Any]:
        found = view.status(self._broker, self._began_at, time.time())
        found["trouble"] = self._trouble() or None
        lag = self._loop_watch.lag
        found["loop_lag_ms"] = {"most": round(lag.longest_s * 1000, 1), "99 %": round(lag.quantile(0.99) * 1000, 1)}
        poll = poll_of(asyncio.get_running_loop())
        if poll:
            turn_s, work_s = poll.longest_turn_s, poll.longest_work_s
            found["turn_ms"] = {"most": round(turn_s * 1000, 1), "work": round(work_s * 1000, 1)}
        store = self._broker.store
        if store:
            syncs = store.syncs
            found["store_sync_ms"] = {
                "count": syncs.count,
                "mean": round(1000 * syncs.sum_s / max(1, syncs.count), 2),
                "most": round(syncs.longest_s * 1000, 2),
            }
        return found

    async def _clients(self, arguments: _Arguments, by: str) -> list[dict[str, Any]]:
        return await self._lines(lambda client: client.peer is not None)

    async def _sessions(self, arguments: _Arguments, by: str) -> list[dict[str, Any]]:
        return await self._lines(lambda client: not client.clean)

    async def _lines(self, wanted: Callable[["ClientSession"], bool]) -> list[dict[str, Any]]:
        found = []
        for number, client in enumerate(list(self._broker.engine.sessions.values()), 1):
            if wanted(client):
                found.append(view.line(client, now_ms()))
            if not number % SLICE:
                await asyncio.sleep(0)
        return found

    async def _show(self, arguments: _Arguments, by: str) -> dict[str, Any]:
        return view.one(self._broker, self._client(arguments))

    async def _queue(self, arguments: _Arguments, by: str) -> list[dict[str, Any]]:
        client = self._client(arguments)
        found: list[dict[str, Any]] = []
        async for part in self._slices(client, client.session.first + _most(arguments)):
            found += view.queue(self._broker, client, part)
        return found

    async def _slices(self, client: "ClientSession", end: int) -> AsyncIterator[range]:
        """The numbers of its messages up to `end`, some at a time, in memory; the broker has its turn behind each. No
        more of them once the session is gone.
        """
        session = client.session
        for begin in range(session.first, min(session.next, end), SLICE):
            part = range(begin, min(session.next, end, begin + SLICE))
            session.bring_all(part[-1])
            yield part
            await asyncio.sleep(0)
            if self._broker.engine.sessions.get(client.client_id) is not client:
                return

    # -- to change

    async def _disconnect(self, arguments: _Arguments, by: str) -> str:
        client = self._client(arguments)
        if client.peer is None:
            raise ValueError(f"client {_name(client)} is not connected")
        audit(by, f"client {client} disconnected")
        self._broker.engine.disconnect(client, "disconnected by its operator", ADMINISTRATIVE_ACTION, now_ms())
        self._broker.changed()
        return f"{_name(client)} is disconnected" + ("" if client.clean else "; its session stays")

    async def _take_over(self, arguments: _Arguments, by: str) -> str:
        client = self._client(arguments)
        user = arguments.get("user", "")
        if not user:
            raise ValueError("take-over: say whose the session shall be: a user name")
        if client.clean:
            raise ValueError(f"the session of {_name(client)} ends with its connection: there is nothing to take over")
        guard = self._broker.engine.router.guard
        owner = Identity(user, how=PASSWORD, client_id=client.client_id.decode())
        known = guard.known(owner) or (None if getattr(guard, "users", None) else replace(owner, how=HOOK))
        if known is None:
            raise ValueError(f"there is no user {user!a}")
        before = client.owner.text if client.owner else "nobody in particular"
        audit(by, f"session of {client}, until now of {before}, belongs to {known.text}")
        why = f"its session belongs to {known.text} now"
        self._broker.engine.hand_over(client, known, why, ADMINISTRATIVE_ACTION, now_ms())
        self._broker.changed()
        return f"the session of {_name(client)} belongs to {known.text}, with {client.session.queued} messages"

    async def _remove(self, arguments: _Arguments, by: str) -> str:
        client = self._client(arguments)
        count = client.session.queued
        audit(by, f"session of {client} removed, with {count} messages and {len(client.subscriptions)} subscriptions")
        self._broker.engine.remove(client, "its session is removed by its operator", ADMINISTRATIVE_ACTION, now_ms())
        self._broker.changed()
        return f"the session of {_name(client)} is gone, with {count} queued messages"

    async def _drop(self, arguments: _Arguments, by: str) -> str:
        client = self._client(arguments)
        if arguments.get("all"):
            count = await self._drop_all(client)
            which = f"{count} messages"
        else:
            seq = await self._droppable(client, arguments)
            self._drop_one(client, seq)
            which = f"message {seq}"
        client.session.go_on()
        self._went_on(client)
        audit(by, f"{which} for {client} dropped")
        return f"{which} for {_name(client)} dropped"

    async def _drop_all(self, client: "ClientSession") -> int:
        """What there is now, as long as the session is there."""
        count = 0
        async for part in self._slices(client, client.session.next):
            for seq in part:
                if client.session.can_be_given_up(seq):
                    self._drop_one(client, seq)
                    count += 1
        return count

    async def _droppable(self, client: "ClientSession", arguments: _Arguments) -> int:
        """The number of a message that can be taken from its queue; it is in memory."""
        session = client.session
        seq: int = arguments.get("seq", -1)
        if seq < session.next:
            async for _ in self._slices(client, seq):  # what is on the disk comes in the order of its numbers
                pass
            session.bring_all(seq)
        if seq not in session.messages or self._client(arguments) is not client:
            raise ValueError(f"no message {seq} is queued for {_name(client)}; `mqttlite ctl queue` lists them")
        if not session.can_be_given_up(seq):
            raise ValueError(f"message {seq} is {_name(client)}'s already: what is left is to say so to each other")
        return seq

    def _drop_one(self, client: "ClientSession", seq: int) -> None:
        engine = self._broker.engine
        client.session.drop(seq)
        engine.stats.dropped_operator += 1
        engine.backpressure.open_gap(client, "operator", 1, now_ms())

    async def _retry(self, arguments: _Arguments, by: str) -> str:
        client = self._client(arguments)
        seq = await self._droppable(client, arguments)
        head, payload, extra = client.session.messages[seq]
        if why := self._cannot_be_last(client, seq):
            raise ValueError(f"message {seq} for {_name(client)} stays where it is: {why}")
        audit(by, f"message {seq} for {client}, topic {topic_of(head).decode()!a}, queued again as the last one")
        client.session.drop(seq)
        self._broker.engine.router.give(client, head, payload, extra)
        client.session.go_on()
        self._went_on(client)
        return f"message {seq} for {_name(client)} is queued again, behind all others, as {client.session.next - 1}"

    def _cannot_be_last(self, client: "ClientSession", seq: int) -> str:
        """Why a message cannot be queued again; "": it can be."""
        head, payload, extra = client.session.messages[seq]
        queue = untagged(share_of(extra))[0]
        if queue:
            return f"it belongs to the queue {queue.decode()}, which gives it to another when it is dropped here"
        size = len(head) + len(payload) + len(extra)
        limit = self._broker.engine.backpressure.lacks_room(client, size + MESSAGE - client.session.size_of(seq))
        if limit:
            return f"its queue is full ({limit}); drop something, or raise the limit"
        store = self._broker.store
        return "" if store is None or client.clean or store.has_room(size) else "the store is full (store_bytes)"

    def _went_on(self, client: "ClientSession") -> None:
        engine = self._broker.engine
        engine.router.now = now_ms()
        engine.router.catch_up(client)
        if client.peer is not None:
            engine.dirty[client.peer] = None
        self._broker.changed()

    # -- retained messages

    async def _retained(self, arguments: _Arguments, by: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        most = _most(arguments)
        retained = self._broker.engine.router.retained
        for number, message in enumerate(retained.matching(_filter(arguments, b"#")), 1):
            if message is not None:
                topic, payload, qos, _ = message
                shown = payload[:64].decode(errors="backslashreplace")
                found.append({"topic": topic.decode(), "qos": qos, "bytes": len(payload), "payload": shown})
                if len(found) >= most:
                    break
            if not number % SLICE:
                await asyncio.sleep(0)
        return found

    async def _clear(self, arguments: _Arguments, by: str) -> str:
        if "filter" not in arguments:
            raise ValueError("clear: say which retained messages: a topic filter")
        topic_filter = _filter(arguments, b"")
        router = self._broker.engine.router
        count = 0
        for number, message in enumerate(router.retained.matching(topic_filter), 1):
            if message is not None and not message.topic.startswith(b"$SYS/"):
                router.forget_retained(message.topic)
                count += 1
            if not number % SLICE:
                await asyncio.sleep(0)
        self._broker.changed()
        audit(by, f"{count} retained messages cleared, of {topic_filter.decode()!a}")
        return f"{count} retained messages cleared"

    # -- the whole

    async def _do_reload(self, arguments: _Arguments, by: str) -> str:
        if self._reload is None:
            raise ValueError("this broker has no file to be read again")
        done = self._reload(by)
        return done if isinstance(done, str) else await done

    async def _backup(self, arguments: _Arguments, by: str) -> str:
        store = self._broker.store
        if store is None:
            raise ValueError("this broker has no store (--store): there is nothing to copy")
        to = arguments.get("to", "")
        if not os.path.isabs(to):
            raise ValueError(f"backup: {to!r:.200} has to be a whole path, such as /media/backup/broker.db")
        if await asyncio.to_thread(os.path.isdir, to):
            to = os.path.join(to, os.path.basename(store.path))
        try:
            await store.commit()
            size = await asyncio.to_thread(backup, store.path, to)
        except MQTTError as error:
            raise ValueError(str(error)) from None
        audit(by, f"store copied to {to}, {size} bytes")
        return f"{to}: {size} bytes, checked"

    def _client(self, arguments: _Arguments) -> "ClientSession":
        name = arguments.get("client")
        if name is None:
            raise ValueError("say which client: its client identifier")
        client = self._broker.engine.sessions.get(name.encode(errors="surrogateescape"))
        if client is None:
            raise ValueError(f"there is no client {name!a}; `mqttlite ctl sessions` and `clients` list them")
        return client


def _name(client: "ClientSession") -> str:
    return ascii(client.client_id.decode())


def _filter(arguments: _Arguments, default: bytes) -> bytes:
    topic_filter: bytes = arguments["filter"].encode() if "filter" in arguments else default
    try:
        check_topic_filter(topic_filter)
    except MQTTError as error:
        raise ValueError(f"{topic_filter.decode()!a} is no topic filter: {error}") from None
    return topic_filter


def _most(arguments: _Arguments) -> int:
    most = int(arguments.get("most", MOST))
    if most < 1:
        raise ValueError(f"most has to be 1 or more, not {most}")
    return most
