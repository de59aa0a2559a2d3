"""Idempotency keys at the client's two ends. Loaded only by who uses them. Both runtimes."""

from ..core import const
from ..core.keys import PROPERTY, check_key, from_text, is_handled, see, to_text, unwrap, window_name, window_of, wrap
from ..core.records import SEEN, State
from ..core.text import to_utf8

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from .base import BaseClient
    from .messages import Message, Receipt


def publish(
    client: "BaseClient", flags: int, topic: bytes, payload: bytes, key: "tuple[str, int] | None"
) -> "tuple[Receipt | None, int]":
    """Accept a message that has a key, of the application or of ours: (receipt of the one accepted earlier with the
    same key, sequence number).
    """
    state = client._state = client._state or State()
    note = bytes(((1 if client.keys else 0) | (2 if client.version == 5 else 0),))
    producer = client.client_id.encode()
    epoch = state.epoch
    number = client._protocol.session.next
    if key:
        producer = to_utf8(key[0], "producer")
        epoch = 0
        number = key[1]
        check_key((producer, epoch, number))
        note += number.to_bytes(8, "big") + producer
        if number <= state.origins.get(producer, -1):
            return _earlier(client, note), 0
    if client.keys and client.version == 5:
        from ..core.properties import encode_user_properties

        block = encode_user_properties([(PROPERTY, to_text((producer, epoch, number)))])
        seq = client._protocol.publish(flags, topic, payload, note, block)
    else:
        if client.keys:
            payload = wrap((producer, epoch, number), payload)
        seq = client._protocol.publish(flags, topic, payload, note)
    state.note(note)
    return None, seq


def last_number(client: "BaseClient", producer: str) -> int:
    """The highest number of a key (producer, number) that has been accepted from the application, in this life or an
    earlier one of the store; -1: none. To be asked when the client has started.
    """
    return client._state.origins.get(producer.encode(), -1) if client._state else -1


def _earlier(client: "BaseClient", note: bytes) -> "Receipt":
    state = client._protocol.session
    for messages in (state.messages, state.doubts or {}):
        for seq in messages:
            if messages[seq][2][1:] == note[1:]:
                return client.receipt(seq)
    return client.receipt(-1)  # not here any more: confirmed


def take_key(message: "Message") -> None:
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


def _window(message: "Message") -> bytes:
    assert message.key
    return window_name(message.key[0].encode(), message.key[1])


def is_repeat(client: "BaseClient", message: "Message") -> bool:
    """Whether a message with this key has been handled."""
    assert message.key
    return client._state is not None and is_handled(client._state.seen, _window(message), message.key[2])


def remember(client: "BaseClient", message: "Message") -> None:
    """The message has been handled."""
    assert message.key and client._state
    name = _window(message)
    if not is_handled(client._state.seen, name, message.key[2]):
        see(window_of(client._state.seen, name), message.key[2])
        client.store.record(SEEN, message.key[2], name)
        client._protocol.session.wanted = True
