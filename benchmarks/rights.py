"""What rules cost a message: the broker's engine alone, with and without them, side by side in one process.

    python -m benchmarks.rights                      the source
    python -m tools.compiled -m benchmarks.rights    the compiled build

One publisher, one subscriber, 64 bytes, reads of 18 messages, to one topic and to 18 in turn. Processor time per
message in µs, the best of many.
"""

import time

from mqttlite.broker import Access, Rule, Rules
from mqttlite.broker.access.guard import ALLOW_ALL, Guard
from mqttlite.broker.clients.peer import Peer
from mqttlite.broker.engine import Engine
from mqttlite.broker.limits import Limits
from mqttlite.core import wire4
from mqttlite.core.codec import acknowledgement, publish_head
from mqttlite.core.packet_types import PUBACK, PUBCOMP, PUBREC, PUBREL

READ = 18  # messages
ROUNDS = 40
READS = 100  # in a round
PAYLOAD = bytes(64)
SPAN = 65535


def ruled() -> Guard:
    """Rules of which one allows it, one denies something else, and twenty are about nothing here."""
    others = [Rule(f"x{number}/#") for number in range(20)]
    return Access(rules=Rules([Rule("a/#"), Rule("secret/#", allow=False), *others]), anonymous=True)


class Pair:
    """A publisher and a subscriber at a broker of their own."""

    def __init__(self, guard: Guard, qos: int, topics: int) -> None:
        self.engine = Engine(Limits(), guard=guard)
        self.qos = qos
        self.subscriber = self._connected(b"subscriber")
        self.engine.receive(self.subscriber, wire4.encode_subscribe(1, [(b"a/#", qos)]), 0)
        self.publisher = self._connected(b"publisher")
        self.messages = b"".join(self._message(number, b"a/%d" % (number % topics)) for number in range(READ))
        self.releases = b"".join(acknowledgement(PUBREL, number + 1) for number in range(READ)) if qos == 2 else b""

    def _connected(self, client_id: bytes) -> Peer:
        peer = self.engine.open("127.0.0.1:1", 0)
        self.engine.receive(peer, wire4.encode_connect(client_id, True, 0, None, None, None), 0)
        assert peer.is_connected
        return peer

    def _message(self, number: int, topic: bytes) -> bytes:
        head = publish_head(self.qos << 1, topic, len(PAYLOAD))
        return head + ((number + 1).to_bytes(2, "big") if self.qos else b"") + PAYLOAD

    def read(self) -> float:
        """One read; the processor time of its messages (s)."""
        engine = self.engine
        before = time.process_time()
        engine.receive(self.publisher, self.messages, 0)
        self._written()
        if self.releases:
            engine.receive(self.publisher, self.releases, 0)
        spent = time.process_time() - before
        session = self.subscriber.session
        while session.messages:
            for seq in [each for each in session.messages if each < session.sent]:
                if self.qos == 1:
                    session.acknowledged(PUBACK, seq % SPAN + 1)
                else:
                    session.acknowledged(PUBREC, seq % SPAN + 1)
                    session.acknowledged(PUBCOMP, seq % SPAN + 1)
        self._written()
        return spent

    def _written(self) -> None:
        for peer in self.engine.dirty:
            peer.out.clear()
        self.engine.dirty.clear()


def main() -> None:
    print("topics  QoS  without rules  with rules")
    for topics in (1, READ):
        for qos in (0, 1, 2):
            pairs = (Pair(ALLOW_ALL, qos, topics), Pair(ruled(), qos, topics))
            best = [1.0, 1.0]
            for _ in range(ROUNDS):
                for which, pair in enumerate(pairs):
                    best[which] = min(best[which], sum(pair.read() for _ in range(READS)) / READS / READ)
            print(f"{topics:6} {qos:4} {best[0] * 1e6:11.3f} {best[1] * 1e6:14.3f}", flush=True)


if __name__ == "__main__":
    main()
