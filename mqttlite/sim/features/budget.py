"""A queue's budget of bytes at its edge: as many messages are taken over for the consumer as fit, and not one more,
whoever was killed meanwhile and counts anew.
"""

from ...broker.limits import HOLD, Limits, QueueRule
from ...broker.named_rules import NamedRule
from ..check.conduct import Conduct
from ..net.packets import Packet
from .feature import EQUAL_COST, Feature

TAKEN = ("PUBACK", "PUBREC")


def limits_of(feature: Feature) -> Limits:
    """The broker's: of the consumer's own queue, or of the named one that it takes from."""
    if feature.consumer.topic_filter.startswith("$queue/"):
        return Limits(named=(NamedRule("q", when_full=HOLD, max_bytes=feature.budget),))
    return Limits(queues=(QueueRule("consumer", HOLD, feature.budget),))


class Budget:
    """What the broker has acknowledged to the producer, and the consumer to the broker. Messages are all alike. A count
    is never too high: an acknowledgement counts when it is written, and its room when that has arrived.
    """

    def __init__(self, feature: Feature, conduct: Conduct) -> None:
        self._names = [f"message {said.name}".encode() for said in feature.says]
        self._fitting = feature.budget // EQUAL_COST
        self._conduct = conduct
        self._taken: set[bytes] = set()
        self._gone: set[bytes] = set()
        self._most = 0  # in the queue at once, while the consumer was away

    def problem(self, packet: Packet, client: str) -> str:
        """What is wrong with an acknowledgement, in words."""
        if packet.kind not in TAKEN or client not in ("producer", "consumer"):
            return ""
        content = self._conduct.published(client, int.from_bytes(packet.data[2:4], "big"), up=client == "producer")
        of = self._gone if client == "consumer" else self._taken
        of.update(name for name in self._names if content.endswith(name))
        queued = len(self._taken - self._gone)
        self._most = max(self._most, queued)
        if queued > self._fitting:
            return f"budget: {queued} messages are in a queue with room for {self._fitting}"
        return ""

    def unused(self) -> list[str]:
        """Nothing has happened, and not even so did it come to its edge."""
        if self._most < self._fitting:
            return [f"budget: only {self._most} messages were taken, and {self._fitting} fit"]
        return []
