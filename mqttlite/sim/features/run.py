"""The world of a feature on its way (feature.py): a producer, a broker, a consumer, and where it takes one, another
member of a share or a lamp, which has a will. All are durable. Over when the script is, and everything is quiet.
"""

import re
from collections.abc import Callable

from ...broker import Access, Broker
from ..check.ledger import FOREVER, LONG_ENOUGH_S, Missing
from ..check.links import Links
from ..check.times import TICK, Sent, Times
from ..clock import WALL, Clock
from ..net.packets import Packet
from ..process import Process
from ..small.steps import REVIVE_S
from ..timeline import SECOND
from .actors import Producer, lamp, lamp_of, reader_of, will_of
from .base import FeatureScene
from .budget import Budget, limits_of
from .feature import Actor, Feature
from .rules import TOPIC, ChangingRules

LIMIT_S = 300.0  # virtual seconds
QUIET_S = 20.0
OWED_S = 25  # a client that stays away for so long is missed, whatever happens meanwhile
CLOCK_LOST_S = 60  # of the broker's time, when it loses its power and its clock (docs/server.md)
YEAR_1970 = 0
_IDENTIFIERS_KEPT = re.compile(r"(?:consumer keeps 0 messages, |the inbox of consumer keeps )(\d+) identifiers")


