"""[[upstream]]: what an operator says of an upstream, and what it does to the limits of the broker inside.

The same settings are those of a sink (`kind` amqp or postgres): what its table has besides is in `options`, for the
sink to read.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mqttlite.broker.inside import client_id_of
from mqttlite.broker.limits import WHEN_FULL, Limits, QueueRule
from mqttlite.broker.named_rules import NamedRule
from mqttlite.client.url import Url
from mqttlite.core.errors import MQTTError
from mqttlite.core.text import check_topic_filter, check_topic_name, to_utf8

from .broker import check_url
from .errors import ConfigError

KIB = 1024
MIB = 1024 * KIB

KINDS = {
    "mqtt": "mqtt",
    "mqtts": "mqtt",
    "ws": "mqtt",
    "wss": "mqtt",
    "unix": "mqtt",
    "amqp": "amqp",
    "amqps": "amqp",
    "postgresql": "postgres",
    "postgres": "postgres",
}
VERSIONS = ("", "5.0", "3.1.1")
DEAD = "dead-"  # begins the names of queues of what upstreams refuse
RATED_S = 10
INFLIGHT_MAX = 900  # below what the broker's store keeps in memory of a session

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,58}")


@dataclass(frozen=True, slots=True)
class Route:
    """Which messages pass, and what becomes of them. `filter`: the topic filter on the side that they come from.
    `strip`: what is taken off the front of their topics; `to`: what is then put in front. `qos`: their highest QoS.
    `retain`: whether a retained message is one on the other side, too.
    """

    filter: str
    to: str = ""
    strip: str = ""
    qos: int = 2
    retain: bool = True

    def __post_init__(self) -> None:
        """ValueError says what is wrong."""
        try:
            check_topic_filter(to_utf8(self.filter, "filter"))
            for prefix in (self.to, self.strip):
                if prefix:
                    check_topic_name(to_utf8(prefix, "prefix"))
        except MQTTError as error:
            raise ValueError(f"filter = '{self.filter}', to = '{self.to}', strip = '{self.strip}': {error}") from None
        if self.filter.startswith("$"):
            raise ValueError(f"filter = '{self.filter}': what begins with $ is a broker's own, and is not passed on")
        if self.to.startswith("$"):
            raise ValueError(f"to = '{self.to}': what begins with $ is a broker's own")
        fixed = self.filter.partition("#")[0].partition("+")[0]
        if not fixed.startswith(self.strip):
            raise ValueError(
                f"strip = '{self.strip}': no topic of filter = '{self.filter}' is sure to begin so; "
                f"what can be taken off is '{fixed}' or the beginning of it"
            )
        if self.strip == self.filter and not self.to:
            raise ValueError(f"strip = '{self.strip}': nothing is left of the topic; say what it becomes with to")
        if self.qos not in (0, 1, 2) or isinstance(self.qos, bool):
            raise ValueError(f"qos = {self.qos!r}: it is 0, 1 or 2")


@dataclass(frozen=True)
class UpstreamSettings:
    """One upstream, or sink. Each field is a key of its table [[upstream]]; `inwards` is its `in`.

    name              of the upstream, for the log, the page and its queue
    url               where it is: mqtt://, mqtts://, ws://, wss://, unix://; a sink: amqp://, amqps://, postgresql://
    version           of MQTT, "5.0" or "3.1.1"; "": 5.0, and 3.1.1 where that is refused
    client_id         at the upstream; "": one that is made of this machine's name, and kept
    username, password  "": those in the URL, if there are any
    tls               what mqttlite.Client takes about TLS, by the same names: ca, certificate, key_file ...
    out, inwards      what goes to the upstream, and what is fetched there
    queue_bytes       of messages that wait for the upstream, with 64 bytes for each
    queue_qos0        whether messages of QoS 0 are queued, too, and go up as of QoS 1; else they are dropped while the
                      upstream is away
    max_age_s         of a message in the queue, after which it is dropped and counted; 0: as old as it gets
    when_full         what becomes of a message that finds the queue full: hold (its publisher waits), refuse,
                      drop-oldest, drop-newest
    rate              messages a second at most; 0: as fast as the upstream takes them
    inflight          messages that the upstream has and has not acknowledged, at most
    start_jitter_s    before the first connection, drawn between 0 and this: many gateways that get power back at once
    reconnect_min_s, reconnect_max_s  between two attempts: drawn between 0 and a delay that doubles up to the greatest
    keep_alive_s      of the connection to the upstream
    timeout_s         for an answer to CONNECT, SUBSCRIBE and PINGREQ
    ack_timeout_s     without an acknowledgement that is owed, after which the upstream counts as mute
    hops_max          bridges that a message may have passed before it counts as one in a loop
    dead_bytes        of messages that the upstream refuses, which are set aside; when they are full, nothing is sent
    options           of a sink
    """

    name: str
    url: str
    version: str = ""
    client_id: str = ""
    username: str = ""
    password: str = field(default="", repr=False)
    tls: Mapping[str, Any] = field(default_factory=dict)
    out: tuple[Route, ...] = ()
    inwards: tuple[Route, ...] = ()
    queue_bytes: int = 256 * MIB
    queue_qos0: bool = False
    max_age_s: int = 0
    when_full: str = "hold"
    rate: float = 0.0
    inflight: int = 200
    start_jitter_s: float = 1.0
    reconnect_min_s: float = 1.0
    reconnect_max_s: float = 60.0
    keep_alive_s: int = 60
    timeout_s: float = 15.0
    ack_timeout_s: float = 60.0
    hops_max: int = 8
    dead_bytes: int = 16 * MIB
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """ValueError says which key is wrong, and why."""
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"name = '{self.name}': it is 1 to 58 letters, digits and _ . -")
        if self.url.partition("://")[0] not in KINDS:
            raise ValueError(f"url: it begins with one of {', '.join(f'{each}://' for each in KINDS)}")
        if self.version not in VERSIONS:
            raise ValueError(f'version = "{self.version}": it is "5.0" or "3.1.1"')
        if not (self.out or self.inwards):
            raise ValueError(
                'nothing passes: say what, as in out = [{ filter = "sensors/#", to = "site-7/" }], or in = [...]'
            )
        if self.inwards and self.kind != "mqtt":
            raise ValueError(f"in: nothing comes from {self.kind}")
        if self.when_full not in WHEN_FULL:
            raise ValueError(f'when_full = "{self.when_full}": it is one of {", ".join(WHEN_FULL)}')
        least: dict[str, float] = {
            "queue_bytes": KIB,
            "max_age_s": 0,
            "rate": 0,
            "inflight": 1,
            "start_jitter_s": 0,
            "reconnect_min_s": 0.01,
            "reconnect_max_s": self.reconnect_min_s,
            "keep_alive_s": 1,
            "timeout_s": 0.1,
            "ack_timeout_s": 0.1,
            "hops_max": 1,
            "dead_bytes": KIB,
        }
        for key, value in least.items():
            if getattr(self, key) < value:
                raise ValueError(f"{key} = {getattr(self, key)}: it is {value:g} or more")
        if self.inflight > INFLIGHT_MAX:
            raise ValueError(f"inflight = {self.inflight}: it is {INFLIGHT_MAX} at most")
        if self.keep_alive_s > 65535:
            raise ValueError(f"keep_alive_s = {self.keep_alive_s}: it is 65535 at most")

    @property
    def kind(self) -> str:
        """mqtt, amqp or postgres."""
        return KINDS[self.url.partition("://")[0]]

    @property
    def window(self) -> int:
        """How many messages are under way at most: no more than may go in RATED_S, so that all others wait where they
        can expire, and be dropped when they are too old.
        """
        return max(1, min(self.inflight, int(self.rate * RATED_S))) if self.rate else self.inflight

    @property
    def shown_url(self) -> str:
        """The URL without user name and password."""
        scheme, _, rest = self.url.partition("://")
        authority, slash, path = rest.partition("/")
        return f"{scheme}://{authority.rpartition('@')[2]}{slash}{path.partition('?')[0]}"

    @property
    def credentials(self) -> tuple[str | None, str | None]:
        """User name and password for an MQTT upstream."""
        url = Url(self.url)
        return self.username or url.username or None, self.password or url.password or None

    @property
    def dead_queue(self) -> str:
        """The name of the broker's queue of what the upstream refuses."""
        return DEAD + self.name


