"""Messages for later: `$delayed/SECONDS/TOPIC`."""

import asyncio
import signal
import time
from pathlib import Path

import pytest

from mqttlite.broker.access.guard import PUBLISH, Guard
from mqttlite.broker.access.identity import Identity
from tests.broker.five import Five
from tests.broker.queues.test_queues_kept import LISTEN, client, running
from tests.broker.test_command import started
from tests.broker.world import World
from tests.peers import end, mosquitto_pub


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_message_is_acknowledged_at_once_and_published_when_its_time_has_come(qos: int) -> None:
    here = World()
    reader = here.connect("r")
    reader.subscribe("#", qos=2)
    publisher = here.connect("p")
    publisher.publish("$delayed/5/t/a", b"x", qos=qos)
    assert publisher.kinds() == [[], ["puback"], ["pubrec"]][qos]
    here.wait(4999)
    assert reader.messages() == []
    here.wait(1)
    assert reader.messages() == [("t/a", b"x", qos, False)]
    assert here.engine.ledger.named == 0


def test_a_tick_is_wanted_when_the_next_one_is_due() -> None:
    here = World()
    here.connect("p").publish("$delayed/5/t", b"x")
    assert here.engine.tick(here.now + 4500) == 500


def test_they_are_published_in_the_order_of_their_times_and_else_as_they_came() -> None:
    here = World()
    reader = here.connect("r")
    reader.subscribe("t", qos=1)
    publisher = here.connect("p")
    for seconds, payload in ((2, b"c"), (1, b"a"), (1, b"b"), (2, b"d")):
        publisher.publish(f"$delayed/{seconds}/t", payload, qos=1)
    here.wait(5000)
    assert reader.finish() == [b"a", b"b", b"c", b"d"]


def test_no_time_at_all_is_now() -> None:
    here = World()
    reader = here.connect("r")
    reader.subscribe("t", qos=1)
    here.connect("p").publish("$delayed/0/t", b"x", qos=1)
    here.wait(0)
    assert reader.finish() == [b"x"]


def test_it_is_retained_when_it_is_published_and_not_before() -> None:
    here = World()
    here.connect("p").publish("$delayed/5/t", b"x", qos=1, retain=True)
    early = here.connect("early")
    early.subscribe("#", qos=1)
    assert early.messages() == []
    here.wait(5000)
    late = here.connect("late")
    late.subscribe("t", qos=1)
    assert late.messages() == [("t", b"x", 1, True)]


def test_its_own_time_begins_when_it_is_published() -> None:
    here = World()
    reader = Five(here, "r")
    reader.subscribe("t", 1)
    Five(here, "p").publish("$delayed/60/t", b"x", qos=1, MessageExpiryInterval=10, UserProperty=[("k", "v")])
    here.wait(60_000)
    [message] = reader.messages()
    assert message.properties == {"MessageExpiryInterval": 10, "UserProperty": [("k", "v")]}


def test_a_named_queue_takes_what_is_due() -> None:
    here = World()
    consumer = here.connect("c")
    consumer.subscribe("$queue/jobs/t", qos=1)
    here.connect("p").publish("$delayed/5/t", b"x", qos=1)
    here.wait(5000)
    assert consumer.finish() == [b"x"]


@pytest.mark.parametrize(
    "topic", ["$delayed/x/t", "$delayed/5", "$delayed/5/", "$delayed/-1/t", "$delayed/1/$delayed/1/t", "$delayed/1/a/#"]
)
def test_what_is_not_seconds_and_a_topic_is_refused(topic: str) -> None:
    publisher = World().connect("p")
    publisher.publish(topic, b"x", qos=1)
    assert publisher.closed


@pytest.mark.parametrize("topic", ["$delayed/4294968/t", "$delayed/1/$SYS/x", "$delayed/1/$queue/x/y"])
def test_what_is_too_late_or_the_brokers_own_is_refused_with_a_reason(topic: str) -> None:
    publisher = Five(World(), "p")
    publisher.publish(topic, b"x", qos=1)
    assert [got.reason for got in publisher.take()] == [0x90]


