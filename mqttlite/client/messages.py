"""What the application gets: messages and receipts. Both runtimes."""

import asyncio

from ..core import const
from ..core.features import HOST, V5

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator
    from typing import Any

    from ..core.errors import MQTTError


SHOWN = const(60)  # bytes of a payload in `repr`


class Message:
    """A message received: `topic` (str), `payload` (bytes), `qos` (as granted), `retain` (a retained message, sent
    because of a new subscription), `dup` (the broker sends it again; the application may have seen it), `key` (its
    idempotency key as (producer, epoch, sequence), or None).

    What only MQTT 5.0 has, read when it is asked for, and empty where there is none: `expires_after_s` (for how many
    seconds it is of use, when the broker sent it; None: for ever), `content_type`, `response_topic` (str),
    `correlation_data` (bytes), `payload_is_text` (whether its sender says that the payload is UTF-8), `user_properties`
    (a list of (name, value), in order), `subscription_identifiers` (a list of int: of the subscriptions that it comes
    from). `properties` is the block of them as it came.
    """

    if TYPE_CHECKING:
        expires_after_s: "int | None"
        content_type: str
        response_topic: str
        correlation_data: bytes
        payload_is_text: bool
        user_properties: "list[tuple[str, str]]"
        subscription_identifiers: "list[int]"

    # Of the class until they change: an attribute of an object costs a board memory for each message.
    properties = b""
    key: "tuple[str, int, int] | None" = None
    _is_handled: "bool | int" = False  # -1: not yet, and not by whoever takes messages from the inbox

    def __init__(self, topic: str, payload: bytes, flags: int, packet_id: int, generation: int) -> None:
        self.topic = topic
        self.payload = payload
        self.qos = flags >> 1 & 3
        self.retain = flags & 1 == 1
        self.dup = flags & 8 == 8
        self._packet_id = packet_id
        self._generation = generation

    def __repr__(self) -> str:
        return "Message(%r, %r%s, qos=%d%s%s)" % (
            self.topic,
            self.payload[:SHOWN],
            "" if len(self.payload) <= SHOWN else " and %d more" % (len(self.payload) - SHOWN),
            self.qos,
            ", retain=True" if self.retain else "",
            ", dup=True" if self.dup else "",
        )

    def matches(self, topic_filter: str) -> bool:
        """Whether a valid topic filter matches the message's topic (4.7), as in `message.matches("room/+/state")`."""
        from ..core.matching import matches

        return matches(topic_filter.encode(), self.topic.encode())

    if V5:

        def __getattr__(self, name: str) -> "Any":
            """What is asked for is hardly ever there, and each attribute of an object costs a board memory."""
            if name[:1] == "_":
                raise AttributeError(name)
            from ..core.message_properties import value_of

            return value_of(self.properties, name)


class Receipt:
    """What `publish` returns: the message is accepted. `await receipt` waits until the broker has confirmed it, as
    `completed` does. `seq` is its sequence number (-1 at QoS 0, which has no confirmation); `done` says whether it is
    finished, `error` why it was not confirmed.
    """

    # Of the class until they change, as in Message.
    error: "MQTTError | None" = None
    done = False
    _event: "asyncio.Event | None" = None

    def __init__(self, seq: int) -> None:
        self.seq = seq

    async def completed(self) -> None:
        """Wait until the broker has confirmed the message: PUBACK (QoS 1), PUBCOMP (QoS 2); at once at QoS 0.

        Raises InDoubtError when the broker lost the session in the middle of a QoS 2 hand-over, ClosedError when the
        client was closed first.
        """
        if not self.done:
            if not self._event:
                self._event = asyncio.Event()
            await self._event.wait()
        if self.error:
            raise self.error

    def __await__(self) -> "Generator[Any, None, None]":
        return self.completed().__await__()

    def __iter__(self) -> "Coroutine[Any, Any, None]":
        return self.completed()  # what MicroPython awaits

    def __repr__(self) -> str:
        state = repr(self.error) if self.error else "confirmed" if self.done else "not confirmed"
        return "Receipt(%d): %s" % (self.seq, state)

    if HOST and not TYPE_CHECKING:

        def __getattr__(self, name):  # called for what there is not
            from .arguments.other_names import no_attribute_of_receipt

            raise AttributeError(no_attribute_of_receipt(name))

    def _finish(self, error: "MQTTError | None") -> None:
        self.error = error
        self.done = True
        if self._event:
            self._event.set()


SENT = Receipt(-1)  # of every QoS 0 message: nothing to wait for
SENT.done = True


def check_qos(qos: int, what: str = "QoS") -> None:
    """Raise ValueError unless `qos` is one; `what` names it."""
    if qos not in (0, 1, 2):
        raise ValueError(what + " is 0, 1 or 2")
