"""The session: QoS 1 and 2 in both directions. This file owns the handshakes of MQTT 3.1.1 chapter 4.3 and 4.4.

- It does not know which role it plays: client and server, outbound and inbound, use the same class.
- The handshakes are two tables of rows `state << 8 | input: next state << 8 | effect`, with the statement that a row
  follows. A row that is missing is a protocol error, never a guess.
- It has no clock and no I/O. Every change of state is told to `store` (if there is one) as a record (store/records.py)
  before the packet that follows from it is appended to `out`, a list that the network connection owns. Whoever writes
  `out` first makes the records made so far durable if `wanted` says that a packet there depends on one that is not.
  Of what nothing depends on (a message is finished) the loss costs a repeat after a crash, so it need not wait.
- Outbound messages are numbered: a **sequence number** is given at acceptance, counts up and is never used again. The
  packet identifier follows from it (`seq % 65535 + 1`), and what is unfinished never spans more than 65,535, so
  identifiers cannot collide and order is the order of numbers [MQTT-2.3.1-2] [MQTT-4.6.0-1].

Both runtimes; imports only lower modules of the core.
"""

from . import const
from .codec import acknowledgement, released, repeated
from .errors import broken

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..store.base import Store
    from ..store.records import State

# As in codec; constants cost nothing on a board only in the file that defines them.
_PUBACK = const(0x40)
_PUBREC = const(0x50)
_PUBREL = const(0x62)
_PUBCOMP = const(0x70)

# As in store/records.
_ACCEPTED = const(1)
_RELEASED = const(2)
_DONE = const(3)
_DOUBT = const(4)
_HELD = const(5)
_FREED = const(6)
_LOST = const(7)
_CLEARING = const(14)

SPAN = const(65535)  # packet identifiers there are
WINDOW = const(20)  # QoS 1 and 2 messages sent and not finished, where the peer does not say (3.1.1)

# Outbound states. A message's own QoS bits tell the two kinds of SENT apart, so nothing has to be stored for them.
FREE = const(0)  # unknown, or finished
SENT1 = const(2)  # QoS 1 PUBLISH sent: unacknowledged
SENT2 = const(4)  # QoS 2 PUBLISH sent: unacknowledged
RELEASED = const(6)  # PUBREC received, PUBREL sent: unacknowledged

# Inbound states of a packet identifier
TAKEN1 = const(1)  # QoS 1, given to the application
TAKEN2 = const(3)  # QoS 2, given to the application
STALE1 = const(5)  # as TAKEN1, but the network connection it came over is gone: the peer will repeat it
STALE2 = const(7)  # as TAKEN2, but the network connection it came over is gone
OWED1 = const(9)  # QoS 1, handled after its connection was gone: PUBACK is owed to the repeat
HELD = const(11)  # QoS 2, handled: identifier remembered until PUBREL (method B of figure 4.3)

# Inputs that are no acknowledgement; a PUBLISH is its first byte without RETAIN.
PUBLISH1 = const(0x32)
PUBLISH1_DUP = const(0x3A)
PUBLISH2 = const(0x34)
PUBLISH2_DUP = const(0x3C)
HANDLED = const(1)  # the application has handled the message
LOST = const(2)  # the network connection is gone

# Effects
NOTHING = const(0)
FINISH = const(1)  # outbound message finished: forget it, open the window
DELIVER = const(2)  # give it to the application
SEND = const(0x10)  # effects from here on are the first byte of the acknowledgement to send

OUTBOUND = {
    SENT1 << 8 | _PUBACK: FREE << 8 | FINISH,  # [MQTT-4.3.2-1]
    SENT2 << 8 | _PUBREC: RELEASED << 8 | _PUBREL,  # [MQTT-4.3.3-1]; not sent as PUBLISH again from here on
    RELEASED << 8 | _PUBREC: RELEASED << 8 | _PUBREL,  # the answer to a repeat crossed ours
    RELEASED << 8 | _PUBCOMP: FREE << 8 | FINISH,  # [MQTT-4.3.3-1]
    FREE << 8 | _PUBACK: FREE << 8 | NOTHING,  # answers a repeat of what is finished
    FREE << 8 | _PUBREC: FREE << 8 | _PUBREL,  # the peer remembers what we have finished: let it forget
    FREE << 8 | _PUBCOMP: FREE << 8 | NOTHING,
}

