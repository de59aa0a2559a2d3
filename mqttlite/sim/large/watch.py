"""What watches a large world while it runs: the rules of the standard on the wire, and lines of the log that nobody
should see.
"""

from collections import Counter, deque

from ..check.conduct import CONNECTS_MAX, Conduct
from ..check.facts import Facts
from ..net.packets import Packet
from ..timeline import SECOND
from ..world import World

LEVELS = ("warning", "error", "critical")
WORDS = ("protocol error", "internal error", "unexpected", "Traceback", "never awaited")
ALARMS = 10


class LargeConduct(Conduct):
    """As Conduct, and says when it has found something, and of whom.

    `found`: by what was said: when (ns), and of which client. `connections`: how often each client has connected.
    """

    def __init__(self, facts: Facts, world: World) -> None:
        super().__init__(facts)
        self.found: dict[str, tuple[int, str]] = {}
        self.connections: Counter[str] = Counter()
        self._world = world

    def see(self, packet: Packet) -> None:
        """As Conduct.see."""
        super().see(packet)
        if packet.kind == "CONNECT":
            self.connections[self.client(packet)] += 1

    def _find(self, packet: Packet, client: str, what: str) -> None:
        # Conduct tells messages apart by their payloads, and these have none of their own.
        start = packet.data[:40]
        is_same = what.startswith("sent again") and (b"/e/" in start or b"r/device" in start)
        # A new store has the broker release all identifiers, also those that QoS 1 has used before.
        is_clearing = what.startswith("PUBREL") and bool(self._sender(client, True).ended) and packet.is_up
        if not is_same and not is_clearing:
            said = len(self._facts.noticed)
            super()._find(packet, client, what)
            for words in self._facts.noticed[said:]:
                self.found.setdefault(words, (self._world.now, client))


class LargeWorld(World):
    """A world that keeps the lines of the log that nobody should see, though its trace is forgotten."""

    def __init__(self, seed: int, *, keep_trace: bool) -> None:
        super().__init__(seed, keep_trace=keep_trace)
        self.alarms: list[str] = []
        self.busy: set[str] = set()  # who may connect often: for many, or because the application wants it
        self._connects: dict[str, deque[int]] = {}

    def note(self, lane: str, kind: str, text: str | bytes = "") -> None:
        """As World.note."""
        if kind in LEVELS and len(self.alarms) < ALARMS and any(word in str(text) for word in WORDS):
            is_fault = "keep alive" not in str(text) and "no CONNECT" not in str(text)  # a client was silent
            self.alarms += [f"{lane}, {(self.now + self.ahead) / 1e9:.3f} s: {text!s:.200}"] * is_fault
        elif kind == "connect" and lane not in self.busy:
            times = self._connects.setdefault(lane, deque(maxlen=CONNECTS_MAX + 1))
            times.append(self.now)
            if len(times) > CONNECTS_MAX and times[-1] - times[0] < SECOND and len(self.alarms) < ALARMS:
                self.alarms.append(f"{lane} connects more than {CONNECTS_MAX} times in a second")
        super().note(lane, kind, text)
