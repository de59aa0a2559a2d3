"""A version of MQTT at one end: modules of functions between bytes and fields, for what the versions have not in
common. Interfaces for the type checker; never imported at run time.

wire4, wire4_server   MQTT 3.1.1: the client's end, the server's
wire5, wire5_server   MQTT 5.0; properties.py and announced.py belong to it

A decoder is given the whole buffer and where the packet's body starts and ends in it. It raises ProtocolError for what
does not conform. What a version has not is None, 0 or empty: so whoever asks knows no version.
"""

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from .errors import MQTTError
    from .events import Will
    from .greeting import Connect


class Wire(Protocol):
    """What both ends need."""

    @property
    def properties_of(self) -> "Callable[[bytes, int, int], tuple[int, int]] | None":
        """(buf, at, end): start and end of the properties of a PUBLISH, checked; None: there are none."""

    @property
    def with_properties(self) -> "Callable[[bytes, bytes], bytes] | None":
        """(block, payload): what follows the packet identifier, or the topic name, in PUBLISH; None: the payload."""

    def digest(self, topic: bytes, packet_id: int, properties: bytes, payload: bytes) -> int:
        """Of the content of a QoS 2 message: 32 bits by which another is told from a repeat."""

    def decode_acknowledgement(self, buf: bytes, start: int, end: int) -> int:
        """PUBACK, PUBREC, PUBREL, PUBCOMP: packet identifier, and above 16 bits the reason code."""

    def farewell(self, rule: str) -> bytes:
        """What is sent last to a peer that has broken a rule; b"": nothing."""


class ClientWire(Wire, Protocol):
    """What a client sends and reads."""

    def encode_connect(
        self,
        client_id: bytes,
        clean_session: bool,
        keep_alive_s: int,
        username: bytes | None,
        password: bytes | None,
        will: "Will | None",
        /,
        *,
        receive_maximum: int = ...,
        size_max: int = ...,
    ) -> bytes:
        """CONNECT, which announces how many messages and how large ones (Remaining Length, bytes) are taken."""

    def encode_subscribe(
        self, packet_id: int, subscriptions: list[tuple[bytes, int]], properties: bytes = ...
    ) -> bytes:
        """SUBSCRIBE for topic filters with their requested QoS (5.0: their options), and a block of properties."""

    def encode_unsubscribe(self, packet_id: int, topic_filters: list[bytes], properties: bytes = ...) -> bytes:
        """UNSUBSCRIBE."""

    def encode_disconnect(self, reason: int = ...) -> bytes:
        """DISCONNECT."""

    def decode_connack(self, buf: bytes, start: int, end: int) -> tuple[bool, int, dict[int, int | bytes] | None]:
        """Session present, return or reason code, and what the server announces: values by property identifier."""

    def refusal(self, code: int, announced: Any) -> str:
        """Words for a code of CONNACK other than 0."""

    def decode_suback(self, buf: bytes, start: int, end: int) -> tuple[int, bytes]:
        """Packet identifier, and a code for each topic filter: granted QoS, or from 0x80 on."""

    def decode_unsuback(self, buf: bytes, start: int, end: int) -> tuple[int, bytes | None]:
        """Packet identifier, and a code for each topic filter; None: all have ended."""

    def unexpected(self, first: int, buf: bytes, start: int, end: int) -> "MQTTError":
        """Why a packet that is none of the usual ends the connection."""


class ServerWire(Wire, Protocol):
    """What a server sends and reads."""

    @property
    def has_reasons(self) -> bool:
        """Whether an acknowledgement can refuse."""

    def decode_connect(self, buf: bytes, start: int, end: int) -> "Connect":
        """CONNECT, whose protocol name and level have been read."""

    def decode_subscribe(self, buf: bytes, start: int, end: int) -> tuple[int, list[tuple[bytes, int]], bytes]:
        """Packet identifier, topic filters with their options (QoS in the lowest two bits), block of properties."""

    def decode_unsubscribe(self, buf: bytes, start: int, end: int) -> tuple[int, list[bytes]]:
        """Packet identifier, topic filters."""

    def decode_disconnect(self, buf: bytes, start: int, end: int, connect: "Connect") -> int:
        """The reason code; 0: an orderly end. `connect`: gets what it changes."""

    def encode_connack(
        self,
        session_present: bool,
        code: int,
        receive_maximum: int = ...,
        size_max: int = ...,
        properties: bytes = ...,
    ) -> bytes:
        """CONNACK, which announces what encode_connect does, and a block of properties."""

    def encode_suback(self, packet_id: int, codes: bytes) -> bytes:
        """SUBACK."""

    def encode_unsuback(self, packet_id: int, codes: bytes) -> bytes:
        """UNSUBACK."""

    def encode_disconnect(self, reason: int) -> bytes:
        """DISCONNECT; b"": a server does not send it."""
