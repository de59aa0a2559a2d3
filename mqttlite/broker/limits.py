"""What the broker allows. Each limit has a counter and a log line when it bites (stats.Watch).

The defaults are for a gateway on a Raspberry Pi: a few hundred devices on half a gigabyte of memory. Each field is a
name for `mqttlite broker --limit NAME=VALUE` and for `[limits]` in its file; the text behind it is its help.
"""

from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase

from ..core.errors import MQTTError
from ..core.reason_codes import NOT_AUTHORISED
from ..core.sizes import PACKET_MAX
from .named_rules import POLICIES, NamedRule

KIB = 1024
MIB = 1024 * KIB

WHEN_FULL = DROP_NEWEST, DROP_OLDEST, REFUSE, HOLD = POLICIES  # of sessions, as of named queues


class LimitError(MQTTError):
    """A limit of this broker, not of the standard; MQTT 3.1.1 has no answer to it but closing [MQTT-4.8.0-2]. What a
    PUBLISH of 5.0 gets instead is 0x97 (quota exceeded) in its acknowledgement, or `code`. `told`: what its client may
    read of the text, where it is not all of it (packets/reason_strings.py).
    """

    code = 0

    def __init__(self, text: str, told: str = "") -> None:
        super().__init__(text)
        self.told = told or text


class Denied(LimitError):
    """A right that a client has not. PUBLISH of 5.0 gets 0x87 (not authorised) in its acknowledgement."""

    code = NOT_AUTHORISED


@dataclass(frozen=True, slots=True)
class QueueRule:
    """What becomes of a message for a session whose queue has come to the end of its budget.

    `clients`: a pattern for client identifiers as in the shell (`*`, `?`, `[...]`). `when_full`: one of WHEN_FULL.
    `max_bytes`: the budget; 0: as `queue_bytes` in Limits.
    """

    clients: str = "*"
    when_full: str = DROP_NEWEST
    max_bytes: int = 0


