"""What is queued for a client: the core's session with an account of its bytes. Imports core.session, extras,
ledger.
"""

from collections import deque
from typing import TYPE_CHECKING

from ...core.codec import acknowledgement
from ...core.packet_types import PUBACK, PUBCOMP, PUBREC, PUBREL
from ...core.records import DONE, FREED
from ...core.records import HELD as _HELD
from ...core.records import RELEASED as RELEASED_RECORD
from ...core.session import FINISH, FREE, HANDLED, HELD, INBOUND, OUTBOUND, RELEASED, SENT1, SENT2, SPAN, Session
from ...store.tables.broker_tables import STARTED
from ..counting.ledger import MESSAGE, Ledger
from ..messages.batch import NO_PROPERTIES, Batch
from ..messages.extras import NEVER, deadline_of
from ..messages.heads import heads5, released_head
from ..packets.answers import identifiers, run
from .paging import Pages

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...core.records import State
    from ...store.tables.broker_blocks import Waiting


# What goes on where session.OUTBOUND ends: a message that was sent, and may not be sent again
WITHDRAW = 1
WITHDRAWN = {SENT2 << 8 | WITHDRAW: RELEASED << 8 | PUBREL}  # as if PUBREC had come
DENIED = 3  # outcome for `on_finished`, as those of core.session: withdrawn; its client may have had it

BEGUN_MAX = 256

_ANSWERED = {PUBACK: SENT1, PUBREC: SENT2, PUBCOMP: RELEASED}  # the state of the message that each answers