def lead_to(urls: list[str]) -> list[UpstreamSettings]:
    """Upstreams for the command line's --upstream, in bridge mode: all messages go there. ConfigError: one is none."""
    found: list[UpstreamSettings] = []
    for url in urls:
        name = name_of(url)
        if any(each.name == name for each in found):
            name = f"{name[:50]}-{len(found) + 1}"
        try:
            if KINDS.get(url.partition("://")[0], "mqtt") == "mqtt":
                check_url(url)
            found.append(UpstreamSettings(name, url, out=(Route("#"),)))
        except ConfigError:
            raise
        except ValueError as error:
            raise ConfigError(f"--upstream: {error}") from None
    return found


def name_of(url: str) -> str:
    """A name for an upstream that has none: its host."""
    rest = url.partition("://")[2].rpartition("@")[2]
    return re.sub("[^A-Za-z0-9_.-]", "-", rest.partition("/")[0].partition(":")[0])[:58] or "upstream"


def dead_filter(name: str) -> str:
    """What the queue of what the upstream of this name refuses is said to collect."""
    return client_id_of(name).decode() + "/dead"


def with_upstreams(limits: Limits, upstreams: Iterable[UpstreamSettings]) -> Limits:
    """The limits of a broker that has a queue for each of these, beside what it has for its clients: each with its own
    rule and room, so that neither takes the room of the other.
    """
    found = list(upstreams)
    queued = sum(each.queue_bytes for each in found)
    dead = sum(each.dead_bytes for each in found)
    rules = [QueueRule(client_id_of(each.name).decode(), each.when_full, each.queue_bytes) for each in found]
    named = [
        NamedRule(
            each.dead_queue,
            filter=dead_filter(each.name),
            max_bytes=each.dead_bytes,
            when_full="refuse",
            tries=0,
            expiry_s=0,
        )
        for each in found
    ]
    return replace(
        limits,
        queues=(*rules, *limits.queues),
        named=(*named, *limits.named),
        queues_bytes=limits.queues_bytes + queued,
        named_bytes=limits.named_bytes + dead,
        memory_bytes=limits.memory_bytes + queued + dead,  # counts what is on the disk alone, too
        store_bytes=limits.store_bytes + (queued + dead) * 5 // 4,
    )
