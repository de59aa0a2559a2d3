"""The session of a client on CPython: the same tables, with fewer steps for what nearly all packets are. Whatever is
otherwise, and every error, is the core's (session.py).
"""

import struct

from . import const
from .codec import released
from .packet_types import PUBCOMP, PUBLISH, PUBREC, PUBREL
from .records import ACCEPTED, DONE, FREED
from .records import HELD as HELD_RECORD
from .records import RELEASED as RELEASED_RECORD
from .session import DELIVER, FINISH, FREE, HANDLED, HELD, INBOUND, OUTBOUND, RELEASED, SEND, SPAN, Session

_unpack = struct.Struct(">HH").unpack_from  # of an acknowledgement: its first two bytes, its packet identifier

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from collections.abc import Callable

# The state of an identifier that stood for nothing, by the first byte of a PUBLISH that is no repeat; FREE: it has none
TAKEN = {PUBLISH | flags: INBOUND[FREE << 8 | PUBLISH | flags & 6] >> 8 if flags & 6 else FREE for flags in range(6)}
assert all(INBOUND[FREE << 8 | first & 0xFE] & 0xFF == DELIVER for first in TAKEN if first & 6)

_FINISHED = FREE << 8 | FINISH
_RELEASE = RELEASED << 8 | PUBREL
_COMPLETE = FREE << 8 | PUBCOMP
# The one state in which `handled` leaves an identifier that something is still known of, and its answer
assert all(row >> 8 == HELD for row in INBOUND.values() if row & 0xFF == PUBREC)


class HostSession(Session):
    """See Session. `on_confirmed`: told of many messages that are confirmed, instead of `on_finished` of each."""

    on_confirmed: "Callable[[list[int]], None] | None" = None

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

    def acknowledged_run(self, data: bytes, at: int) -> int:
        """PUBACKs, PUBRECs or PUBCOMPs without reason codes that stand in `data` from `at` on, all of the kind of the
        first one: where the first packet begins that is none of them, or that the core has to look at (`acknowledged`).
        What they make room for is sent when all are processed.
        """
        out = self.out
        if out is None or self.releasing:
            return at
        begun = at
        kind = data[at] << 8 | 2
        lowest = self.first
        base = lowest - lowest % SPAN - 1
        sent = self.sent
        messages = self.messages
        finished: "list[int]" = []
        head = is_released = b""
        row = 0
        have = len(data) - 3
        while at < have:
            its_kind, packet_id = _unpack(data, at)
            seq = base + packet_id
            if seq < lowest:
                seq += SPAN
            message = messages.get(seq) if its_kind == kind and packet_id and seq < sent else None
            if message is None:
                break
            if message[0] is not head:  # else it is as of the message before
                head = message[0]
                row = OUTBOUND.get((head[0] & 6) << 8 | kind >> 8, 0)
                is_released = released(head) if row == _RELEASE else b""
            if row == _FINISHED:
                del messages[seq]
                finished.append(seq)
                if self.store:
                    self._record(DONE, seq)
            elif row == _RELEASE:
                if head != is_released:
                    messages[seq] = (is_released, message[1], message[2])
                    if self.store:
                        self._record(RELEASED_RECORD, seq)
            else:
                break
            at += 4
        if finished:
            self.unfinished -= len(finished)
            while lowest < sent and lowest not in messages:
                lowest += 1
            self.first = lowest
            if self.on_confirmed:
                self.on_confirmed(finished)
            elif self.on_finished:
                for seq in finished:
                    self.on_finished(seq, 0)
            if self.sent < self.next:
                self._pump()
        elif at > begun:
            out.append(_answers(PUBREL, data, begun, at))
        return at

    # -- inbound

    def released_run(self, data: bytes, at: int) -> int:
        """PUBRELs, as `acknowledged_run`."""
        out = self.out
        if out is None:
            return at
        begun = at
        inbound = self.inbound
        have = len(data) - 3
        while at < have:
            kind, packet_id = _unpack(data, at)
            if kind != PUBREL << 8 | 2:
                break
            value = inbound.get(packet_id, FREE)
            if INBOUND.get((value & 15) << 8 | PUBREL, 0) != _COMPLETE or not packet_id:
                break
            if value:
                if self.store:
                    self._record(FREED, packet_id)
                del inbound[packet_id]
            at += 4
        if at > begun:
            out.append(_answers(PUBCOMP, data, begun, at))
        return at

    def handled(self, delivery: int, generation: int) -> None:
        """See Session."""
        packet_id = delivery & 0xFFFF
        value = self.inbound.get(packet_id, FREE)
        if not value or generation != self.generation or value >> 4 != delivery >> 16:
            return
        row = INBOUND.get((value & 15) << 8 | HANDLED, -1)
        effect = row & 0xFF
        if row < 0 or effect < SEND or self.out is None:
            self._step(value, HANDLED, packet_id, 0)
            return
        after = row >> 8
        if after:
            if self.store:
                self._record(HELD_RECORD, value >> 4 << 16 | packet_id)
            self.inbound[packet_id] = value & ~15 | after
        else:
            del self.inbound[packet_id]
        self.out.append((effect << 24 | 0x20000 | packet_id).to_bytes(4, "big"))


def _answers(first: int, data: bytes, begun: int, end: int) -> bytes:
    """The packets between `begun` and `end`, each an identifier, with another first byte."""
    if end - begun == 4:
        return bytes((first,)) + data[begun + 1 : end]
    answers = bytearray(data[begun:end])
    answers[::4] = bytes((first,)) * len(answers[::4])
    return bytes(answers)
