"""What the broker allows. Each limit has a counter and a log line when it bites (stats.Watch).

The defaults are for a gateway on a Raspberry Pi: a few hundred devices on half a gigabyte of memory.
"""

from dataclasses import dataclass, fields

from ..core.errors import MQTTError
from ..core.sizes import PACKET_MAX


class LimitError(MQTTError):
    """A limit of this broker, not of the standard; MQTT 3.1.1 has no answer to it but closing [MQTT-4.8.0-2]."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes, times in milliseconds."""

    # One connection. CONNECT has limits of its own (core.server): 10 s, 8 KiB.
    packet_bytes: int = PACKET_MAX  # Remaining Length; what a client with default settings publishes
    connections: int = 1000  # below the usual limit of 1,024 open files
    half_open: int = 50  # connections without CONNECT: beyond it the oldest goes once it has had `half_open_ms`
    half_open_ms: int = (
        1000  # CONNECT normally comes with the first bytes: several clients in the same instant are no attack
    )
    write_buffer_bytes: int = 256 * 1024  # unwritten bytes of a slow reader before QoS 0 is dropped and publishers wait
    close_ms: int = 5000  # for writing the rest and reading to the end, before a closed connection is cut off
    close_bytes: int = 1024 * 1024  # read to the end of a closed connection, and thrown away
    client_id_bytes: int = 256
    inbound: int = 10_000  # QoS 2 messages that a client has not released: 1 MB of memory. Mosquitto drops beyond 20
    takeovers_a_minute: int = (
        20  # of one client identifier. Two clients that share it reach this in a second, a bad line never
    )

    # One session
    queue_messages: int = (
        1000  # not sent yet: above it publishers wait (client connected) or messages are dropped (offline)
    )
    queue_bytes: int = 1024 * 1024
    queue_hard: int = 10  # times the two above, where a publisher cannot be made to wait (flow.py): it is disconnected
    stall_ms: int = 30_000  # a client that makes publishers wait and takes nothing for so long is disconnected
    filters: int = 256  # a gateway subscribes for many devices
    topic_bytes: int = 512  # of a topic name or topic filter
    topic_levels: int = 16  # the same
    control_characters: bool = (
        False  # in topics and filters, and non-characters: taken. Strict subscribers close for them
    )

    # All together
    persistent_sessions: int = 200
    session_expiry_ms: int = 7 * 24 * 3600 * 1000  # of a persistent session whose client stays away
    retained_topics: int = 5000
    retained_message_bytes: int = 64 * 1024
    retained_bytes: int = 32 * 1024 * 1024
    routes: int = 4096  # cached topics; about 1 kB each

    def __post_init__(self) -> None:
        """TypeError or ValueError for a limit that cannot be one; it names the field."""
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(field.default, bool):
                if not isinstance(value, bool):
                    raise TypeError(f"{field.name} must be True or False, not {value!r:.60}")
            elif isinstance(field.default, int):
                if isinstance(value, bool) or not isinstance(value, int):
                    raise TypeError(f"{field.name} must be a whole number, not {value!r:.60}")
                if value < 0:
                    raise ValueError(f"{field.name} must be 0 or more, not {value}")
