"""docs/queues.md: its programs run as they stand."""

from pathlib import Path

import pytest

from mqttlite import Client
from tests.broker.five import PUBACK, Five
from tests.broker.world import World
from tests.docs.pages import program
from tests.docs.running import running

PAGE = "docs/queues.md"


async def publish(url: str, topic: str, *payloads: str) -> None:
    async with Client(url, client_id="producer") as client:
        for payload in payloads:
            await (await client.publish(topic, payload, qos=1))


async def collecting(url: str, topic_filter: str) -> None:
    async with Client(url, client_id="first") as client:
        await client.subscribe(topic_filter, 1)


async def test_a_worker_gets_what_came_before_it(url: str, tmp_path: Path) -> None:
    await collecting(url, "$queue/jobs/jobs/#")
    await publish(url, "jobs/print", "page 1", "page 2")
    async with running(program(PAGE, "worker-1"), url, tmp_path) as output:
        assert await output.readline() == b"working on b'page 1'\n"
        assert await output.readline() == b"working on b'page 2'\n"


async def test_a_viewer_reads_the_log_from_its_beginning(url: str, tmp_path: Path) -> None:
    await collecting(url, "$stream/log/sensors/#")
    await publish(url, "sensors/a", "1", "2")
    async with running(program(PAGE, "viewer"), url, tmp_path) as output:
        assert await output.readline() == b"0 sensors/a b'1'\n"
        assert await output.readline() == b"1 sensors/a b'2'\n"


async def test_the_archive_goes_on_where_its_database_is(url: str, tmp_path: Path) -> None:
    await collecting(url, "$stream/log/sensors/#")
    await publish(url, "sensors/a", "1", "2")
    source = program(PAGE, "archive.db")
    async with running(source, url, tmp_path) as output:
        assert await output.readline() == b"stored b'1'\n"
        assert await output.readline() == b"stored b'2'\n"
    await publish(url, "sensors/a", "3")
    async with running(source, url, tmp_path) as output:
        line = await output.readline()
        while line == b"stored b'2'\n":  # the program was killed before it had committed
            line = await output.readline()
        assert line == b"stored b'3'\n"


KEPT = {"SessionExpiryInterval": 600}
TO = {"share": "$share/n/t", "queue": "$queue/n/t", "stream": "$stream/n@earliest/t"}


@pytest.mark.parametrize(("kind", "got"), [("share", [1, 0]), ("queue", [1, 0]), ("stream", [1, 1])])
def test_the_table_is_right_about_who_gets_a_message(kind: str, got: list[int]) -> None:
    world = World()
    clients = [Five(world, name) for name in "ab"]
    for client in clients:
        client.subscribe(TO[kind], 1)
    Five(world, "p").publish("t", b"x", qos=1)
    assert sorted((len(client.payloads()) for client in clients), reverse=True) == got


@pytest.mark.parametrize(("kind", "got"), [("share", []), ("queue", [b"x"]), ("stream", [b"x"])])
def test_the_table_is_right_about_what_happens_when_nobody_is_there(kind: str, got: list[bytes]) -> None:
    world = World()
    first = Five(world, "first")
    first.subscribe(TO[kind], 1)
    first.disconnect()
    Five(world, "p").publish("t", b"x", qos=1)
    second = Five(world, "second")
    second.subscribe(TO[kind], 1)
    assert second.payloads() == got


def test_the_table_is_right_about_members_that_are_away_and_about_what_comes_again() -> None:
    for kind, again in (("share", [b"x"]), ("queue", [b"x"])):
        world = World()
        away, other = Five(world, "away", **KEPT), Five(world, "other")
        away.subscribe(TO[kind], 1)
        away.cut()
        Five(world, "p").publish("t", b"x", qos=1)
        away = Five(world, "away", clean=False, present=True, **KEPT)
        assert away.payloads() == [b"x"]  # not acknowledged
        other.subscribe(TO[kind], 1)
        assert other.payloads() == []
        away.disconnect(SessionExpiryInterval=0)
        assert other.payloads() == again


def test_the_table_is_right_about_messages_for_later() -> None:
    world = World()
    publisher = Five(world, "p")
    for retain in (False, True):
        publisher.publish("$delayed/5/t", b"kept" if retain else b"gone", qos=1, retain=retain)
    assert [got.reason for got in publisher.take() if got.kind == PUBACK] == [0, 0]
    world.wait(5000)
    late = Five(world, "late")
    late.subscribe("t", 1)
    assert late.payloads() == [b"kept"]