class Queue(Session):
    """The core's session with an account: what it has accepted for its client, and not finished, has a size.

    `room`: bytes left of its budget; below 0 after a restart with a smaller one. Whoever calls `publish` takes the size
    of the message from it and from the ledger, and appends it to `sizes`. What is finished is given back when somebody
    calls `settle`, not with each message: most of the time nobody needs to know.
    """

    __slots__ = (
        "_ledger",
        "_oldest",
        "_settled",
        "begun",
        "expires_at",
        "fetch",
        "form",
        "is_plain5",
        "pages",
        "room",
        "size_max",
        "sizes",
    )

    def __init__(self, inbound_max: int, size_max: int, ledger: Ledger) -> None:
        Session.__init__(self, inbound_max=inbound_max)
        self.form: Callable[[int, tuple[bytes, bytes, bytes]], tuple[bytes, ...] | None] | None = None
        self.is_plain5 = False  # its client speaks 5.0, and has no limits of its own
        self.size_max = size_max
        self.room = size_max
        self.sizes: deque[int] = deque()  # of the messages from `_settled` on
        self._settled = self.next  # the first message that counts
        self._ledger = ledger
        self.begun: set[int] = set()  # of the messages that may expire, those that were sent: they have to be finished
        self.expires_at = NEVER  # no message that was not sent yet expires before (ms, the broker's clock)
        self.pages: Pages | None = None  # what is on the disk alone
        self.fetch: Callable[[int], bool] | None = None
        self._oldest = 0  # no message below this one can be dropped

    def take(self, first: int, packet_id: int, digest: int) -> None:
        """`received` and `handled` in one step, for a message under an identifier that stands for nothing: a broker has
        handled it as soon as it is routed. `first`: first byte of its PUBLISH. The rows are the table's.
        """
        row = INBOUND[INBOUND[FREE << 8 | first & 0xFE] & 0xFF00 | HANDLED]
        after = row >> 8
        if after:
            self.inbound[packet_id] = digest << 4 | after
            self._record(_HELD, digest << 16 | packet_id)
        self._send(row & 0xFF, packet_id)

    # -- many at once: what each would do by itself, by the same rows

    def take_all(self, first: int, packet_id: int, digests: list[int], count: int) -> None:
        """As `take`, for `count` identifiers from `packet_id` on; `digests`: empty at QoS 1."""
        row = INBOUND[INBOUND[FREE << 8 | first & 0xFE] & 0xFF00 | HANDLED]
        after = row >> 8
        if after:
            numbers = range(packet_id, packet_id + count)
            self.inbound.update(zip(numbers, [digest << 4 | after for digest in digests], strict=True))
            if self.store:
                self._record_numbers(
                    _HELD, [digest << 16 | number for number, digest in zip(numbers, digests, strict=True)]
                )
        self._send_all(row & 0xFF, packet_id, count)

    def released_all(self, packet_id: int, count: int) -> bool:
        """As `released`; False, and nothing done, where an identifier does not stand for a message."""
        inbound = self.inbound
        for number in range(packet_id, packet_id + count):
            if inbound.get(number, FREE) & 15 != HELD:
                return False
        row = INBOUND[HELD << 8 | PUBREL]
        assert row >> 8 == FREE
        for number in range(packet_id, packet_id + count):
            del inbound[number]
        if self.store:
            self._record_numbers(FREED, list(range(packet_id, packet_id + count)))
        self._send_all(row & 0xFF, packet_id, count)
        return True

    def acknowledged_all(self, first: int, packet_id: int, count: int) -> bool:
        """As `acknowledged`; False, and nothing done, where one of them does not answer a message as it should."""
        state = _ANSWERED[first]
        start = self.first + (packet_id - 1 - self.first) % SPAN
        end = start + count
        if end > self.sent or self.releasing or self.on_finished:  # who asks is told of each
            return False
        messages = self.messages
        known = b""
        for seq in range(start, end):
            message = messages.get(seq)
            if message is None:
                return False
            head = message[0]
            if head is not known:  # mostly all have one
                if head[0] & 6 != state:
                    return False
                known = head
        effect = OUTBOUND[state << 8 | first] & 0xFF
        if effect == FINISH:
            for seq in range(start, end):
                del messages[seq]
            if self.store:
                self._record_numbers(DONE, list(range(start, end)))
            self.unfinished -= count
            if start == self.first:
                sent = self.sent
                while end < sent and end not in messages:
                    end += 1
                self.first = end
            if self.sent < self.next:
                self._pump()
            return True
        after = released_head(known)
        for seq in range(start, end):
            head, payload, extra = messages[seq]
            if head is not known:
                known = head
                after = released_head(head)
            messages[seq] = (after, payload, extra)
        if self.store:
            self._record_numbers(RELEASED_RECORD, list(range(start, end)))
        self._send_all(effect, packet_id, count)
        return True

    def _send_all(self, first: int, packet_id: int, count: int) -> None:
        if self.out is not None:
            self.out.append(run(first, packet_id, count))

    def _record_numbers(self, kind: int, numbers: list[int]) -> None:
        self.store.record_numbers(kind, numbers)  # type: ignore[union-attr]  # it is a SessionStore

    def publish_all(self, batch: Batch) -> None:
        """As `publish`, of each."""
        messages = batch.messages
        seq = self.next
        self.next = seq + len(messages)
        self.messages.update(zip(range(seq, self.next), messages, strict=True))
        if self.store:
            self.store.record_messages(seq, messages, batch.is_even)  # type: ignore[attr-defined]  # the same
        if seq != self.sent or not self._send_batch(batch):
            self._pump()

    def _send_batch(self, batch: Batch) -> bool:
        """Send it, the last that has been queued and the first that is not sent, where all of it is sent as it is."""
        out = self.out
        seq = self.sent
        end = self.next
        count = end - seq
        packet_id = seq % SPAN + 1
        first = self.first if self.unfinished else seq
        if (
            out is None
            or (self.form and not self.is_plain5)
            or self.unfinished + count > self.window
            or end - first > self.span
            or packet_id + count > SPAN
            or seq < self.sent_before
            or self.clearing
        ):
            return False
        out += batch.numbered(identifiers(packet_id, count), self.is_plain5)
        self.first = first
        self.unfinished += count
        self.sent = end
        return True

    def _pump(self) -> None:
        """As in the core, with a short way for what is sent for the first time, to a client that needs nothing special.
        (Whether it is durable is the commit gate's to know.)
        """
        out = self.out
        if out is None:
            return
        seq = self.sent
        if (self.form and not self.is_plain5) or seq < self.sent_before or self.clearing:
            Session._pump(self)
            return
        end = min(self.next, seq + self.window - self.unfinished)
        if seq >= end:
            return
        first = self.first if self.unfinished else seq
        if end - first > self.span:
            Session._pump(self)
            return
        messages = self.messages
        is5 = self.is_plain5
        begun = seq
        packet_id = seq % SPAN + 1
        numbers = identifiers(packet_id, min(end - seq, SPAN + 1 - packet_id))
        for number in numbers:
            message = messages.get(seq)
            if message is None:  # given up
                break
            head, payload, extra = message
            if extra:  # there is more to say of it: the core knows how
                break
            out.append(heads5(head) if is5 else head)
            out.append(number)
            if is5:
                out.append(NO_PROPERTIES)
            out.append(payload)
            seq += 1
        if seq > begun:
            self.first = first
            self.unfinished += seq - begun
            self.sent = seq
        if seq < end:
            Session._pump(self)

    def withdraw(self, seq: int) -> tuple[bytes, ...] | None:
        """Its client may not have this message any more, which is about to be sent. None: it ends here. At QoS 2 the
        client may know it by its identifier, which must not come to another message before it is released: so that is
        said, and nothing else, and whoever does not know it answers all the same.
        """
        head, payload, extra = self.messages[seq]
        row = WITHDRAWN.get((head[0] & 6) << 8 | WITHDRAW, 0) if seq < self.sent_before else 0
        if not row:
            return None
        if self.on_finished:
            self.on_finished(seq, DENIED)
        self.messages[seq] = (released_head(head), payload, extra)
        self._record(RELEASED_RECORD, seq)
        return (acknowledgement(row & 0xFF, seq % SPAN + 1),)

    def never_sent(self, packet_id: int) -> None:
        """The connection is gone, and the message with this identifier and those behind it never left. So they are
        nobody's repeats, and another member of a share may have them.
        """
        sent = self.sent
        seq = sent - 1 - (sent - packet_id) % SPAN
        messages = self.messages
        left = [number for number in range(max(seq, self.first), sent) if number in messages]
        if seq < max(self.first, self.sent_before) or any(messages[number][0][0] & 6 == 6 for number in left):
            return  # its client has told of more than was sent to it
        self.sent = seq
        self.unfinished -= len(left)

    def begin(self, seq: int) -> None:
        """A message that may expire is sent for the first time."""
        if len(self.begun) > BEGUN_MAX:
            self.begun.intersection_update(self.messages)
        self.begun.add(seq)
        self._record(STARTED, seq)

    def may_expire(self, extra: bytes) -> None:
        """A message with this extra has been queued."""
        deadline = deadline_of(extra)
        if 0 <= deadline < self.expires_at:
            self.expires_at = deadline

    @property
    def bytes(self) -> int:
        """What it holds; more than that when it is not settled."""
        return self.size_max - self.room

    @property
    def finished(self) -> int:
        """How many messages have ended until now."""
        return self.next - self.queued

    # -- messages that are on the disk alone

    @property
    def queued(self) -> int:
        """How many messages there are, in memory or not."""
        return len(self.messages) + (self.pages.count if self.pages else 0)

    def put_out(self, first: int, last: int, keep: int) -> None:
        """The messages `first` to `last` are in the store, as a block. Beyond the next `keep` that are sent, they need
        not be in memory.
        """
        if first >= max(self.sent, self.sent_before) + keep:
            self._paged().put_out(self.messages, first, last)

    def bring_all(self, until: int = NEVER) -> None:
        """Have the messages to number `until` in memory."""
        if self.pages and until >= self.sent:
            self.pages.bring(self.messages, until)

    def _paged(self) -> Pages:
        if self.pages is None:
            self.pages = Pages(self.store.fetch)  # type: ignore[union-attr]  # it is a SessionStore
            self.fetch = self._fetch
        return self.pages

    def _fetch(self, seq: int) -> bool:
        return self.pages is not None and self.pages.bring(self.messages, seq)

    def load_paged(self, state: "State", waiting: "list[Waiting]", sent: int = -1) -> None:
        """As `load`; `waiting` stay on the disk. `sent`: the first message that was never sent; -1: any may have
        been.
        """
        sizes: dict[int, list[int]] = {}
        for first, left, found in waiting:
            self._paged().add(first, left)
            sizes[first] = found
        Session.load(self, state)
        if sent >= 0:
            self.sent_before = min(sent, self.next)
        messages = self.messages
        self._settled = seq = self.first
        while seq < self.next:
            found = sizes.pop(seq, [])
            self.sizes.extend([size + MESSAGE if size else 0 for size in found])
            if not found:
                message = messages.get(seq)
                self.sizes.append(sum(map(len, message)) + MESSAGE if message else 0)
                if message and message[2]:
                    self.may_expire(message[2])
            seq += len(found) or 1
        size = sum(self.sizes)
        self.room -= size
        self._ledger.queued += size

    def load(self, state: "State") -> None:
        """As in the core."""
        self.load_paged(state, [])

    def settle(self) -> int:
        """Give back what is finished, but for what is behind a message that is not; the room that there is."""
        first = self.first if self.queued else self.next
        if first <= self._settled:
            return self.room
        sizes = self.sizes
        size = 0
        for _ in range(first - self._settled):
            size += sizes.popleft()
        if size:
            self.room += size
            self._ledger.queued -= size
        self._settled = first
        return self.room

    def drop_oldest(self, below: int = NEVER) -> bool:
        """Give up the oldest message that its client cannot have seen, of those below number `below`; False when there
        is none. It is in memory, with those before it, and what is behind it stays on the disk.

        What was sent stays [MQTT-4.4.0-1]: at QoS 2 its handshake has to end, and its identifier must not come to a new
        message before. What may have been sent on an earlier connection can go only at QoS 1.
        """
        self.settle()
        seq = max(self._oldest, self.sent)
        while seq < self.next and seq < below:
            message = self.messages.get(seq)
            if message is None and self.pages and self.pages.bring(self.messages, seq):
                continue
            if message and (seq >= self.sent_before or message[0][0] & 6 == 2):
                self._oldest = seq + 1
                self.drop(seq)
                return True
            seq += 1
            self._oldest = seq  # not to be looked at again: whoever drops one message drops thousands
        return False

    def drop(self, seq: int) -> None:
        """Give up a message, and give back its bytes."""
        self.give_up(seq)
        if seq >= self._settled:
            size = self.sizes[seq - self._settled]
            self.sizes[seq - self._settled] = 0
            self.room += size
            self._ledger.queued -= size

    def size_of(self, seq: int) -> int:
        """What a message that is not finished counts."""
        return self.sizes[seq - self._settled]

    def can_be_given_up(self, seq: int) -> bool:
        """Whether there is such a message, and its client has not taken it at QoS 2."""
        message = self.messages.get(seq)
        return message is not None and message[0][0] & 6 != RELEASED

    def go_on(self) -> None:
        """Send what there is room for: messages have been given up."""
        self._pump()

    def forget(self) -> None:
        """The session ends: its account is closed."""
        self._ledger.queued -= self.bytes
        self.room = self.size_max
