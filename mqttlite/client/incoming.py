"""What the broker sends: kept in the inbox, given to the application, and acknowledged when it has been handled.

A message counts as handled when `async for` asks for the next one, or when `async with` ends without an exception; only
then is it acknowledged. So a consumer that dies in its handler gets the message again (QoS 1 and 2). With `manual_ack`
nothing is acknowledged before the application says so. Both runtimes.
"""

import asyncio

from ..core import const
from ..core.errors import ClosedError
from ..core.features import STREAM
from ..serial.clock import now_ms
from .messages import Message

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Self

    from .idempotency import Keys
    from .life import Life
    from .pieces.interfaces import Inflow

GATHER_MS = const(5)  # an application that takes longer lets the event loop turn before it gets the next message
GATHER_MAX = const(32)  # messages that are handled, and whose acknowledgements are not written
STALLED_S = const(1)  # how long a full inbox may stop reading while the application takes nothing


class Incoming:
    """The messages that have arrived and are not handled; an asynchronous iterator over them."""

    keys: "Keys | None" = None  # of a client whose messages carry them
    current: "Message | None" = None  # given to the application and not handled yet
    manual_ack = False
    inflow: "Inflow | None" = None  # of payloads that are taken piece by piece
    has_streams = False  # such a message has come

    def __init__(
        self, life: "Life", inbox_max: int, inbox_bytes: int, on_oversized: "Callable[[str, int], None] | None"
    ) -> None:
        self.life = life
        self.inbox: "list[Message]" = []
        self.inbox_max = inbox_max
        self.inbox_bytes = inbox_bytes
        self.size = 0  # bytes of the payloads in it, at most
        self.is_held = False  # nothing is read, because it is full
        self.has_stalled = False  # it is full, and the application takes nothing
        self.has_room = asyncio.Event()  # something was taken from it
        self.has_received = False  # a message, on this connection
        self.taken: "list[Message]" = []  # with `manual_ack`: given to the application, in order of arrival
        self.since = 0  # ms; when the event loop had its last turn, as far as whoever takes messages knows
        self.gathered = 0  # messages acknowledged, at most: of which that is not written
        self.on_oversized = on_oversized
        life.on_message = self.on_message
        life.on_large = self.on_large

    # -- what arrives

    def on_message(
        self, first: int, topic: bytes, payload: bytes, packet_id: int, generation: int, properties: bytes = b""
    ) -> None:
        """Of core.events: a message. At QoS 0 it is dropped, counted, when the application has not taken anything for a
        while.
        """
        life = self.life
        if life.error:
            return  # not handled, so not acknowledged
        self.has_received = True
        if self.has_stalled and not first & 6 and self.is_full(1):
            life.qos0_dropped += 1
            return
        if STREAM and self.inflow and self.inflow.whole(first, topic, payload, packet_id, generation, properties):
            return
        message = Message(str(topic, "utf-8"), payload, first, packet_id, generation)
        if properties:
            message.properties = properties
        if self.keys:
            self.keys.take_key(message)
        self.inbox.append(message)

    def on_large(self, *large: "Any") -> None:
        """Of core.events: a message larger than `size_max` was read past."""
        from .oversized import tell

        tell(self.life, self.inbox, self.on_oversized, *large)

    def enter_stream(self, message: Message) -> None:
        """A message of QoS 1 or 2 whose payload is taken elsewhere has come whole: this is its place in the order."""
        self.has_streams = True
        message._is_handled = -1
        self.inbox.append(message)
        self._settle()

    def leave_stream(self, message: Message) -> None:
        """It has been handled."""
        message._is_handled = True
        self._settle()

    def _settle(self) -> None:
        """Acknowledge what has its turn. What nobody here takes is not in the way of who takes the rest."""
        inbox = self.inbox
        taken = self.taken
        while inbox and inbox[0]._is_handled and not self.current:
            taken.append(inbox.pop(0))
        while taken and taken[0]._is_handled > 0:
            self._acknowledge(taken.pop(0))

    def is_full(self, divisor: int) -> bool:
        """Whether the inbox has reached its limits, divided by this."""
        if self.size * divisor >= self.inbox_bytes:
            self.size = sum([len(message.payload) for message in self.inbox])
        return len(self.inbox) * divisor >= self.inbox_max or self.size * divisor >= self.inbox_bytes

    async def wait_for_room(self) -> None:
        """Return when there is room in a full inbox: until then nothing is read. When the application takes nothing for
        a while (it may itself be waiting for an answer from the broker), read on, up to twice the bytes: QoS 1 and 2
        are bounded by the broker's window, QoS 0 is dropped, counted.
        """
        life = self.life
        self.has_stalled = False
        self.is_held = True
        while self.is_full(2) and not (self.has_stalled or life.error):
            self.has_room.clear()
            if life.protocol.waiting_since is not None:
                life.protocol.waiting_since = now_ms()  # PINGRESP may be behind what is not read
            try:
                await asyncio.wait_for(self.has_room.wait(), STALLED_S)
            except asyncio.TimeoutError:
                self.has_stalled = self.size < 2 * self.inbox_bytes
        self.is_held = False

    # -- the application's side

    def __aiter__(self) -> "Self":
        return self

    async def __anext__(self) -> Message:
        """The next message. Asking for it says that the one before has been handled. Ends when the client is closed.

        First the event loop has its turn, if the application took GATHER_MS or GATHER_MAX messages are acknowledged and
        not written: a kill repeats no more than those, and an application that never waits is not taken for dead.
        """
        inbox = self.inbox
        ms = now_ms() - self.since
        if ms >= GATHER_MS or self.gathered >= GATHER_MAX:
            await self.breathe(ms)
        elif self.current:
            self.handled()
        while True:
            while not inbox:
                error = self.life.error
                if error:
                    if isinstance(error, ClosedError):
                        raise StopAsyncIteration
                    raise error
                await self.life.progress.wait()
                self.since = now_ms()
            message = inbox.pop(0)
            if self.is_held:
                self.has_room.set()
            if not message.qos:
                return message
            if message.key and self.keys:
                message._is_handled = self.keys.is_repeat(message)
            if message._is_handled:  # before, or too large to be given out: only the acknowledgement is missing
                self.taken.append(message)
                self.acknowledge(message)
                continue
            if self.manual_ack:
                self.taken.append(message)
            else:
                self.current = message
            return message

    async def breathe(self, ms: int) -> None:
        """After `ms` milliseconds in which the application may have let nothing else run: look, acknowledge, and wait
        until that is written.
        """
        if ms >= GATHER_MS:
            await self.look(ms)
        self.handled()
        life = self.life
        left = life.taken_out + len(life.protocol.out)
        while life.is_connected and not life.error and self.gathered and life.written < left:
            await life.progress.wait()
        self.gathered = 0
        self.since = now_ms()

    async def look(self, ms: int) -> None:
        """Read what has arrived, and first of all that the connection has ended: what is acknowledged into it is
        lost, and comes again.
        """
        await asyncio.sleep(min(ms // 100, 50) / 1000)
        life = self.life
        while life.failure and life.is_connected:
            await life.progress.wait()

    def handled(self) -> None:
        """The message that the application has got has been handled."""
        message = self.current
        if message:
            self.current = None
            if STREAM and self.has_streams:
                self.taken.append(message)
                self.acknowledge(message)
                self._settle()
            else:
                self._acknowledge(message)

    def acknowledge(self, message: Message) -> None:
        """See BaseClient.acknowledge."""
        life = self.life
        protocol = life.protocol
        closed_ms = protocol.keep_alive_ms * 5 // 3  # 1.5 keep alives of silence: the broker has closed, and what is
        if life.is_connected and closed_ms and now_ms() - protocol.sent_at > closed_ms:
            # acknowledged into that connection is lost, and comes again: for ever, should this happen each time.
            life.fail(ClosedError("nothing has left for longer than the keep alive"))
            life.session.disconnected()
        if not (STREAM and message._is_handled < 0):
            message._is_handled = True
        taken = self.taken
        while taken and (taken[0]._is_handled > 0 if STREAM else taken[0]._is_handled):
            self._acknowledge(taken.pop(0))

    def _acknowledge(self, message: Message) -> None:
        life = self.life
        if message.key and self.keys:
            self.keys.remember(message, life)
        life.session.handled(message._packet_id, message._generation)
        self.gathered += 1
        life.to_write.set()