def _limit(default: int, text: str) -> int:
    value: int = field(default=default, metadata={"help": text})
    return value


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes (`_bytes`), times in milliseconds (`_ms`), the others are counts."""

    # One connection
    # What a client with default settings publishes.
    packet_bytes: int = _limit(PACKET_MAX, "largest packet that a client may send; a larger one ends its connection")
    # Below the usual limit of 1,024 open files.
    connections: int = _limit(1000, "network connections at once; beyond it one goes of the address with most of them")
    connections_per_address: int = _limit(0, "of these for one address, but this machine; 0: as many as there are")
    half_open: int = _limit(50, "connections without CONNECT; beyond it the oldest goes after half_open_ms")
    half_open_per_address: int = _limit(10, "the same for one address, but this machine")
    # CONNECT normally comes with the first bytes: several clients in the same instant are no attack.
    half_open_ms: int = _limit(1000, "time that such a connection has at least, while there is another one left")
    first_byte_ms: int = _limit(5000, "for the first byte of a connection")
    connect_ms: int = _limit(10_000, "for all of CONNECT, handshakes before it included")
    connect_bytes: int = _limit(4096, "largest CONNECT, with a will twice that; 8 KiB at most")
    packet_ms: int = _limit(30_000, "for a packet that has begun, in which less than min_rate comes")
    connects_a_second: int = _limit(500, "connections that are opened, but from this machine; 0: any number")
    connects_per_address: int = _limit(20, "the same from one address; ten times as many at once; 0: any number")
    failed_logins_a_minute: int = _limit(30, "of one address, before it is refused unasked; ten at once; 0: any number")
    write_buffer_bytes: int = _limit(
        256 * KIB, "unwritten output of a client before it gets no QoS 0; at twice as much it is not read any more"
    )
    parked_bytes: int = _limit(256 * KIB, "PUBLISH packets of a publisher that is held back, before it is not read")
    close_ms: int = _limit(5000, "for writing the rest and reading to the end, before a closed connection is cut off")
    close_bytes: int = _limit(1 * MIB, "read to the end of a closed connection, and thrown away")
    client_id_bytes: int = _limit(256, "length of a client identifier")
    # 1 MB of memory. Mosquitto drops beyond 20.
    inbound: int = _limit(10_000, "QoS 2 messages that a client has not released")
    # (CVE-2020-13849: a long one holds a connection for ever.)
    keep_alive_ms: int = _limit(
        600_000,
        "longest keep alive, also of who wants none, but on this machine; 5.0 is told it; 0: as the client says",
    )
    keep_alive_local_ms: int = _limit(0, "the same on this machine")
    # Two clients that share it reach this in a second, a bad line never.
    takeovers_a_minute: int = _limit(
        5, "of one client identifier by another address, before it is refused; four times as many by the same address"
    )
    # A password costs up to 50 ms of a processor: more than it has would not be faster.
    authentications: int = _limit(4, "passwords that are checked, or hooks that are asked, at the same time")
    authentications_waiting: int = _limit(200, "clients that wait for that; a quarter of it from one address")
    authentication_ms: int = _limit(5000, "for such an answer, before CONNECT is refused")
    publishes_a_second: int = _limit(0, "messages of a client, or of all of a user, before PUBLISH waits; 0: any")
    turn_work: int = _limit(2000, "packets and deliveries for one connection before the others have their turn")
    turn_ms: int = _limit(
        5, "time that this may take, about, however slow the machine is and however many send at once"
    )
    properties: int = _limit(32, "properties of a packet of 5.0")
    user_properties: int = _limit(16, "user properties among them")
    properties_bytes: int = _limit(4096, "all of them together")
    ack_properties_bytes: int = _limit(256, "the same in an acknowledgement")

    # One session
    hold_bytes: int = _limit(256 * KIB, "queue of a connected client from which on its publishers are held back")
    hold_ms: int = _limit(500, "for how long, altogether, until the client has caught up")
    queue_bytes: int = _limit(8 * MIB, "queue of one session; 64 bytes more count for each message")
    stall_ms: int = _limit(30_000, "a client that is behind and in this time takes less than min_rate is disconnected")
    min_rate: int = _limit(100, "bytes a second that a client takes at least while it is behind")
    # A home automation server has 600.
    filters: int = _limit(10_000, "topic filters of one client")
    filters_bytes: int = _limit(16 * MIB, "memory for the topic filters of one client")
    wildcards: int = _limit(
        256, "topic filters of one client with more than two +: each may double what matching costs"
    )
    topic_bytes: int = _limit(512, "length of a topic name or topic filter")
    topic_levels: int = _limit(16, "levels of a topic name or topic filter")
    control_characters: bool = field(
        default=False,
        metadata={"help": "topics may have control characters and non-characters, for which strict subscribers close"},
    )

    # All together
    queues_bytes: int = _limit(64 * MIB, "queues of all sessions; what is below its fair share may go on growing")
    all_filters_bytes: int = _limit(64 * MIB, "memory for the topic filters of all clients")
    all_wildcards: int = _limit(
        2048, "topic filters with more than two + of all clients; 16 each may have all the same"
    )
    identifiers_bytes: int = _limit(64 * MIB, "memory for QoS 2 identifiers; when used up, each session has a share")
    received_bytes: int = _limit(64 * MIB, "held back and half received packets of all clients; who has most pays")
    output_bytes: int = _limit(64 * MIB, "unwritten output of all clients; who has most pays")
    address_bytes: int = _limit(96 * MIB, "all that one address holds, but this machine: output, queues, filters ...")
    user_bytes: int = _limit(96 * MIB, "the same of one user, if there are users")
    memory_bytes: int = _limit(192 * MIB, "the same of all clients, with retained messages; who holds most pays")
    persistent_sessions: int = _limit(
        1000, "sessions that outlive their connection; beyond it one goes that is empty, or away for longest"
    )
    sessions_per_user: int = _limit(20, "of these for one user, if there are users; 0: any number")
    session_expiry_ms: int = _limit(7 * 24 * 3600 * 1000, "after which the session of a client that stays away ends")
    retained_message_bytes: int = _limit(256 * KIB, "payload and properties of a retained message")
    retained_bytes: int = _limit(64 * MIB, "retained messages, with what it takes to find them")
    store_bytes: int = _limit(256 * MIB, "file of --store; what does not fit is refused")
    rights_bytes: int = _limit(16 * MIB, "topic names to which clients may publish, as far as they have asked")
    routes_bytes: int = _limit(16 * MIB, "cached routes (topic name to clients)")

    # Named queues and streams (docs/queues.md); each has bounds of its own
    named_queues: int = _limit(
        100, "named queues and streams that subscriptions have made, half of them of one user; 0: the configured ones"
    )
    named_bytes: int = _limit(
        64 * MIB, "messages in all of them, 64 bytes more for each; what is below its fair share may go on growing"
    )
    delay_ms: int = _limit(4_294_967_000, "longest delay of a message that is published to $delayed/SECONDS/TOPIC")
    delayed: int = _limit(1000, "such messages of one client that wait")
    delayed_bytes: int = _limit(16 * MIB, "all of them; 64 bytes more count for each")
    queue_return_ms: int = _limit(
        60_000, "a consumer of a named queue may be away, before what it has not acknowledged goes to another"
    )

    # Repeats of producers with idempotency keys
    deduplicate: bool = field(
        default=True, metadata={"help": "with --store, a key that was seen is acknowledged and not delivered again"}
    )
    deduplicate_in_memory: bool = field(
        default=False, metadata={"help": "the same without a store, for as long as the broker runs"}
    )
    deduplicate_bytes: int = _limit(4 * MIB, "memory for their numbers: 512 bytes for a producer at a topic")
    deduplicate_ms: int = _limit(7 * 24 * 3600 * 1000, "without a message, after which a producer is forgotten")

    named: tuple[NamedRule, ...] = ()  # the first of a name counts

    log_lines_a_second: int = _limit(
        20, "lines of the log of a kind that comes with a connection or packet; 0: any number"
    )

    queues: tuple[QueueRule, ...] = ()  # the first whose pattern matches counts

    def __post_init__(self) -> None:
        """TypeError or ValueError for a limit that cannot be one; it names the field."""
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(each.default, bool):
                if not isinstance(value, bool):
                    raise TypeError(f"{each.name} must be True or False, not {value!r:.60}")
            elif isinstance(each.default, int):
                if isinstance(value, bool) or not isinstance(value, int):
                    raise TypeError(f"{each.name} must be a whole number, not {value!r:.60}")
                if value < 0:
                    raise ValueError(f"{each.name} must be 0 or more, not {value}")

    def become(self, other: "Limits") -> None:
        """Have the values of `other`, for all who share this one: the broker has one of its own (new_limits.py)."""
        for each in fields(self):
            object.__setattr__(self, each.name, getattr(other, each.name))

    def rule_for(self, client_id: bytes) -> QueueRule:
        """The rule for the queue of a client. The pattern is the operator's; the identifier is never one."""
        name = client_id.decode()
        for rule in self.queues:
            if fnmatchcase(name, rule.clients):
                return rule
        return _DEFAULT_RULE


_DEFAULT_RULE = QueueRule()

NAMES = {each.name: str(each.metadata["help"]) for each in fields(Limits) if each.metadata}
