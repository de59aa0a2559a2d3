"""The session: QoS 1 and 2 in both directions. This file owns the handshakes of MQTT 3.1.1 chapter 4.3 and 4.4, which
are those of 5.0, too: a session knows no version.

- It does not know which role it plays: client and server, outbound and inbound, use the same class.
- The handshakes are tables of rows `state << 8 | input: next state << 8 | effect`, with the statement that a row
  follows. **Nothing changes a state outside of them**, and a row that is missing is a protocol error, never a guess.
  OUTBOUND and INBOUND are here. What hardly ever happens has its rows in modules that are loaded when it does: the peer
  uses an identifier again (reused_identifiers), it has lost the session (lost_session), a message ends early
  (early_ends). earlier_life is about what the peer still holds of a life before ours.
- It has no clock and no I/O. Every change of state is told to `store` (if there is one) as a record (records.py) before
  the packet that follows from it is appended to `out`, a list that the network connection owns. Whoever writes `out`
  first makes the records made so far durable if `wanted` says that a packet there depends on one that is not;
  `must_wait` is where that is decided.
- Outbound messages are numbered: a **sequence number** is given at acceptance, counts up and is never used again. The
  packet identifier follows from it (`seq % 65535 + 1`), and what is unfinished never spans more than 65,535, so
  identifiers cannot collide and order is the order of numbers [MQTT-2.3.1-2] [MQTT-4.6.0-1].
- What must hold between any two calls is in invariants.py, and `check` looks.

Both runtimes; imports only lower modules of the core.
"""

from . import const
from .codec import acknowledgement, released, repeated
from .errors import broken
from .features import DOUBTS, JOURNAL, SERIAL, SERVER, STREAM, V5
from .packet_types import PUBACK, PUBCOMP, PUBREC, PUBREL
from .reason_codes import REFUSED
from .records import ACCEPTED, CLEARING, DONE, DOUBT, FREED, is_streamed
from .records import HELD as HELD_RECORD
from .records import RELEASED as RELEASED_RECORD

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from collections.abc import Callable

    from .records import Recorder, State

SPAN = const(65535)  # packet identifiers there are
WINDOW = const(20)  # QoS 1 and 2 messages sent and not finished, where the peer does not say (3.1.1)

# Outbound states: the QoS bits of the message's head, so that nothing else has to be stored. 2 and 4 are those of its
# PUBLISH; 6, which no PUBLISH has, is ours. A message that is accepted and not sent is in the state in which it will be
# sent; which those are, the numbers say (Session.sent), and no packet can be about them.
FREE = const(0)  # unknown, or finished
SENT1 = const(2)  # QoS 1 PUBLISH sent: unacknowledged
SENT2 = const(4)  # QoS 2 PUBLISH sent: unacknowledged
RELEASED = const(6)  # PUBREC received, PUBREL sent: unacknowledged

# Inbound states of a packet identifier, in the lower 4 bits: 1, it stands for a message; 2, at QoS 2; 4, the network
# connection that it came over is gone (STALE); 8, the application has handled it. Above them, a digest of the message's
# content, by which another message is told from a repeat; 0: it is not known. At QoS 1: how often the identifier has
# been used again.
TAKEN1 = const(1)  # QoS 1, given to the application
TAKEN2 = const(3)  # QoS 2, given to the application
STALE1 = const(5)  # TAKEN1, and the peer will repeat it
STALE2 = const(7)  # TAKEN2, and the peer will repeat it
OWED1 = const(9)  # QoS 1, handled after its connection was gone: PUBACK is owed to the repeat
HELD = const(11)  # QoS 2, handled: identifier remembered until PUBREL (method B of figure 4.3)

# Inputs that are no acknowledgement; a PUBLISH is its first byte, but for RETAIN, in whose place is OTHER.
OTHER = const(1)  # QoS 2: its content is not that of the message that the identifier stands for
PUBLISH1 = const(0x32)
PUBLISH1_DUP = const(0x3A)
PUBLISH2 = const(0x34)
PUBLISH2_DUP = const(0x3C)
HANDLED = const(1)  # the application has handled the message
CUT = const(2)  # the network connection is gone

# Effects
NOTHING = const(0)
FINISH = const(1)  # outbound message finished: forget it, open the window
DELIVER = const(2)  # give it to the application
SEND = const(0x10)  # effects from here on are the first byte of the acknowledgement to send

