"""The session of a client on CPython: the same tables, with fewer steps for what nearly all packets are. Whatever is
otherwise, and every error, is the core's (session.py).
"""

from .codec import released
from .packet_types import PUBLISH, PUBREL
from .records import ACCEPTED, DONE, FREED
from .records import HELD as HELD_RECORD
from .records import RELEASED as RELEASED_RECORD
from .session import DELIVER, FINISH, FREE, HANDLED, HELD, INBOUND, OUTBOUND, RELEASED, SEND, SPAN, Session

# The state of an identifier that stood for nothing, by the first byte of a PUBLISH that is no repeat; FREE: it has none
TAKEN = {PUBLISH | flags: INBOUND[FREE << 8 | PUBLISH | flags & 6] >> 8 if flags & 6 else FREE for flags in range(6)}
assert all(INBOUND[FREE << 8 | first & 0xFE] & 0xFF == DELIVER for first in TAKEN if first & 6)

_FINISHED = FREE << 8 | FINISH


class HostSession(Session):
    """See Session."""

    # -- outbound

    def publish(self, head: bytes, payload: bytes, key: bytes = b"") -> int:
        """See Session."""
        seq = self.next
        self.messages[seq] = (head, payload, key)
        self.next = seq + 1
        if self.store:
            self.store.record(ACCEPTED, seq, head, payload, key)
        if self.unfinished < self.window:
            self._pump()
        return seq

    def _pump(self) -> None:
        """As in the core, where what is next is sent for the first time."""
        out = self.out
        seq = self.sent
        if out is None or self.clearing or seq < self.sent_before:
            Session._pump(self)
            return
        end = min(self.next, seq + self.window - self.unfinished)
        first = self.first if self.unfinished else seq
        if end - first > self.span or len(out) + 3 * (end - seq) > self.out_max:
            Session._pump(self)
            return
        begun = seq
        messages = self.messages
        form = self.form
        while seq < end:
            message = messages.get(seq)
            if message is None:  # given up, or an identifier of something else
                break
            if form:
                pieces = form(seq, message)
                if pieces is None:
                    break
                out += pieces
            else:
                out += (message[0], (seq % SPAN + 1).to_bytes(2, "big"), message[1])
            seq += 1
        if seq > begun:
            if seq > self.kept:
                self.wanted = True
            self.first = first
            self.unfinished += seq - begun
            self.sent = seq
        if seq < end:
            Session._pump(self)

    def acknowledged(self, first: int, packet_id: int, reason: int = 0) -> None:
        """See Session."""
        seq = self.first + (packet_id - 1 - self.first) % SPAN
        messages = self.messages
        message = messages.get(seq) if seq < self.sent and not reason and not self.releasing else None
        if message is None:
            Session.acknowledged(self, first, packet_id, reason)
            return
        state = message[0][0] & 6
        row = OUTBOUND.get(state << 8 | first, 0)
        if row == _FINISHED:
            del messages[seq]
            self.unfinished -= 1
            if seq == self.first:
                after = seq + 1
                while after < self.sent and after not in messages:
                    after += 1
                self.first = after
            if self.store:
                self._record(DONE, seq)
            if self.on_finished:
                self.on_finished(seq, 0)
            if self.sent < self.next:
                self._pump()
        elif row >> 8 == RELEASED and self.out is not None:
            if state != RELEASED:
                messages[seq] = (released(message[0]), message[1], message[2])
                if self.store:
                    self._record(RELEASED_RECORD, seq)
            self.out.append(_answer(row & 0xFF, packet_id))
        else:
            Session.acknowledged(self, first, packet_id)

    # -- inbound

    def released(self, packet_id: int) -> None:
        """See Session."""
        self._go(self.inbound.get(packet_id, FREE), PUBREL, packet_id)

    def handled(self, delivery: int, generation: int) -> None:
        """See Session."""
        packet_id = delivery & 0xFFFF
        value = self.inbound.get(packet_id, FREE)
        if value and generation == self.generation and value >> 4 == delivery >> 16:
            self._go(value, HANDLED, packet_id)

    def _go(self, value: int, event: int, packet_id: int) -> None:
        """As `_step`, of an event that is no PUBLISH: the digest stays."""
        state = value & 15
        row = INBOUND.get(state << 8 | event, -1)
        if row < 0:
            self._step(value, event, packet_id, 0)
            return
        after = row >> 8
        if self.store:
            if after == HELD:
                if state != HELD:
                    self._record(HELD_RECORD, value >> 4 << 16 | packet_id)
            elif state == HELD:
                self._record(FREED, packet_id)
        if after:
            self.inbound[packet_id] = value & ~15 | after
        elif value:
            del self.inbound[packet_id]
        effect = row & 0xFF
        if effect >= SEND and self.out is not None:
            self.out.append(_answer(effect, packet_id))


def _answer(first: int, packet_id: int) -> bytes:
    """As codec.acknowledgement, without a reason code."""
    return (first << 24 | 0x20000 | packet_id).to_bytes(4, "big")
