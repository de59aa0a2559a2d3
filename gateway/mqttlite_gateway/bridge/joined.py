"""One connection that is up: bytes between the engine's session, the relay and the upstream, until it has to end. The
asyncio side of relay.py. Imports relay, opening, session, settings.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable

from mqttlite.broker import Broker
from mqttlite.broker.connections.turns import now_ms
from mqttlite.broker.inside import Connection
from mqttlite.core import wire5
from mqttlite.core.codec import packet
from mqttlite.core.errors import MQTTError
from mqttlite.core.packet_types import CONNACK, DISCONNECT

from ..settings.upstream import UpstreamSettings
from .kept import Kept
from .opening import READ_BYTES, Opening
from .relay import Means, Packets, Relay
from .session import free_identifier, options_of
from .terms import Terms

log = logging.getLogger("mqttlite.gateway")

WRITE_MAX = 256 * 1024  # bytes that the network has yet to take; above it nothing is taken from the engine
BACKLOG_MAX = 1000  # PUBLISH that waits in the relay; the same


class Joined:
    """`over`: why it has ended. `was_closed`: by the upstream, in good order or without a word."""

    def __init__(
        self,
        broker: Broker,
        settings: UpstreamSettings,
        opening: Opening,
        terms: Terms,
        kept: Kept,
        means: Means,
        changed: Callable[[], None],
    ) -> None:
        self._broker = broker
        self._settings = settings
        self._opening = opening
        self._kept = kept
        self._changed = changed
        self.terms = terms
        self.relay = Relay(means, terms, now_ms())
        self.was_closed = False
        self._inside = Connection(broker, self._from_engine, self._engine_ended)
        self._begun = asyncio.get_running_loop().create_future()
        self._ended = asyncio.get_running_loop().create_future()
        self._parted = asyncio.get_running_loop().create_future()  # from the engine
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0
        self._draining: asyncio.Task[None] | None = None

    @property
    def over(self) -> str:
        """Why it has to end, "" while it goes on."""
        return self.relay.over

    # -- the engine's side

    def _from_engine(self, packets: Packets) -> None:
        if not self._begun.done():
            first, body = packets.pop(0)
            if first == CONNACK and len(body) > 1 and not body[1]:
                self._begun.set_result(None)
            else:
                code = body[1] if first == CONNACK and len(body) > 1 else 0x80
                self._end(f"the broker here refuses its own bridge: {wire5.refusal(code, {})}")
                return
        self._guarded(self.relay.from_engine, packets)

    def _engine_ended(self, why: str) -> None:
        self._end(f"the session at the broker here has ended: {why}")
        self._parted.set_result(None)

    # -- both

    def _guarded(self, what: Callable[[Packets, int], None], packets: Packets) -> None:
        try:
            what(packets, now_ms())
        except (MQTTError, IndexError) as error:
            self._end(f"the upstream breaks the protocol: {error}")
        self._flush()

    def _from_upstream(self, packets: Packets, now: int) -> None:
        for first, body in packets:
            self.relay.from_upstream(first, body, now)
            if self.relay.over:
                return

    def _end(self, why: str) -> None:
        self.relay.over = self.relay.over or why
        if not self._ended.done():
            self._ended.set_result(None)

    def _flush(self) -> None:
        relay = self.relay
        writer = self._opening.writer
        now = now_ms()
        if relay.to_upstream and not writer.transport.is_closing():
            writer.write(b"".join(relay.to_upstream))
            relay.to_upstream.clear()
            relay.wrote(now)
        if relay.to_engine:
            data = b"".join(relay.to_engine)
            relay.to_engine.clear()
            self._inside.send(data)
        if relay.over:
            self._end("")
            return
        self._hold_or_go_on()
        self._set_timer(now)
        self._changed()

    def _hold_or_go_on(self) -> None:
        if self._draining is None:
            if self._opening.writer.transport.get_write_buffer_size() > WRITE_MAX:
                self._inside.hold()
                self._draining = asyncio.create_task(self._drain(), name=f"upstream {self._settings.name} takes more")
            elif self.relay.waits > BACKLOG_MAX:
                self._inside.hold()
            else:
                self._inside.resume()

    async def _drain(self) -> None:
        with contextlib.suppress(OSError):  # whoever reads finds out
            await self._opening.writer.drain()
        self._draining = None
        self._flush()

    # -- time

    def _set_timer(self, now: int) -> None:
        due = self.relay.tick(now)
        if self.relay.to_upstream or self.relay.to_engine or self.relay.over:
            asyncio.get_running_loop().call_soon(self._flush)
            return
        if self._timer and now < self._timer_at <= due:
            return
        if self._timer:
            self._timer.cancel()
        self._timer_at = due
        self._timer = asyncio.get_running_loop().call_later((due - now) / 1000, self._due)

    def _due(self) -> None:
        self._timer = None
        if not self._ended.done():
            self._flush()

    # -- from the beginning to the end

    async def run(self) -> None:
        """Until it is over. ConnectionError, or whatever ends the network connection."""
        reading: asyncio.Task[None] | None = None
        try:
            self._inside.connect(self._settings.name, self.terms.window)
            await asyncio.wait([self._begun, self._ended], return_when=asyncio.FIRST_COMPLETED)
            if not self.over:
                self._subscribe()
                self._guarded(self._from_upstream, self._opening.early)
                reading = asyncio.create_task(self._read(), name=f"upstream {self._settings.name} is read")
                await asyncio.wait([reading, self._ended], return_when=asyncio.FIRST_COMPLETED)
                if reading.done():
                    self._read_to_the_end(reading)
        finally:
            await self._close(reading)

    def _read_to_the_end(self, reading: "asyncio.Task[None]") -> None:
        try:
            reading.result()
        except ConnectionResetError:  # what closes with something unread resets, too
            self.was_closed = True
            self._end("the upstream has reset the connection")

    async def _read(self) -> None:
        opening = self._opening
        parser = opening.parser
        while not self._ended.done():
            packets: Packets = []
            try:
                while first := parser.next():
                    packets.append((first, bytes(parser.buf[parser.start : parser.end])))
            except MQTTError as error:
                self._end(f"the upstream breaks the protocol: {error}")
                return
            if packets:
                self._guarded(self._from_upstream, packets)
            await self._inside.has_room()
            data = await opening.reader.read(READ_BYTES)
            if not data:
                self.was_closed = True
                self._end("the upstream has closed the connection")
                return
            parser.feed(data)

    def _subscribe(self) -> None:
        """Have the upstream send what `in` says, and nothing else."""
        terms = self.terms
        wanted = {route.filter: options_of(route, terms.is5) for route in self._settings.inwards}
        had = self._kept.filters
        gone = [each for each in had if each not in wanted]
        new = [(each, options) for each, options in wanted.items() if had.get(each) != options]
        client = self._inside.client
        if client is not None:
            self.relay.ask(free_identifier(client), new, gone, now_ms())

    def note_subscribed(self) -> None:
        """The upstream has answered: what it is subscribed to need not be asked for again."""
        relay = self.relay
        if not relay.is_subscribed:
            return
        is5 = self.terms.is5
        refused = relay.refused_filters
        found = {each.filter: options_of(each, is5) for each in self._settings.inwards if each.filter not in refused}
        if found != self._kept.filters:
            self._kept.filters = found
            self._kept.save(self._broker, self._settings.name)

    async def _close(self, reading: "asyncio.Task[None] | None") -> None:
        for task in (reading, self._draining):
            if task:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, OSError):
                    await task
        if self._timer:
            self._timer.cancel()
        if not self._ended.done():
            self._ended.set_result(None)
        self._begun.cancel()
        self._inside.close()
        await self._parted
        writer = self._opening.writer
        if not self.was_closed and not writer.transport.is_closing():
            writer.write(packet(DISCONNECT))
        writer.close()
