"""The client for scripts, without async: the same class, whose methods return when it is done.

    import mqttlite.blocking

    with mqttlite.blocking.Client("mqtt://localhost") as client:
        client.subscribe("room/#")
        client.publish("room/1", "21.5").wait()
        for message in client.messages(timeout_s=5):
            print(message.topic, message.payload)

The connection lives in a thread of its own, with its event loop, from `start` (or `with`) to `close`. All threads may
use the client, but each iterator one at a time. Errors are those of mqttlite.Client, and so are all promises: a message
is acknowledged when the loop asks for the next one. Ctrl-C (KeyboardInterrupt) ends whatever waits, and loses nothing:
what was about to be returned is returned by the next call. CPython only.
"""

import asyncio
import concurrent.futures
import contextlib
import inspect
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from .client.arguments.checks import check_seconds
from .client.arguments.other_names import (
    NO_CALLBACKS,
    check_one_url,
    no_attribute,
    no_attribute_of_receipt,
    no_callback,
)
from .client.host import Client as AsyncClient
from .client.messages import Message
from .client.messages import Receipt as AsyncReceipt
from .client.subscriptions.subscription import Subscription as AsyncSubscription
from .client.traffic.statistics import Statistics
from .core.errors import ClosedError, MQTTError

__all__ = ["Client", "Messages", "Receipt", "Subscription"]

T = TypeVar("T")

JOIN_S = 10.0  # how long the end of the thread is waited for


class Receipt:
    """What `publish` returns: the message is accepted. `wait()` returns when the broker has confirmed it. `seq`, `done`
    and `error` as those of mqttlite.Receipt.
    """

    def __init__(self, client: "Client", receipt: AsyncReceipt) -> None:
        self._client = client
        self._receipt = receipt

    def wait(self, timeout_s: float | None = None) -> None:
        """Return when the message is confirmed. TimeoutError when that takes longer; else as `await receipt`."""
        if timeout_s is not None:
            check_seconds("timeout_s", timeout_s)
        if not self._receipt.done:
            self._client._wait(_within(self._receipt.completed(), timeout_s, "no confirmation"))
        elif self._receipt.error:
            raise self._receipt.error

    @property
    def seq(self) -> int:
        """Its sequence number; -1 at QoS 0."""
        return self._receipt.seq

    @property
    def done(self) -> bool:
        """Whether it is finished: confirmed, or not to be confirmed any more."""
        return self._receipt.done

    @property
    def error(self) -> MQTTError | None:
        """Why it was not confirmed."""
        return self._receipt.error

    if not TYPE_CHECKING:

        def __getattr__(self, name):  # called for what there is not
            raise AttributeError(no_attribute_of_receipt(name, True), name=name, obj=self)

    def __repr__(self) -> str:
        return repr(self._receipt)


class Messages:
    """An iterator over messages. Asking for the next one says that the one before has been handled."""

    def __init__(self, client: "Client", source: "Callable[[], Coroutine[Any, Any, Message]]") -> None:
        self._client = client
        self._source = source
        self._coming: concurrent.futures.Future[Message | None] | None = None
        self._asked: asyncio.Task[Message | None] | None = None  # in the loop, what has been asked for
        self._limit: asyncio.Timeout | None = None  # of what is coming

    def get(self, timeout_s: float | None = None) -> Message | None:
        """The next message; None when there is none within `timeout_s` seconds, or the client is closed."""
        if timeout_s is not None:
            check_seconds("timeout_s", timeout_s, True)
        coming = self._coming
        if coming and coming.done() and not coming.cancelled() and not coming.exception() and not coming.result():
            coming = None  # its time was over
        if coming is None:
            try:
                self._coming = self._client._submit(self._next(timeout_s))
            except ClosedError:
                return None
        elif self._client._loop:  # of a call that was interrupted, with its own limit
            self._client._wait(_call(self._set_limit, timeout_s))
        assert self._coming
        message = self._coming.result()  # interrupted, it is still to come
        self._asked = None
        self._coming = None
        return message

    async def _next(self, timeout_s: float | None) -> Message | None:
        if self._asked:  # a call was interrupted when it had asked, and before it had what it was to wait for
            self._set_limit(timeout_s)
            if (message := await self._asked) is not None:
                return message
        self._asked = asyncio.current_task()
        try:
            async with asyncio.timeout(timeout_s) as self._limit:
                return await self._source()
        except (TimeoutError, StopAsyncIteration):
            return None

    def _set_limit(self, timeout_s: float | None) -> None:
        if self._limit:
            with contextlib.suppress(RuntimeError):  # it is over
                now = asyncio.get_running_loop().time()
                self._limit.reschedule(None if timeout_s is None else now + timeout_s)

    def __iter__(self) -> Iterator[Message]:
        while (message := self.get()) is not None:
            yield message


