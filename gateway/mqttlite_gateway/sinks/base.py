"""What a sink is: a place that messages of the gateway's broker go to, and that is no MQTT broker.

A sink is one file with one class of this interface, and a line in `KINDS` (sinks/__init__.py). It opens connections,
writes batches and says what has become of each message; the queue, the order, trying again, the rate, dead letters and
everything that is shown are the uplink's (uplink.py). So a third one, for Kafka, say, needs to know:

- `open` connects, makes what has to be there, and raises SinkError in words where it cannot. It is called again, in
  growing intervals, for as long as the gateway runs: nothing has to be tried twice inside.
- `put` writes messages in their order, and calls `settle(message, "")` for each as soon as it is *durable* there, or
  `settle(message, why)` where it will never be taken (too large, no such route): that one becomes a dead letter, and
  does not hold up the others. What `put` has not settled when it raises SinkError comes again, in the same order, after
  the next `open`. So messages may come twice: `message.name` and `message.key` are what they can be known by.
- `abort` is for a connection that says nothing any more. A moment later, `put` or `open`, if it waits still, is
  cancelled, and `close` is called.
- Nothing here knows the broker inside, and no sink acknowledges anything itself.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from mqttlite.core.errors import MQTTError
from mqttlite.core.keys import PROPERTY, from_text, unwrap
from mqttlite.core.message_properties import decoded_pairs, value_of
from mqttlite.core.properties import parted

Key = tuple[bytes, int, int]  # producer, epoch, sequence


class SinkError(MQTTError):
    """It cannot be used now; the text says why, and what to do."""


@dataclass(slots=True)
class Message:
    """One message on its way. `name`: the same when it comes again, and no other message of this gateway and sink ever
    has it; "" at QoS 0, which does not come again. `key`: its idempotency key; its envelope, if it came in one, is
    taken off the payload. `properties`: its block of 5.0 without the key.
    """

    name: str
    topic: str
    payload: bytes
    qos: int
    retain: bool
    is_repeat: bool
    key: Key | None
    properties: bytes = b""
    origin: Any = None  # the uplink's own

    @property
    def expires_after_s(self) -> int | None:
        """The time that it has left; None: it does not expire."""
        seconds = parted(self.properties)[0] if self.properties else -1
        return None if seconds < 0 else seconds

    def text(self, name: str) -> str:
        """content_type or response_topic; "" where it has none."""
        return str(value_of(self.properties, name)) if self.properties else ""

    @property
    def correlation_data(self) -> bytes:
        """b"" where it has none."""
        data = value_of(self.properties, "correlation_data") if self.properties else b""
        assert isinstance(data, bytes)
        return data

    @property
    def user_properties(self) -> list[tuple[str, str]]:
        """In order, without the key."""
        pairs = decoded_pairs(self.properties) if self.properties else []
        return [pair for pair in pairs if pair[0] != _KEY]


_KEY = PROPERTY.decode()


def key_of(properties: bytes, payload: bytes) -> tuple[Key | None, bytes]:
    """The idempotency key of a message, and its payload without an envelope."""
    if PROPERTY in properties:
        for name, value in decoded_pairs(properties):
            if name == _KEY and (key := from_text(value.encode())) is not None:
                return key, payload
    found = unwrap(payload)
    return found if found else (None, payload)


Settle = Callable[[Message, str], None]


class Sink(Protocol):
    """See above. `kind`: for `describe`."""

    kind: str

    async def open(self) -> str:
        """Connect; what has been found there, for the log."""

    async def put(self, batch: Sequence[Message], settle: Settle) -> None:
        """Write it; returns when each message is settled."""

    def abort(self) -> None:
        """Have what waits for the connection fail soon."""

    async def close(self) -> None:
        """End the connection in good order; `open` may follow. Raises nothing."""
