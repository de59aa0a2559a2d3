"""What the broker sends, on CPython: as on a board (incoming.py), with as little as possible for each message."""

from typing import TYPE_CHECKING, Any

from ...core.errors import ClosedError
from ...serial.clock import now_ms
from ..incoming import GATHER_MAX, GATHER_MS, Incoming
from ..messages import Message
from .waiting import Waiter

if TYPE_CHECKING:
    from collections.abc import Callable

    from .waiting import Turn


class HostIncoming(Incoming):
    """See Incoming. Who waits for messages waits for something of its own, which a write does not end, nor a
    confirmation.
    """

    flush: "Callable[[], None]"  # Flow's, as `turn`
    turn: "Turn"

    def __init__(self, *options: Any) -> None:
        super().__init__(*options)
        self._waiter: Waiter | None = None  # to be woken when there are messages, or none will come
        self.has_waiter = False  # a task waits for the next message
        self.count0 = self.count1 = self.count2 = 0  # messages that have arrived, by QoS
        self.names: dict[bytes, str] = {}  # the protocol's, of topics

    def count(self, qos: int) -> None:
        """A message has arrived that is taken elsewhere."""
        if qos == 2:
            self.count2 += 1
        elif qos:
            self.count1 += 1
        else:
            self.count0 += 1

    def waiting(self) -> int:
        """Messages that are not given out."""
        return len(self.inbox)

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
        if self.has_stalled and not first & 6 and self.is_full(1):
            life.qos0_dropped += 1
            return
        if first & 4:
            self.count2 += 1
        elif first & 2:
            self.count1 += 1
        else:
            self.count0 += 1
        message = Message(self.names.get(topic) or str(topic, "utf-8"), payload, first, packet_id, generation)
        if properties:
            message.properties = properties
        if self.keys:
            self.keys.take_key(message)
        self.inbox.append(message)
        if self._waiter is not None:
            self.wake()

    def on_large(self, *large: Any) -> None:
        """See Incoming."""
        super().on_large(*large)
        self.wake()  # perhaps there is something to acknowledge

    async def __anext__(self) -> Message:
        """See Incoming."""
        ms = now_ms() - self.since
        if ms >= GATHER_MS or self.gathered >= GATHER_MAX:
            await self.breathe(ms)
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
            message = inbox.pop(0)
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
