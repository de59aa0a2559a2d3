"""A client that sees everything which is published, and publishes: what a test has to compare with."""

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..client import Client
from .loop_thread import InLoopThread, LoopThread

if TYPE_CHECKING:
    from ..client import Message

WAIT_S = 5.0
SHOWN = 10  # messages in the words of an assertion


class Probe(InLoopThread):
    """`with Probe(broker.url) as client: client.publish("a", "1"); message = client.expect("a")`

    It has subscribed to `topic_filter` at QoS 2 before it is handed out, so nothing that the test publishes afterwards
    is missed. `options`: those of mqttlite.Client (`version="5.0"`, `username`, ...). Methods block, but for those that
    begin with `a`; `publish` blocks for the broker alone, which has a thread of its own.
    """

    def __init__(self, url: str, loop: LoopThread | None = None, topic_filter: str = "#", **options: Any) -> None:
        super().__init__(loop)
        self._lock = threading.Lock()
        self._unread: list[Message] = []
        self._waiting: list[tuple[Callable[[Message], bool], concurrent.futures.Future[Message]]] = []
        self.messages: list[Message] = []  # all that have come
        self.client = self._loop.call(lambda: Client(url, **options))
        try:
            self._loop.run(self._begin(topic_filter))
        except BaseException:
            self.close()
            raise

    async def _begin(self, topic_filter: str) -> None:
        await self.client.__aenter__()
        await self.client.subscribe(topic_filter, qos=2)
        self._reader = asyncio.get_running_loop().create_task(self._read(), name="reader of a probe")

    async def _read(self) -> None:
        async for message in self.client:
            self._take(message)

    def _take(self, message: "Message") -> None:
        with self._lock:
            self.messages.append(message)
            for each in self._waiting:
                wanted, future = each
                if wanted(message) and future.set_running_or_notify_cancel():
                    self._waiting.remove(each)
                    future.set_result(message)
                    return
            self._unread.append(message)

    def publish(self, topic: str, payload: bytes | str = b"", qos: int = 1, retain: bool = False, **more: Any) -> None:
        """Publish, and wait until the broker has acknowledged it (QoS 1 and 2)."""

        async def published() -> None:
            receipt = await self.client.publish(topic, payload, qos=qos, retain=retain, **more)
            if qos:
                await receipt

        self._loop.run(published())

    def expect(
        self,
        topic_filter: str = "#",
        payload: bytes | str | None = None,
        *,
        qos: int | None = None,
        retain: bool | None = None,
        timeout_s: float = WAIT_S,
    ) -> "Message":
        """The next message that is like this, of those that no `expect` has had; it may have come already.
        AssertionError says what has come instead.
        """
        future = self._future(topic_filter, payload, qos, retain)
        try:
            return future.result(timeout_s)
        except concurrent.futures.TimeoutError:
            future.cancel()
        raise AssertionError(self._missing(topic_filter, payload, timeout_s))

    async def aexpect(
        self,
        topic_filter: str = "#",
        payload: bytes | str | None = None,
        *,
        qos: int | None = None,
        retain: bool | None = None,
        timeout_s: float = WAIT_S,
    ) -> "Message":
        """As `expect`, for coroutines: what is tested goes on meanwhile."""
        future = self._future(topic_filter, payload, qos, retain)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), timeout_s)
        except TimeoutError:
            future.cancel()
        raise AssertionError(self._missing(topic_filter, payload, timeout_s))

    def _future(
        self, topic_filter: str, payload: bytes | str | None, qos: int | None, retain: bool | None
    ) -> "concurrent.futures.Future[Message]":
        content = payload.encode() if isinstance(payload, str) else payload

        def wanted(message: "Message") -> bool:
            return (
                message.matches(topic_filter)
                and content in (None, message.payload)
                and qos in (None, message.qos)
                and retain in (None, message.retain)
            )

        future: concurrent.futures.Future[Message] = concurrent.futures.Future()
        with self._lock:
            self._waiting = [each for each in self._waiting if not each[1].cancelled()]
            found = next((message for message in self._unread if wanted(message)), None)
            if found is None:
                self._waiting.append((wanted, future))
            else:
                self._unread.remove(found)
                future.set_result(found)
        return future

    def _missing(self, topic_filter: str, payload: bytes | str | None, timeout_s: float) -> str:
        which = f"{topic_filter!r}" if payload is None else f"{topic_filter!r} with {payload!r}"
        with self._lock:
            came = [f"{each.topic} {each.payload[:32]!r} (QoS {each.qos})" for each in self._unread[-SHOWN:]]
            count = len(self._unread)
        others = f"{count} others came, the last ones: {', '.join(came)}" if came else "nothing else came"
        return f"no message for {which} came within {timeout_s} s; {others}"

    def close(self) -> None:
        """Disconnect."""

        async def closed() -> None:
            reader = getattr(self, "_reader", None)
            if reader:
                reader.cancel()
                await asyncio.gather(reader, return_exceptions=True)
            await self.client.close()

        self._loop.run(closed())
        super().close()
