"""The serial link: reliable, ordered bytes per channel over a line that loses and garbles. Without I/O.

The owner feeds what the line brings into `receive`, asks `transmit` for the next frame whenever the line can take one,
and `deadline` when to ask at the latest. Frames are made at the last moment, so that each carries the newest
acknowledgement and retransmissions overtake everything else. What must hold:

* A session belongs to one pair of epochs. It begins when an end has seen its own epoch in the other's SYN, with empty
  queues on both sides, and ends with on_down; nothing of one session is ever delivered in another.
* What on_data delivers on channels 0, 1 and 3 is exactly what the peer's `send` accepted, in that order, up to the end
  of the session. Channel 2 (log) may lose, and counts what it drops.
* Every buffer is bounded: by send_buffer, receive_window, log_buffer and the window.

Both runtimes. No clock and no randomness: `now` is an argument, milliseconds that never decrease, and epochs come from
outside. Repairing is in sender and receiver; this file owns the handshake, and what is sent before what.
"""

from mqttlite.core import const

from .frames import (
    ACK,
    BYE,
    DATA,
    LOG,
    NAK,
    OVERHEAD,
    PING,
    SYN,
    SYN_ACK,
    VERSION,
    Greeting,
    credit_in,
    decode,
    encode,
    gaps_in,
    is_text,
    pack_syn,
    tag_of,
)
from .receiver import Receiver
from .sender import Sender
from .stats import Stats

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from collections.abc import Callable

# Reasons for on_down; words for them are in words.py.
SILENT = const(1)
RESTARTED = const(2)
RESET = const(3)
OTHER_VERSION = const(4)
LEFT = const(5)

_MAX_SYN = const(54)  # bytes of the longest SYN
_SYN_FIRST_MS = const(100)
_SYN_MAX_MS = const(2000)


def ignore(*_: object) -> None:
    """What is called where the owner has assigned nothing."""