class Subscription(Messages):
    """A subscription with messages of its own: `with client.subscription("room/#") as messages`. See
    mqttlite.Client.subscription.
    """

    def __init__(self, client: "Client", subscription: AsyncSubscription) -> None:
        super().__init__(client, subscription.__anext__)
        self._subscription = subscription

    def __enter__(self) -> Self:
        self._client._wait(self._subscription.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._coming:
            self._coming.cancel()
            self._coming = None
        if self._client._loop is None:  # closed in the block, and with it all that it had
            return
        self._client._wait(self._subscription.__aexit__(kind, error, trace))

    @property
    def qos(self) -> int:
        """As granted."""
        return self._subscription.qos

    @property
    def dropped(self) -> int:
        """Messages dropped because its queue was full."""
        return self._subscription.dropped


class Client:
    """A client without async; the arguments are those of mqttlite.Client, which `asynchronous` is."""

    if TYPE_CHECKING:

        def __init__(self, url: str, **options: Any) -> None: ...

    else:

        def __init__(self, url=..., *more, **options):
            check_one_url(url, more, options)
            for name in options:
                if name in NO_CALLBACKS:
                    raise TypeError(no_callback(name, True))
            self._begin(AsyncClient(url, **options))

        __init__.__signature__ = AsyncClient.__init__.__signature__  # help() shows the arguments

    def _begin(self, asynchronous: AsyncClient) -> None:
        self.asynchronous = asynchronous
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._rest = Messages(self, self.asynchronous.__anext__)

    if not TYPE_CHECKING:

        def __setattr__(self, name, value):
            if name[:3] == "on_":
                raise AttributeError(no_callback(name, True))
            super().__setattr__(name, value)

        def __getattr__(self, name):  # called for what there is not
            words = no_attribute(name, True)
            if ":" not in words and name[:1] != "_" and hasattr(AsyncClient, name):
                words += f"; the client in its event loop has: client.asynchronous.{name}"
            raise AttributeError(words, name=name, obj=self)

    # -- from start to end

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._loop is None:
            return
        try:
            self._wait(self.asynchronous.__aexit__(kind, error, trace))
        finally:
            self._end()

    def start(self, wait: bool = True) -> None:
        """As Client.start; the thread begins."""
        if self._loop is None:
            if self.asynchronous.error:
                raise self.asynchronous.error
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=_run, args=(self._loop,), name="mqttlite client", daemon=True)
            self._thread.start()
        try:
            self._wait(self.asynchronous.start(wait))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """As Client.close; the thread ends."""
        if self._loop is None:
            return
        try:
            self._wait(self.asynchronous.close())
        finally:
            self._end()

    def _end(self) -> None:
        loop, self._loop = self._loop, None
        if loop and self._thread:
            loop.call_soon_threadsafe(loop.stop)
            self._thread.join(JOIN_S)

    def _submit(self, work: Coroutine[Any, Any, T]) -> "concurrent.futures.Future[T]":
        loop = self._loop
        if loop is None or threading.current_thread() is self._thread:
            work.close()
            if loop is None and self.asynchronous.error:  # it has been started, and is closed
                raise self.asynchronous.error
            raise RuntimeError(
                "the client is not started: write 'with mqttlite.blocking.Client(...) as client:'"
                if loop is None
                else "this is the client's own thread, which must not wait for itself: use client.asynchronous here"
            )
        try:
            return asyncio.run_coroutine_threadsafe(work, loop)
        except BaseException:  # interrupted: what has not begun when it would have, nobody will await
            loop.call_soon_threadsafe(loop.call_soon, _drop, work)
            raise

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` returns or raises. Interrupted, it is cancelled."""
        future = self._submit(work)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    # -- publishing

    def publish(
        self,
        topic: str,
        payload: bytes | str = b"",
        qos: int = 1,
        retain: bool = False,
        key: tuple[str, int] | None = None,
        **properties: Any,
    ) -> Receipt:
        """As Client.publish: returns when the message is accepted (and stored); `.wait()` when it is confirmed."""
        return Receipt(self, self._wait(self.asynchronous.publish(topic, payload, qos, retain, key, **properties)))

    def publish_many(self, messages: Iterable[Any], qos: int = 1, retain: bool = False) -> list[Receipt]:
        """As Client.publish_many."""
        receipts = self._wait(self.asynchronous.publish_many(list(messages), qos, retain))
        return [Receipt(self, receipt) for receipt in receipts]

    def drain(self, timeout_s: float = 10) -> bool:
        """As Client.drain: wait until everything is confirmed, and whether it is."""
        return self._wait(self.asynchronous.drain(timeout_s))

    def request(self, topic: str, payload: object = b"", qos: int = 1, **options: Any) -> Any:
        """As Client.request: publish a request, and wait for its answer."""
        return self._wait(self.asynchronous.request(topic, payload, qos, **options))

    # -- receiving

    def subscribe(self, topic_filter: str, qos: int = 2, **options: Any) -> int:
        """As Client.subscribe: the granted QoS."""
        return self._wait(self.asynchronous.subscribe(topic_filter, qos, **options))

    def unsubscribe(self, topic_filter: str, **options: Any) -> None:
        """As Client.unsubscribe."""
        self._wait(self.asynchronous.unsubscribe(topic_filter, **options))

    def messages(self, timeout_s: float | None = None) -> Iterator[Message]:
        """The messages that arrive, but for those of a `subscription`: until there is none for `timeout_s` seconds, or
        the client is closed. Asking for the next one says that the one before has been handled.
        """
        while (message := self._rest.get(timeout_s)) is not None:
            yield message

    def __iter__(self) -> Iterator[Message]:
        return self.messages()

    def subscription(self, topic_filter: str, qos: int = 2, **options: Any) -> Subscription:
        """As Client.subscription: `with client.subscription("room/#") as messages`, then `for message in messages` or
        `messages.get(timeout_s)`.
        """
        return Subscription(self, self.asynchronous.subscription(topic_filter, qos, **options))

    def on(self, topic_filter: str, qos: int = 2, **options: Any) -> Callable[[T], T]:
        """As Client.on: the function is called in a thread of its own, and may use this client there."""
        register: Any = self.asynchronous.on(topic_filter, qos, **options)

        def decorate(function: T) -> T:
            if self._loop is None:
                register(function)
            else:
                self._wait(_call(register, function))
            return function

        return decorate

    def serve(self, topic_filter: str, function: Callable[..., Any], qos: int = 2, **options: Any) -> None:
        """As Client.serve: answer requests until the client is closed, or Ctrl-C. The function is called in a thread of
        its own.
        """
        self._wait(self.asynchronous.serve(topic_filter, function, qos, **options))

    def run(self) -> None:
        """As Client.run: return when the client is closed; raise what has closed it, or has ended a handler."""
        self._wait(self.asynchronous.run())

    def acknowledge(self, message: Message) -> None:
        """As Client.acknowledge, with `manual_ack`."""
        self._wait(_call(self.asynchronous.acknowledge, message))

    # -- what it knows

    @property
    def client_id(self) -> str:
        """It identifies the session at the broker."""
        return self.asynchronous.client_id

    @property
    def is_connected(self) -> bool:
        """Whether the broker has accepted a connection that is not lost."""
        return self.asynchronous.is_connected

    @property
    def error(self) -> MQTTError | None:
        """Why the client is closed; None while it is open, or not started."""
        return self.asynchronous.error

    def unconfirmed(self) -> int:
        """How many messages of QoS 1 and 2 are not confirmed yet."""
        return self.asynchronous.unconfirmed()

    def statistics(self) -> Statistics:
        """As Client.statistics."""
        if self._loop is None:
            return self.asynchronous.statistics()
        return self._wait(_call(self.asynchronous.statistics))

    def __repr__(self) -> str:
        return repr(self.asynchronous).replace("<Client", "<blocking Client", 1)


def _drop(work: Coroutine[Any, Any, Any]) -> None:
    if inspect.getcoroutinestate(work) == inspect.CORO_CREATED:
        work.close()


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


async def _within(work: Coroutine[Any, Any, T], timeout_s: float | None, what: str) -> T:
    try:
        async with asyncio.timeout(timeout_s):
            return await work
    except TimeoutError:
        raise TimeoutError(f"{what} within {timeout_s} s") from None


async def _call(function: Callable[..., T], *args: Any) -> T:
    return function(*args)
