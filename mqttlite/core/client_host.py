"""The client's end on CPython: the same protocol, with memory spent on time."""

from . import const, wire4
from .client import ClientProtocol

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
    ) -> None:
        ClientProtocol.__init__(self, events, connect_fields, session, size_max, timeout_ms, wire)
        self.names: "dict[bytes, str]" = {}

    def check_topic(self, topic: bytes) -> None:
        """See Connection."""
        names = self.names
        if topic not in names:
            ClientProtocol.check_topic(self, topic)
            if len(topic) <= NAME_MAX:
                if len(names) >= NAMES_MAX:
                    names.clear()
                names[topic] = str(topic, "utf-8")
