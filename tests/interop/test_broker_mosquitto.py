"""The broker with mosquitto_pub and mosquitto_sub as clients."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mqttlite.broker import Broker
from tests.broker.raw import port_of
from tests.broker.world import World
from tests.peers import Mosquitto, MosquittoSub, end, mosquitto_pub
from tests.statements import statement


@pytest.fixture
async def port() -> AsyncIterator[int]:
    async with Broker(["mqtt://127.0.0.1:0"]) as broker:
        yield port_of(broker.addresses[0])


@pytest.mark.parametrize("granted", ["0", "1", "2"])
@pytest.mark.parametrize("published", ["0", "1", "2"])
async def test_lines_from_mosquitto_pub_arrive_at_mosquitto_sub_in_order(
    port: int, published: str, granted: str
) -> None:
    lines = [b"line %d" % number for number in range(200)]
    async with MosquittoSub(port, "-t", "room/+", "-q", granted) as sub:
        assert sub.granted_qos == [int(granted)]
        await mosquitto_pub(port, "-t", "room/1", "-q", published, "-l", stdin=b"\n".join(lines) + b"\n")
        got = await sub.take(len(lines))
    assert [message.payload for message in got] == lines
    qos = min(int(published), int(granted))
    assert {(m.topic, m.qos, m.retain) for m in got} == {("room/1", qos, False)}


@statement("3.1.1", "MQTT-3.1.2-5")
async def test_messages_wait_for_a_persistent_mosquitto_sub(port: int) -> None:
    args = ("-t", "t", "-q", "2", "-c", "-i", "keeper")
    async with MosquittoSub(port, *args):
        pass  # killed: its session stays
    lines = [b"%d" % number for number in range(100)]
    await mosquitto_pub(port, "-t", "t", "-q", "2", "-l", stdin=b"\n".join(lines) + b"\n")
    async with MosquittoSub(port, *args) as sub:
        assert [message.payload for message in await sub.take(100)] == lines


@statement("3.1.1", "MQTT-3.3.1-5", "MQTT-3.3.1-8")
async def test_a_retained_message_reaches_a_later_mosquitto_sub(port: int) -> None:
    await mosquitto_pub(port, "-t", "state", "-m", "on", "-q", "1", "-r")
    async with MosquittoSub(port, "-t", "#", "-q", "1") as sub:
        assert await sub.get() == ("state", b"on", 1, True)


@statement("3.1.1", "MQTT-3.1.2-8", "MQTT-3.1.2-17")
async def test_the_will_of_a_killed_mosquitto_sub_is_published(port: int) -> None:
    will = ("--will-topic", "gone", "--will-payload", "abc", "--will-qos", "2", "--will-retain")
    async with MosquittoSub(port, "-t", "gone", "-q", "2") as witness:
        async with MosquittoSub(port, "-t", "x", *will):
            pass  # kill -9
        assert await witness.get() == ("gone", b"abc", 2, False)
    async with MosquittoSub(port, "-t", "gone", "-q", "2") as late:
        assert await late.get() == ("gone", b"abc", 2, True)


@statement("3.1.1", "MQTT-3.14.4-3")
async def test_mosquitto_pub_that_ends_in_good_order_leaves_no_will(port: int) -> None:
    async with MosquittoSub(port, "-t", "#") as witness:
        await mosquitto_pub(port, "-t", "t", "-m", "done", "--will-topic", "gone", "--will-payload", "abc")
        await mosquitto_pub(port, "-t", "t", "-m", "later")
        assert [message.payload for message in await witness.take(2)] == [b"done", b"later"]


@statement("3.1.1", "MQTT-3.1.4-2", "MQTT-3.1.2-4")
async def test_a_mosquitto_sub_that_takes_over_goes_on_with_the_session(port: int) -> None:
    args = ("-t", "t", "-q", "2", "-c", "-i", "same")
    async with MosquittoSub(port, *args) as first:
        await mosquitto_pub(port, "-t", "t", "-m", "one", "-q", "2")
        assert (await first.get()).payload == b"one"
        process = first._process
        assert process
        process.send_signal(19)  # SIGSTOP: it does not notice, and cannot fight for its identifier
        async with MosquittoSub(port, *args) as second:
            await mosquitto_pub(port, "-t", "t", "-m", "two", "-q", "2")
            assert (await second.get()).payload == b"two"
        await end(process)


async def test_what_mosquitto_says_of_itself_is_said_here_under_the_same_names(tmp_path: Path) -> None:
    theirs: list[str] = []
    with Mosquitto(tmp_path, persistence=False, settings={"sys_interval": 1}) as mosquitto:
        async with MosquittoSub(mosquitto.port, "-t", "$SYS/broker/#") as sub:
            while theirs.count("$SYS/broker/uptime") < 3:
                theirs.append((await sub.get()).topic)
    left_out = {"publish/bytes"}
    names = {topic for topic in theirs if not any(topic.startswith(f"$SYS/broker/{each}/") for each in left_out)}
    assert len(names) > 40
    world = World()
    client = world.connect("c")
    world.wait(0)
    client.subscribe("$SYS/#")
    assert names <= {topic for topic, *_ in client.messages()}
