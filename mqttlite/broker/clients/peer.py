"""A client's network connection as the engine sees it: the core's server end, and what the shell has to do with it.

- The shell looks at every peer in `Engine.dirty`: writes and empties `out`, reads or not as `is_full` says, and closes
  the connection when `closed_because` is set.
- While it has to wait for somebody (backpressure.py), its PUBLISH packets are parked in order; everything else that it
  sends is processed and answered at once. Only when `parked_bytes` are parked is it not read.
- A turn has a budget of work (Limits.turn_work). What is left then is done in the next turn of the loop (`more`), after
  the others.

Imports core.server, queue, parsing, farewell, ledger, limits; knows nothing of routing.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, cast

from ...core.auth import AUTH
from ...core.codec import acknowledgement, checksum
from ...core.connection import BYTE_MS
from ...core.errors import ProtocolError
from ...core.greeting import MQTT_3_1, MQTT_3_1_1, MQTT_5_0
from ...core.packet_types import CONNECT, DISCONNECT, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, SUBSCRIBE, UNSUBSCRIBE
from ...core.reason_codes import BAD_TOPIC, NOT_AUTHORISED, QUOTA_EXCEEDED, REFUSED
from ...core.server import CONNECT_SIZE_MAX, ServerConnection
from ..access.identity import NOBODY
from ..access.pending import Question
from ..bounds import progress
from ..bounds.addresses import key_of
from ..bounds.properties import excess_of_packet
from ..limits import Denied, LimitError, Limits
from ..packets import publish4, publish5
from ..packets.farewell import return_code, why_refused
from ..packets.long_requests import PIECE, in_pieces
from ..packets.parsing import QuickParser
from ..packets.reason_strings import explained, words_of_connack
from .parking import NOTHING_PARKED, let_go, park, park_all, unpark
from .publishing import HeldBack, Publishing
from .queue import Queue
from .runs import acknowledge_all, publish_all

if TYPE_CHECKING:
    from ..access.authentication import Exchange
    from .publishable import Publishable


LEVELS = bytes((MQTT_3_1, MQTT_3_1_1, MQTT_5_0))
WILL = 4  # the flag of CONNECT that says that there is one (3.1.2.5)
LONG = 1024  # bytes of a SUBSCRIBE or UNSUBSCRIBE that is done in pieces
REFUSAL_WORK = 10  # what a line in the log is in the budget of a turn
FILTER_WORK = 4  # what one is in the budget of a turn: about as many deliveries

_ACKNOWLEDGEMENTS = (PUBACK, PUBREL, PUBREC, PUBCOMP)  # whole first bytes: the parser has checked the flags


def _nothing_unwritten() -> int:
    return 0


def _none() -> None:
    return None


class Peer(ServerConnection):
    """`address`: for logs. `handle`, `unwritten` (bytes that have not left yet) and `paused` belong to the shell."""

    authenticates = True

    __slots__ = (  # more attributes than Python keeps well in a dictionary
        "_request",
        "_router",
        "address",
        "began_below",
        "certificate",
        "check",
        "client",
        "closed_because",
        "connected_at",
        "exchange",
        "handle",
        "identity",
        "is5",
        "limits",
        "mark",
        "marked_at",
        "method",
        "more",
        "origin",
        "output_max",
        "packet_at",
        "packet_had",
        "parked",
        "parked_bytes",
        "parked_max",
        "paused",
        "question",
        "read",
        "received",
        "refused_because",
        "rights",
        "standing",
        "topic_aliases",
        "unwritten",
        "waits_for",
        "why",
        "writable",
        "written",
    )

    def __init__(self, owner: Any, router: Publishing, address: str, now: int) -> None:
        limits: Limits = owner.limits
        self.limits = limits
        ServerConnection.__init__(self, owner, now, limits.packet_bytes, LEVELS)
        self.is5 = False  # it speaks MQTT 5.0
        self.topic_aliases: dict[int, bytes] = {}  # topic names by topic alias (5.0)
        self.method = b""  # of its authentication in several packets (5.0)
        self.exchange: Exchange | None = None  # while that lasts
        self.parser = QuickParser(min(self.parser.size_max, 2 * limits.connect_bytes))
        self.address = address
        self.origin = key_of(address)  # what counts as its address
        self.began_below: Callable[[], bool] | None = None  # where TLS or WebSocket is below: whether a byte has come
        self.connected_at = now  # ms; when CONNECT was accepted
        self.packet_at = now  # ms; since when, in a packet that is not complete ...
        self.packet_had = 0  # ... there is more than so many bytes
        self.certificate: Callable[[], Any] = _none  # the client's, as ssl's getpeercert has it, where it holds
        self.identity = NOBODY  # who it is, from the answer to CONNECT on
        self.question: Question | None = None  # while CONNECT waits for the answer to it: nothing else is done
        # Asked for each PUBLISH: an error unless its topic is one, and one that this client may publish to.
        self.check: Callable[[bytes], object] = router.check_topic
        self.rights: Publishable | None = None  # whose that is, if not the router's
        self.handle: Any = None
        self.unwritten: Callable[[], int] = _nothing_unwritten
        self.paused = False  # not read now: its silence is our doing
        self.client: Any = None  # its ClientSession (which knows this class), from CONNACK 0 until the end
        self.writable = True  # false while the write buffer is above its limit
        self.written = 0  # bytes given to the shell until now
        self.read = 0  # bytes that have come until now
        self.mark = 0  # how much of that had left ...
        self.marked_at = now  # ... at this time (ms), while it is not writable
        self.standing = 0  # of what has not left, what the ledger has
        self.waits_for: dict[Any, None] = {}  # clients, or the store: PUBLISH is parked until all have caught up
        self.parked = NOTHING_PARKED  # first byte and body of each PUBLISH that waits
        self.parked_bytes = 0
        self.received = 0  # bytes that wait here, parked or in a packet that is not complete, as the ledger has them
        self.more = False  # the turn was over before everything was done
        self.refused_because = ""  # if CONNECT was answered with another code than 0
        self.why = ""  # what was refused last, in words for its client
        self.closed_because = ""  # why the engine is done with it; the shell writes `out` and closes
        self._request: Iterator[None] | None = None  # a long SUBSCRIBE or UNSUBSCRIBE that is not done yet
        self._router = router
        self.parked_max = max(1, limits.parked_bytes)
        self.output_max = 2 * limits.write_buffer_bytes

    def go_on(self, now: int, size: int) -> None:
        """In place of the core's `receive`, when the parser has been fed `size` bytes: process the packets that are
        complete, within the budget of a turn; `more` says whether it was too small.
        """
        router = self._router
        turn_work = router.turn_work
        enough = router.work + turn_work
        self.more = False
        parks = False
        if self._request or self.parked or self.question:
            if not self._go_on_with_what_waits(now, size, enough):
                return
            parks = bool(self.parked)
        parser = self.parser
        next_packet = parser.next
        before = self.received_at
        self.received_at = now  # a packet counts, not a byte of one [MQTT-3.1.2-24]
        whole = False
        publish = self.publishing()
        left = turn_work
        while left > 0:
            left -= 1
            first = next_packet()
            if not first:
                if not whole:
                    self.received_at = min(now, before + BYTE_MS * size)
                return
            whole = True
            if not self.is_connected:
                if self.closed_because:
                    return
                self.control(first, parser.buf, parser.start, parser.end, now)
                if self.question:
                    return
                publish = self.publishing()  # which may come in the same read as CONNECT
            elif first & 0xF0 == PUBLISH:
                if not parks and not self.waits_for:
                    try:
                        # Another one behind it: mostly to the same topic, and both go one way in one step
                        if (
                            parser.end < len(parser.buf)
                            and parser.buf[parser.end] == first
                            and publish_all(self, router, first, enough)
                        ):
                            if router.work >= enough:
                                break
                            continue
                        publish(first, parser.buf, parser.start, parser.end)
                    except HeldBack:
                        parks = park(self, first, parser.buf[parser.start : parser.end])
                    if router.work >= enough:
                        break
                else:
                    parks = park(self, first, parser.buf[parser.start : parser.end])
                    left -= park_all(self, first)
                    if self.parked_bytes >= self.parked_max:
                        break
            elif first in _ACKNOWLEDGEMENTS:
                buf = parser.buf
                start = parser.start
                end = parser.end
                packet_id = buf[start] << 8 | buf[start + 1] if end - start == 2 else 0
                if packet_id and end + 2 < len(buf) and buf[end] == first:
                    count = acknowledge_all(self, first, packet_id)
                    if count:
                        left -= count >> 2
                        continue
                if not packet_id:
                    self._acknowledgement(first, buf, start, end)  # reads more, or says what is wrong with it
                elif first == PUBREL:
                    self.session.released(packet_id)
                else:
                    self.session.acknowledged(first, packet_id)
            else:
                self._request_or_control(first, parser.buf, parser.start, parser.end, now)
                if self._request or router.work >= enough:
                    break
                parks = bool(self.parked)
        self.more = True  # as far as anybody can tell

    def _go_on_with_what_waits(self, now: int, size: int, enough: int) -> bool:
        """Whether what has come since may have its turn."""
        if self.question:
            return False
        self.received_at = min(now, self.received_at + BYTE_MS * size)
        if self._request and not self._go_on_with_request(enough):
            return False
        if self.parked and not self.waits_for and not unpark(self, self._router, enough):
            return False
        return self.parked_bytes < self.parked_max

    def publishing(self) -> Callable[[int, bytes, int, int], None]:
        """What takes a PUBLISH: its first byte, where its body is."""
        return self._publish5 if self.is5 else self._publish

    def _publish(self, first: int, buf: bytes, start: int, end: int) -> None:
        """As in the core, in one step for most of it: QoS 0, and others under an identifier that stands for nothing."""
        try:
            if end - start > 1:
                at = start + 2 + (buf[start] << 8 | buf[start + 1])
                router = self._router
                if not first & 6:
                    if at <= end:
                        topic = buf[start + 2 : at]
                        self.check(topic)
                        router.publish(self, first & 7, topic, buf[at:end])
                        return
                elif at + 2 <= end:
                    packet_id = buf[at] << 8 | buf[at + 1]
                    session = self.session
                    inbound = session.inbound
                    if packet_id and packet_id not in inbound and len(inbound) < session.inbound_max:
                        topic = buf[start + 2 : at]
                        self.check(topic)
                        payload = buf[at + 2 : end]
                        digest = checksum(topic, payload) >> self.digest_shift if first & 4 else 0
                        router.publish(self, first & 7, topic, payload)
                        if self.client and self.is_connected:  # else the message led to the end of this connection
                            cast(Queue, session).take(first, packet_id, digest)
                        return
            ServerConnection._publish(self, first, buf, start, end)
        except Denied as error:
            self.refused(error, NOT_AUTHORISED)  # which may end the connection
            publish4.take_denied(self, first, buf, start, end)

    def _publish5(self, first: int, buf: bytes, start: int, end: int) -> None:
        """The same in 5.0, where most messages have no properties."""
        at = start + 2 + (buf[start] << 8 | buf[start + 1]) if end - start > 4 else end
        if not first & 6:
            if start + 2 < at < end and not buf[at]:
                topic = buf[start + 2 : at]
                router = self._router
                try:
                    self.check(topic)
                    router.publish(self, first & 7, topic, buf[at + 1 : end])
                except LimitError as error:
                    self.refused(error, error.code or QUOTA_EXCEEDED)
                return
        elif start + 2 < at < end - 2 and not buf[at + 2]:
            packet_id = buf[at] << 8 | buf[at + 1]
            session = self.session
            if packet_id and packet_id not in session.inbound and len(session.inbound) < session.inbound_max:
                topic = buf[start + 2 : at]
                payload = buf[at + 3 : end]
                router = self._router
                reason = BAD_TOPIC
                try:
                    self.check(topic)
                    reason = QUOTA_EXCEEDED
                    reason = router.publish(self, first & 7, topic, payload)
                except LimitError as error:
                    reason = error.code or reason
                    self.refused(error, reason)
                if self.client and self.is_connected:  # else the message led to the end of this connection
                    if reason >= REFUSED:
                        self.out.append(acknowledgement(PUBREC if first & 4 else PUBACK, packet_id, reason))
                        self.explain()
                    else:
                        digest = checksum(topic, payload) >> self.digest_shift if first & 4 else 0
                        cast(Queue, session).take(first, packet_id, digest)
                        if reason:
                            self.out[-1] = acknowledgement(PUBREC if first & 4 else PUBACK, packet_id, reason)
                return
        publish5.publish(self, first, buf, start, end)

    def _request_or_control(self, first: int, buf: bytes, start: int, end: int, now: int) -> None:
        if self.is5:
            self._check_properties(first, buf, start, end)
        self._router.work += end - start >> 3
        if end - start > LONG and first in (SUBSCRIBE, UNSUBSCRIBE):
            self._request = in_pieces(self, first, buf[start:end])
            return
        if self.parked and first == DISCONNECT:
            self.will = None  # [MQTT-3.14.4-3]
            let_go(self)
        self.control(first, buf, start, end, now)

    def control(self, first: int, buf: bytes, start: int, end: int, now: int) -> None:
        """As in the core, which knows no AUTH; while CONNECT is not answered for it, nothing else may come."""
        if (first == AUTH or (self.exchange and not self.is_connected)) and self.connect and not self.finished:
            self.events.on_auth(self, first, buf, start, end)  # type: ignore[attr-defined]
        else:
            if not self.connect and first == CONNECT and end - start > 10:
                if end - start > self.limits.connect_bytes and not buf[start + 7] & WILL:
                    self._exceeds("connect_bytes", f"a CONNECT of {end - start} bytes")
                self._check_properties(first, buf, start, end)
            ServerConnection.control(self, first, buf, start, end, now)

    def _acknowledgement(self, first: int, buf: bytes, start: int, end: int) -> None:
        """As in the core, which takes any reason code."""
        if self.is5:
            if end - start > 5 + self.limits.ack_properties_bytes:
                self._exceeds("ack_properties_bytes", f"an acknowledgement of {end - start} bytes")
            publish5.check_reason(first, buf, start, end)
        ServerConnection._acknowledgement(self, first, buf, start, end)

    def _check_properties(self, first: int, buf: bytes, start: int, end: int) -> None:
        limit = excess_of_packet(first, buf, start, end, self.limits)
        if limit:
            self._exceeds(limit, f"properties of packet type {first >> 4}")

    def exceeds(self, limit: str, what: str) -> LimitError:
        """`what` is more than `limit` allows: counted, and an error that says so."""
        text = f"{what}: {limit} is {getattr(self.limits, limit)}"
        self.events.watch.hit(limit, self, text, self.received_at)  # type: ignore[attr-defined]
        return LimitError(text)

    def charge(self, size: int) -> None:
        """So many bytes have been looked at one by one."""
        self._router.work += size >> 5

    def _exceeds(self, limit: str, what: str) -> None:
        raise self.exceeds(limit, what)

    # -- time

    def deadline(self) -> int | None:
        """As the core's, or what comes before it (bounds.progress)."""
        due = progress.deadline(self)
        if not self.is_connected:
            return due
        silent = ServerConnection.deadline(self)
        return due if silent is None else silent if due is None else min(due, silent)

    def tick(self, now: int) -> None:
        """ProtocolError or LimitError when something has not come in time."""
        progress.check(self, now)
        if self.is_connected:
            ServerConnection.tick(self, now)

    @property
    def has_begun(self) -> bool:
        """Whether a byte has come, of whichever protocol."""
        return bool(self.connect or (self.began_below() if self.began_below else self.incomplete))

    @property
    def incomplete(self) -> int:
        """How many bytes there are of a packet that is not complete, where all that is complete is done."""
        parser = self.parser  # its own affair, but a board has no bytes for a method that only a broker needs
        return parser._have if parser._pieces else len(parser.buf) - parser._at

    @property
    def is_full(self) -> bool:
        """Whether nothing more should be read: it has to be processed first, or the client takes no answers."""
        if self.more or self.parked_bytes >= self.parked_max:
            return True
        if self.question and self.waiting_bytes > CONNECT_SIZE_MAX:
            return True
        return not self.writable and self.unwritten() >= self.output_max

    @property
    def waiting_bytes(self) -> int:
        """What has been read and not processed."""
        return self.parked_bytes + self.incomplete

    def taken(self) -> int:
        """Bytes of its output that have left."""
        return self.written - self.unwritten()

    # -- a SUBSCRIBE or UNSUBSCRIBE of any length

    def _go_on_with_request(self, enough: int) -> bool:
        """Whether it is done."""
        request = self._request
        assert request
        router = self._router
        for _ in request:
            router.work += PIECE * FILTER_WORK
            if router.work > enough:
                self.more = True
                return False
        self._request = None
        return True

    @property
    def has_request(self) -> bool:
        """Whether a SUBSCRIBE is being processed: its SUBACK comes before retained messages."""
        return self._request is not None

    def part(self, error: ProtocolError) -> None:
        """As in the core; here the engine says it."""

    def is_for_nobody(self, topic: bytes) -> bool:
        """Whether nobody subscribes to it."""
        return self._router.is_for_nobody(topic)

    def check_topic(self, topic: bytes) -> None:
        """As `check`."""
        self.check(topic)

    def refused(self, error: Exception, reason: int) -> None:
        """A message is not taken, and the connection goes on (5.0)."""
        self._router.work += REFUSAL_WORK
        self.why = error.told if isinstance(error, LimitError) else ""
        self.events.on_refused(self, error, reason)  # type: ignore[attr-defined]

    def explain(self) -> None:
        """The packet that stands last in `out` refuses something: `why` goes with it."""
        self.out[-1] = explained(self.connect, self.out[-1], self.why)

    def refuse(self, code: int, properties: bytes = b"", why: str = "") -> None:
        """As in the core, which refuses by itself what it does not understand. `code`: also a reason code for a client
        of 3.1.1. `why`: in words for this client.
        """
        self.refused_because = why_refused(code, self.wire.has_reasons)
        if code >= REFUSED and not self.wire.has_reasons:
            code = return_code(code)
        ServerConnection.refuse(self, code, properties)
        self.out[-1] = explained(self.connect, self.out[-1], why or words_of_connack(code))

    def __str__(self) -> str:
        return str(self.client) if self.client else self.address
