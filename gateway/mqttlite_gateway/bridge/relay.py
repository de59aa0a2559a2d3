"""Joins a connection of the engine's session with one to the upstream broker: packets pass with their identifiers, so
the state of every handshake is the engine's. Without I/O or clock (`now` in ms): whoever drives it writes
`to_upstream` and `to_engine`, and closes when `over` says why. Imports counts, mapping, terms, rate, settings.

Outward the engine sends and the upstream acknowledges; inward it is the other way. What this file adds to that: other
topics, the version of the upstream, its limits, and what it refuses, which is set aside before the engine is told. The
engine's end speaks 5.0.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

from mqttlite.core import wire4, wire5
from mqttlite.core.codec import acknowledgement, decode_packet_id, publish_head
from mqttlite.core.errors import ProtocolError
from mqttlite.core.packet_types import (
    DISCONNECT,
    PINGREQ,
    PINGRESP,
    PUBACK,
    PUBCOMP,
    PUBLISH,
    PUBREC,
    PUBREL,
    SUBACK,
    UNSUBACK,
)
from mqttlite.core.properties import with_properties
from mqttlite.core.reason_codes import QUOTA_EXCEEDED, REFUSED
from mqttlite.core.reasons import words as reason_words

from ..settings.upstream import UpstreamSettings
from .counts import Counts
from .mapping import LoopError, Ways, aged, counted, own, plain
from .rate import Bucket
from .terms import Terms

PINGS = bytes((PINGREQ, 0))
# Reason codes of DISCONNECT that may be about a message
FAULTS = (0x80, 0x81, 0x82, 0x83, 0x90, 0x95, 0x99, 0x9A, 0x9B)
# ... and those that are about none: it is busy, too much comes, its quota is used up
BUSY = (0x89, 0x96, QUOTA_EXCEEDED)
TRY_AGAIN_MS = 1000  # while dead letters are full

Packets = list[tuple[int, bytes]]


class Message(NamedTuple):
    """As it came, before anything was changed. `is_inward`: from the upstream. `block`: its properties."""

    is_inward: bool
    topic: bytes
    payload: bytes
    qos: int
    retain: bool
    block: bytes


class Full(Exception):
    """There is no room for one more dead letter."""


@dataclass
class Means:
    """What a relay works with. `set_aside(message, cause)` raises Full; `content(packet_id)`: a message that the
    engine has sent and that is not acknowledged. `packet_max`: the largest Remaining Length that the engine takes.
    `takes_one`: the upstream takes QoS 2 as QoS 1, which has to be known after a restart, too. `blamed`: identifier of
    the message that it does not take even when it takes others, though it says that it is busy; 0: none.
    """

    settings: UpstreamSettings
    counts: Counts
    set_aside: Callable[[Message, str], None]
    content: Callable[[int], Message | None]
    packet_max: int
    takes_one: Callable[[], None] = lambda: None
    blamed: int = 0


class Relay:
    """One connection. `over`: why it has to end, "" while it goes on; `problem`: what is wrong, and it goes on."""

    def __init__(self, means: Means, terms: Terms, now: int) -> None:
        settings = means.settings
        self.terms = terms
        self.to_upstream: list[bytes] = []
        self.to_engine: list[bytes] = []
        self.over = ""
        self.problem = ""
        self.is_patient = False  # what ended it is no fault of any message
        self.busy_with = 0  # identifier of the first message that the upstream is too busy for (0x97)
        self.is_passed = False  # and has taken one behind it
        self.has_progress = False  # the upstream has acknowledged something
        self.has_words = False  # the upstream has ended it for something that it was sent (5.0)
        self.refused_filters: dict[str, str] = {}  # of `in`, and why
        self._means = means
        self._counts = means.counts
        self._out = Ways(settings.out)
        self._in = Ways(settings.inwards)
        self._bucket = Bucket(settings.rate, now)
        self._backlog: deque[tuple[int, bytes, int]] = deque()  # PUBLISH that waits for its turn, and since when (ms)
        self._wake_at = -1  # ms; when the next of these may go
        # What the upstream owes: by identifier the acknowledgement's first byte, and since when (ms); the oldest first
        self.owed: dict[int, tuple[int, int]] = {}
        self._lower: set[int] = set()  # of QoS 2, sent to the upstream with less
        self._refused: dict[int, int] = {}  # reason codes of messages that have yet to be set aside
        self._taking: dict[int, Message] = {}  # inward, which the engine has yet to acknowledge
        self._after_commit: deque[bytes] = deque()  # for the upstream, once what was set aside is durable
        self._asked: list[str] = []  # filters that SUBACK is about
        self.is_subscribed = False  # to all that it has been asked for
        self._asked_at = -1
        self._wrote_at = now
        self._pinged_at = -1

    # -- from the engine

    @property
    def waits(self) -> int:
        """PUBLISH of the engine that has not been sent: above some, it should not be taken."""
        return len(self._backlog)

    def from_engine(self, packets: Packets, now: int) -> None:
        """What the engine has sent, behind its CONNACK."""
        for first, body in packets:
            if first & 0xF0 == PUBLISH:
                self._backlog.append((first, body, now))
            elif first == PUBREL:
                self._release(body[0] << 8 | body[1], now)
            elif first in (PUBACK, PUBREC, PUBCOMP):
                self._answered(first, body)
            elif first == PINGRESP:
                self.to_upstream.append(self._after_commit.popleft())
        self.pump(now)

    def pump(self, now: int) -> None:
        """Send what may go."""
        self._wake_at = -1
        backlog = self._backlog
        while backlog and not (self.over or self.busy_with):
            if not self._bucket.take(now):
                self._wake_at = now + self._bucket.wait_ms()
                return
            first, body, since = backlog[0]
            try:
                self._send(first, body, now, now - since)
            except Full:
                self._stuck(now)
                return
            backlog.popleft()

    def _stuck(self, now: int) -> None:
        self.problem = (
            "the upstream refuses messages, and there is no room to set aside one more: look at the dead letters, and "
            "retry or drop them"
        )
        self._wake_at = now + TRY_AGAIN_MS

    def _send(self, first: int, body: bytes, now: int, waited_ms: int) -> None:
        message, packet_id = _read(first, body, False)
        qos = message.qos
        if waited_ms >= 1000:
            block, has_expired = aged(message.block, waited_ms // 1000)
            message = message._replace(block=block)
            if has_expired and not first & 8:  # one that was sent before has to be sent again
                self._counts.expired += 1
                self._finish(packet_id, qos)
                return
        terms = self.terms
        found = self._out.find(message.topic)
        if found is None:
            self._aside_outward(message, packet_id, "no filter of out is for it any more")
            return
        topic, route = found
        sent_qos = min(qos, route.qos, terms.qos_max)
        flags = sent_qos << 1 | (message.retain and route.retain and terms.has_retain)
        try:
            block = counted(message.block, message.payload, self._means.settings.hops_max)
        except LoopError:
            self._counts.dropped["loop"] += 1
            self._finish(packet_id, qos)
            return
        try:
            data = _publish(terms.is5, flags, topic, packet_id, block, message.payload)
        except ProtocolError as error:
            self._aside_outward(message, packet_id, str(error))
            return
        if terms.packet_max and len(data) > terms.packet_max:
            cause = f"a packet of {len(data)} bytes, and the upstream takes {terms.packet_max}"
            self._aside_outward(message, packet_id, cause)
            return
        if first & 8 and sent_qos and terms.is_present:  # a session that is new has had nothing [MQTT-3.3.1-1]
            data = bytes((data[0] | 8,)) + data[1:]
        self.to_upstream.append(data)
        self._counts.sent += 1
        if not qos:
            return
        if sent_qos < qos:
            self._lower.add(packet_id)
        if sent_qos:
            self.owed[packet_id] = (PUBACK if sent_qos == 1 else PUBREC, now)
        else:
            self._finish(packet_id, qos)

    def _finish(self, packet_id: int, qos: int) -> None:
        """The engine has done what it can about a message."""
        if qos:
            if qos == 2:
                self._lower.add(packet_id)
            self.to_engine.append(acknowledgement(PUBACK if qos == 1 else PUBREC, packet_id))

    def _aside_outward(self, message: Message, packet_id: int, cause: str) -> None:
        """Instead of sending it; in one commit with the end of its handshake."""
        if message.qos:
            self._means.set_aside(message, cause)
            self.to_engine.append(acknowledgement(PUBACK if message.qos == 1 else PUBREC, packet_id, REFUSED))
        self._counts.refused += 1

    def _release(self, packet_id: int, now: int) -> None:
        """PUBREL: the upstream has had the message, in this life or an earlier one."""
        if packet_id in self._lower or self.terms.qos_max < 2:
            self._lower.discard(packet_id)
            self.to_engine.append(acknowledgement(PUBCOMP, packet_id))
            return
        self.to_upstream.append(acknowledgement(PUBREL, packet_id))
        self.owed[packet_id] = (PUBCOMP, now)

    def _answered(self, first: int, body: bytes) -> None:
        """PUBACK, PUBREC or PUBCOMP of the engine, for what came from the upstream."""
        packet_id = body[0] << 8 | body[1]
        reason = body[2] if len(body) > 2 else 0
        message = self._taking.pop(packet_id, None)
        answer = acknowledgement(first, packet_id)
        if reason < REFUSED or message is None:
            self.to_upstream.append(answer)
            return
        self._counts.dropped["refused here"] += 1
        try:
            self._means.set_aside(message, f"the broker here: {reason_words(reason)}")
        except Full:
            self.over = "the broker here refuses a message of the upstream, and there is no room to set it aside"
            return
        # The engine's answer to a ping leaves after the commit in which the message is set aside.
        self._after_commit.append(answer)
        self.to_engine.append(PINGS)

    # -- from the upstream

    def from_upstream(self, first: int, body: bytes, now: int) -> None:
        """A packet of the upstream, behind its CONNACK. ProtocolError where it may not send that."""
        kind = first & 0xF0
        if kind == PUBLISH:
            self._take(first, body)
        elif first in (PUBACK, PUBREC, PUBCOMP, PUBREL):
            self._acknowledged(first, body, now)
        elif first == PINGRESP:
            self._pinged_at = -1
        elif first == SUBACK:
            self._suback(body)
        elif first == UNSUBACK:
            pass
        else:
            wire = wire5 if self.terms.is5 else wire4
            error = wire.unexpected(first, body, 0, len(body))
            if first != DISCONNECT:
                raise error
            self.over = str(error)
            self.has_words = body[:1] != b"" and body[0] in FAULTS
            self.is_patient = body[:1] != b"" and body[0] in BUSY

    def _acknowledged(self, first: int, body: bytes, now: int) -> None:
        wire = wire5 if self.terms.is5 else wire4
        value = wire.decode_acknowledgement(body, 0, len(body))
        packet_id = value & 0xFFFF
        reason = value >> 16
        if first == PUBREL:
            self.to_engine.append(acknowledgement(PUBREL, packet_id))
            return
        self.has_progress = True
        awaited = self.owed.get(packet_id, (0, 0))[0]
        if first == PUBACK and awaited == PUBREC and not self.terms.is5:
            # Against the standard it takes QoS 2 as QoS 1, and knows no PUBREL: RabbitMQ's plugin before 3.13.
            self._means.takes_one()
            self.terms = replace(self.terms, qos_max=1)
            self._lower.add(packet_id)
            awaited = PUBACK
        if awaited == first:
            del self.owed[packet_id]
        if reason >= REFUSED and first != PUBCOMP:
            self._refuse(packet_id, reason, now)
            return
        if first != PUBCOMP and awaited == first:
            self._counts.acknowledged += 1
            self._counts.drained.count(now)
            if self.busy_with:
                self.is_passed = True
                self._end_busy()
        if first == PUBACK and packet_id in self._lower:
            first = PUBREC
        self.to_engine.append(acknowledgement(first, packet_id))

    def _refuse(self, packet_id: int, reason: int, now: int) -> None:
        """The upstream does not take a message: it is set aside, and then the engine is told."""
        if reason == QUOTA_EXCEEDED and packet_id != self._means.blamed:
            is_last = all(kind == PUBCOMP for kind, _ in self.owed.values())
            if is_last or self.busy_with:
                self._end_busy()
            self.busy_with = self.busy_with or packet_id  # the next answer says whether it is this message alone
            return
        message = self._means.content(packet_id)
        if message is not None:
            try:
                self._means.set_aside(message, reason_words(reason))
            except Full:
                self._refused[packet_id] = reason
                self._stuck(now)
                return
            self._counts.refused += 1
            self.to_engine.append(acknowledgement(PUBACK if message.qos == 1 else PUBREC, packet_id, reason))
        self._lower.discard(packet_id)

    def _end_busy(self) -> None:
        self.over = f"the upstream takes nothing more now: {reason_words(QUOTA_EXCEEDED)}"
        self.is_patient = True

    def _take(self, first: int, body: bytes) -> None:
        message, packet_id = _read(first, body, True, self.terms.is5)
        self._counts.received += 1
        found = self._in.find(message.topic)
        answer = acknowledgement(PUBACK if message.qos == 1 else PUBREC, packet_id) if message.qos else b""
        if found is None:  # of a subscription that was there before
            self._counts.dropped["not in in"] += 1
            self.to_upstream.append(answer)
            return
        topic, route = found
        block = own(message.block)
        if self.terms.is5:
            try:
                block = counted(block, message.payload, self._means.settings.hops_max)
            except LoopError:
                self._counts.dropped["loop"] += 1
                self.to_upstream.append(answer)
                return
        flags = message.qos << 1 | (message.retain and route.retain)
        data = _publish(True, flags, topic, packet_id, block, message.payload)
        if len(data) - 5 > self._means.packet_max:
            self._counts.dropped["refused here"] += 1
            if not message.qos:
                return
            try:
                self._means.set_aside(message, f"a packet of {len(data)} bytes; packet_bytes is less")
            except Full:
                self.over = "a message of the upstream is too large for here, and there is no room to set it aside"
                return
            if answer:
                self._after_commit.append(answer)
                self.to_engine.append(PINGS)
            return
        if packet_id:
            self._taking[packet_id] = message
        self.to_engine.append(bytes((data[0] | first & 8,)) + data[1:])

    # -- subscriptions at the upstream

    def ask(self, packet_id: int, wanted: list[tuple[str, int]], gone: list[str], now: int) -> None:
        """Subscribe to these filters with their options, and no more to those. The identifier stands for no message."""
        wire = wire5 if self.terms.is5 else wire4
        if gone:
            self.to_upstream.append(wire.encode_unsubscribe(packet_id, [each.encode() for each in gone]))
        if wanted:
            asked = [(each.encode(), options) for each, options in wanted]
            self.to_upstream.append(wire.encode_subscribe(packet_id, asked))
            self._asked = [each for each, _ in wanted]
            self._asked_at = now
        self.is_subscribed = not wanted

    def _suback(self, body: bytes) -> None:
        wire = wire5 if self.terms.is5 else wire4
        _, codes = wire.decode_suback(body, 0, len(body))
        self._asked_at = -1
        self.is_subscribed = True
        for topic_filter, code in zip(self._asked, codes, strict=False):
            if code >= REFUSED:
                why = reason_words(code) if self.terms.is5 else "the broker does not allow it"
                self.refused_filters[topic_filter] = why
                self.problem = f"nothing comes for in = '{topic_filter}': {why}"

    # -- time

    def wrote(self, now: int) -> None:
        """Something has been written to the upstream."""
        self._wrote_at = now

    def tick(self, now: int) -> int:
        """What is due; when to call again (ms)."""
        settings = self._means.settings
        timeout_ms = int(settings.timeout_s * 1000)
        if self._refused:
            self._try_again(now)
        if self._wake_at >= 0 and now >= self._wake_at:
            self.problem = ""
            self.pump(now)
        dues = [now + 1000]
        if self._wake_at >= 0:
            dues.append(self._wake_at)
        keep_alive_ms = self.terms.keep_alive_s * 1000
        if self._pinged_at >= 0 and now - self._pinged_at >= timeout_ms:
            self.over = f"the upstream is mute: it has not answered a ping for {settings.timeout_s:g} s"
        elif self._asked_at >= 0 and now - self._asked_at >= timeout_ms:
            self.over = f"the upstream is mute: it has not answered SUBSCRIBE for {settings.timeout_s:g} s"
        elif self.owed and now - (since := next(iter(self.owed.values()))[1]) >= settings.ack_timeout_s * 1000:
            waited_s = (now - since) / 1000
            self.over = (
                f"the upstream is mute: connected, and it has not acknowledged what was sent {waited_s:.0f} s ago"
            )
        elif keep_alive_ms and self._pinged_at < 0 and now - self._wrote_at >= keep_alive_ms:
            self.to_upstream.append(PINGS)
            self._pinged_at = now
        if keep_alive_ms:
            dues.append(self._pinged_at + timeout_ms if self._pinged_at >= 0 else self._wrote_at + keep_alive_ms)
        return max(now + 1, min(dues))

    def _try_again(self, now: int) -> None:
        self.problem = ""
        refused, self._refused = self._refused, {}
        for packet_id, reason in refused.items():
            self._refuse(packet_id, reason, now)


def _read(first: int, body: bytes, is_inward: bool, is5: bool = True) -> tuple[Message, int]:
    """A PUBLISH, and its packet identifier (0 at QoS 0). ProtocolError."""
    at = 2 + (body[0] << 8 | body[1]) if len(body) > 1 else 2
    if at > len(body):
        raise ProtocolError("3.3.2", "PUBLISH ends in its topic name")
    topic = body[2:at]
    packet_id = 0
    qos = first >> 1 & 3
    if qos:
        packet_id = decode_packet_id(body, at, len(body))
        at += 2
    block = b""
    if is5:
        start, end = wire5.properties_of(body, at, len(body))
        block, at = body[start:end], end
    if not topic:
        raise ProtocolError("3.3.2.3.4", "PUBLISH without topic name, and no topic alias was allowed")
    return Message(is_inward, topic, body[at:], qos, bool(first & 1), block), packet_id


def _publish(is5: bool, flags: int, topic: bytes, packet_id: int, block: bytes, payload: bytes) -> bytes:
    """PUBLISH without DUP."""
    content = with_properties(block, payload) if is5 else plain(block, payload)
    number = packet_id.to_bytes(2, "big") if flags & 6 else b""
    return publish_head(flags, topic, len(content)) + number + content
