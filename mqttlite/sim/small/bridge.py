"""Small worlds of the gateway's bridge: a producer, a broker, a consumer, and between two of them a gateway whose
broker has the upstream queue. Any of them may die, and any connection be cut, at each step.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from ...broker import Access, Broker
from ...broker.limits import Limits
from ...client import Client
from ..process import Process
from ..timeline import SECOND
from .run import KEEP_ALIVE_S, TIMEOUT_S, TOPIC, Run
from .small import Small

NAME = "cloud"
LONGEST_S = 60  # virtual seconds from the last confirmation until all has arrived; after that it is lost
ACK_TIMEOUT_S = 8
DELAYS_S = (0.2, 1.0)


class Bridge(NamedTuple):
    """`small`: what is published, and from which kind of producer. `is_inward`: the producer is at the upstream, the
    consumer at the gateway; else the other way. `version`: of MQTT between gateway and upstream.
    """

    name: str
    small: Small
    is_inward: bool = False
    version: str = "5.0"

    def __str__(self) -> str:
        return self.name


BRIDGES = (
    Bridge("bridge-1", Small(1, 1)),
    Bridge("bridge-2", Small(2, 1)),
    Bridge("bridge-two", Small(2, 2)),
    Bridge("bridge-old", Small(2, 1), version="3.1.1"),
    Bridge("bridge-keys", Small(2, 1, keys=True, few=True, lose=True), version="3.1.1"),
    Bridge("bridge-lose", Small(2, 1, few=True, lose=True)),
    Bridge("bridge-in-1", Small(1, 1), True),
    Bridge("bridge-in-2", Small(2, 1), True),
    Bridge("bridge-in-two", Small(2, 2), True),
    Bridge("bridge-in-old", Small(2, 1), True, "3.1.1"),
)


def named(name: str) -> Bridge | None:
    """The world of a name, if there is one."""
    return next((bridge for bridge in BRIDGES if bridge.name == name), None)


class BridgeRun(Run):
    """One such world. `start` is called before anything happens: the place for faults."""

    def __init__(self, bridge: Bridge, seed: int, start: "Callable[[BridgeRun], None] | None" = None) -> None:
        self.bridge = bridge
        self._is_confirmed = self._has_reader = self._is_bridged = False
        self._confirmed_at = 0
        self._uplink: Any = None  # of the last life of the gateway
        super().__init__(bridge.small, seed)
        self.gateway = self.add(self.world.process("gateway", self._gateway))
        if start:
            start(self)

    async def _gateway(self, process: Process) -> None:
        from mqttlite_gateway.bridge.uplink import BridgeUplink
        from mqttlite_gateway.settings.upstream import Route, UpstreamSettings, with_upstreams

        route = (Route(TOPIC, qos=self.small.qos),)
        settings = UpstreamSettings(
            NAME,
            "mqtt://broker:1883",
            version=self.bridge.version,
            client_id=process.name,
            out=() if self.bridge.is_inward else route,
            inwards=route if self.bridge.is_inward else (),
            start_jitter_s=0,
            reconnect_min_s=DELAYS_S[0],
            reconnect_max_s=DELAYS_S[1],
            keep_alive_s=KEEP_ALIVE_S,
            timeout_s=TIMEOUT_S,
            ack_timeout_s=ACK_TIMEOUT_S,
        )
        limits = with_upstreams(Limits(deduplicate=False), [settings])
        running = Broker([], limits, process.broker_store(), access=Access(anonymous=True))
        self.brokers.pop(process.name, None)
        self.stats.append((process.name, running.stats))
        async with running:
            uplink = self._uplink = BridgeUplink(settings, running)
            uplink.prepare()
            await running.reload([f"mqtt://{process.name}:1883"], limits, Access(anonymous=True))
            self.brokers[process.name] = running
            await uplink.start()
            try:
                raise await running.failed
            finally:
                await uplink.stop()

    def client(self, process: Process, url: str = "", **options: Any) -> Client:
        """As Run.client: to the broker that is on its side of the bridge."""
        is_far = (process is self.producer) == self.bridge.is_inward
        return super().client(process, "mqtt://broker" if is_far else "mqtt://gateway", **options)

    # -- when it has begun, and when it is over

    @property
    def begun(self) -> bool:
        """The consumer has subscribed, and what has to come through the bridge does."""
        if not self._is_bridged and self._uplink is not None:
            kept = self._uplink._kept
            self._is_bridged = bool(kept.met and (kept.filters or not self.bridge.is_inward))
        return self._has_reader and self._is_bridged

    @begun.setter
    def begun(self, value: bool) -> None:
        self._has_reader = value

    @property
    def done(self) -> bool:
        """The producer has all confirmed, and all has arrived, or is lost."""
        if not self._is_confirmed:
            return False
        return not self.ledger.missing() or self.world.now - self._confirmed_at > LONGEST_S * SECOND

    @done.setter
    def done(self, value: bool) -> None:
        if value and not self._is_confirmed:
            self._confirmed_at = self.world.now
        self._is_confirmed = value

    def look_at_the_end(self) -> None:
        """As Run.look_at_the_end; and nothing is left in the upstream queue, or was set aside without a reason."""
        self.audit.quiet([self.broker.name, self.gateway.name])
        running = self.brokers.get(self.gateway.name)
        if running is None or not self.gateway.alive:
            return
        said = self._uplink.describe()
        if said["queued"] or any(said["in_doubt"].values()):
            self.ledger.noticed.append(f"the bridge keeps {said['queued']} messages, {said['in_doubt']} in doubt")
        if said["problem"] or not said["connected"]:
            self.ledger.noticed.append(f"the bridge is not well in the end: {said['problem']}")
        for letter in self._uplink.dead_letters():
            name = " ".join(letter["payload"].split(" ")[:2])
            if self.lost and letter["cause"].startswith("in doubt") and not self.small.keys:
                self.ledger.entries[name].void = "the bridge says that it is in doubt"
            else:
                self.ledger.noticed.append(f"set aside: {name}: {letter['cause']}")

    def lose(self, process: Process) -> None:
        """As Run.lose. A gateway that has lost its disk has lost what it had confirmed, and what was in its queue."""
        if process is not self.gateway:
            super().lose(process)
            return
        process.lose_disk()
        self.lost.add(process.name)
        self.conduct.lost(process.name)
        self.conduct.broker_lost(process.name)
        self.conduct.may_repeat = True
        for entry in self.ledger.entries.values():
            entry.copies += 1
            entry.void = entry.void or "it was in the queue of a gateway that lost its disk"