INBOUND = {
    FREE << 8 | PUBLISH1: TAKEN1 << 8 | DELIVER,  # [MQTT-4.3.2-2]
    FREE << 8 | PUBLISH1_DUP: TAKEN1 << 8 | DELIVER,
    FREE << 8 | PUBLISH2: TAKEN2 << 8 | DELIVER,  # [MQTT-4.3.3-2]
    FREE << 8 | PUBLISH2_DUP: TAKEN2 << 8 | DELIVER,
    FREE << 8 | _PUBREL: FREE << 8 | _PUBCOMP,  # our PUBCOMP was lost
    FREE << 8 | HANDLED: FREE << 8 | NOTHING,  # the second of two deliveries under one identifier
    TAKEN1 << 8 | HANDLED: FREE << 8 | _PUBACK,  # [MQTT-4.3.2-2]
    TAKEN1 << 8 | PUBLISH1: TAKEN1 << 8
    | DELIVER,  # not a repeat: the peer lost its state and uses the identifier again
    TAKEN1 << 8 | PUBLISH1_DUP: TAKEN1 << 8 | NOTHING,  # one PUBACK answers both
    TAKEN1 << 8 | LOST: STALE1 << 8 | NOTHING,
    TAKEN2 << 8 | HANDLED: HELD << 8 | _PUBREC,  # [MQTT-4.3.3-2]
    TAKEN2 << 8 | PUBLISH2: TAKEN2 << 8 | NOTHING,
    TAKEN2 << 8 | PUBLISH2_DUP: TAKEN2 << 8 | NOTHING,
    TAKEN2 << 8 | LOST: STALE2 << 8 | NOTHING,
    STALE1 << 8 | HANDLED: OWED1 << 8 | NOTHING,
    STALE1 << 8 | PUBLISH1: TAKEN1 << 8 | DELIVER,
    STALE1 << 8 | PUBLISH1_DUP: TAKEN1 << 8 | NOTHING,
    STALE1 << 8 | LOST: STALE1 << 8 | NOTHING,
    STALE2 << 8 | HANDLED: HELD << 8 | NOTHING,  # PUBREC answers the repeat
    STALE2 << 8 | PUBLISH2: TAKEN2 << 8 | NOTHING,
    STALE2 << 8 | PUBLISH2_DUP: TAKEN2 << 8 | NOTHING,
    STALE2 << 8 | LOST: STALE2 << 8 | NOTHING,
    OWED1 << 8 | PUBLISH1: TAKEN1 << 8 | DELIVER,
    OWED1 << 8 | PUBLISH1_DUP: FREE << 8 | _PUBACK,
    OWED1 << 8 | PUBLISH2: TAKEN2 << 8 | DELIVER,  # the peer gave up the QoS 1 message and uses its identifier again
    OWED1 << 8 | PUBLISH2_DUP: TAKEN2 << 8 | DELIVER,
    OWED1 << 8 | HANDLED: OWED1 << 8 | NOTHING,
    OWED1 << 8 | LOST: OWED1 << 8 | NOTHING,
    HELD << 8 | PUBLISH2: HELD << 8 | _PUBREC,  # never delivered twice, whatever DUP says [MQTT-4.3.3-2]
    HELD << 8 | PUBLISH2_DUP: HELD << 8 | _PUBREC,
    HELD << 8 | _PUBREL: FREE << 8 | _PUBCOMP,  # [MQTT-4.3.3-2]
    HELD << 8 | PUBLISH1: TAKEN1 << 8
    | DELIVER,  # as above: the identifier is used again, so the QoS 2 exchange is over
    HELD << 8 | PUBLISH1_DUP: TAKEN1 << 8 | DELIVER,
    HELD << 8 | HANDLED: HELD << 8 | NOTHING,
    HELD << 8 | LOST: HELD << 8 | NOTHING,
}

_NONE = (b"\0", b"", b"")  # stands for "no such message"; its state is FREE

