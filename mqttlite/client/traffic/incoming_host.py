"""What the broker sends, on CPython: as on a board (incoming.py), with as little as possible for each message."""

import time
from collections import deque
from typing import TYPE_CHECKING, Any

from ...core.errors import ClosedError
from ...serial.clock import now_ms
from ..incoming import GATHER_MAX, GATHER_MS, Incoming
from ..messages import Message
from .waiting import Waiter

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...core.client_host import HostProtocol
    from .waiting import Turn


class HostIncoming(Incoming):
    """See Incoming. Who waits for messages waits for something of its own, which a write does not end, nor a
    confirmation.
    """

    inbox: "deque[Message]"  # type: ignore[assignment]  # of which a board's asyncio has none
    flush: "Callable[[], None]"  # Flow's, as `turn`
    turn: "Turn"

    def __init__(self, *options: Any) -> None:
        super().__init__(*options)
        self.inbox = deque()
        self._waiter: Waiter | None = None  # to be woken when there are messages, or none will come
        self.has_waiter = False  # a task waits for the next message
        self.count0 = self.count1 = self.count2 = 0  # messages that have arrived, by QoS
        self.names: dict[bytes, str] = {}  # the protocol's, of topics

    def take_from(self, protocol: "HostProtocol") -> None:
        """What arrives comes from there, many at once where nobody else is told of it first."""
        self.names = protocol.names
        protocol.plain = self.life.on_message
        protocol.make_message = Message
        protocol.take_messages = self.on_messages

    def count(self, qos: int) -> None:
        """A message has arrived."""
        if qos == 2:
            self.count2 += 1
        elif qos:
            self.count1 += 1
        else:
            self.count0 += 1

    def waiting(self) -> int:
        """Messages that are not given out."""
        return len(self.inbox)

    def unhandled(self) -> "list[Message]":
        """Messages that are not acknowledged, in order of arrival."""
        return [*self.taken, *self.inbox]

    def become_stream(self, message: Message, stream: Message, at: int) -> None:
        """A message that was in the inbox at `at` is taken elsewhere: `stream` has its place in the order."""
        if stream.qos:
            self.inbox.insert(at, stream)

    def wake(self) -> None:
        """There are messages, or there will be none."""
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            waiter.wake()

    def on_message(
        self, first: int, topic: bytes, payload: bytes, packet_id: int, generation: int, properties: bytes = b""
    ) -> None:
        """See Incoming."""
        life = self.life
        if life.error:
            return
        self.has_received = True
        message = Message(self.names.get(topic) or str(topic, "utf-8"), payload, first, packet_id, generation)
        if properties:
            message.properties = properties
        self._enter(message)
        if self._waiter is not None:
            self.wake()

    def on_messages(self, messages: list[Message]) -> None:
        """As `on_message`, of many."""
        if self.life.error:
            return
        self.has_received = True
        if self.has_stalled or self.keys:
            for message in messages:
                self._enter(message)
        else:
            self.inbox += messages
            for message in messages:
                qos = message.qos
                if qos == 2:
                    self.count2 += 1
                elif qos:
                    self.count1 += 1
                else:
                    self.count0 += 1
        if self._waiter is not None:
            self.wake()

    def _enter(self, message: Message) -> None:
        """A message has arrived."""
        if self.has_stalled and not message.qos and self.is_full(1):
            self.life.qos0_dropped += 1
            return
        self.count(message.qos)
        if self.keys:
            self.keys.take_key(message)
        self.inbox.append(message)

    def on_large(self, *large: Any) -> None:
        """See Incoming."""
        super().on_large(*large)
        self.wake()  # perhaps there is something to acknowledge

    async def __anext__(self) -> Message:
        """See Incoming."""
        ms = time.monotonic() * 1000 - self.since  # now_ms() is as exact, and costs three times as much
        if ms >= GATHER_MS or self.gathered >= GATHER_MAX:
            await self.breathe(int(ms))
        elif self.current:
            self.handled()
        inbox = self.inbox
        while True:
            while not inbox:
                error = self.life.error
                if error:
                    if isinstance(error, ClosedError):
                        raise StopAsyncIteration
                    raise error
                if self.has_waiter:
                    raise RuntimeError(
                        "two tasks iterate over one client, and each message goes to one of them: let one task "
                        "iterate, or write 'async with client.subscription(topic_filter) as messages' in each"
                    )
                self.has_waiter = True
                self._waiter = waiter = Waiter(self.turn)
                try:
                    await waiter
                finally:
                    self.has_waiter = False
                    self._waiter = None
                self.since = now_ms()
            message = inbox.popleft()
            if self.is_held:
                self.has_room.set()
            if not message.qos:
                return message
            if message.key and self.keys:
                message._is_handled = self.keys.is_repeat(message)
            if message._is_handled:
                self.taken.append(message)
                self.acknowledge(message)
                continue
            if self.manual_ack:
                self.taken.append(message)
            else:
                self.current = message
            return message

    def _settle(self) -> None:
        """See Incoming."""
        inbox = self.inbox
        taken = self.taken
        while inbox and inbox[0]._is_handled and not self.current:
            taken.append(inbox.popleft())
        while taken and taken[0]._is_handled > 0:
            self._acknowledge(taken.pop(0))

    async def breathe(self, ms: int) -> None:
        """See Incoming: what is acknowledged is written without a turn of the event loop, where that is possible."""
        if ms >= GATHER_MS:
            await self.look(ms)
        self.handled()
        await self.until_written()
        self.since = now_ms()

    async def until_written(self) -> None:
        """Return when all acknowledgements have left, or the connection is lost."""
        life = self.life
        self.flush()
        left = life.taken_out + len(life.protocol.out)
        while life.is_connected and not life.error and self.gathered and life.written < left:
            await life.progress.wait()
        self.gathered = 0
