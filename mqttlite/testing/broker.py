"""A broker for a test: on a free port of 127.0.0.1, in an event loop of its own thread, in milliseconds."""

import inspect
import os
import time
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import fields, replace
from difflib import get_close_matches
from typing import Any, Self
from urllib.parse import urlsplit

from ..broker import Broker, Limits
from ..broker.clients.broker_store import BrokerStore
from ..broker.operating.actions import Actions
from ..broker.operating.loop_watch import LoopWatch
from .loop_thread import InLoopThread, LoopThread

CLOSE_MS = 200  # for clients that do not close when the broker stops: a test does not wait for them
WAIT_S = 5.0
LOOK_S = 0.005
ANY = "mqtt://127.0.0.1:0"


def check_names(options: Iterable[str], limits: Iterable[str]) -> None:
    """TypeError for an option or a limit that there is not, with those that are written in a similar way."""
    known = [*inspect.signature(Broker).parameters]
    all_limits = [each.name for each in fields(Limits)]
    for name in options:
        if name in all_limits:
            raise TypeError(f"{name!r} is a limit: write limits={{{name!r}: ...}}")
        if name not in known:
            raise TypeError(
                f"the broker has no option {name!r}: {_near(name, known) or 'there are ' + ', '.join(known)}"
            )
    for name in limits:
        if name not in all_limits:
            raise TypeError(f"the broker has no limit {name!r}: {_near(name, all_limits) or 'see docs/server.md'}")


def _near(name: str, known: list[str]) -> str:
    near = get_close_matches(str(name), known, 3, 0.5)
    return f"did you mean {' or '.join(near)}?" if near else ""


class TestBroker(InLoopThread):
    """`with TestBroker() as broker: client.connect(broker.host, broker.port)`

    `loop`: where it runs; without one it makes its own. `limits`: Limits, or a dictionary of some of them. `store`: the
    path of its store; without one, it keeps everything in memory. `options`: those of mqttlite.broker.Broker (`listen`,
    `authenticate`, `access`, ...).

    `host`, `port`, `url`: of its first listener. All methods may be called from any thread, and from a coroutine: they
    take about a millisecond, and nothing of the test has to run meanwhile.
    """

    __test__ = False  # it is no test

    def __init__(
        self,
        loop: LoopThread | None = None,
        *,
        limits: Limits | Mapping[str, Any] | None = None,
        store: str | os.PathLike[str] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(loop)
        check_names(options, () if limits is None or isinstance(limits, Limits) else limits)
        given = limits if isinstance(limits, Limits) else Limits(**(limits or {}))
        self._limits = given if given.close_ms != Limits().close_ms else replace(given, close_ms=CLOSE_MS)
        self._store = store
        self._options = {"listen": [ANY], **options}
        self._stack: AsyncExitStack | None = None
        self.url = ""
        self.host = ""
        self.port = 0

    def start(self) -> Self:
        """Listen: the first time on a free port, after `stop` on the same one."""
        self._loop.run(self._start())
        return self

    async def _start(self) -> None:
        stack = AsyncExitStack()
        store = None
        if self._store is not None:  # without room for a full disk, which takes time to be made
            store = BrokerStore(self._store, size_max=self._limits.store_bytes, reserve=0)
        self.broker = await stack.enter_async_context(Broker(limits=self._limits, store=store, **self._options))
        self._actions = Actions(self.broker, await stack.enter_async_context(LoopWatch()))
        self._stack = stack
        self.url = self.broker.addresses[0]
        found = urlsplit(self.url)
        self.host, self.port = found.hostname or "", found.port or 0
        self._options["listen"] = list(self.broker.addresses)

    def stop(self) -> None:
        """Close all connections in good order, and listen no more. `start` begins again, with what is in its store."""
        stack, self._stack = self._stack, None
        if stack is not None:
            self._loop.run(stack.aclose())

    def restart(self) -> None:
        """Stop and start: what is not in a store is gone."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Stop, and end its thread."""
        self.stop()
        super().close()

    def __enter__(self) -> Self:
        return self if self._stack else self.start()

    # -- what has happened, and what shall

    def ask(self, do: str, **arguments: Any) -> Any:
        """What an operator can ask (docs/operating.md): ask("show", client="kitchen")."""
        return self._loop.run(self._actions.do({"do": do, **arguments}, "test"))

    def clients(self) -> list[str]:
        """The client identifiers of who is connected."""
        return [each["client"] for each in self.ask("clients")]

    def wait_for_client(self, client_id: str, filters: int = 0, timeout_s: float = WAIT_S) -> None:
        """Until a client of this identifier is connected, and has at least so many subscriptions. AssertionError: it is
        not, after so many seconds.
        """
        until = time.monotonic() + timeout_s
        while True:
            found = {each["client"]: each["subscriptions"] for each in self.ask("clients")}
            if found.get(client_id, -1) >= filters:
                return
            if time.monotonic() > until:
                raise AssertionError(
                    f"no client {client_id!r} with {filters} subscriptions; there are {found or 'none'}"
                )
            time.sleep(LOOK_S)

    def disconnect(self, client_id: str) -> None:
        """End the connection of a client, whose session stays."""
        self.ask("disconnect", client=client_id)

    def retained(self, topic_filter: str = "#") -> dict[str, bytes]:
        """The retained messages that match, by topic."""
        wanted = topic_filter.encode()

        def found() -> dict[str, bytes]:
            retained = self.broker.engine.router.retained
            return {each.topic.decode(): each.payload for each in retained.matching(wanted) if each is not None}

        return self._loop.call(found)

    def queued(self, client_id: str) -> list[bytes]:
        """The payloads that are queued for a session: not acknowledged, or not sent yet."""
        numbers = [each["seq"] for each in self.ask("queue", client=client_id)]

        def found() -> list[bytes]:
            messages = self.broker.engine.sessions[client_id.encode()].session.messages
            return [messages[seq][1] for seq in numbers if seq in messages]

        return self._loop.call(found)

    @property
    def dropped(self) -> int:
        """Deliveries that did not take place."""
        return self.broker.stats.messages_dropped