IN_DOUBT = const(1)  # how a message can end: 0 confirmed, this, the reason code (0x80 up) by which it was refused, or
ASIDE = const(256)  # set aside, because the peer would never take it; with a reason code (5.0) in the lower bits
REFUSED = const(0x80)


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

    def __init__(self, window: int = WINDOW, inbound_max: int = SPAN, start: int = 0) -> None:
        self.window = window
        self.inbound_max = inbound_max
        self.span = SPAN  # from the first unfinished message to the last one sent
        self.store: "Store | None" = None  # where records go
        self.on_finished: "Callable[[int, int], None] | None" = None
        self.wanted = True  # a packet in `out` tells of a record that may not be durable
        self.kept = start  # messages below this one are durable; whoever commits says so
        self.out: "list[bytes] | None" = None  # packets to write; None while there is no network connection
        self.next = start  # sequence number of the next message accepted
        self.sent = start  # sequence number of the first message not sent yet
        self.first = start  # no message below this one is unfinished
        # Below 0: before the first QoS 2 message, the peer must give up what it holds of an earlier life, from this
        # identifier on; above 0, while it does: the identifier waited for (clearing.py)
        self.clearing = 0
        self.clear_step = 128  # identifiers at once
        self.sent_before = start  # below this one, a message may have been sent on an earlier connection: DUP
        self.unfinished = 0  # sent and not finished; at most `window`
        self.generation = 0  # grows when the peer has lost the session
        self.messages: "dict[int, tuple[bytes, bytes, bytes]]" = {}  # by sequence number
        self.inbound: "dict[int, int]" = {}  # state by packet identifier
        # {} for who wants to keep what is in doubt, or was set aside: then the message is not a released one
        self.doubts: "dict[int, tuple[bytes, bytes, bytes]] | None" = None

    # -- a life before this one

    def load(self, state: "State") -> None:
        """Go on from what a store has kept; `store` is set already."""
        if state.next >= 0:
            self.next = state.next
        self.messages = state.messages
        self.doubts = state.doubts
        self.clearing = -state.clearing
        unfinished = sorted(self.messages)
        self.first = self.sent = unfinished[0] if unfinished else self.next
        self.kept = self.next
        # Any may have been sent: that messages before it were finished need not have been recorded.
        self.sent_before = self.next
        for packet_id in state.held:
            self.inbound[packet_id] = HELD

    def save(self, state: "State") -> None:
        """What a store has to keep, all of it."""
        state.next = self.next
        state.messages = self.messages
        state.doubts = self.doubts or {}
        state.clearing = 1 if self.clearing else 0
        state.held.clear()
        for packet_id, value in self.inbound.items():
            if value == HELD:
                state.held.add(packet_id)

    # -- the network connection comes and goes

    def connected(self, out: "list[bytes]", session_present: bool) -> None:
        """A network connection is up: CONNACK was received or is in `out`. Sends again what is unacknowledged:
        PUBREL and PUBLISH with DUP, identifiers and order as they were [MQTT-4.4.0-1] [MQTT-4.6.0-1].

        `session_present`: whether the peer still has this session. If not, what is unacknowledged is sent as new, and
        what was released is finished *in doubt* unless its key makes a second sending harmless.
        """
        if session_present:
            self.sent_before = max(self.sent_before, self.sent)
            self.sent = self.first
            self.unfinished = 0
        else:
            self.lost_by_peer()
        if self.clearing > 0:
            self.clearing = -((self.clearing - 1) // self.clear_step * self.clear_step + 1)
        self.out = out  # not before: what `on_finished` publishes must not overtake what is sent again
        self.wanted = True  # a commit that the last connection waited for may not have ended
        self._pump()

    def lost_by_peer(self) -> None:
        """The peer has no state of this session (or it is to be dropped): none may be used here either
        [MQTT-3.1.2-6].
        """
        self.generation += 1
        if HELD in self.inbound.values():
            self._record(_LOST, 0)
        self.inbound.clear()
        if self.clearing:
            self.clearing = 0
            self._record(_CLEARING, 0)
        messages = self.messages
        owned = sorted([seq for seq in messages if messages[seq][0][0] & 6 == RELEASED])
        self.sent_before = self.first
        for seq in owned:
            head, payload, key = messages[seq]
            if key and key[0] & 1:
                messages[seq] = message = (bytes((head[0] & 0xFD,)) + head[1:], payload, key)
                self._record(_ACCEPTED, seq, message[0], payload, key)
            else:
                self._finish(seq, IN_DOUBT)
        self.sent = self.first
        self.unfinished = 0

    def disconnected(self) -> None:
        """The network connection is gone. The application may still be busy with messages that came over it."""
        self.out = None
        for packet_id, state in self.inbound.items():
            self.inbound[packet_id] = INBOUND[state << 8 | LOST] >> 8

    # -- outbound

    def publish(self, head: bytes, payload: bytes, key: bytes = b"") -> int:
        """Accept a QoS 1 or 2 message (codec.publish_head); its sequence number. Sent now or when the window opens."""
        seq = self.next
        self.messages[seq] = (head, payload, key)
        self.next = seq + 1
        if self.store:
            self.store.record(_ACCEPTED, seq, head, payload, key)
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
        if out is None or self.clearing > 0:
            return
        seq = self.sent
        while seq < self.next and self.unfinished < self.window and seq - self.first < self.span:
            if not self.unfinished:
                self.first = seq
            message = self.messages.get(seq)
            if message:
                head = message[0]
                if self.clearing and head[0] & 4:
                    if not self.unfinished:
                        from .clearing import clear  # hardly ever needed, so not loaded before

                        clear(self, -self.clearing)
                    return
                if seq >= self.kept:
                    self.wanted = True
                packet_id = seq % SPAN + 1
                if head[0] & 6 == RELEASED:
                    out.append(acknowledgement(_PUBREL, packet_id))
                else:
                    out += (
                        repeated(head) if seq < self.sent_before else head,
                        packet_id.to_bytes(2, "big"),
                        message[1],
                    )
                self.unfinished += 1
            seq += 1
            self.sent = seq

    def acknowledged(self, first: int, packet_id: int, reason: int = 0) -> None:
        """PUBACK, PUBREC or PUBCOMP (`first`: its first byte) arrived. ProtocolError where the state forbids it.

        `reason`: its reason code (5.0); PUBACK and PUBREC from 0x80 on refuse the message, which ends it.
        """
        seq = self.first + (packet_id - 1 - self.first) % SPAN
        message = self.messages.get(seq, _NONE) if seq < self.sent else _NONE
        state = message[0][0] & 6
        row = OUTBOUND.get(state << 8 | first, -1)
        if row < 0:
            raise broken("4.3", first >> 4, packet_id)
        effect = row & 0xFF
        if reason >= REFUSED and first != _PUBCOMP:
            if not state:
                return
            effect = FINISH
        else:
            reason = 0
        if self.clearing > 0:
            if packet_id == self.clearing and first == _PUBCOMP:
                from .clearing import clear

                clear(self, packet_id + 1)
        elif effect == FINISH:
            self._finish(seq, reason)
            if self.sent < self.next:
                self._pump()
        elif effect >= SEND:
            if row >> 8 == RELEASED and state != RELEASED:
                self.messages[seq] = (released(message[0]), message[1], message[2])
                self._record(_RELEASED, seq)
            self._send(effect, packet_id)

    def _finish(self, seq: int, outcome: int) -> None:
        messages = self.messages
        message = messages.pop(seq)
        self.unfinished -= 1
        if seq == self.first:
            first = seq + 1
            while first < self.sent and first not in messages:
                first += 1
            self.first = first
        if (outcome == IN_DOUBT or outcome >= ASIDE) and self.doubts is not None:
            self.doubts[seq] = message
            self._record(_DOUBT, seq)
        elif self.store:
            self.store.record(_DONE, seq)
            if self.sent - seq > SPAN // 2:  # another will soon have its packet identifier
                self.wanted = True
        if self.on_finished:
            self.on_finished(seq, outcome)

    # -- inbound

    def received(self, first: int, packet_id: int) -> bool:
        """A QoS 1 or 2 PUBLISH arrived (`first`: its first byte); whether to deliver it. Call `handled` when it is."""
        inbound = self.inbound
        state = inbound.get(packet_id, FREE)
        if not state and len(inbound) >= self.inbound_max:
            raise broken("4.3.3", self.inbound_max)
        return self._step(state, first & 0xFE, packet_id) == DELIVER

    def released(self, packet_id: int) -> None:
        """PUBREL arrived."""
        self._step(self.inbound.get(packet_id, FREE), _PUBREL, packet_id)

    def handled(self, packet_id: int, generation: int) -> None:
        """The application has handled the message that was delivered in `generation`: acknowledge it.

        Called in the order of delivery, acknowledgements leave in that order [MQTT-4.6.0-2] [MQTT-4.6.0-3].
        """
        if generation == self.generation:
            self._step(self.inbound.get(packet_id, FREE), HANDLED, packet_id)

    def _step(self, state: int, event: int, packet_id: int) -> int:
        row = INBOUND.get(state << 8 | event, -1)
        if row < 0:
            raise broken("4.3", event >> 4, packet_id)
        after = row >> 8
        effect = row & 0xFF
        if (state == HELD) != (after == HELD):
            self._record(_HELD if after == HELD else _FREED, packet_id)
        if after:
            self.inbound[packet_id] = after
        elif state:
            del self.inbound[packet_id]
        if effect >= SEND:
            self._send(effect, packet_id)
        return effect

    def _record(self, kind: int, number: int, head: bytes = b"", payload: bytes = b"", key: bytes = b"") -> None:
        """Tell the store what a packet will depend on."""
        if self.store:
            self.wanted = True
            self.store.record(kind, number, head, payload, key)

    def _send(self, first: int, packet_id: int) -> None:
        if self.out is not None:
            self.out.append(acknowledgement(first, packet_id))
