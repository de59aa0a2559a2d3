"""What has to come in time: the first byte of a connection, all of its CONNECT, and a packet that has begun. Imports
limits, core.

Any byte is no progress: a packet that is not complete has to grow by `min_rate` over `packet_ms`, however long its
client's keep alive is.
"""

from typing import Protocol

from ...core.errors import ProtocolError
from ...core.greeting import Connect
from ..limits import LimitError, Limits
from .addresses import is_local


class Coming(Protocol):
    """A connection (peer.Peer)."""

    limits: Limits
    opened_at: int
    is_connected: bool
    more: bool  # what has come is not all done
    received: int  # bytes that wait, when it was looked at last
    packet_at: int  # ms; since when, in a packet that is not complete ...
    packet_had: int  # ... there is more than so many bytes

    @property
    def incomplete(self) -> int: ...
    @property
    def has_begun(self) -> bool: ...


class Kept(Protocol):
    """One that has said CONNECT."""

    connect: Connect | None
    keep_alive_ms: int
    origin: str


def limit_of(peer: Coming) -> str:
    """The name of the limit for what has to come next."""
    if peer.is_connected:
        return "packet_ms"
    return "connect_ms" if peer.has_begun else "first_byte_ms"


def deadline(peer: Coming) -> int | None:
    """When it has to have come; None: there is nothing that has to."""
    limits = peer.limits
    if not peer.is_connected:
        return peer.opened_at + (limits.connect_ms if peer.has_begun else limits.first_byte_ms)
    if peer.received and peer.incomplete:
        return peer.packet_at + limits.packet_ms
    return None


def check(peer: Coming, now: int) -> None:
    """ProtocolError or LimitError when it has not."""
    limits = peer.limits
    if not peer.is_connected:
        most_ms = getattr(limits, limit_of(peer))
        if now - peer.opened_at >= most_ms:
            raise ProtocolError("3.1.4", f"no {'CONNECT' if peer.has_begun else 'byte'} within {most_ms} ms")
    elif peer.received and now - peer.packet_at >= limits.packet_ms:
        have = peer.incomplete
        if have and not peer.more and (have - peer.packet_had) * 1000 < limits.min_rate * limits.packet_ms:
            raise LimitError(f"a packet that does not end: {have} bytes, too few in the last {limits.packet_ms} ms")
        peer.packet_at, peer.packet_had = now, have


def limit_behind(peer: Kept, error: ProtocolError) -> str:
    """The name of the limit that a client has exceeded, where the standard has a rule for that; ""."""
    if error.rule != "MQTT-3.1.2-24":
        return {"4.8": "packet_bytes", "4.3.3": "inbound"}.get(error.rule, "")
    connect = peer.connect
    if connect is None or peer.keep_alive_ms == connect.keep_alive_s * 1500:
        return ""  # its own
    return "keep_alive_local_ms" if is_local(peer.origin) else "keep_alive_ms"
