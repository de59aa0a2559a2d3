"""Idempotency keys at the client's two ends, and what is pending. Loaded only by who uses them. Both runtimes."""

from ..core import const
from ..core.keys import is_handled, see, unwrap, window_name, window_of, wrap
from ..core.text import to_utf8

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from ..core.session import Session
    from .base import BaseClient
    from .messages import Message, Receipt

# As in store/records.
_SEEN = const(14)


def prepare(
    client: "BaseClient", key: "tuple[str, int] | None", payload: bytes
) -> "tuple[Receipt | None, bytes, bytes]":
    """Before a message is accepted: (receipt of the one accepted earlier with the same key, note for the store, payload
    as it travels).
    """
    note = b"\1" if client.keys else b"\0"
    producer = client.client_id.encode()
    epoch = client._state.epoch
    number = client._protocol.state.next
    if key:
        producer = to_utf8(key[0], "producer")
        epoch = 0
        number = key[1]
        note += number.to_bytes(8, "big") + producer
        if number <= client._state.origins.get(producer, -1):
            return _earlier(client, note), b"", b""
    elif not client.keys:
        return None, b"", payload
    return None, note, wrap((producer, epoch, number), payload) if client.keys else payload


def _earlier(client: "BaseClient", note: bytes) -> "Receipt":
    state = client._protocol.state
    for messages in (state.messages, state.doubts or {}):
        for seq in messages:
            if messages[seq][2][1:] == note[1:]:
                return client.receipt(seq)
    return client.receipt(-1)  # not here any more: confirmed


def open_envelope(message: "Message") -> None:
    """Take the key out of a payload that has one."""
    opened = unwrap(message.payload)
    if opened:
        (producer, epoch, sequence), message.payload = opened
        message.key = (str(producer, "utf-8"), epoch, sequence)


def _window(message: "Message") -> bytes:
    assert message.key
    return window_name(message.key[0].encode(), message.key[1])


def is_repeat(client: "BaseClient", message: "Message") -> bool:
    """Whether a message with this key has been handled."""
    assert message.key
    return is_handled(client._state.seen, _window(message), message.key[2])


def remember(client: "BaseClient", message: "Message") -> None:
    """The message has been handled."""
    assert message.key
    name = _window(message)
    if not is_handled(client._state.seen, name, message.key[2]):
        see(window_of(client._state.seen, name), message.key[2])
        client.store.record(_SEEN, message.key[2], name)


def pending(session: "Session") -> "list[tuple[int, str, str, int, bytes]]":
    """What is not finished; see BaseClient.pending."""
    found = []
    for messages in (session.messages, session.doubts or {}):
        for seq in sorted(messages):
            head, payload, _ = messages[seq]
            qos = head[0] >> 1 & 3
            state = "in doubt" if messages is session.doubts else "released" if qos == 3 else "accepted"
            found.append((seq, state, topic_of(head), min(qos, 2), payload))
    return found


def topic_of(head: bytes) -> str:
    """The topic name in the head of a PUBLISH packet."""
    at = 1
    while head[at] > 127:
        at += 1
    return str(head[at + 3 :], "utf-8")
