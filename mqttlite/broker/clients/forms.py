"""How a message leaves: in the version that its client speaks now, with the time that it has left, and not at all when
it has expired or is larger than the client takes. Imports extras, queue and core.

In queues and in the store a message is as 3.1.1 has it, with an extra (extras.py). A session has a `form` while it
needs one: its client speaks 5.0, or something that is queued for it has an extra.
"""

from collections.abc import Callable

from ...core.codec import prefixed, remaining_length, repeated, topic_of
from ...core.packet_types import PUBLISH
from ...core.properties import TOPIC_ALIAS
from ...core.session import SPAN
from ..messages.extras import block_of, deadline_of
from ..messages.heads import heads5
from .queue import Queue

ALIASED = 9  # bytes of a topic name for which an alias pays: it costs 3

Pieces = tuple[bytes, ...]


class Form:
    """How messages go to `session`. `is5`: its client speaks 5.0; `packet_max`: the largest packet that it takes, in
    bytes; `alias_max`: how many topic aliases it takes. `clock`: tells the broker's time (ms); `dropped`: is told of
    each message that ends here, by the name of its counter.
    """

    __slots__ = ("_alias_max", "_aliases", "_clock", "_dropped", "_is5", "_packet_max", "_session", "is_plain")

    def __init__(
        self,
        session: Queue,
        clock: Callable[[], int],
        dropped: Callable[[str], None],
        is5: bool = False,
        packet_max: int = 0,
        alias_max: int = 0,
    ) -> None:
        self._session = session
        self._clock = clock
        self._dropped = dropped
        self._is5 = is5
        self._packet_max = packet_max or 1 << 30
        self._alias_max = alias_max
        self._aliases: dict[bytes, int] = {}
        self.is_plain = is5 and not packet_max and not alias_max

    def numbered(self, seq: int, message: tuple[bytes, bytes, bytes]) -> Pieces | None:
        """As Session.form."""
        head, payload, extra = message
        session = self._session
        is_repeat = seq < session.sent_before
        packet_id = seq % SPAN + 1
        if not extra:
            if self.is_plain:
                start = heads5(head)
                return repeated(start) if is_repeat else start, (packet_id << 8).to_bytes(3, "big"), payload
            return self.pieces(head, payload, extra, packet_id, is_repeat)
        is_begun = seq in session.begun or deadline_of(extra) < 0
        pieces = self.pieces(head, payload, extra, packet_id, is_repeat, is_begun)
        if not is_begun and pieces is not None:
            session.begin(seq)
        return pieces

    def pieces(
        self,
        head: bytes,
        payload: bytes,
        extra: bytes,
        packet_id: int = 0,
        is_repeat: bool = False,
        is_begun: bool = False,
    ) -> Pieces | None:
        """A PUBLISH; `packet_id`: 0 at QoS 0. None: it is not sent. `is_begun`: it was sent before, so it goes on, and
        when its time is over, with none left [MQTT-4.4.0-1].
        """
        block = b""
        if extra:
            found = block_of(extra, self._clock(), is_begun)
            if found is None:
                self._dropped("dropped_expired")
                return None
            block = found
        number = packet_id.to_bytes(2, "big") if packet_id else b""
        if not self._is5:
            return repeated(head) if is_repeat else head, number, payload
        if not block and not self._alias_max:
            start = heads5(head)
            pieces: Pieces = (start, payload)
            if packet_id:
                pieces = (repeated(start) if is_repeat else start, number, b"\0", payload)
        else:
            pieces = self._with_block(head, number, block, payload, is_repeat)
        if len(payload) + len(head) + len(block) + 16 > self._packet_max:
            size = sum(map(len, pieces))
            if size > self._packet_max:  # [MQTT-3.1.2-24] [MQTT-3.1.2-25]: as if it had been sent
                self._dropped("dropped_too_large")
                return None
        return pieces

    def _with_block(self, head: bytes, number: bytes, block: bytes, payload: bytes, is_repeat: bool) -> Pieces:
        topic = topic_of(head)
        alias = self._aliases.get(topic, 0)
        if alias:
            block += bytes((TOPIC_ALIAS,)) + alias.to_bytes(2, "big")
            topic = b""
        elif len(topic) >= ALIASED and len(self._aliases) < self._alias_max:
            alias = self._aliases[topic] = len(self._aliases) + 1  # [MQTT-3.3.2-8] [MQTT-3.3.2-10]
            block += bytes((TOPIC_ALIAS,)) + alias.to_bytes(2, "big")
        first = head[0] | (8 if is_repeat else 0)
        assert first & 0xF0 == PUBLISH
        name = prefixed(topic)
        properties = remaining_length(len(block)) + block
        size = remaining_length(len(name) + len(number) + len(properties) + len(payload))
        return bytes((first,)) + size + name, number, properties, payload
