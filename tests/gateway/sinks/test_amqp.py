"""RabbitMQ as a sink: Debian's server, one for all tests; each has a queue of its own."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import aio_pika
import pytest

from mqttlite.testing.faults import FaultyLink
from mqttlite_gateway.settings.upstream import Route
from mqttlite_gateway.sinks.amqp import AmqpOptions, amqp_options, routing_key_of
from tests.gateway.sinks.world import broker, publish, publisher, settings, until, uplink
from tests.rabbitmq import Shared

TOPICS = (Route("s/#"),)


@pytest.fixture
def name() -> str:
    """A queue that nobody else has."""
    return f"q{uuid4().hex}"


class Far:
    """What somebody at RabbitMQ does."""

    def __init__(self, connection: Any, channel: Any) -> None:
        self.connection = connection
        self.channel = channel

    async def count(self, queue: str) -> int:
        """How many messages are in it."""
        declared = await self.channel.declare_queue(queue, passive=True)
        return int(declared.declaration_result.message_count)

    async def take(self, queue: str, count: int) -> list[Any]:
        """The next messages, taken out."""
        source = await self.channel.get_queue(queue)
        found = []
        async with source.iterator() as messages:
            async for message in messages:
                await message.ack()
                found.append(message)
                if len(found) == count:
                    break
        return found


@contextlib.asynccontextmanager
async def far(rabbitmq: Shared) -> AsyncIterator[Far]:
    """A connection of the test's own."""
    async with await aio_pika.connect(rabbitmq.amqp_url) as connection:
        yield Far(connection, await connection.channel())


async def test_messages_are_in_a_quorum_queue_persistent_in_order_and_with_all_that_mqtt_knows_of_them(
    tmp_path: Path, shared_rabbitmq: Shared, name: str
) -> None:
    of = settings(shared_rabbitmq.amqp_url, name=name, client_id="site-7")
    async with broker(tmp_path, of) as inside, uplink(inside, of) as up:
        async with publisher(inside, version="5.0", keys=True) as client:
            more: dict[str, Any] = {
                "expires_after_s": 1000,
                "content_type": "text/plain",
                "response_topic": "answers",
                "correlation_data": b"7",
                "user_properties": [("unit", "C"), ("tag", "a"), ("tag", "b"), ("x-odd", "1")],
            }
            await (await client.publish("s/a.b/c", b"21", 2, retain=True, **more))
        async with publisher(inside) as client:
            await publish(client, *(b"%d" % number for number in range(300)))
        await until(lambda: up.counts.acknowledged == 301)
    async with far(shared_rabbitmq) as rabbit:
        with pytest.raises(aio_pika.exceptions.ChannelPreconditionFailed, match="quorum"):  # it is one, says RabbitMQ
            await (await rabbit.connection.channel()).declare_queue(name, durable=True)
        first, *rest = await rabbit.take(name, 301)
    assert (first.body, first.delivery_mode, first.routing_key) == (b"21", aio_pika.DeliveryMode.PERSISTENT, name)
    assert (first.content_type, first.correlation_id, first.app_id) == ("text/plain", "7", "mqttlite")
    assert 990 < first.expiration <= 1000
    assert first.headers.pop("mqttlite-key").startswith("board/")
    assert first.headers == {
        "mqtt-topic": "site/a.b/c",
        "mqtt-qos": 1,
        "mqtt-retain": True,
        "mqtt-response-topic": "answers",
        "mqtt-correlation-data": b"7",
        "unit": "C",
        "tag": ["a", "b"],
        "mqtt-user-properties": {"x-odd": "1"},
    }
    assert [message.body for message in rest] == [b"%d" % number for number in range(300)]
    assert len({message.message_id for message in (first, *rest)}) == 301
    assert all(message.message_id.startswith("site-7/") for message in rest)


async def test_what_no_queue_is_bound_for_is_a_dead_letter_and_passes_when_one_is(
    tmp_path: Path, shared_rabbitmq: Shared, name: str
) -> None:
    of = settings(shared_rabbitmq.amqp_url, out=TOPICS, options={"exchange": "amq.topic"})
    async with far(shared_rabbitmq) as rabbit, broker(tmp_path, of) as inside, publisher(inside) as client:
        queue = await rabbit.channel.declare_queue(name, durable=True)
        await queue.bind("amq.topic", f"s.{name}.*")
        async with uplink(inside, of) as up:
            await publish(client, b"0", topic=f"s/{name}/a")
            await publish(client, b"1", topic=f"s/other{name}/a")
            await publish(client, b"2", topic=f"s/{name}/b")
            await until(lambda: up.describe()["queued"] == 0)
            (letter,) = up.dead_letters()
            assert f"bound for routing key 's.other{name}.a'" in letter["cause"]
            assert await rabbit.count(name) == 2
            await queue.bind("amq.topic", f"s.other{name}.*")
            up.retry(letter["id"])
            assert [message.body for message in await rabbit.take(name, 3)] == [b"0", b"2", b"1"]


async def test_a_message_that_rabbitmq_never_takes_is_set_aside_and_those_beside_it_pass(
    tmp_path: Path, shared_rabbitmq: Shared, name: str
) -> None:
    of = settings(shared_rabbitmq.amqp_url, name=name, out=TOPICS)
    async with broker(tmp_path, of) as inside, publisher(inside) as client:
        await publish(client, b"early")  # before there is a session, so it goes nowhere
        async with uplink(inside, of) as up:
            await publish(client, b"0", b"1", bytes(1 << 19), b"3", b"4")
            await until(lambda: up.describe()["queued"] == 0)
            (letter,) = up.dead_letters()
            assert letter["bytes"] == 1 << 19
            assert "message size" in letter["cause"]
        async with far(shared_rabbitmq) as rabbit:
            got = [message.body for message in await rabbit.take(name, await rabbit.count(name))]
            assert list(dict.fromkeys(got)) == [b"0", b"1", b"3", b"4"]


