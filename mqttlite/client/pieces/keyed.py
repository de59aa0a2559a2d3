"""Idempotency keys of messages in pieces. CPython only: no board has both; loaded by who uses keys.

A stream is given anew by the application after a restart: its key is what tells whoever takes it that it is the same.
The publisher itself keeps no account of it, for a stream that was not confirmed has to be sent again, key and all. In
5.0 the key is a property, known before the payload; in 3.1.1 it stands in front of that, and the message is nobody's
until it has been read.
"""

from typing import TYPE_CHECKING

from ...core.keys import PROPERTY, check_key, to_text, unwrap, wrap
from ...core.properties import encode_user_properties, split, with_properties
from ...core.text import to_utf8
from .inflow import Inflow, Taker
from .message import StreamedMessage

if TYPE_CHECKING:
    from ..connector import Connector
    from ..face import BaseClient

ENVELOPE_MAX = 96  # bytes; of a key as long as there can be (core/keys.py)


def in_front(client: "BaseClient", before: bytes, key: "tuple[str, int] | None") -> bytes:
    """What stands in front of the payload of a stream: `before`, with its key, the one of the message that is accepted
    next where the application has given none. ValueError for what is no key.
    """
    outgoing = client._outgoing
    if key:
        whole = (to_utf8(key[0], "producer"), 0, key[1])
        check_key(whole)
    else:
        whole = (client.client_id.encode(), outgoing.load_keys().state.epoch, client._life.session.next)
    if not outgoing.flags & 2:
        return wrap(whole, b"")
    return with_properties(split(before)[0] + encode_user_properties([(PROPERTY, to_text(whole))]), b"")


class KeyedInflow(Inflow):
    """Of a client that recognises repeats by their keys."""

    def __init__(self, connector: "Connector") -> None:
        super().__init__(connector)
        self._taker: Taker | None = None  # of the message whose beginning is read
        self._head = b""  # what has come of it
        self._opened: tuple[bytes, int, int] | None = None  # the key that stood in front of it

    def begin(self, flags: int, topic: bytes, size: int, properties: bytes) -> bool:
        """See Streams."""
        self._taker = None
        if properties:
            return super().begin(flags, topic, size, properties)
        taker = self._find(topic)
        if taker is None or self._connector.life.error:
            return False
        self._arriving = self._made(flags, topic, size, properties)
        self._taker, self._head = taker, b""
        return True

    def take(self, piece: bytes) -> None:
        """See Streams."""
        taker, message = self._taker, self._arriving
        if taker and message:
            self._head += piece
            if len(self._head) < min(ENVELOPE_MAX, message.size):
                return
            piece, self._head, self._taker = self._head, b"", None
            whole = len(piece)
            self._opened, piece = unwrap(piece) or (None, piece)
            message.size -= whole - len(piece)
            self._put(taker, message)
            if not piece:
                return
        super().take(piece)

    def cut(self) -> None:
        """See Inflow."""
        self._taker = None
        super().cut()

    def whole(
        self, first: int, topic: bytes, payload: bytes, packet_id: int, generation: int, properties: bytes = b""
    ) -> bool:
        """See Inflow."""
        self._opened, rest = (not properties and unwrap(payload)) or (None, payload)
        if super().whole(first, topic, rest, packet_id, generation, properties):
            return True
        self._opened = None
        return False

    def _put(self, taker: Taker, message: StreamedMessage) -> None:
        """As Inflow._put; a repeat goes by, and is acknowledged."""
        keys, opened = self._connector.incoming.keys, self._opened
        self._opened = None
        if opened:
            message.key = (str(opened[0], "utf-8"), opened[1], opened[2])
        elif keys and message.properties:
            keys.take_key(message)
        if self.is_repeat(message):
            message._is_ended = message._is_done = True
        elif taker in self.takers:
            super()._put(taker, message)
        else:
            message._is_ended = True  # its taker has ended

    def is_repeat(self, message: StreamedMessage) -> bool:
        """See Inflow. What its sink has returned from counts, though its acknowledgement waits for its turn."""
        incoming = self._connector.incoming
        if not (message.key and message.qos and incoming.keys):
            return False
        if incoming.keys.is_repeat(message):
            return True
        return any(
            other is not message and isinstance(other, StreamedMessage) and other._is_done and other.key == message.key
            for other in incoming.unhandled()  # type: ignore[attr-defined]
        )
