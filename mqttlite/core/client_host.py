"""The client's end on CPython: the same protocol, with memory spent on time."""

from . import const, wire4
from .client import ClientProtocol
from .codec import publish_head
from .errors import ProtocolError
from .packet_types import PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from .events import ClientEvents, ConnectFields
    from .session import Session
    from .wire import ClientWire

NAMES_MAX = const(256)  # topic names that are remembered
NAME_MAX = const(256)  # bytes of the longest of them


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
        self._head_of = -1, -1, b""  # flags, size of the payload, topic name
        self._last_head = b""

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

    def receive(self, data: bytes, now: int) -> None:
        """See Connection. What nearly all packets are is found without the parser."""
        missing = self.parser.missing()
        if missing and missing < len(data):
            ClientProtocol.receive(self, data[:missing], now)
            data = data[missing:]
            missing = self.parser.missing()
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
        session = self.session
        size_max = self.parser.size_max
        try:
            while have - at > 3:
                first = data[at]
                size = data[at + 1]
                if first & 0xF0 == PUBLISH:
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
                packet_id = data[at + 2] << 8 | data[at + 3]
                if size != 2 or not packet_id:
                    break
                if first == PUBACK or first == PUBREC or first == PUBCOMP:
                    session.acknowledged(first, packet_id)
                elif first == PUBREL:
                    session.released(packet_id)
                else:
                    break
                at += 4
        except ProtocolError as error:
            self.part(error)
            raise
        return at