class FeatureRun(FeatureScene):
    """One such world. `start` is called before anything happens: the place for faults."""

    def __init__(self, feature: Feature, seed: int, start: "Callable[[FeatureRun], None] | None" = None) -> None:
        super().__init__(feature, seed)
        world = self.world
        self.links = Links(world)
        self.times = Times(self.links, self.ledger.noticed, self.conduct.client)
        self.times.late_ns = self._late
        self._reads_streams = feature.consumer.topic_filter.startswith("$stream/")
        self._read: set[bytes] = set()  # what the consumer was sent since it subscribed to its stream
        self._let_go: set[int] = set()  # identifiers of messages that may not be sent again
        self.rules = None
        if feature.banned:
            self.rules = ChangingRules(feature, lambda: self.script_s, self.until, lambda: world.now)
        self.finished = False  # the producer has ended in good order
        self._power_cuts = 0  # of the broker
        self._was_powered = True
        self._was_alive = False
        self._deaths: list[int] = []  # of the broker, when (ns)
        self.others: list[Process] = []
        clock = Clock(wall=YEAR_1970, kept=False) if feature.still else Clock(wall=WALL)
        self.budget = Budget(feature, self.conduct) if feature.budget else None
        limits = limits_of(feature) if feature.budget else None
        self.broker = world.process("broker", self.broker_of(limits, deduplicate=feature.keys), clock=clock)
        self.consumer = self._actor("consumer", feature.consumer)
        if feature.other:
            self.others.append(self._actor("member" if feature.other.topic_filter else "lamp", feature.other))
        self.producer = world.process("producer", self._produce)
        for process in (self.producer, self.broker, self.consumer, *self.others):
            self.add(process)
        self.audit.stores["producer"] = lambda process: process.sqlite_store()
        if start:
            start(self)

    def _actor(self, name: str, actor: Actor) -> Process:
        if not actor.topic_filter:
            return self.world.process(name, lamp_of(self, actor))
        share = actor.topic_filter if actor.topic_filter.startswith(("$share/", "$queue/")) else ""
        is_named = actor.topic_filter.startswith(("$queue/", "$stream/"))
        self.ledger.add(name, "broker", "#", self.feature.qos, share=share, is_named=is_named)
        return self.world.process(name, reader_of(self, actor))

    async def _produce(self, process: Process) -> None:
        self.clients.pop(process.name, None)
        await Producer(self, process).run()
        self.finished = True

    # -- what happens

    def moment(self) -> bool:
        """As Steps.moment."""
        super().moment()
        self.links.look()
        self.times.look(self.world.now)
        powered = self.broker.powered
        self._power_cuts += self._was_powered and not powered
        self._was_powered = powered
        if self._was_alive and not self.broker.alive:
            self._deaths.append(self.world.now)
        self._was_alive = self.broker.alive
        return False

    def _late(self) -> int:
        """By how much the broker may be late (ns)."""
        if not self.feature.still:
            return 0
        return round(self._power_cuts * (CLOCK_LOST_S + REVIVE_S) * SECOND) + TICK

    def saw(self, packet: Packet) -> None:
        """As Steps.saw."""
        now = self.world.now
        client = self.conduct.client(packet)
        self.times.see(packet, now)
        if self._reads_streams and client == "consumer":
            if packet.kind == "SUBSCRIBE":
                self._read.clear()
            elif packet.kind == "PUBLISH" and not packet.is_up and packet.data[0] & 6 and not packet.data[0] & 8:
                self._read.add(self._body)
        if packet.kind == "CONNACK" and not packet.data[3]:
            if not packet.data[2] & 1:
                self.ledger.session_ended(client)
            for process in self.others:
                if process.name == client == "lamp":
                    self.ledger.try_(lamp(client), will_of(process), now)
        self.links.see(packet, client)
        for watch in (self.rules, self.budget):
            problem = watch.problem(packet, client) if watch else ""
            if problem:
                self.ledger.noticed.append(f"{problem} (packet {packet.serial})")

    @property
    def _body(self) -> bytes:
        """Of the PUBLISH that was looked at last: what is behind its identifier."""
        content = self.conduct.content
        return content[4 + int.from_bytes(content[:2], "big") :]

    def access(self) -> Access | None:
        """As Scene.access."""
        return self.rules.access() if self.rules else None

    def served(self, broker: Broker) -> None:
        """As Scene.served."""
        if self.rules:
            self.rules.served(broker)

    def is_excused(self, packet: Packet, client: str, what: str) -> bool:
        """As Scene.is_excused."""
        now = self.world.now
        if self.rules and what.startswith("PUBREL") and not packet.is_up:  # it may not be sent again, and is let go
            content = self.conduct.published(client, int.from_bytes(packet.data[2:4], "big"), up=False)
            if content[2:].startswith(TOPIC.encode()):
                self._let_go.add(int.from_bytes(packet.data[2:4], "big"))
                return True
        if what.startswith("sent again with identifier") and self._reads_streams and not packet.is_up:
            return self._body not in self._read  # who reads again from a place gets what it had as another message
        if what.startswith("PUBREL"):  # what has expired is not sent again (docs/decisions/0039)
            content = self.conduct.published(client, int.from_bytes(packet.data[2:4], "big"))
            return any(sent.is_over(now) for sent in self.times.sent.values() if content.endswith(sent.message.payload))
        return what.startswith("the broker has forgotten") and self.times.may_have_ended(client, now)

    def is_revived(self, process: Process) -> bool:
        """As Steps.is_revived."""
        return process is not self.producer or not self.finished

    # -- from beginning to end

    def run(self) -> list[str]:
        """As Scene.run."""
        world = self.world
        self.revive()
        if not world.run_until(lambda: self.moment() or self._is_ready(), LIMIT_S):
            return self.stuck("the consumer never got its subscription")
        self.begun_at = world.now
        if not world.run_until(lambda: self.moment() or self.finished, LIMIT_S):
            return self.stuck("the producer waits for ever")
        end = self.begun_at + round(self.feature.end_s * SECOND)
        world.run_until(self.moment, max(end - world.now, 0) / SECOND)
        self.extent = self.now()
        self.done_at = world.now
        world.run_until(self.moment, QUIET_S)
        self._look_for_ended_sessions()
        self.audit.quiet([self.broker.name])
        self.stop(10)
        self.audit.read(self.mortals)
        self._owe_wills()
        for entry in self.ledger.entries.values():
            if self.rules and self.rules.may_be_lost(entry.name):
                entry.void = "the consumer may not have been allowed to receive it"
        found = [*self.ledger.problems(), *self._expired(), *self._retained(), *self._passed_over(), *self._early()]
        found += self.errors()
        if self.budget and not self.happened:
            found += self.budget.unused()
        return [problem for problem in found if not (self.rules and self._is_let_go(problem))]

    def _is_let_go(self, problem: str) -> bool:
        """A consumer that is busy with a message when its broker lets go of it remembers its identifier until that, or
        its room, is needed for another (core/reused_identifiers.py).
        """
        kept = _IDENTIFIERS_KEPT.match(problem)
        return kept is not None and int(kept[1]) <= len(self._let_go)

    def _is_ready(self) -> bool:
        readings = self.ledger.readings
        actors = {"consumer": self.feature.consumer, "member": self.feature.other}
        return bool(self.brokers) and all(
            readings[name].since is not None
            for name, actor in actors.items()
            if name in readings and actor and actor.spans[0][0] == 0
        )

    def _look_for_ended_sessions(self) -> None:
        """Of who does not come back, the session may be over without anybody being told."""
        broker = self.brokers.get(self.broker.name)
        for name, reading in self.ledger.readings.items():
            if broker and name.encode() not in broker.engine.sessions:
                reading.ends += 1
                self.audit.ended.add(name)
            if reading.ends and reading.share.startswith("$share/") and reading.qos == 2:  # [MQTT-4.8.2-5]
                for message, sent in self.times.sent.items():
                    if name in sent.to or self._nobody_knows(name, sent):
                        self.ledger.entries[message].void = f"it was on its way to {name}"

    def _nobody_knows(self, client: str, sent: Sent) -> bool:
        """Whether the broker died when a client was connected that it may have had a message for, which went to nobody:
        its next life cannot know that.
        """
        return sent.went_on_at == FOREVER and any(
            sent.first_at <= death and link.begun <= death <= link.noticed
            for link in self.links.of.get(client, [])
            for death in self._deaths
        )

    def _early(self) -> list[str]:
        """What was for later was handled before its time."""
        first = self.ledger.readings["consumer"].first
        found = []
        for said in self.feature.says:
            name = f"message {said.name}"
            if said.delay_s and name in first:
                after_s = (first[name] - self.ledger.entries[name].sent_at) / SECOND
                if after_s < said.delay_s:
                    found.append(f"early: {name} after {after_s:.3f} s, not {said.delay_s}")
        return found

    def _passed_over(self) -> list[str]:
        """A member of a share that is slow makes no message wait for it, while there is another."""
        slow = self.feature.other
        if self.happened or not (slow and slow.window):
            return []
        waited = [name for name, sent in self.times.sent.items() if sent.went_on_at - sent.last_at > SECOND]
        return [f"not passed over: {name} has waited for a slow member" for name in waited]

    def _owe_wills(self) -> None:
        """Who stayed away is missed: its will was owed."""
        links = self.links.of.get("lamp", [])
        for number, link in enumerate(links):
            back = links[number + 1].begun if number + 1 < len(links) else self.world.now
            if back - link.broken >= OWED_S * SECOND and not link.has_left:
                self.ledger.entries[f"lamp {link.life}"].accepted = True

    def _expired(self) -> list[str]:
        """Messages whose time was short have arrived, or the broker has counted them."""
        found = [
            entry
            for entry in self.ledger.entries.values()
            if 0 <= entry.expires_s < LONG_ENOUGH_S and entry.accepted and not entry.void
        ]
        done = {name for reading in self.ledger.readings.values() for name in reading.effects}
        lost = [entry.name for entry in found if entry.name not in done]
        counted = sum(stats.dropped_expired for _, stats in self.stats)
        if len(lost) > counted and not any(said.more.get("retain") for said in self.feature.says):
            return [f"lost early: {', '.join(lost)}; {counted} messages were counted as expired"]
        return []

    def _retained(self) -> list[str]:
        """Who comes later has what was retained, and has not expired."""
        reading = self.ledger.readings["consumer"]
        missing = [
            Missing(reading.name, name)
            for said in self.feature.says
            if said.more.get("retain") and not 0 <= said.more.get("expires_after_s", -1) < LONG_ENOUGH_S
            for name in (f"message {said.name}",)
            if self.ledger.entries[name].confirmed_at < FOREVER and name not in reading.effects
        ]
        return [f"not retained: {name} for {reader}" for reader, name in missing]
