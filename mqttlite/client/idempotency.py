"""Idempotency keys at the client's two ends. Loaded only by who uses them. Both runtimes."""

from ..core import const
from ..core.keys import PROPERTY, check_key, from_text, is_handled, see, to_text, unwrap, window_name, window_of, wrap
from ..core.records import SEEN, State, bare
from ..core.text import to_utf8

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from ..core.client import ClientProtocol
    from .life import Life
    from .messages import Message


class Keys:
    """Of one client: the keys that it has published under, and those that it has handled. `flags`: as of Outgoing."""

    def __init__(self, client_id: str, flags: int, state: "State | None" = None) -> None:
        self._producer = client_id.encode()
        self._flags = flags
        self.state = state or State()  # the store's: epoch, origins and seen are used here

    def publish(
        self,
        protocol: "ClientProtocol",
        flags: int,
        topic: bytes,
        payload: bytes,
        key: "tuple[str, int] | None",
        block: bytes = b"",
        expiry: bytes = b"",
    ) -> "tuple[bool, int]":
        """Accept a message that has a key, of the application or of ours: whether one with the same key was accepted
        earlier, and the sequence number: of that one (-1: it is confirmed), or of the new one. `block`: its properties;
        `expiry`: its deadline, as the end of a key (core.records).
        """
        state = self.state
        note = bytes((self._flags | 4 if expiry else self._flags,))
        producer = self._producer
        epoch = state.epoch
        number = protocol.session.next
        if key:
            producer = to_utf8(key[0], "producer")
            epoch = 0
            number = key[1]
            check_key((producer, epoch, number))
            note += number.to_bytes(8, "big") + producer
            if number <= state.origins.get(producer, -1):
                return True, _earlier(protocol, note)
        if self._flags == 3:
            from ..core.properties import encode_user_properties

            block += encode_user_properties([(PROPERTY, to_text((producer, epoch, number)))])
        elif self._flags & 1:
            payload = wrap((producer, epoch, number), payload)
        seq = protocol.publish(flags, topic, payload, note + expiry, block)
        state.note(note + expiry)
        return False, seq

    def last_number(self, producer: str) -> int:
        """See BaseClient.last_number."""
        return self.state.origins.get(producer.encode(), -1)

    def take_key(self, message: "Message") -> None:
        """Read the key of a message that has one; what stands in front of the payload is taken away."""
        if message.properties:
            from ..core.properties import user_property

            text = user_property(message.properties, PROPERTY)
            key = from_text(text) if text else None
        else:
            opened = unwrap(message.payload)
            key = None
            if opened:
                key, message.payload = opened
        if key:
            message.key = (str(key[0], "utf-8"), key[1], key[2])

    def is_repeat(self, message: "Message") -> bool:
        """Whether a message with this key has been handled."""
        assert message.key
        return is_handled(self.state.seen, _window(message), message.key[2])

    def remember(self, message: "Message", life: "Life") -> None:
        """The message has been handled."""
        assert message.key
        name = _window(message)
        if not is_handled(self.state.seen, name, message.key[2]):
            see(window_of(self.state.seen, name), message.key[2])
            life.store.record(SEEN, message.key[2], name)
            life.session.wanted = True


def _earlier(protocol: "ClientProtocol", note: bytes) -> int:
    state = protocol.session
    for messages in (state.messages, state.doubts or {}):
        for seq in messages:
            if bare(messages[seq][2])[1:] == note[1:]:
                return seq
    return -1  # not here any more: confirmed


def _window(message: "Message") -> bytes:
    assert message.key
    return window_name(message.key[0].encode(), message.key[1])
