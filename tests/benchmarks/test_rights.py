"""benchmarks/rights.py measures messages that arrive."""

import pytest

from benchmarks.rights import READ, Pair, ruled
from mqttlite.broker.access.guard import ALLOW_ALL, Guard


@pytest.mark.parametrize("guard", [ALLOW_ALL, ruled()], ids=["open", "ruled"])
@pytest.mark.parametrize("topics", [1, READ])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_each_read_is_sent_on_and_finished(guard: Guard, topics: int, qos: int) -> None:
    pair = Pair(guard, qos, topics)
    for number in range(1, 4):
        assert pair.read() >= 0
        assert pair.engine.stats.messages_sent == number * READ
        assert not pair.subscriber.session.messages
        assert not pair.publisher.session.inbound