class Link:
    """One end of a serial line.

    epoch           32 bits that no earlier run of this end has used, such as a stored boot counter (upper 16) and
                    random bits (lower 16); the link adds 1 whenever it ends a session itself
    device_id       at most 32 bytes; empty for a gateway, and only there
    reset_cause     0..255, a number of the board's own
    frame_size      bytes of the largest frame on the line, 32..255; the smaller of both ends' holds
    window          frames in flight, 1..16
    receive_window  bytes that may be on their way or unconsumed, frame_size..32767; a UART's `rxbuf` should be as large
    send_buffer     bytes that wait for their first sending; log_buffer likewise on channel 2
    baud, latency_ms (each way)  what time-outs begin with
    keepalive_ms    a silent peer is asked for a sign of life after this time, and given up after four times this

    Assign what is needed of:

    on_up(peer)     a session begins; see frames.Greeting
    on_down(reason) it has ended, and what was not delivered is lost with it: SILENT, RESTARTED, RESET, LEFT. RESET
                    and OTHER_VERSION may come while no session is up
    on_data(channel, data)  memoryview or bytes, valid during the call only. On channels 0, 1 and 3 it holds credit
                    until `consumed`. Channel 2 also brings text from outside frames (boot messages)
    on_writable()   after a `send` that did not take everything there is room again
    on_work()       `transmit` may have something to send; called by `send`, `consumed` and `reset`

    They are called from within a method of the link, and may use the link in turn, except `receive` and `transmit`.
    Attributes: `up`; `peer`, the latest one; `stats`, see Stats; `now`, the latest time; `epoch`.
    """

    def __init__(
        self,
        epoch: int,
        *,
        device_id: bytes = b"",
        reset_cause: int = 0,
        frame_size: int = 128,
        window: int = 8,
        receive_window: int = 1024,
        send_buffer: int = 1024,
        log_buffer: int = 256,
        baud: int = 115200,
        latency_ms: int = 4,
        keepalive_ms: int = 1000,
    ) -> None:
        if not (32 <= frame_size <= 255 and frame_size <= receive_window <= 32767):
            raise ValueError("frame_size must be 32..255, receive_window frame_size..32767")
        if not 1 <= window <= 16 or len(device_id) > 32:
            raise ValueError("window must be 1..16, device_id at most 32 bytes")
        self.epoch = epoch & 0xFFFFFFFF
        self.peer: "Greeting | None" = None
        self.up = False
        self.on_up: "Callable[[Greeting], object]" = ignore
        self.on_down: "Callable[[int], object]" = ignore
        self.on_data: "Callable[[int, bytes | memoryview], object]" = ignore
        self.on_writable: "Callable[[], object]" = ignore
        self.on_work: "Callable[[], object]" = ignore
        self._device_id = device_id
        self._reset_cause = reset_cause
        self._frame_size = frame_size
        self._baud = baud
        self._keepalive_ms = keepalive_ms
        self._log_buffer = log_buffer
        frame_ms = frame_size * 10000 // baud + 1
        self.stats = Stats()
        self._sender = Sender(self.stats, send_buffer, window, frame_ms, baud, latency_ms)
        self._receiver = Receiver(self.stats, receive_window, frame_ms)
        self._in = bytearray(max(frame_size, _MAX_SYN))
        self._in_size = 0
        self.seed = 0  # of what arrives; see frames.encode
        self._log = bytearray()
        self._payload_max = 0
        # Flags: the frame being received is too long; a `send` was short; SYN_ACK or SYN is to be sent.
        self._overlong = self._short = self._answer = self._ask = False
        self._syn_every_ms = _SYN_FIRST_MS
        # Times; the peer's epoch as told in our latest SYN; tags.
        self.now = self._line_free_at = self._syn_at = self._heard_at = self._pinged_at = 0
        self._told = self._tag_out = self._tag_in = 0

    def send(self, channel: int, data: "bytes | bytearray | memoryview") -> int:
        """Accepts bytes for the peer and says how many: fewer if the buffer is full, 0 while no session is up.

        A log message is taken whole or dropped and counted, also while no session is up.
        """
        if channel == LOG:
            if len(data) > self._log_buffer - len(self._log):
                self.stats.log_drops += 1
                return 0
            self._log += data
            taken = len(data)
        else:
            taken = self._sender.put(channel, data) if self.up else 0
            self._short |= taken < len(data)
        self.on_work()
        return taken

    def consumed(self, size: int) -> None:
        """The owner is done with `size` bytes that on_data delivered, log excepted: the peer may send as many more."""
        self._receiver.consume(size, self.now)
        self.on_work()

    def unsettled(self) -> int:
        """Bytes that `send` accepted, log excepted, and the peer has not acknowledged; 0 while no session is up."""
        return self._sender.unsettled() if self.up else 0

    def reset(self, now: int) -> None:
        """Ends the session, as when the port is gone; the next one begins by itself when the line works again."""
        self._in_size = 0
        self._fall(RESET, now)
        self.on_work()

    def bye(self, now: int) -> "bytes | bytearray":
        """A last frame for the line, empty while no session is up: the peer need not wait until this end is silent."""
        return self._frame(BYE, 0, b"", now) if self.up else b""

    def receive(self, data: "bytes | bytearray", now: int) -> None:
        """Bytes as they came from the line, in any portions."""
        self.now = now
        self.stats.received_bytes += len(data)
        view = memoryview(data)
        at = 0
        while at < len(data):
            zero = data.find(b"\0", at)
            end = zero if zero >= 0 else len(data)
            while at < end:
                have = self._in_size
                size = min(end - at, len(self._in) - have)
                self._in[have : have + size] = view[at : at + size]
                self._in_size = have + size
                at += size
                if at < end:  # no frame is so long
                    self._overlong = True
                    self._outside()
            if zero >= 0:
                at += 1
                if self._in_size or self._overlong:
                    self._chunk(now)

    def transmit(self, now: int) -> "bytes | bytearray":
        """The next frame for the line, to be called when the line can take one; empty: nothing to send now."""
        self.now = now
        if self.up and now - self._heard_at >= 4 * self._keepalive_ms:
            self._fall(SILENT, now)
        if self._answer:
            return self._syn(SYN_ACK, now)
        if (self._ask or not self.up) and now >= self._syn_at:
            self._ask = False
            self._syn_at = now + self._syn_every_ms
            self._syn_every_ms = min(2 * self._syn_every_ms, _SYN_MAX_MS)
            return self._syn(SYN, now)
        if not self.up:
            return b""
        flight = self._sender.next(now)
        if flight:
            frame = self._frame(DATA | flight.channel, flight.seq, flight.data, now)
            if self._short and not flight.repeated:  # a new frame made room
                self._short = False
                self.on_writable()
            return frame
        receiver = self._receiver
        if receiver.ack_at is not None and now >= receiver.ack_at:
            return self._frame(NAK if receiver.damaged else ACK, 0, b"", now)
        if now >= self._ping_due():
            if self._sender.blocked():
                self._sender.back_off()
            self._pinged_at = now
            return self._frame(PING, 0, b"", now)
        if not self._log:
            return b""
        text = self._log[: self._payload_max]
        self._log[: len(text)] = b""
        return self._frame(DATA | LOG, 0, text, now)

    def deadline(self) -> int:
        """When `transmit` should be called if nothing happens until then; the past if there is something to send."""
        if not self.up:
            return self.now if self._answer else self._syn_at
        if self._answer or self._log or self._sender.fresh():
            return self.now
        due = min(self._heard_at + 4 * self._keepalive_ms, self._ping_due())
        if self._ask:
            due = min(due, self._syn_at)
        for other in (self._receiver.ack_at, self._sender.deadline()):
            if other is not None:
                due = min(due, other)
        return due

    # --- what the line brings

    def _outside(self) -> bool:
        """Takes what is in the buffer as no frame: text goes to the log, anything else is counted only."""
        size = self._in_size
        self._in_size = 0
        self.stats.garbage_bytes += size
        text = is_text(self._in, size)
        if text and size:
            self.on_data(LOG, memoryview(self._in)[:size])
        return text

    def _chunk(self, now: int) -> None:
        """What stood between two 0x00: a frame, a damaged frame, or text."""
        buffer = self._in
        size = self._in_size
        overlong = self._overlong
        self._overlong = False
        start = 0
        if overlong or buffer[1] < DATA:
            if self._outside():
                return
        else:
            self._in_size = 0
            start = decode(buffer, size, self.seed)
        if not start:
            self.stats.damaged += 1
            self._receiver.note_damage(now)
            return
        self.stats.received += 1
        kind = buffer[1] & 0xF0
        payload = memoryview(buffer)[start : size - 4]
        if SYN <= kind < BYE:
            self._handshake(kind, Greeting(payload), now)
        elif not self.up or buffer[2] != self._tag_in:
            # The peer believes in another session: ask, at the pace of SYNs.
            self.stats.foreign += 1
            self._ask = True
        else:
            self._heard_at = now
            credit = credit_in(buffer, start)
            if credit >= 0:
                self._sender.grant(credit)
            self._sender.acknowledge(buffer[4], gaps_in(buffer), now)
            if kind == PING:
                self._receiver.ack_at = now
            elif kind == NAK:
                self._sender.suspect(now)
            elif kind == BYE:
                self._fall(LEFT, now)
            elif kind == DATA:
                self._data(buffer[1] & 3, buffer[3], payload, now)

    def _data(self, channel: int, seq: int, payload: memoryview, now: int) -> None:
        if channel == LOG:
            self.on_data(channel, payload)
        elif self._receiver.accept(seq, channel, payload, now):
            self.on_data(channel, payload)
            while self.up:
                early = self._receiver.next_early()
                if not early:
                    break
                self.on_data(early[0], early[1])

    # --- sessions

    def _handshake(self, kind: int, peer: Greeting, now: int) -> None:
        if not peer.valid:
            self.stats.damaged += 1
            return
        known = self.peer
        if peer.version != VERSION:
            self.peer = peer
            if known is None or known.version == VERSION:  # say it once
                self._fall(OTHER_VERSION, now)
            return
        if peer.epoch == self.epoch:
            # An echo, or against all odds the same number: then the end that has an id takes another.
            self.epoch = (self.epoch + len(self._device_id)) & 0xFFFFFFFF
            return
        if self.up:
            if known and peer.epoch == known.epoch:
                self._heard_at = now
                self._answer = kind == SYN
                return
            self._fall(RESTARTED, now)
        self.peer = peer
        if peer.known == self.epoch:
            self._answer = kind == SYN or self._told != peer.epoch
            self._rise(peer, now)
        else:
            self._answer = kind == SYN
            self._ask = True

    def _rise(self, peer: Greeting, now: int) -> None:
        self._tag_out = tag_of(self.epoch, peer.epoch)
        self._tag_in = tag_of(peer.epoch, self.epoch)
        self._payload_max = min(self._frame_size, peer.frame_size) - OVERHEAD
        self._sender.reset(self._payload_max, peer.receive_window)
        self._receiver.reset()
        self._heard_at = self._pinged_at = now
        self._ask = self._short = False
        self._syn_every_ms = _SYN_FIRST_MS
        self.up = True
        self.on_up(peer)

    def _fall(self, reason: int, now: int) -> None:
        self.now = self._syn_at = now
        self._syn_every_ms = _SYN_FIRST_MS
        if reason != RESTARTED:
            self.epoch = (self.epoch + 1) & 0xFFFFFFFF
        self.stats.resets += self.up
        self.up = False
        self.on_down(reason)

    def _ping_due(self) -> int:
        wait = self._sender.rto_ms if self._sender.blocked() else self._keepalive_ms
        return max(self._heard_at, self._pinged_at) + wait

    # --- what the line takes

    def _frame(self, first: int, seq: int, payload: "bytes | bytearray", now: int) -> bytearray:
        """A frame of the session, with the acknowledgement."""
        receiver = self._receiver
        # A frame of data is seldom worth the two bytes.
        credit = receiver.credit() if first >= ACK or receiver.credit_due() else -1
        receiver.note_acknowledged()
        return self._out(first, self._tag_out, seq, receiver.expected, receiver.gaps(), credit, payload, now)

    def _syn(self, kind: int, now: int) -> bytearray:
        self._answer = False
        self._told = self.peer.epoch if self.peer else 0
        syn = pack_syn(
            self.epoch, self._told, self._frame_size, self._receiver.window, self._reset_cause, self._device_id
        )
        return self._out(kind, 0, 0, 0, 0, -1, syn, now)

    def _out(
        self, first: int, tag: int, seq: int, ack: int, gaps: int, credit: int, payload: "bytes | bytearray", now: int
    ) -> bytearray:
        idle = now > self._line_free_at or first >= SYN
        frame = encode(first, tag, seq, ack, gaps, credit, payload, idle)
        self.stats.sent += 1
        self.stats.sent_bytes += len(frame)
        self._line_free_at = max(self._line_free_at, now) + len(frame) * 10000 // self._baud
        return frame
