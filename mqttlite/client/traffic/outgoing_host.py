"""What the application publishes, on CPython: as on a board (outgoing.py), bounded in bytes too, and counted. Who waits
for room is woken when there is some for several messages, not for each that is confirmed.
"""

from typing import TYPE_CHECKING, Any

from ...store.base import Store
from ..messages import SENT, Receipt
from ..outgoing import Outgoing
from .waiting import Waiter

if TYPE_CHECKING:
    from ...core.errors import MQTTError
    from ...core.session_host import HostSession
    from .waiting import Turn

QUEUE_BYTES = 64 << 20


class HostOutgoing(Outgoing):
    """See Outgoing. `queue_bytes`: of topics, properties and payloads of QoS 1 and 2 accepted and not confirmed;
    a message that is larger is accepted when there is no other. `counts`, `sizes`: messages and their bytes accepted
    (topics and payloads), by QoS.
    """

    turn: "Turn"  # Flow's
    queue_bytes = QUEUE_BYTES
    not_connected = 0  # messages of QoS 0 dropped, because there was no connection
    # Of the plain message that was accepted last, as it was given: the next one is often alike, but for its payload
    topic: str | None = None
    qos = 0
    retain = False

    def __init__(self, *options: Any) -> None:
        super().__init__(*options)
        self._waiters: list[Waiter] = []  # to be woken when there is room, and at the end
        # Messages fewer than `queue_max` at which there is room: no more than half of what is on its way at once, so
        # that the broker never waits for the application.
        self._step = max(min(self.queue_max // 16, self.life.session.window // 2), 1)
        self.counts = [0, 0, 0]
        self.sizes = [0, 0, 0]
        self._encoded = 0, b"", 0  # flags, topic, and its size of that message
        self._most = 0  # what the sizes of QoS 1 and 2 may come to before it is looked what is confirmed meanwhile

    def is_full(self, qos: int, size: int) -> bool:
        """See Outgoing."""
        if not qos:
            return len(self.life.protocol.out) > self.life.out_max
        if len(self.receipts) >= self.queue_max:
            return True
        sizes = self.sizes
        if sizes[1] + sizes[2] + size > self._most and self.is_over(size):
            return True
        return not self.life.store.fits(size)

    def is_over(self, size: int) -> bool:
        """Whether a message of `size` bytes would be too many. What is confirmed is not counted: each time when as much
        was accepted as there was room for, it is looked what is left.
        """
        sizes = self.sizes
        if sizes[1] + sizes[2] + size <= self._most:
            return False
        left = self.queued_bytes()
        self._most = sizes[1] + sizes[2] + self.queue_bytes - left
        return left > 0 and left + size > self.queue_bytes

    def queued_bytes(self) -> int:
        """Bytes of what is not confirmed."""
        return sum([len(message[0]) + len(message[1]) for message in self.life.session.messages.values()])

    def accept(
        self, topic: str, payload: bytes, qos: int, retain: bool, key: "tuple[str, int] | None" = None, *more: Any
    ) -> Receipt:
        """See Outgoing."""
        life = self.life
        if more or (qos and (key or self.flags & 1)):
            before = life.session.next
            dropped = life.qos0_dropped
            receipt = super().accept(topic, payload, qos, retain, key, *more)
            self.not_connected += life.qos0_dropped - dropped
            if life.qos0_dropped > dropped or (qos and life.session.next == before):  # dropped, or an earlier one
                return receipt
            if qos and more:
                self._most -= len(more[0])  # the properties, which wait in memory as all else
        else:
            if life.error:
                raise life.error
            flags = qos << 1 | 1 if retain else qos << 1
            name = topic.encode()
            seq = life.protocol.publish(flags, name, payload, self.note)
            if seq == -2:
                self.not_connected += 1
                life.qos0_dropped += 1
                return SENT
            receipt = SENT
            if seq >= 0:
                receipt = self.receipts[seq] = Receipt(seq)
            life.to_write.set()
            self.topic = topic
            self.qos = qos
            self.retain = retain
            self._encoded = flags, name, len(topic)
        self.counts[qos] += 1
        self.sizes[qos] += len(topic) + len(payload)
        return receipt

    def accept_alike(self, payload: bytes) -> Receipt | None:
        """As `is_full` and `accept`, of a message with the topic, QoS and RETAIN of the last one, which are good; None:
        there is no room, or something is to be looked at.
        """
        life = self.life
        protocol = life.protocol
        qos = self.qos
        sizes = self.sizes
        flags, topic, size = self._encoded
        size += len(payload)
        if life.error:
            return None
        if not qos:
            if len(protocol.out) > life.out_max or protocol.publish(flags, topic, payload, self.note) != -1:
                return None
            receipt = SENT
        else:
            receipts = self.receipts
            if (
                len(receipts) >= self.queue_max
                or sizes[1] + sizes[2] + size > self._most
                or type(life.store) is not Store
            ):
                return None
            seq = protocol.publish(flags, topic, payload, self.note)
            receipt = receipts[seq] = Receipt(seq)
        if protocol.out:
            life.to_write.set()
        self.counts[qos] += 1
        sizes[qos] += size
        return receipt

    async def wait_for_room(self, qos: int, size: int) -> None:
        """See Outgoing."""
        life = self.life
        if qos and type(life.store) is Store:
            while not life.error and self.is_full(qos, size):
                waiter = Waiter(self.turn)
                self._waiters.append(waiter)
                try:
                    await waiter
                finally:
                    if waiter in self._waiters:  # cancelled
                        self._waiters.remove(waiter)
        else:
            while not life.error and self.is_full(qos, size):
                if qos and self.is_over(size):
                    await life.progress.wait()  # that a store has room helps nobody then
                else:
                    await self._wait_for_store(qos, size)

    async def _wait_for_store(self, qos: int, size: int) -> None:
        """As Outgoing.wait_for_room, one turn of it."""
        life = self.life
        if qos and len(self.receipts) < self.queue_max:
            await life.commit()  # what has finished by now makes room
            if life.finished or life.store.fits(size):
                return
            if not self.receipts and life.session.doubts:  # nothing else would ever make room
                from ..unconfirmed import forget_oldest

                forget_oldest(life, life.session.doubts, "the store has no room")
                return
        await life.progress.wait()

    def take_from(self, session: "HostSession") -> None:
        """What is confirmed is told of there, many at once."""
        session.on_confirmed = self.on_confirmed

    def on_confirmed(self, seqs: list[int]) -> None:
        """As `on_finished`, of many that are confirmed."""
        receipts = self.receipts
        step = self._step
        for seq in seqs:
            receipt = receipts.pop(seq, None)
            if receipt is None:  # of an earlier life of the store
                step = 1
                continue
            receipt.done = True
            if receipt._event:
                receipt._event.set()
        self.has_confirmed = True
        self.life.finished += len(seqs)
        if self._waiters and len(receipts) <= self.queue_max - step:
            self._wake()

    def on_finished(self, seq: int, outcome: int) -> None:
        """See Outgoing."""
        receipts = self.receipts
        step = 1  # somebody wants room for one
        if outcome or seq not in receipts:
            super().on_finished(seq, outcome)
        else:
            self.has_confirmed = True
            self.life.finished += 1
            receipts.pop(seq)._finish(None)
            step = self._step
        if self._waiters and len(receipts) <= self.queue_max - step:
            self._wake()

    def give_up(self, error: "MQTTError") -> None:
        """See Outgoing."""
        super().give_up(error)
        self._wake()

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.wake()
