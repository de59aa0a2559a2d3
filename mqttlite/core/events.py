"""What the two ends of a connection tell, and to whom: interfaces for the type checker. Never imported at run time."""

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from .greeting import Connect

# topic name, payload, QoS, retain; in 5.0, a block of properties may follow
Will = tuple[bytes, bytes, int, bool] | tuple[bytes, bytes, int, bool, bytes]
# client identifier, clean session, keep alive (s), user name, password, will
ConnectFields = tuple[bytes, bool, int, bytes | None, bytes | None, Will | None]


class ClientEvents(Protocol):
    """Who is told by a ClientProtocol: the shell that holds the transport. None of these may call back but
    `publish`.
    """

    def on_connected(self, session_present: bool, /) -> None:
        """CONNACK accepted; everything unacknowledged is in `out` again."""

    def on_message(
        self, flags: int, topic: bytes, payload: bytes, packet_id: int, generation: int, properties: bytes, /
    ) -> None:
        """A message; at QoS > 0 call `session.handled(packet_id, generation)` when it has been handled. `packet_id`: in
        its lower 16 bits (Session.received).

        `flags`: the first byte of its PUBLISH (DUP, QoS, RETAIN). `properties`: a block that has been checked
        (properties.py); of 3.1.1, empty.
        """

    def on_large(self, flags: int, topic: bytes, size: int, packet_id: int, generation: int, /) -> None:
        """A message of `size` bytes (Remaining Length) was too large and was read past; of a long topic, the beginning.
        At QoS > 0 call `session.handled(packet_id, generation)` as if it had been handled.
        """

    def on_suback(self, topic_filter: bytes, code: int, /) -> None:
        """Answer to a subscription: granted QoS, or 0x80."""

    def on_unsuback(self, topic_filter: bytes, code: int = 0, /) -> None:
        """A subscription has ended, or (5.0, `code` from 0x80 on) has not."""

    def on_finished(self, seq: int, outcome: int, /) -> None:
        """An outbound message is finished. `outcome`: 0 confirmed; session.IN_DOUBT: the broker lost its session
        between PUBREC and PUBCOMP; a reason code from 0x80 on: refused.
        """


class Streams(Protocol):
    """Who takes messages larger than `size_max` as they arrive (client/pieces)."""

    def begin(self, flags: int, topic: bytes, size: int, properties: bytes, /) -> bool:
        """A message of `size` bytes of payload begins (`flags`: its first byte): whether somebody takes it."""

    def take(self, piece: bytes, /) -> None:
        """The next bytes of it."""

    def complete(self, packet_id: int, generation: int, is_new: bool, /) -> None:
        """That was all. At QoS > 0 call `session.handled(packet_id, generation)` when it has been handled."""


class ClientOpening(Protocol):
    """How a client of 5.0 opens a connection (opening5.Opening)."""

    session_expiry_s: int

    def packet(self) -> bytes:
        """CONNECT."""

    def wait_longer(self) -> None:
        """Ask for four times the keep alive from now on (client/suspects.py)."""

    def accepted(self, found: "dict[int, int | bytes]", assigned: bytes) -> None:
        """CONNACK was accepted: values of its properties, and the client identifier that the server has chosen."""

    def take(self, buf: bytes, start: int, end: int) -> None:
        """AUTH came."""


C = TypeVar("C", contravariant=True)  # a ServerConnection, or what is derived from it


class ServerEvents(Protocol[C]):
    """Who is told by a ServerConnection: the broker. What only 5.0 has is given only where there is some: blocks of
    properties, as a last argument; a broker that speaks 3.1.1 alone never gets one.
    """

    def check_topic(self, topic: bytes, /) -> None:
        """ProtocolError for a topic name that is not one (text.check_topic_name; worth a cache)."""

    def on_connect(self, connection: C, connect: "Connect", /) -> None:
        """A valid CONNECT; answer with `accept` or `refuse` at once."""

    def on_publish(
        self, connection: C, flags: int, topic: bytes, payload: bytes, properties: bytes = ..., /
    ) -> int | None:
        """Take ownership of a message [MQTT-4.5.0-1]; it is acknowledged on return. `flags`: QoS << 1 | RETAIN. To
        return a reason code from 0x80 on: it is not taken, and a client of 5.0 is told so.
        """

    def on_subscribe(
        self, connection: C, subscriptions: list[tuple[bytes, int]], properties: bytes = ..., /
    ) -> tuple[bytes, "Callable[[], None]"]:
        """A return code for each subscription; the callable sends retained messages, after SUBACK. With each topic
        filter comes its QoS; of 5.0, all its options (3.8.3.1), of which QoS is the lowest two bits.
        """

    def on_unsubscribe(self, connection: C, topic_filters: list[bytes], /) -> bytes | None:
        """Subscriptions end. A reason code for each (5.0); None: all are 0."""

    def on_disconnect(self, connection: C, /) -> None:
        """DISCONNECT arrived; an orderly one has removed the will already, and `is_connected` is False."""
