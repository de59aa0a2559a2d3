"""PostgreSQL as a sink: a real server; each test has a schema of its own."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from mqttlite_gateway.settings.upstream import UpstreamSettings
from mqttlite_gateway.sinks.base import Message, Settle, SinkError
from mqttlite_gateway.sinks.postgres import PostgresOptions, PostgresSink, postgres_options
from tests.database.postgres import Postgres
from tests.gateway.sinks.world import broker, publish, publisher, settings, until, uplink


class Place:
    """A schema, and what somebody else sees in it."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn

    async def sql(self, text: str) -> list[tuple[Any, ...]]:
        async with await psycopg.AsyncConnection.connect(self.dsn, autocommit=True) as other:
            cursor = await other.execute(text)
            return await cursor.fetchall() if cursor.description else []

    async def payloads(self) -> list[bytes]:
        return [row[0] for row in await self.sql("SELECT payload FROM mqttlite_messages ORDER BY id")]


@pytest.fixture
async def place(postgres: Postgres) -> Place:
    schema = f"s{uuid4().hex}"
    made = Place(postgres.dsn(schema))
    await made.sql(f"CREATE SCHEMA {schema}")
    return made


class Forgetful(PostgresSink):
    """Commits, and is gone before it can say so, as often as `times`."""

    times = 1

    @classmethod
    def make(cls, of: UpstreamSettings, source: str) -> "Forgetful":
        return cls(of.url, of.name, PostgresOptions(), source)

    async def put(self, batch: Sequence[Message], settle: Settle) -> None:
        if self.times:
            self.times -= 1
            await super().put(batch, lambda message, why: None)
            raise SinkError("killed")
        await super().put(batch, settle)


def message(name: str, payload: bytes, key: tuple[bytes, int, int] | None = None) -> Message:
    """One on its way."""
    return Message(name, "t", payload, 1, False, False, key)


async def put(sink: PostgresSink, *batch: Message) -> list[str]:
    """What has become of each: "", or why it is refused."""
    settled: dict[str, str] = {}
    await sink.put(batch, lambda each, why: settled.__setitem__(each.name, why))
    return [settled[each.name] for each in batch]


async def test_each_message_is_a_row_with_all_that_mqtt_knows_of_it(tmp_path: Path, place: Place) -> None:
    of = settings(place.dsn, client_id="site-7")
    async with broker(tmp_path, of) as inside, uplink(inside, of) as up:
        async with publisher(inside, version="5.0", keys=True) as client:
            more: dict[str, Any] = {
                "expires_after_s": 3600,
                "content_type": "text/plain",
                "response_topic": "answers",
                "correlation_data": b"\x00\xff",
                "user_properties": [("unit", "C"), ("unit", "°")],
            }
            await (await client.publish("s/a", b"\x00\xff", 2, retain=True, **more))
        async with publisher(inside) as client:
            await publish(client, *(b"%d" % number for number in range(300)))
        await until(lambda: up.counts.acknowledged == 301)
    rows = await place.sql("SELECT * FROM mqttlite_messages ORDER BY id")
    _, received, *first, key, kind, response, correlation, user, expires = rows[0]
    assert first == ["site-7", "site/a", b"\x00\xff", 1, True]
    assert key.startswith("board/")
    assert (kind, response, correlation, user) == ("text/plain", "answers", b"\x00\xff", [["unit", "C"], ["unit", "°"]])
    assert 3590 < (expires - received).total_seconds() <= 3600
    assert [row[4] for row in rows[1:]] == [b"%d" % number for number in range(300)]
    assert rows[1][7:] == (None,) * 6


@pytest.mark.parametrize("keys", [False, True])
async def test_what_was_committed_and_not_acknowledged_is_not_written_again(
    tmp_path: Path, place: Place, keys: bool
) -> None:
    of = settings(place.dsn)
    async with broker(tmp_path, of) as inside, publisher(inside, keys=keys) as client:
        async with uplink(inside, of, Forgetful.make) as up:
            await publish(client, *(b"%d" % number for number in range(50)), qos=2)
            await until(lambda: up.counts.acknowledged == 50)
        async with uplink(inside, of, Forgetful.make) as up:  # another life, which has to ask the database
            await publish(client, b"50", b"50", b"51")
            await until(lambda: up.counts.acknowledged == 3)
    assert await place.payloads() == [*(b"%d" % number for number in range(50)), b"50", b"50", b"51"]


async def test_a_key_counts_once_whoever_brings_its_message_and_equal_content_without_one_is_no_repeat(
    place: Place,
) -> None:
    one, other = (PostgresSink(place.dsn, "sink", PostgresOptions(), source) for source in ("one", "other"))
    for sink in (one, other):
        assert await sink.open() == 'table "mqttlite_messages"'
    key, following, forgotten = (b"p", 9, 1), (b"p", 9, 2), (b"p", 1, 5)
    assert await put(one, message("a/1", b"1", key), message("a/2", b"1", key), message("a/3", b"=")) == ["", "", ""]
    assert (
        await put(other, message("b/1", b"1", key), message("b/2", b"2", following), message("b/3", b"=")) == [""] * 3
    )
    for epoch in range(10, 20):
        await put(one, message(f"a/{epoch}", b"e", (b"p", epoch, 0)))
    await put(other, message("b/4", b"old", forgotten))
    assert await place.payloads() == [b"1", b"=", b"2", b"=", *[b"e"] * 10]
    assert (one.repeats, other.repeats) == (1, 2)
    for sink in (one, other):
        await sink.close()


