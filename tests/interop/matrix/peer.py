"""What a feature may ask of an MQTT client, whoever made it."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

TIMEOUT_S = 15.0
LINE_MAX = 1 << 22  # bytes of a line from a peer that is a process


class UnableError(Exception):
    """The peer's interface has no way to do that: its cell of the table is a dash, and nothing has failed."""


@dataclass(frozen=True)
class Said:
    """A message as a client tells of it. `properties`: by the names of our `publish`; absent where there is none."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    properties: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Will:
    """What the broker publishes when the client is lost."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False
    delay_s: int = 0


@dataclass(frozen=True)
class Options:
    """Of a connection. `clean`: clean session, clean start. `over`: tcp, tls, ws (path /mqtt)."""

    port: int
    version: str
    client_id: str = ""
    clean: bool = True
    session_expiry_s: int = 0
    will: Will | None = None
    receive_maximum: int = 0
    packet_size_max: int = 0
    topic_alias_maximum: int = 0
    over: str = "tcp"
    ca: str = ""  # a file, with tls

    @property
    def is_5(self) -> bool:
        return self.version == "5.0"


class Connection(ABC):
    """A client that is connected. `session_present` as CONNACK said it; None where the client keeps it to itself."""

    session_present: bool | None = None

    def __init__(self) -> None:
        self.arrived: asyncio.Queue[Said] = asyncio.Queue()

    @abstractmethod
    async def subscribe(self, topic_filter: str, qos: int, **options: Any) -> int:
        """The granted QoS, or the reason code.

        `options`: no_local, retain_as_published, retain_handling, subscription_identifier.
        """

    @abstractmethod
    async def unsubscribe(self, topic_filter: str) -> int | None:
        """The reason code; None where the version, or the client, tells none."""

    @abstractmethod
    async def publish(self, topic: str, payload: bytes, qos: int, retain: bool = False, **properties: Any) -> None:
        """Publish, to the end of the handshake."""

    async def publish_again(self, topic: str, payloads: Sequence[bytes]) -> None:
        """Several at QoS 1 to one topic, whose name goes over once: by an alias."""
        raise UnableError("no topic alias can be set")

    async def publish_at_once(self, topic: str, payloads: Sequence[bytes], qos: int) -> None:
        """Several, without waiting for one after the other."""
        await asyncio.gather(*[self.publish(topic, payload, qos) for payload in payloads])

    async def message(self) -> Said:
        """The next one that has arrived."""
        async with asyncio.timeout(TIMEOUT_S):
            return await self.arrived.get()

    async def messages(self, count: int) -> list[Said]:
        """The next ones."""
        return [await self.message() for _ in range(count)]

    async def ended(self) -> int | None:
        """Wait until the other side has ended the connection; its reason code, None where nobody tells."""
        raise UnableError("does not tell of the end")

    @abstractmethod
    async def close(self) -> None:
        """DISCONNECT. What is closed, or lost, is left alone."""


class Peer(ABC):
    """A kind of client."""

    name = ""
    versions: tuple[str, ...] = ("3.1.1", "5.0")
    has_will_at_end = False  # its DISCONNECT in 5.0 asks for the will

    @abstractmethod
    async def connect(self, options: Options) -> Connection:
        """A connection that CONNACK has accepted. UnableError: not with these options."""

    async def close(self) -> None:  # noqa: B027 (most have nothing)
        """Ends what all its connections have in common."""


def need(condition: object, why: str) -> None:
    """Raise UnableError unless the peer can."""
    if not condition:
        raise UnableError(why)
