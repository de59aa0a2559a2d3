"""The client's end on CPython: the same protocol, with memory spent on time."""

from binascii import crc32

from . import const, wire4
from .client import ClientProtocol
from .codec import publish_head
from .errors import ProtocolError
from .packet_types import PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL
from .session_host import TAKEN

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .events import ClientEvents, ConnectFields
    from .session import Session
    from .session_host import HostSession
    from .wire import ClientWire

NAMES_MAX = const(256)  # topic names that are remembered
NAME_MAX = const(256)  # bytes of the longest of them
IN_VAIN_MAX = const(5)  # messages of one read for which the short way is tried in vain
NO_PROPERTIES = b"\0"  # of 5.0, as a block behind its length


class HostProtocol(ClientProtocol):
    """See ClientProtocol. `names`: topic names that have arrived and are good, as text, for the same ones come again.
    Long ones are not among them, and now and then all are forgotten.
    """

    def __init__(
        self,
        events: "ClientEvents",
        connect_fields: "ConnectFields",
        session: "Session",
        size_max: int,
        timeout_ms: int,
        wire: "ClientWire" = wire4,
        stream_max: int = 0,
    ) -> None:
        ClientProtocol.__init__(self, events, connect_fields, session, size_max, timeout_ms, wire, stream_max)
        self.names: "dict[bytes, str]" = {}
        self._named = b""  # the last of them, behind its length, as text, and the checksum that begins with it
        self._name = ""
        self._sum = 0
        # Of whoever takes many messages at once, each made by `make_message`; `plain` is what it is told of one by
        self.plain: "Callable[..., None] | None" = None
        self.make_message: "Callable[[str, bytes, int, int, int], Any]"
        self.take_messages: "Callable[[list[Any]], None]"
        self._head_of = -1, -1, b""  # flags, size of the payload, topic name
        self._last_head = b""
        self._good = -1, -1, b""  # the same of a message that was accepted: one that is alike is, too
        self._session: "HostSession" = session  # type: ignore[assignment]
        self._is5 = wire.with_properties is not None

    def check_topic(self, topic: bytes) -> None:
        """See Connection."""
        names = self.names
        if topic not in names:
            ClientProtocol.check_topic(self, topic)
            if len(topic) <= NAME_MAX:
                if len(names) >= NAMES_MAX:
                    names.clear()
                names[topic] = str(topic, "utf-8")

    def head(self, flags: int, topic: bytes, size: int) -> bytes:
        """See ClientProtocol: often that of the message before."""
        of = flags, size, topic
        if of != self._head_of:
            self._last_head = publish_head(flags, topic, size)
            self._head_of = of
        return self._last_head

    def publish(self, flags: int, topic: bytes, payload: bytes, key: bytes = b"", properties: bytes = b"") -> int:
        """See ClientProtocol."""
        of = flags, len(payload), topic
        if properties or of != self._good:
            self._good = -1, -1, b""
            seq = ClientProtocol.publish(self, flags, topic, payload, key, properties)
            if not properties and self.is_connected:
                self._good = of
            return seq
        if self._is5:
            payload = NO_PROPERTIES + payload
        if flags & 6:
            return self.session.publish(self._last_head, payload, key)
        if not self.is_connected:
            return -2
        outbound = self.outbound
        self.out += outbound.aliased(self._last_head, payload) if outbound else (self._last_head, payload)
        return -1

    def _connack(self, buf: bytes, start: int, end: int) -> None:
        self._good = -1, -1, b""  # this broker may have other limits
        ClientProtocol._connack(self, buf, start, end)

    def receive(self, data: bytes, now: int) -> None:
        """See Connection. What nearly all packets are is found without the parser."""
        parser = self.parser
        missing = parser.missing()
        if missing and missing < len(data) and parser.large is None:
            ClientProtocol.receive(self, data[:missing], now)
            data = data[missing:]
            missing = parser.missing()
        if not missing and self.is_connected:
            at = self._usual(data)
            if at:
                self.received_at = now
                if at == len(data):
                    return
                data = data[at:]
        ClientProtocol.receive(self, data, now)

    def _usual(self, data: bytes) -> int:
        """Process the packets that `data` begins with, as long as they are complete, and PUBLISH or acknowledgements
        without more than a packet identifier; where the first one begins that is not.
        """
        at = 0
        have = len(data)
        session = self._session
        size_max = self.parser.size_max
        tries = IN_VAIN_MAX if self.is_plain() else 0
        try:
            while have - at > 3:
                first = data[at]
                if first & 0xF0 == PUBLISH:
                    if tries:
                        after = self._known(data, at)
                        if after > at:
                            at = after
                            continue
                        tries -= 1
                    size = data[at + 1]
                    start = at + 2
                    if size > 127:
                        more = data[start]
                        if more > 127:
                            break
                        size = size & 127 | more << 7
                        start += 1
                    end = start + size
                    if end > have or size > size_max or first & 6 == 6 or first & 14 == 8:
                        break
                    self._publish(first, data, start, end)
                    at = end
                    continue
                if first == PUBACK or first == PUBREC or first == PUBCOMP:
                    after = session.acknowledged_run(data, at)
                elif first == PUBREL:
                    after = session.released_run(data, at)
                else:
                    break
                if after == at:
                    packet_id = data[at + 2] << 8 | data[at + 3]
                    if data[at + 1] != 2 or not packet_id:
                        break
                    if first == PUBREL:
                        session.released(packet_id)
                    else:
                        session.acknowledged(first, packet_id)
                    after += 4
                at = after
        except ProtocolError as error:
            self.part(error)
            raise
        return at

    def is_plain(self) -> bool:
        """Whether messages may be told of many at once: to whom they are told has not changed."""
        return self.plain is not None and self.events.on_message is self.plain

    def _known(self, data: bytes, at: int) -> int:
        """Process the PUBLISH at `at` and those behind it whose topics have come before, which are no repeats and have
        no properties: they are told of together. PUBRELs may be between them. Where the first packet begins that is
        otherwise.
        """
        have = len(data)
        names = self.names
        named = self._named
        name = self._name
        session = self._session
        inbound = session.inbound
        size_max = self.parser.size_max
        is5 = self._is5
        skip = 1 if is5 else 0
        generation = session.generation
        make = self.make_message
        made: "list[Any]" = []
        while have - at > 3:
            first = data[at]
            taken = TAKEN.get(first, -1)
            if taken < 0:
                after = session.released_run(data, at) if first == PUBREL else at
                if after == at:
                    break
                at = after
                continue
            size = data[at + 1]
            start = at + 2
            if size > 127:
                if data[start] > 127:
                    break
                size = size & 127 | data[start] << 7
                start += 1
            end = start + size
            if end > have or size > size_max or size < 3:
                break
            if not named or not data.startswith(named, start):
                stop = start + 2 + (data[start] << 8 | data[start + 1])
                found = names.get(data[start + 2 : stop]) if stop <= end else None
                if found is None:
                    break
                name = self._name = found
                named = self._named = data[start:stop]
                self._sum = crc32(named[2:], len(named) - 2)
            begun = start
            start += len(named)
            if start + skip + (2 if taken else 0) > end:
                break
            packet_id = 0
            if taken:
                packet_id = data[start] << 8 | data[start + 1]
                start += 2
                if not packet_id or packet_id in inbound or len(inbound) >= session.inbound_max:
                    break
            if is5:
                if data[start]:
                    break
                start += 1
            payload = data[start:end]
            if taken:
                digest = 0
                if first & 4:  # as the wires' `digest`
                    digest = (crc32(data[begun:end]) if is5 else crc32(payload, self._sum)) >> self.digest_shift
                inbound[packet_id] = digest << 4 | taken
                packet_id |= digest << 16
            made.append(make(name, payload, first, packet_id, generation))
            at = end
        if made:
            self.take_messages(made)
        return at
