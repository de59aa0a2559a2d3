"""What a program on a host expects of a client, beyond what a board has: subscriptions with messages of their own,
functions that are called, many messages at once. Host only; each is a module that is loaded when it is used, and none
stands in the way of a plain `publish` or `async for message in client`.
"""

import asyncio
import contextlib
import functools
from collections import Counter
from collections.abc import AsyncIterable, Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from ..core.errors import ClosedError
from .arguments.checks import check_filter_of
from .face import BaseClient
from .messages import Message, Receipt

if TYPE_CHECKING:
    from .connecting.connector_host import HostConnector
    from .first_answers import FirstAnswers
    from .requests.asking import Requests
    from .subscriptions.distribution import Distribution
    from .subscriptions.handlers import Handler, Handlers
    from .subscriptions.subscription import Subscription
    from .traffic.incoming_host import HostIncoming
    from .traffic.outgoing_host import HostOutgoing
    from .traffic.statistics import Statistics

F = TypeVar("F", bound=Callable[..., Any])


class ComfortableClient(BaseClient):
    """See Client."""

    _outgoing: "HostOutgoing"
    _connector: "HostConnector"
    _incoming: "HostIncoming"
    _is_manual = False  # nothing is acknowledged but by `acknowledge`
    _is_iterated = False  # somebody takes what `async for message in client` gives
    _distribution: "Distribution | None" = None
    _handlers: "Handlers | None" = None
    _requests: "Requests | None" = None
    _closing: "asyncio.Task[None] | None" = None

    @functools.cached_property
    def _tasks(self) -> "set[asyncio.Task[Any]]":
        """Those of which nobody waits for the end."""
        return set()

    @functools.cached_property
    def _dropped(self) -> Counter[str]:
        """Messages that were dropped, by cause, as far as that happened here."""
        return Counter()

    def _check_use(self) -> None:
        raise NotImplementedError

    # -- subscriptions

    def subscription(
        self,
        topic_filter: str,
        qos: int = 2,
        *,
        queue_max: int = 1000,
        queue_bytes: int = 16 << 20,
        when_full: str = "hold",
        unsubscribe: bool | None = None,
        **options: Any,
    ) -> "Subscription":
        """A subscription with messages of its own:

            async with client.subscription("room/#", qos=2) as messages:
                async for message in messages:
                    ...

        There may be several at once; where their topic filters overlap, each gets the message, and it is acknowledged
        when all have handled it, which asking for the next one says. What matches none goes to `async for message in
        client`, if somebody iterates so; otherwise it is dropped, counted and logged, but for the first 10 seconds, in
        which it waits for a subscription that it matches.

        queue_max, queue_bytes   of what waits in it; at QoS 1 and 2 a whole read more
        when_full    "hold": the connection is not read until there is room (after a second without any, slowly, QoS 0
                     being dropped for this subscription); "drop-oldest", "drop-newest": messages are dropped, counted
                     in its `dropped`, and acknowledged
        unsubscribe  whether the broker is told at the end of the block. None: yes, but not when the block ends with an
                     exception and the session is kept: what is not handled, and what comes meanwhile, is then for the
                     next life. While another subscription has the same topic filter, never
        options      as those of `subscribe`

        At the end of the block the message given out last counts as handled, unless an exception ends it. Those that
        were not given out match no subscription any more. Raises what `subscribe` does.
        """
        from .subscriptions.subscription import Subscription

        return Subscription(self, topic_filter, qos, queue_max, queue_bytes, when_full, unsubscribe, options)

    def stream(
        self,
        name: str,
        topic_filter: str = "",
        from_: "str | int | float | None" = None,
        qos: int = 1,
        **options: Any,
    ) -> "Subscription":
        """The messages of a stream of the broker, as of `subscription`:

            async with client.stream("log", "room/#", from_="earliest") as messages:
                async for message in messages:
                    print(place_of(message), message.payload)

        topic_filter    what it collects; "" where the stream is there already
        from_           where a new reader begins: "earliest", "latest" (only what comes), "last", an offset (int) or a
                        time in seconds since 1970 (float). A session that is kept goes on where it was
        options         as of `subscription`

        In 5.0 `place_of(message)` (mqttlite.client.streams) tells offset and time. To handle each message exactly once
        with a database, use `mqttlite.database.StreamInbox`.
        """
        from .streams import stream

        return stream(self, name, topic_filter, from_, qos, options)

    def _distribute(self) -> "Distribution":
        self._check_use()
        if self._life.error:
            raise self._life.error
        if self._distribution is None:
            from .subscriptions.distribution import Distribution

            self._distribution = Distribution(self._incoming, self._dropped, self._is_iterated)
        return self._distribution

    def _iterate(self) -> None:
        """Somebody takes what `async for message in client` gives."""
        self._is_iterated = True
        if self._distribution:
            self._distribution.is_iterated = True

    def acknowledge(self, message: Message) -> None:
        if self._distribution and self._distribution.acknowledge(message):
            return
        super().acknowledge(message)

    # -- many at once, and what has been done

    async def publish_many(
        self, messages: Iterable[Any] | AsyncIterable[Any], qos: int = 1, retain: bool = False
    ) -> list[Receipt]:
        """Publish many messages: each a tuple (topic, payload), (topic, payload, qos) or (topic, payload, qos, retain),
        or a dict with arguments of `publish`; `qos` and `retain` are those of messages that say nothing else. Their
        receipts, in order. With a store they share one commit, and on the way they share writes.

        All are checked first: a wrong one raises what `publish` does, its number in front, and none is accepted. Waits
        as `publish` while the queue is full. The messages of an asynchronous iterable are collected before.
        """
        from .traffic.many import publish_many

        self._check_use()
        if isinstance(messages, AsyncIterable):
            messages = [message async for message in messages]
        return await publish_many(self, messages, qos, retain)

    def statistics(self) -> "Statistics":
        """What was published, received, dropped and is queued until now: an object that does not change."""
        from .traffic.statistics import statistics

        return statistics(self)

    # -- functions that are called

    async def handle(
        self,
        function: Callable[[Message], Any],
        topic_filter: str | None = None,
        qos: int = 2,
        *,
        on_error: str = "raise",
        tries: int = 1,
        pause_s: float = 0.1,
        **options: Any,
    ) -> None:
        """Call `function(message)` for each message of a topic filter, in a `subscription` of its own, one after the
        other, until the client is closed: in a thread of its own, so that it may block for as long as it has to, or as
        a coroutine function in the event loop. What it returns is awaited there if it can be. Without topic filter:
        for each message that no subscription has.

        A message counts as handled when the function has returned. `tries`: how often it is called when it raises, with
        `pause_s` seconds before the second try, and twice as many before each further one. What it raises then is
        raised here, and the message is not acknowledged; with `on_error="log"` it is logged with function and topic,
        the message is acknowledged, counted in `statistics().dropped`, and the others go on.

        Of the client, a function in a thread may use what `asyncio.run_coroutine_threadsafe` runs in the event loop.
        Cancelled, this returns when the function has. `options`: as those of `subscription`.
        """
        if topic_filter is not None:
            await self._handler(function, topic_filter, qos, on_error, tries, pause_s, options).run()
            return
        if options:
            raise TypeError(f"handle() has no use for {', '.join(options)} without a topic filter")
        from .subscriptions.handlers import Handler

        await Handler(self, function, "#", lambda: contextlib.nullcontext(self), on_error, tries, pause_s).run()

    def on(
        self,
        topic_filter: str,
        qos: int = 2,
        *,
        on_error: str = "log",
        tries: int = 1,
        pause_s: float = 0.1,
        **options: Any,
    ) -> Callable[[F], F]:
        """A decorator: the client calls the function for each message of the topic filter while it is started, as
        `handle` does.

            @client.on("room/+/state")
            async def state(message): ...

        Functions of different topic filters are called side by side. One that raises is logged with its topic, and
        stops nothing else; with `on_error="raise"` it ends, and `run` raises it. `start` returns when the broker has
        granted all subscriptions.
        """

        check_filter_of("on", topic_filter)

        def register(function: F) -> F:
            self._add(self._handler(function, topic_filter, qos, on_error, tries, pause_s, options))
            return function

        return register

    def _handler(
        self,
        function: Callable[[Message], Any],
        topic_filter: str,
        qos: int,
        on_error: str,
        tries: int,
        pause_s: float,
        options: dict[str, Any],
    ) -> "Handler":
        from .subscriptions.handlers import Handler

        options = {"unsubscribe": False, **options}
        make = functools.partial(self.subscription, topic_filter, qos, **options)
        return Handler(self, function, topic_filter, make, on_error, tries, pause_s)

    def _add(self, handler: "Handler") -> None:
        """A handler that the client runs from its start on, or from now on."""
        if self._handlers is None:
            from .subscriptions.handlers import Handlers

            self._handlers = Handlers(self._connector.ended.set)
        self._handlers.all.append(handler)
        if self._connector.task:
            self._handlers.begin(handler)

    async def run(self) -> None:
        """Return when the client is closed. Raises what has closed it, and what has ended a handler (`on`)."""
        self._check_use()
        life = self._life
        ended = self._connector.ended
        while not life.error:
            if self._handlers and self._handlers.error:
                raise self._handlers.error
            ended.clear()
            await ended.wait()
        if not isinstance(life.error, ClosedError):
            raise life.error

    # -- requests and answers

    async def request(
        self,
        topic: str,
        payload: object = b"",
        qos: int = 1,
        *,
        timeout_s: float = 10,
        key: str | None = None,
        into: Callable[..., Any] | None = None,
        **options: Any,
    ) -> Any:
        """Publish a request, and wait for its answer: a Message, or what `into` makes of its payload.

        payload    bytes or str, or an object that is sent as JSON: a dataclass, a pydantic model, what JSON has
        timeout_s  how long all of it may take; TimeoutError then. In 5.0 the request expires with it; one that has not
                   been sent by then is not sent any more
        key        an idempotency key, such as "order-17": a request that is repeated with the same key is not handled
                   again, but gets the answer that was given first (`serve`)
        into       a dataclass, a pydantic model, str, dict, list, or a function of the payload (bytes)
        options    as those of `publish`, but response_topic and correlation_data, which it says itself

        AnswerError when the answer is an error; else what `publish` raises, and `into`. Where answers arrive, and what
        3.1.1 has instead of a response topic: docs/client.md.
        """
        if self._requests is None:
            from .requests.asking import Requests

            self._check_use()
            self._requests = Requests(self)
        return await self._requests.ask(topic, payload, qos, timeout_s, key, into, options)

    async def serve(
        self,
        topic_filter: str,
        function: Callable[..., Any],
        qos: int = 2,
        *,
        into: Callable[..., Any] | None = None,
        answers: "FirstAnswers | None" = None,
        **options: Any,
    ) -> None:
        """Answer requests until the client is closed: with what `function(message)` returns, or with `into`
        `function(value, message)`, value being what `into` makes of the payload, as in `request`. It is called as by
        `handle`, one request after the other; bytes and str are sent as they are, None as an empty payload, everything
        else as JSON.

        A function that raises AnswerError answers with its words; with whatever else it raises, the log has it, and the
        answer says that it failed. A request with a key that was answered before gets the same answer again, also an
        error; a key that was used for another topic or payload is refused.

        answers  where first answers are kept: MemoryAnswers(count_max, bytes_max, keep_s) or FileAnswers(path, ...) of
                 mqttlite.client.first_answers. Default: a file beside the client's store if it has one, else memory;
                 10,000 of them, 16 MiB, for a day
        options  as those of `subscription`

        A request counts as handled when its answer is accepted: a crash before that has it handled again. Exactly once:
        `Inbox.serve`, in the transaction of the application's own database.
        """
        from .requests.serving import Server

        kept = answers or self._first_answers()
        server = Server(self, function, into, kept)
        try:
            await self.handle(server.handle, topic_filter, qos, **options)
        finally:
            server.close()
            if answers is None:
                await kept.close()

    def _first_answers(self) -> "FirstAnswers":
        from .first_answers import FileAnswers, MemoryAnswers

        path = getattr(self._life.store, "path", None)
        return FileAnswers(f"{path}-answers") if path else MemoryAnswers()

    def _is_5(self) -> bool:
        return bool(self._outgoing.flags & 2)

    # -- from start to end

    async def start(self, wait: bool = True) -> None:
        await super().start(wait)
        handlers = self._handlers
        if not handlers:
            return
        for handler in handlers.all:
            if not handler.task:
                handlers.begin(handler)
        if wait:
            try:
                await handlers.ready()
            except BaseException:
                await self.close()
                raise

    async def __aexit__(self, exc_type: object, *exc: object) -> None:
        try:
            if self._handlers:
                await self._handlers.stop(at_once=exc_type is not None)
            await super().__aexit__(exc_type, *exc)
        except BaseException:
            await self.close()  # cancelled while it waited for confirmations, perhaps
            raise

    async def close(self) -> None:
        closing = self._closing
        if closing is None or closing.done():
            closing = self._closing = self._in_background(super().close())
        try:
            await asyncio.shield(closing)  # cancelled, it goes on: a store that is half closed is of no use to anybody
        finally:
            if self._handlers:
                await self._handlers.stop(at_once=True)

    def _in_background(self, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """Do something of which nobody need wait for the end."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return task
