"""What watches a large world while it runs: the rules of the standard on the wire, and lines of the log that nobody
should see.
"""

from collections import Counter, deque

from ..check.conduct import CONNECTS_MAX, Conduct
from ..check.facts import Facts
from ..loop import SECOND
from ..net.packets import Packet
from ..world import World

LEVELS = ("warning", "error", "critical")
WORDS = ("protocol error", "internal error", "unexpected", "Traceback", "never awaited")
ALARMS = 10


class LargeConduct(Conduct):
    """As Conduct, for a world in which a client may lose its session without the broker: identifiers that the client
    does not know any more say nothing about its next life.
    """

    def __init__(self, facts: Facts, world: World) -> None:
        super().__init__(facts)
        self.found: dict[str, tuple[int, str]] = {}  # by what was said: when (ns), and of which client
        self._world = world
        self.forgetful: set[str] = set()  # clients that have lost their store, until their next CONNECT
        self.may_forget = False  # a broker has lost its disk
        self.may_repeat = False  # a publisher or a broker has lost what it knew
        self.connections: Counter[str] = Counter()  # of each client

    def see(self, packet: Packet) -> None:
        super().see(packet)
        if packet.kind == "CONNECT":
            client = self.client(packet)
            self.connections[client] += 1
            if client in self.forgetful:
                self.forgetful.discard(client)
                self.forget_sent(client)

    def _find(self, packet: Packet, client: str, what: str) -> None:
        # Conduct tells messages apart by their payloads, and these have none of their own.
        # And who has lost its store publishes again what is a new message to the broker, and the same to a reader.
        start = packet.data[:40]
        is_same = what.startswith("sent again") and (
            b"/e/" in start or b"r/device" in start or (self.may_repeat and not packet.is_up)
        )
        # A new store has the broker release all identifiers, also those that QoS 1 has used before.
        is_clearing = what.startswith("PUBREL") and bool(self._sender(client, True).ended) and packet.is_up
        if not is_same and not is_clearing and not (self.may_forget and "forgotten the session" in what):
            said = len(self._facts.noticed)
            super()._find(packet, client, what)
            for words in self._facts.noticed[said:]:
                self.found.setdefault(words, (self._world.now, client))

    def forget_sent(self, client: str) -> None:
        """A client has lost what it knew about what it has sent."""
        self._sender(client, True).clear()

    def client(self, packet: Packet) -> str:
        """Whose connection it is."""
        return self._clients.get(packet.way, "")


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