# fmt: off
OUTBOUND = {
    SENT1    << 8 | PUBACK:  FREE     << 8 | FINISH,   # [MQTT-4.3.2-1]
    SENT2    << 8 | PUBREC:  RELEASED << 8 | PUBREL,   # [MQTT-4.3.3-1]; not sent as PUBLISH again from here on
    RELEASED << 8 | PUBREC:  RELEASED << 8 | PUBREL,   # the answer to a repeat crossed ours
    RELEASED << 8 | PUBCOMP: FREE     << 8 | FINISH,   # [MQTT-4.3.3-1]
    FREE     << 8 | PUBACK:  FREE     << 8 | NOTHING,  # answers a repeat of what is finished
    FREE     << 8 | PUBREC:  FREE     << 8 | PUBREL,   # the peer remembers what we have finished: let it forget
    FREE     << 8 | PUBCOMP: FREE     << 8 | NOTHING,
}

INBOUND = {
    FREE   << 8 | PUBLISH1:     TAKEN1 << 8 | DELIVER,  # [MQTT-4.3.2-2]
    FREE   << 8 | PUBLISH1_DUP: TAKEN1 << 8 | DELIVER,
    FREE   << 8 | PUBLISH2:     TAKEN2 << 8 | DELIVER,  # [MQTT-4.3.3-2]
    FREE   << 8 | PUBLISH2_DUP: TAKEN2 << 8 | DELIVER,
    FREE   << 8 | PUBREL:       FREE   << 8 | PUBCOMP,  # our PUBCOMP was lost
    TAKEN1 << 8 | HANDLED:      FREE   << 8 | PUBACK,   # [MQTT-4.3.2-2]
    TAKEN1 << 8 | PUBLISH1_DUP: TAKEN1 << 8 | NOTHING,  # one PUBACK answers both
    TAKEN1 << 8 | CUT:          STALE1 << 8 | NOTHING,
    TAKEN2 << 8 | HANDLED:      HELD   << 8 | PUBREC,   # [MQTT-4.3.3-2]
    TAKEN2 << 8 | PUBLISH2:     TAKEN2 << 8 | NOTHING,  # the same content: some repeat without DUP
    TAKEN2 << 8 | PUBLISH2_DUP: TAKEN2 << 8 | NOTHING,
    TAKEN2 << 8 | CUT:          STALE2 << 8 | NOTHING,
    STALE1 << 8 | HANDLED:      OWED1  << 8 | NOTHING,
    STALE1 << 8 | PUBLISH1_DUP: TAKEN1 << 8 | NOTHING,
    STALE2 << 8 | HANDLED:      HELD   << 8 | NOTHING,  # PUBREC answers the repeat
    STALE2 << 8 | PUBLISH2:     TAKEN2 << 8 | NOTHING,
    STALE2 << 8 | PUBLISH2_DUP: TAKEN2 << 8 | NOTHING,
    OWED1  << 8 | PUBLISH1_DUP: FREE   << 8 | PUBACK,
    HELD   << 8 | PUBLISH2:     HELD   << 8 | PUBREC,   # the same content is never delivered twice [MQTT-4.3.3-2]
    HELD   << 8 | PUBLISH2_DUP: HELD   << 8 | PUBREC,
    HELD   << 8 | PUBREL:       FREE   << 8 | PUBCOMP,  # [MQTT-4.3.3-2]
}
# fmt: on

_NONE = (b"\0", b"", b"")  # stands for "no such message"; its state is FREE

# How a message can end, besides 0, confirmed, and the reason code from 0x80 on with which it was refused
IN_DOUBT = const(1)  # the peer has lost the session between PUBREC and PUBCOMP
EXPIRED = const(2)  # its time was over before it was sent (5.0)
ASIDE = const(256)  # set aside, because the peer would never take it; with a reason code (5.0) in the lower bits