async def test_a_queue_from_a_backup_loses_no_new_message_that_has_the_name_of_an_old_one(place: Place) -> None:
    sink = PostgresSink(place.dsn, "sink", PostgresOptions(), "one")
    await sink.open()
    await put(sink, message("a/1", b"1"), message("a/2", b"2"))
    await put(sink, message("a/1", b"1"), message("a/2", b"another"))
    assert await place.payloads() == [b"1", b"2", b"another"]
    await sink.close()


async def test_a_message_that_the_table_refuses_is_set_aside_and_the_others_are_there(
    tmp_path: Path, place: Place
) -> None:
    of = settings(place.dsn)
    async with broker(tmp_path, of) as inside, uplink(inside, of) as up, publisher(inside) as client:
        await until(lambda: up.connected)
        await place.sql("ALTER TABLE mqttlite_messages ADD CONSTRAINT short CHECK (length(payload) < 9)")
        await publish(client, b"0", b"much too long", b"2", b"3")
        await until(lambda: up.describe()["queued"] == 0)
        assert await place.payloads() == [b"0", b"2", b"3"]
        (letter,) = up.dead_letters()
        assert 'violates check constraint "short"' in letter["cause"]
        await place.sql("ALTER TABLE mqttlite_messages DROP CONSTRAINT short")
        up.retry(letter["id"])
        await until(lambda: up.counts.acknowledged == 4)
        assert (await place.payloads())[-1] == b"much too long"


async def test_messages_are_there_once_and_in_order_when_the_server_is_restarted_under_way(
    tmp_path: Path, place: Place, postgres: Postgres
) -> None:
    of = settings(place.dsn, inflight=20)
    async with broker(tmp_path, of) as inside, uplink(inside, of) as up, publisher(inside) as client:
        await publish(client, *(b"%d" % number for number in range(100)))
        await until(lambda: up.counts.acknowledged)
        restarting = asyncio.create_task(asyncio.to_thread(postgres.crash))
        await publish(client, *(b"%d" % number for number in range(100, 300)))
        await restarting
        await until(lambda: up.describe()["queued"] == 0)
    assert await place.payloads() == [b"%d" % number for number in range(300)]


async def test_of_two_gateways_with_one_name_the_first_one_stops_and_says_so(place: Place) -> None:
    first, second = (PostgresSink(place.dsn, "sink", PostgresOptions(), "site-7") for _ in range(2))
    await first.open()
    await put(first, message("a/1", b"1"))
    await second.open()
    with pytest.raises(SinkError, match="another gateway writes as 'site-7'"):
        await put(first, message("a/2", b"2"))
    await put(second, message("b/1", b"3"))
    assert await place.payloads() == [b"1", b"3"]
    await first.close()
    await second.close()


async def test_a_server_that_says_nothing_any_more_is_given_up_and_tried_again(tmp_path: Path, place: Place) -> None:
    of = settings(place.dsn, ack_timeout_s=0.3)
    async with broker(tmp_path, of) as inside, uplink(inside, of) as up, publisher(inside) as client:
        await until(lambda: up.connected)
        await place.sql(
            "CREATE FUNCTION dream() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(100); END'"
        )
        await place.sql("CREATE TRIGGER t BEFORE INSERT ON mqttlite_messages EXECUTE FUNCTION dream()")
        await publish(client, b"0")
        await until(lambda: "nothing is confirmed" in up.problem)
        await place.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
        await place.sql("DROP TRIGGER t ON mqttlite_messages")
        await until(lambda: up.counts.acknowledged == 1)
        assert await place.payloads() == [b"0"]


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("CREATE TABLE mqttlite_messages (id int)", "the columns that docs/sinks.md lists"),
        ("ALTER ROLE test SET synchronous_commit = off", "synchronous_commit is off"),
    ],
)
async def test_what_is_wrong_is_said_in_words(tmp_path: Path, place: Place, sql: str, words: str) -> None:
    of = settings(place.dsn)
    await place.sql(sql)
    try:
        async with broker(tmp_path, of) as inside, uplink(inside, of) as up, publisher(inside) as client:
            await publish(client, b"0")
            await until(lambda: words in up.problem)
            assert up.describe()["queued"] == 1
    finally:
        await place.sql("ALTER ROLE test RESET synchronous_commit")


async def test_a_table_of_ones_own_in_a_schema_of_ones_own_is_used(tmp_path: Path, place: Place) -> None:
    schema = f"t{uuid4().hex}"
    await place.sql(f"CREATE SCHEMA {schema}")
    of = settings(place.dsn, options={"table": f"{schema}.From the field"})
    async with broker(tmp_path, of) as inside, uplink(inside, of) as up, publisher(inside) as client:
        await publish(client, b"0")
        await until(lambda: up.counts.acknowledged == 1)
    assert await place.sql(f'SELECT payload FROM {schema}."From the field"') == [(b"0",)]


@pytest.mark.parametrize(
    ("options", "words"),
    [({"table": "a.b.c"}, "a schema and a name"), ({"tabel": "a"}, "no such key"), ({"inbox": ""}, "name is needed")],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        postgres_options(options)
