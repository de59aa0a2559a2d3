"""Many messages at once: `client.publish_many([("room/1", "21.5"), ("room/2", "22.0")])`. Host only."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ..arguments.checks import wrong_type
from ..messages import Receipt

if TYPE_CHECKING:
    from ..comfort import ComfortableClient

_MESSAGE = "a tuple (topic, payload), (topic, payload, qos) or (topic, payload, qos, retain), or a dict of arguments"


async def publish_many(client: "ComfortableClient", messages: Any, qos: int, retain: bool) -> list[Receipt]:
    """See Client.publish_many."""
    if isinstance(messages, str | bytes | Mapping) or not isinstance(messages, Iterable):
        raise wrong_type("messages", f"an iterable, each message {_MESSAGE}", messages)
    checked = _checked(client, messages, qos, retain)
    life = client._life
    outgoing = client._outgoing
    receipts: list[Receipt] = []
    try:
        for message in checked:
            if type(message) is dict:
                receipts.append(await client.enqueue(**message))
                continue
            topic, payload, its_qos, its_retain = message
            size = len(topic) + len(payload)
            if outgoing.is_full(its_qos, size):
                await outgoing.wait_for_room(its_qos, size)
            receipts.append(outgoing.accept(topic, payload, its_qos, its_retain))
    except Exception as error:
        error.add_note(f"message {len(receipts)} of publish_many; those before it are accepted")
        raise
    if life.store.is_durable:
        await life.commit()
    return receipts


def _checked(client: "ComfortableClient", messages: Iterable[Any], qos: int, retain: bool) -> list[Any]:
    """What is to be published: all of it has been checked before one message is accepted."""
    protocol = client._life.protocol
    room = protocol.parser.size_max - 16
    none = 1 if client._is_5() else 0  # bytes that say that there are no properties
    known = set()  # topics that are
    found: list[Any] = []
    for message in messages:
        try:
            if type(message) is tuple and 2 <= len(message) <= 4:
                topic, payload, its_qos, its_retain = message + (qos, retain)[len(message) - 2 :]
                payload = client._checked(topic, payload, its_qos, its_retain, None)
                if topic not in known or 3 * len(topic) + len(payload) > room:
                    protocol._check(its_qos << 1, topic.encode(), len(payload) + none)
                    known.add(topic)
                found.append((topic, payload, its_qos, its_retain))
            elif isinstance(message, Mapping):
                arguments = {"payload": b"", "qos": qos, "retain": retain, **message}
                _check_arguments(client, **arguments)
                found.append(arguments)
            else:
                raise wrong_type("a message", _MESSAGE, message)
        except Exception as error:
            words = str(error.args[0]) if error.args else ""
            error.args = (f"message {len(found)} of publish_many (none is accepted): {words}", *error.args[1:])
            raise
    return found


def _check_arguments(
    client: "ComfortableClient",
    topic: Any = None,
    payload: Any = b"",
    qos: Any = 1,
    retain: Any = False,
    key: Any = None,
    **properties: Any,
) -> None:
    """All that `publish` refuses in its arguments."""
    payload = client._checked(topic, payload, qos, retain, key)
    block = b""
    if properties:
        from ...core.message_properties import encode
        from ..saying5 import needs_5

        client._check_properties(properties, payload)  # type: ignore[arg-type]
        needs_5(client, " and ".join(properties))
        block = encode(properties)
    protocol = client._life.protocol
    if protocol.wire.with_properties:
        payload = protocol.wire.with_properties(block, payload)
    protocol._check(qos << 1, topic.encode(), len(payload))