class Session:
    """Session state (4.1) of one client identifier at one end, without subscriptions.

    `window`: QoS 1 and 2 messages that may be sent and unfinished. `inbound_max`: identifiers that the peer may have
    unfinished. `start`: the first sequence number; whoever has no store takes a random one, so that its identifiers are
    not those that the peer still remembers from an earlier life. `on_finished(seq, outcome)` is called for each
    outbound message that is finished.

    A message is `(head, payload, key)`. Once it is released, the QoS bits of its head are 3, which no PUBLISH has; its
    content is kept, because a session lost by the peer puts it in doubt again. The first byte of `key`, if there is
    one, is odd when the key travels with the message: then it may be sent again at any time.
    """

    log: "Callable[[str], None] | None" = None  # told of what the peer should not do, and what became of it
    reuses: int  # how often `log` was (reused_identifiers.py)
    earlier: "list[int]"  # identifiers held since before this connection, oldest first, where there are many (same)
    swept: int  # earlier_life.py
    # How the message with this number is sent in 5.0: the pieces of its PUBLISH; None: it ends here, for it has expired
    # or is larger than the peer takes. Without `form`, as it is kept.
    form: "Callable[[int, tuple[bytes, bytes, bytes]], tuple[bytes, ...] | None] | None" = None
    # Brings a message that is on the disk alone, and some behind it, into `messages`; whether it was (a broker's)
    fetch: "Callable[[int], bool] | None" = None

    def __init__(self, window: int = WINDOW, inbound_max: int = SPAN, start: int = 0) -> None:
        self.window = window
        self.inbound_max = inbound_max
        self.span = SPAN  # from the first unfinished message to the last one sent
        self.store: "Recorder | None" = None  # where records go
        self.on_finished: "Callable[[int, int], None] | None" = None
        self.ended: "tuple[bytes, bytes, bytes] | None" = None  # the last message that was not confirmed
        self.wanted = True  # a packet in `out` tells of a record that may not be durable
        self.kept = start  # messages below this one are durable; whoever commits says so
        self.out: "list[bytes] | None" = None  # packets to write; None while there is no network connection
        if SERIAL:
            # Pieces of packets in `out` beyond which no more messages join them before whoever writes it pumps again.
            # What is in `out` goes before a PUBREL that comes later: on a slow line all messages of a window would at
            # last wait for their PUBREC or PUBCOMP together, and the line for them.
            self.out_max = 3 * SPAN
        self.next = start  # sequence number of the next message accepted
        self.sent = start  # sequence number of the first message not sent yet
        self.first = start  # no message below this one is unfinished
        self.clearing = 0  # what the peer may still hold of a life before this store (earlier_life.py); 0: nothing
        self.releasing = 0  # the last of the identifiers that it is giving up; 0: none
        self.clear_step = 128  # identifiers at once
        self.sent_before = start  # below this one, a message may have been sent on an earlier connection: DUP
        self.unfinished = 0  # sent and not finished; at most `window`
        self.generation = 0  # grows when the peer has lost the session
        self.messages: "dict[int, tuple[bytes, bytes, bytes]]" = {}  # by sequence number
        self.inbound: "dict[int, int]" = {}  # digest << 4 | state by packet identifier
        # {} for who wants to keep what is in doubt, or was set aside: then the message is not a released one
        self.doubts: "dict[int, tuple[bytes, bytes, bytes]] | None" = None

    # -- a life before this one

    def load(self, state: "State") -> None:
        """Go on from what a store has kept; `store` is set already."""
        if state.next >= 0:
            self.next = state.next
        self.messages = state.messages
        self.doubts = state.doubts
        self.clearing = state.clearing
        unfinished = sorted(self.messages)
        self.first = self.sent = unfinished[0] if unfinished else self.next
        self.kept = self.next
        # Any may have been sent: that messages before it were finished need not have been recorded.
        self.sent_before = self.next
        for packet_id in state.held:
            self.inbound[packet_id] = state.held[packet_id] << 4 | HELD

    def save(self, state: "State") -> None:
        """What a store has to keep, all of it."""
        state.next = self.next
        state.messages = self.messages
        state.doubts = self.doubts or {}
        state.clearing = self.clearing
        state.held.clear()
        for packet_id, value in self.inbound.items():
            if value & 15 == HELD:
                state.held[packet_id] = value >> 4

    # -- the network connection comes and goes

    def connected(self, out: "list[bytes]", session_present: bool) -> None:
        """A network connection is up: CONNACK was received or is in `out`. Sends again what is unacknowledged:
        PUBREL and PUBLISH with DUP, identifiers and order as they were [MQTT-4.4.0-1] [MQTT-4.6.0-1].

        `session_present`: whether the peer still has this session. If not, what is unacknowledged is sent as new, and
        what was released is finished *in doubt* unless its key makes a second sending harmless.
        """
        if session_present:
            self.sent_before = max(self.sent_before, self.sent)
        else:
            self.generation += 1
            self.sent_before = self.first
            if JOURNAL and self.clearing:
                self.clearing = 0
                self._record(CLEARING, 0)
            if self.messages or self.inbound:
                from .lost_session import lost_by_peer

                lost_by_peer(self)
        self.sent = self.first
        self.unfinished = self.releasing = 0
        self.out = out  # not before: what `on_finished` publishes must not overtake what is sent again
        self.wanted = True  # a commit that the last connection waited for may not have ended
        self._pump()

    def disconnected(self) -> None:
        """The network connection is gone. The application may still be busy with messages that came over it."""
        self.out = None
        for packet_id, value in self.inbound.items():
            if value & 15 <= TAKEN2:  # of the others there may be many, and they have no such row
                self.inbound[packet_id] = value & ~15 | INBOUND[(value & 15) << 8 | CUT] >> 8

    # -- outbound

    def publish(self, head: bytes, payload: bytes, key: bytes = b"") -> int:
        """Accept a QoS 1 or 2 message (codec.publish_head); its sequence number. Sent now or when the window opens."""
        seq = self.next
        self.messages[seq] = (head, payload, key)
        self.next = seq + 1
        if JOURNAL and self.store:
            self.store.record(ACCEPTED, seq, head, payload, key)
        self._pump()
        return seq

    def packet_id(self) -> int:
        """An unused packet identifier for SUBSCRIBE or UNSUBSCRIBE [MQTT-2.3.1-2]."""
        seq = self.next
        self.next = seq + 1
        return seq % SPAN + 1

    def _pump(self) -> None:
        """Send what is accepted and fits the window, in order."""
        out = self.out
        if out is None:
            return
        seq = self.sent
        while seq < self.next and self.unfinished < self.window and seq - self.first < self.span:
            if SERIAL and len(out) >= self.out_max:
                return
            if not self.unfinished:
                self.first = seq
            message = self.messages.get(seq)
            if message:
                head = message[0]
                if JOURNAL and self.clearing and head[0] & 4:
                    from .earlier_life import holds

                    if holds(self, seq):
                        return
                if JOURNAL and seq >= self.kept:
                    self.wanted = True
                packet_id = seq % SPAN + 1
                if head[0] & 6 == RELEASED:
                    out.append(acknowledgement(PUBREL, packet_id))
                elif (SERVER or V5) and self.form:
                    pieces = self.form(seq, message)
                    if pieces is None:
                        self._finish(seq, EXPIRED)
                        seq += 1
                        self.sent = seq
                        if not self.unfinished:
                            self.first = seq
                        continue
                    out += pieces
                else:
                    out += (
                        repeated(head) if seq < self.sent_before else head,
                        packet_id.to_bytes(2, "big"),
                        message[1],
                    )
                self.unfinished += 1
            elif SERVER and self.fetch and self.fetch(seq):
                continue
            seq += 1
            self.sent = seq

    def acknowledged(self, first: int, packet_id: int, reason: int = 0) -> None:
        """PUBACK, PUBREC or PUBCOMP (`first`: its first byte) arrived. ProtocolError where the state forbids it.

        `reason`: its reason code (5.0); PUBACK and PUBREC from 0x80 on refuse the message, which ends it.
        """
        seq = self.first + (packet_id - 1 - self.first) % SPAN
        message = self.messages.get(seq, _NONE) if seq < self.sent else _NONE
        state = message[0][0] & 6
        if JOURNAL and self.releasing and first == PUBCOMP and state != RELEASED:
            if packet_id == self.releasing:
                from .earlier_life import go_on

                go_on(self)
            return
        if reason >= REFUSED and V5 and first != PUBCOMP:
            from .early_ends import refused

            refused(self, first, packet_id, seq if state else -1, reason)
            return
        row = OUTBOUND.get(state << 8 | first, -1)
        if row < 0:
            raise broken("4.3 outbound", first >> 4, packet_id, state)
        effect = row & 0xFF
        if effect == FINISH:
            self._finish(seq, 0)
            if self.sent < self.next:
                self._pump()
        elif effect >= SEND:
            if row >> 8 == RELEASED and state != RELEASED:
                self.messages[seq] = (released(message[0]), message[1], message[2])
                self._record(RELEASED_RECORD, seq)
            self._send(effect, packet_id)

    def give_up(self, seq: int, outcome: int = 0) -> None:
        """Finish a message that is not released without its peer: drop it (0), or set it aside (ASIDE)."""
        from .early_ends import give_up

        give_up(self, seq, outcome)

    def _finish(self, seq: int, outcome: int) -> None:
        messages = self.messages
        message = messages.pop(seq)
        if seq < self.sent:  # what was never sent has no place in the window
            self.unfinished -= 1
            if seq == self.first:
                first = seq + 1
                while first < self.sent and first not in messages:
                    first += 1
                self.first = first
        if outcome:
            self.ended = message  # for who has to name it
        if (
            DOUBTS
            and (outcome == IN_DOUBT or outcome >= ASIDE)
            and self.doubts is not None
            and not (STREAM and is_streamed(message[2]))
        ):
            self.doubts[seq] = message
            self._record(DOUBT, seq)
        elif JOURNAL and self.store:
            self._record(DONE, seq)
        if self.on_finished:
            self.on_finished(seq, outcome)

    # -- inbound

    def received(self, first: int, packet_id: int, digest: int = 0) -> int:
        """A QoS 1 or 2 PUBLISH arrived. 0: it is a repeat. Otherwise deliver it, and call `handled` with what this
        returned (the packet identifier, above 16 bits the digest) when it is handled.

        `first`: its first byte. `digest`: at QoS 2, 26 bits of its content (connection.py); 0 where that is not known.
        """
        inbound = self.inbound
        value = inbound.get(packet_id, FREE)
        if not value and len(inbound) >= self.inbound_max:
            from .reused_identifiers import make_room

            make_room(self)
        first &= 0xFE
        if digest and 0 < value >> 4 != digest:
            first |= OTHER
        if self._step(value, first, packet_id, digest) != DELIVER:
            return 0
        return inbound[packet_id] >> 4 << 16 | packet_id

    def released(self, packet_id: int) -> None:
        """PUBREL arrived."""
        self._step(self.inbound.get(packet_id, FREE), PUBREL, packet_id, 0)

    def handled(self, delivery: int, generation: int) -> None:
        """The application has handled the message that was delivered as `delivery` in `generation`: acknowledge it,
        unless its identifier stands for another message by now.

        Called in the order of delivery, acknowledgements leave in that order [MQTT-4.6.0-2] [MQTT-4.6.0-3].
        """
        packet_id = delivery & 0xFFFF
        value = self.inbound.get(packet_id, FREE)
        if value and generation == self.generation and value >> 4 == delivery >> 16:
            self._step(value, HANDLED, packet_id, 0)

    def _step(self, value: int, event: int, packet_id: int, digest: int) -> int:
        state = value & 15
        row = INBOUND.get(state << 8 | event, -1)
        if row < 0:
            from .reused_identifiers import reused

            row, digest = reused(self, value, event, packet_id, digest)
        after = row >> 8
        effect = row & 0xFF
        if effect != DELIVER:
            digest = value >> 4
        if JOURNAL and self.store:  # of a large number, a board makes an object
            if after == HELD:
                if state != HELD:
                    self._record(HELD_RECORD, digest << 16 | packet_id)
            elif state == HELD:
                self._record(FREED, packet_id)
        if after:
            self.inbound[packet_id] = digest << 4 | after
        elif value:
            del self.inbound[packet_id]
        if effect >= SEND:
            self._send(effect, packet_id)
        return effect

    def must_wait(self, kind: int, number: int) -> bool:
        """Whether a packet may tell of a record, so that none may leave before it is durable. This is where that is
        decided, for all records. (Of one that is ACCEPTED, only its own PUBLISH tells: `_pump` looks whether it is.)

        The end of a message is told to nobody: that it is not durable costs a repeat after a crash. But before another
        message gets its packet identifier, it has to be.
        """
        return kind != DONE or self.sent - number > SPAN // 2

    def _record(self, kind: int, number: int, head: bytes = b"", payload: bytes = b"", key: bytes = b"") -> None:
        if JOURNAL and self.store:
            if self.must_wait(kind, number):
                self.wanted = True
            self.store.record(kind, number, head, payload, key)

    def _send(self, first: int, packet_id: int, reason: int = 0) -> None:
        if self.out is not None:
            self.out.append(acknowledgement(first, packet_id, reason))

    def check(self) -> None:
        """AssertionError, in words, where something does not hold that must hold between any two calls."""
        from .invariants import check

        check(self)
