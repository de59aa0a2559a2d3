"""What the application publishes: accepted while there is room, and confirmed by its receipt. Both runtimes."""

from ..core import const
from ..core.features import JOURNAL, KEYS, V5
from .messages import SENT, Receipt

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from ..core.errors import MQTTError
    from ..core.records import State
    from .idempotency import Keys
    from .life import Life

QUEUE_LIMIT = const(60000)  # below the number of packet identifiers, with room for requests


class Outgoing:
    """The messages that a client has accepted. `queue_max`: QoS 1 and 2 messages accepted and not confirmed. `flags`:
    of the note that the store keeps with each message (core.records): 1: it carries a key, 2: MQTT 5.0.
    """

    keys: "Keys | None" = None  # loaded with the first message that has one
    state: "State | None" = None  # what the store has kept

    def __init__(self, life: "Life", queue_max: int, flags: int) -> None:
        self.life = life
        self.queue_max = min(queue_max, QUEUE_LIMIT)
        self.flags = flags
        self.note = bytes((flags,)) if flags else b""
        self.receipts: "dict[int, Receipt]" = {}  # by sequence number
        self.given_up = 0  # messages that were not confirmed when the client was closed
        self.has_confirmed = False  # a message, on this connection
        life.on_finished = self.on_finished

    def is_full(self, qos: int, size: int) -> bool:
        """Whether a message of `size` bytes (topic and payload) has to wait."""
        if not qos:
            return len(self.life.protocol.out) > self.life.out_max
        return len(self.receipts) >= self.queue_max or not self.life.store.fits(size)

    async def wait_for_room(self, qos: int, size: int) -> None:
        """Return when such a message may be accepted, or the client is closed."""
        life = self.life
        while not life.error and self.is_full(qos, size):
            if JOURNAL and qos and len(self.receipts) < self.queue_max:
                await life.commit()  # what has finished by now makes room
                if life.finished or life.store.fits(size):
                    continue
                if not self.receipts and life.session.doubts:  # nothing else would ever make room
                    from .unconfirmed import forget_oldest

                    forget_oldest(life, life.session.doubts, "the store has no room")
                    continue
            await life.progress.wait()

    def accept(
        self,
        topic: str,
        payload: bytes,
        qos: int,
        retain: bool,
        key: "tuple[str, int] | None" = None,
        block: bytes = b"",
        expiry: bytes = b"",
    ) -> Receipt:
        """Accept a message, for which there is room; `block`: its properties, `expiry`: the end of the key of one that
        expires (core.records; 5.0). Raises what BaseClient.publish says.
        """
        life = self.life
        if life.error:
            raise life.error
        flags = qos << 1 | (1 if retain else 0)
        if KEYS and qos and (key or self.flags & 1):
            is_earlier, seq = self.load_keys().publish(
                life.protocol, flags, topic.encode(), payload, key, block, expiry
            )
            if is_earlier:
                return self.receipt(seq)
        else:
            seq = life.protocol.publish(flags, topic.encode(), payload, self.note_with(expiry) if V5 else b"", block)
        if seq == -2:
            life.qos0_dropped += 1
            return SENT
        life.to_write.set()
        if seq < 0:
            return SENT
        receipt = self.receipts[seq] = Receipt(seq)
        return receipt

    def note_with(self, expiry: bytes) -> bytes:
        """The key of a message that has no other."""
        return bytes((self.flags | 4,)) + expiry if expiry else self.note

    def load_keys(self) -> "Keys":
        """What is known about idempotency keys, from the store or from now on."""
        if self.keys is None:
            from .idempotency import Keys  # only who uses keys loads this

            self.keys = Keys(self.life.client_id, self.flags, self.state)
        return self.keys

    def on_finished(self, seq: int, outcome: int) -> None:
        """Of core.events: an outbound message is confirmed, in doubt, or refused."""
        self.has_confirmed = True
        self.life.finished += 1
        error: "MQTTError | None" = None
        if outcome:
            from .unconfirmed import failure

            error = failure(self.life, seq, outcome)
        receipt = self.receipts.pop(seq, None)
        if receipt:
            receipt._finish(error)

    def give_up(self, error: "MQTTError") -> None:
        """The client is closed; no more confirmation comes."""
        self.given_up = len(self.receipts)
        for receipt in self.receipts.values():
            receipt._finish(error)
        self.receipts.clear()

    def receipt(self, seq: int) -> Receipt:
        """The receipt of message `seq`, in whatever state it is."""
        from .unconfirmed import receipt

        return self.receipts.get(seq) or receipt(self.life, seq)
