"""From a network connection to the upstream to a session that both have: CONNECT, and what follows when one side has
lost it. Imports terms, session, kept, settings.
"""

import asyncio
import logging
from collections.abc import Callable

from mqttlite.broker import Broker
from mqttlite.broker.inside import session_of
from mqttlite.client.connecting.recognise import not_mqtt
from mqttlite.core import session as core
from mqttlite.core import wire4, wire5
from mqttlite.core.codec import REMAINING_MAX, acknowledgement
from mqttlite.core.errors import ConnectError, RefusedError
from mqttlite.core.greeting import BAD_PROTOCOL_LEVEL
from mqttlite.core.packet_types import CONNACK, DISCONNECT, PINGRESP, PUBCOMP, PUBREL
from mqttlite.core.parser import Parser
from mqttlite.core.reason_codes import UNSUPPORTED_VERSION

from ..lines.upstream import Streams, Upstream
from ..lives import life_of
from ..settings.upstream import UpstreamSettings
from .kept import Kept
from .relay import PINGS, Full, Message, Packets
from .session import lost_by_upstream
from .terms import Terms, Version, connect_packet, terms_of

log = logging.getLogger("mqttlite.gateway")

READ_BYTES = 64 * 1024
SWEEP = 1000  # identifiers that are given up at once


class VersionError(RefusedError):
    """The upstream does not speak this version."""


class SilentError(ConnectError):
    """The upstream has closed the connection, or said nothing at all."""


class Opening:
    """One connection, from its beginning until its session is known. `early`: what came meanwhile."""

    def __init__(self, broker: Broker, settings: UpstreamSettings, upstream: Upstream, streams: Streams) -> None:
        self._broker = broker
        self._settings = settings
        self._upstream = upstream
        self.reader, self.writer = streams
        self.parser = Parser(REMAINING_MAX)
        self.early: Packets = []

    async def packet(self) -> tuple[int, bytes]:
        """The next one. EOFError: there is none."""
        parser = self.parser
        while not (first := parser.next()):
            data = await self.reader.read(READ_BYTES)
            if not data:
                raise EOFError
            parser.feed(data)
        return first, bytes(parser.buf[parser.start : parser.end])

    async def connect(self, client_id: str, version: Version, packet_max: int) -> Terms:
        """Send CONNECT, and read its answer. `packet_max`: largest Remaining Length that is taken. VersionError,
        RefusedError, ConnectError.
        """
        self.parser.size_max = packet_max
        self.writer.write(connect_packet(self._settings, client_id, version, packet_max))
        timeout_s = self._settings.timeout_s
        begin = b""
        try:
            async with asyncio.timeout(timeout_s):
                while len(begin) < 2:  # as much as says whether it is MQTT
                    data = await self.reader.read(READ_BYTES)
                    if not data:
                        raise SilentError(self._upstream.explain_first(begin))
                    begin += data
                if begin[0] not in (CONNACK, DISCONNECT):
                    raise ConnectError(f"{self._upstream.name} {not_mqtt(begin)}")
                self.parser.feed(begin)
                first, body = await self.packet()
        except TimeoutError:
            raise SilentError(self._upstream.explain_first(begin, timeout_s)) from None
        except EOFError:
            raise SilentError(self._upstream.explain_first(begin)) from None
        wire = wire5 if version.is5 else wire4
        if first != CONNACK:
            raise wire.unexpected(first, body, 0, len(body))
        is_present, code, found = wire.decode_connack(body, 0, len(body))
        if code == (UNSUPPORTED_VERSION if version.is5 else BAD_PROTOCOL_LEVEL):
            raise VersionError(code, f"it does not speak MQTT {version.text}")
        if code:
            refusal = wire5.refusal(code, found or {}) if version.is5 else wire4.refusal(code)
            raise RefusedError(code, f"{self._upstream.name} refuses the connection: {refusal}")
        return terms_of(self._settings, version, is_present, found)

    async def agree(self, terms: Terms, kept: Kept, set_aside: Callable[[Message, str], None]) -> Terms:
        """Neither side takes what the other one has not for its own; the terms as they are then. ConnectError."""
        settings = self._settings
        name = settings.name
        store = self._broker.store
        met = f"{settings.shown_url} {kept.client_id} {life_of(store.path) if store else ''}".rstrip()
        is_known = kept.met == met
        if kept.takes_one == met and not terms.is5:
            terms = terms.at_most_one()
        if terms.is_present and is_known:
            return terms
        if terms.is_present:
            log.warning(
                "upstream %s: it has a session of client identifier %s, of which nothing is known here: its messages "
                "are fetched, and the packet identifiers that it may hold are given up first",
                name,
                kept.client_id,
            )
            if terms.qos_max == 2:
                await self._give_up_all(terms, kept, met)
        elif is_known:
            log.warning("upstream %s: it has lost the session: what it has not acknowledged is sent again", name)
        kept.filters = {}
        try:
            again, doubtful = lost_by_upstream(self._broker, name, set_aside)
        except Full:
            kept.met = ""
            kept.save(self._broker, name)
            words = "messages are in doubt, and there is no room to set them aside: look at the dead letters"
            raise ConnectError(words) from None
        if again or doubtful:
            log.warning(
                "upstream %s: messages in doubt: %d have an idempotency key and are sent again, %d are set aside",
                name,
                again,
                doubtful,
            )
        kept.met = met
        kept.deaf = ""
        kept.save(self._broker, name)
        return terms.anew()

    async def _give_up_all(self, terms: Terms, kept: Kept, met: str) -> None:
        """`_sweep`. ConnectError: it has not answered; in 3.1.1, and twice in a row, it has no QoS 2: one moment in
        which it was mute says nothing.
        """
        has_answered = await self._sweep()
        is_without = not has_answered and kept.deaf == met and not terms.is5
        kept.deaf = "" if has_answered or is_without else met
        if is_without:
            kept.takes_one = met
        kept.save(self._broker, self._settings.name)
        if not has_answered:
            so = ", twice in a row, so it has no QoS 2" if is_without else ": it is tried again"
            raise ConnectError(f"{self._upstream.name} does not answer PUBREL{so}")

    async def _sweep(self) -> bool:
        """Release every packet identifier: the upstream may hold some of messages that nobody here knows, and would
        take new ones for their repeats (docs/decisions/0015). False: it has answered a ping, and then no PUBREL, so it
        was mute, or has no QoS 2, and holds none; RabbitMQ's plugin before 3.13 does not even answer pings behind it.
        """
        client = session_of(self._broker, self._settings.name)
        start = client.session.first if client else 0
        self.writer.write(PINGS)
        await self._answer(PINGRESP)
        for at in range(0, core.SPAN, SWEEP):
            numbers = [(start + step) % core.SPAN + 1 for step in range(at, min(at + SWEEP, core.SPAN))]
            self.writer.write(b"".join([acknowledgement(PUBREL, number) for number in numbers]))
            try:
                while await self._answer(PUBCOMP) != numbers[-1]:
                    pass
            except TimeoutError:
                if at:
                    raise
                return False
        return True

    async def _answer(self, wanted: int) -> int:
        """Wait for the next packet with this first byte: its identifier."""
        async with asyncio.timeout(self._settings.timeout_s):
            while True:
                first, body = await self.packet()
                if first == wanted:
                    return body[0] << 8 | body[1] if body else 0
                self.early.append((first, body))