async def test_a_topic_too_long_for_a_routing_key_is_set_aside(tmp_path: Path, shared_rabbitmq: Shared) -> None:
    of = settings(shared_rabbitmq.amqp_url, out=TOPICS, options={"exchange": "amq.topic"})
    async with broker(tmp_path, of) as inside, uplink(inside, of) as up, publisher(inside) as client:
        await publish(client, b"0", topic="s/" + "x" * 300)
        await until(up.dead_letters)
        assert "302 bytes is no routing key" in up.dead_letters()[0]["cause"]


@pytest.mark.parametrize("seed", range(4))
async def test_nothing_is_lost_when_the_connection_is_cut_and_a_copy_has_the_same_message_id(
    tmp_path: Path, shared_rabbitmq: Shared, name: str, seed: int
) -> None:
    count = 400
    with FaultyLink("127.0.0.1", shared_rabbitmq.amqp_port) as link:
        url = f"amqp://guest:guest@127.0.0.1:{link.port}/"
        of = settings(url, name=name, out=TOPICS, inflight=50)
        async with broker(tmp_path, of) as inside, uplink(inside, of) as up, publisher(inside) as client:
            link.cut_after(4000 + 7919 * seed)
            await publish(client, *(b"%d" % number for number in range(count // 2)))
            await until(lambda: link.connected > 1)
            link.cut_after(3000 + 4999 * seed)
            await publish(client, *(b"%d" % number for number in range(count // 2, count)))
            await until(lambda: up.describe()["queued"] == 0)
            assert link.connected > 1
    async with far(shared_rabbitmq) as rabbit:
        got = [(message.message_id, message.body) for message in await rabbit.take(name, await rabbit.count(name))]
    assert [body for _, body in dict.fromkeys(got)] == [b"%d" % number for number in range(count)]


async def test_a_queue_that_is_full_holds_everything_back_loses_nothing_and_keeps_the_order(
    tmp_path: Path, shared_rabbitmq: Shared, name: str
) -> None:
    of = settings(shared_rabbitmq.amqp_url, name=name, out=TOPICS)
    async with far(shared_rabbitmq) as rabbit, broker(tmp_path, of) as inside, publisher(inside) as client:
        full = {"x-max-length": 5, "x-overflow": "reject-publish"}
        await rabbit.channel.declare_queue(name, durable=True, arguments=full)
        async with uplink(inside, of) as up:
            await publish(client, *(b"%d" % number for number in range(20)))
            await until(lambda: "queue full" in up.problem)
            got: list[bytes] = []
            while len(dict.fromkeys(got)) < 20:
                got += [message.body for message in await rabbit.take(name, 1)]
            await until(lambda: up.describe()["queued"] == 0)
            assert up.dead_letters() == []
            assert list(dict.fromkeys(got)) == [b"%d" % number for number in range(20)]


async def test_a_queue_that_somebody_deletes_is_made_again(tmp_path: Path, shared_rabbitmq: Shared, name: str) -> None:
    of = settings(shared_rabbitmq.amqp_url, name=name, out=TOPICS)
    async with far(shared_rabbitmq) as rabbit, broker(tmp_path, of) as inside, uplink(inside, of) as up:
        async with publisher(inside) as client:
            await publish(client, b"0")
            await until(lambda: up.counts.acknowledged == 1)
            await rabbit.channel.queue_delete(name)
            await publish(client, b"1", b"2")
            await until(lambda: up.counts.acknowledged == 3)
        assert up.dead_letters() == []
        assert await rabbit.count(name) == 2


@pytest.mark.parametrize(
    ("place", "options", "words"),
    [
        ("guest:wrong@127.0.0.1:{port}/", {}, "user name or password"),
        ("guest:guest@127.0.0.1:{port}/nowhere", {}, "nowhere"),
        ("guest:guest@127.0.0.1:{port}/", {"exchange": "absent"}, "no exchange 'absent'"),
        ("guest:guest@127.0.0.1:1/", {}, "127.0.0.1"),
    ],
)
async def test_what_is_wrong_is_said_in_words_without_the_password(
    tmp_path: Path, shared_rabbitmq: Shared, place: str, options: dict[str, str], words: str
) -> None:
    of = settings("amqp://" + place.format(port=shared_rabbitmq.amqp_port), options=options)
    async with broker(tmp_path, of) as inside, uplink(inside, of) as up:
        await until(lambda: up.problem != "not connected yet")
        assert words in up.problem
        assert "wrong" not in str(up.describe())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"queue": "a", "exchange": "b"}, "one of them"),
        ({"routing_key": "x"}, "for an exchange"),
        ({"queu": "a"}, "no such key"),
        ({"heartbeat_s": "10"}, "whole number"),
        ({"heartbeat_s": 0}, "1 to 3600"),
        ({"queue": "x" * 256}, "255 bytes"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        amqp_options(options)


def test_a_topic_becomes_the_routing_key_that_rabbitmqs_mqtt_plugin_makes_of_it() -> None:
    assert routing_key_of("a/b.c/d") == "a.b/c.d"
    assert amqp_options({}) == AmqpOptions()