def test_the_number_and_the_bytes_that_wait_are_bounded() -> None:
    here = World(delayed=3, delayed_bytes=400)
    publisher = Five(here, "p")
    for _ in range(4):
        publisher.publish("$delayed/60/t", b"", qos=1)
    assert [got.reason for got in publisher.take()] == [0, 0, 0, 0x97]
    other = Five(here, "o")
    other.publish("$delayed/60/t", b"x" * 300, qos=1)
    assert [got.reason for got in other.take()] == [0x97]
    other.publish("$delayed/60/t", b"x" * 300)
    assert here.stats.dropped_refused == 1
    here.wait(60_000)
    publisher.publish("$delayed/60/t", b"", qos=1)
    assert [got.reason for got in publisher.take()] == [0]


class Rules(Guard):
    """Nobody may publish to what begins with `denied`."""

    is_open = False

    def __init__(self, denied: bytes) -> None:
        self.denied = denied

    def may(self, identity: Identity, action: str, topic: bytes) -> bool:
        return action != PUBLISH or not topic.startswith(self.denied)


def test_the_right_is_that_to_the_topic_inside_when_it_comes_and_when_it_is_published() -> None:
    here = World()
    here.engine.set_guard(Rules(b"secret"), here.now)
    reader = here.connect("r")
    reader.subscribe("#", qos=1)
    publisher = here.connect("p")
    publisher.publish("$delayed/5/secret/a", b"never", qos=1)
    publisher.publish("$delayed/5/open/a", b"yes", qos=1)
    publisher.publish("$delayed/5/shut/a", b"not any more", qos=1)
    here.engine.set_guard(Rules(b"shut"), here.now)
    here.wait(5000)
    assert reader.finish() == [b"yes"]
    assert here.stats.dropped_denied == 2


# -- with a store


async def test_it_is_published_after_a_kill_once_and_never_early(tmp_path: Path) -> None:
    arguments = ("--listen", LISTEN[0], "--store", str(tmp_path / "broker.db"))
    process, port = await started(*arguments)
    try:
        async with client(port, "r", clean=False) as reader:
            await reader.subscribe("#", 2)
        await mosquitto_pub(port, "-t", "$delayed/2/t", "-m", "plain")
        began = time.time()
        await mosquitto_pub(port, "-t", "$delayed/2/t", "-m", "soon", "-q", "2")
        await mosquitto_pub(port, "-t", "$delayed/600/t", "-m", "late", "-q", "1")
        process.send_signal(signal.SIGKILL)
        await process.wait()
        process, port = await started(*arguments)
        async with client(port, "r", clean=False, present=True) as reader:
            packet = await reader.packet()  # of QoS 0: it was kept, too, or may not have been
            if packet.fields["payload"] == b"plain":
                packet = await reader.packet()
            assert packet.fields["payload"] == b"soon"
            assert time.time() - began >= 2
            reader.acknowledge(packet)
            reader.acknowledge(await reader.packet())
            await reader.writer.drain()
        process.send_signal(signal.SIGKILL)
        await process.wait()
        process, port = await started(*arguments)
        async with client(port, "r", clean=False, present=True) as reader, client(port, "p") as publisher:
            publisher.publish("t", b"next", 1)
            packet = await reader.packet()
            while packet.kind != "publish":
                packet = await reader.packet()
            assert packet.fields["payload"] == b"next"
    finally:
        await end(process)


async def test_what_was_due_meanwhile_is_published_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "broker.db"
    async with running(path) as (_, port):
        async with client(port, "r", clean=False) as reader:
            await reader.subscribe("t", 1)
        async with client(port, "p") as publisher:
            publisher.publish("$delayed/1/t", b"x", 1)
            assert (await publisher.packet()).kind == "puback"
    await asyncio.sleep(1)  # the time is what it is about
    async with running(path) as (broker, port), client(port, "r", clean=False, present=True) as reader:
        assert await reader.messages(1) == [b"x"]
        assert len(broker.engine.depot.delayed) == 0
