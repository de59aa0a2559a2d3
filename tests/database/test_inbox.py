"""The inbox: receipt and effect commit together, whatever dies and whenever. Every kind of connection, real servers."""

import asyncio
import contextlib
import sqlite3
from typing import Any

import pytest

from mqttlite.client import Client
from mqttlite.client.messages import Message
from mqttlite.database import Database, DatabaseError, Inbox, LostError
from tests.client.network import Peer
from tests.database.postgres import Postgres
from tests.database.world import (
    KINDS,
    PUBACK,
    PUBCOMP,
    PUBREC,
    PUBREL,
    SINGLE,
    Script,
    Slow,
    World,
    answer,
    keyed,
    life,
    note,
    publish,
    until,
    write,
)


@pytest.mark.parametrize(("qos", "acknowledgement"), [(1, PUBACK), (2, PUBREC)])
async def test_the_acknowledgement_leaves_after_effect_and_receipt_are_committed(
    world: World, script: Script, qos: int, acknowledgement: int
) -> None:
    async with life(world, script, note) as (peer, _):
        await peer.say(publish(qos, 7, b"a"))
        assert await peer.packet() == answer(acknowledgement, 7)
        assert await world.effects() == ["a"]
        assert await world.rows("SELECT packet_id % 65536 FROM mqttlite_received") == ([(7,)] if qos == 2 else [])


async def test_nothing_is_acknowledged_before_the_commit(world: World, script: Script) -> None:
    slow = Slow()
    async with life(world, script, slow) as (peer, _):
        await peer.say(publish(2, 7, b"a"))
        await slow.entered.wait()
        assert await world.effects() == []
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await peer.reader.readexactly(1)
        slow.leave.set()
        assert await peer.packet() == answer(PUBREC, 7)
        assert await world.effects() == ["a"]


async def test_the_identifier_is_deleted_durably_before_pubcomp_leaves(world: World, script: Script) -> None:
    async with life(world, script, note) as (peer, _):
        for payload in (b"a", b"b"):  # the same identifier again is another message
            await peer.say(publish(2, 7, payload))
            assert await peer.packet() == answer(PUBREC, 7)
            await peer.say(answer(PUBREL, 7))
            assert await peer.packet() == answer(PUBCOMP, 7)
            assert await world.rows("SELECT * FROM mqttlite_received") == []
        assert await world.effects() == ["a", "b"]


@pytest.mark.parametrize("crash", ["in the handler", "after the writes", "before PUBREC", "after PUBREC", "at PUBREL"])
async def test_a_message_of_qos_2_is_handled_once_wherever_the_consumer_dies(
    world: World, script: Script, crash: str
) -> None:
    reached = asyncio.Event()

    async def dying(database: Database, db: Any, message: Message) -> None:
        if crash == "in the handler":
            reached.set()
            await asyncio.Event().wait()
        await note(database, db, message)
        if crash == "after the writes":
            reached.set()
            await asyncio.Event().wait()

    async with life(world, script, dying) as (peer, inbox):
        if crash == "before PUBREC":
            inbox.client.acknowledge = lambda message: reached.set()  # type: ignore[method-assign]
        if crash == "at PUBREL":
            # PUBREL is read and nothing of it is durable yet.
            def never() -> asyncio.Future[None]:
                reached.set()
                return asyncio.get_running_loop().create_future()

        await peer.say(publish(2, 7, b"a"))
        if crash in ("after PUBREC", "at PUBREL"):
            assert await peer.packet() == answer(PUBREC, 7)
            if crash == "at PUBREL":
                inbox._store.flush = never  # type: ignore[method-assign, assignment]
                await peer.say(answer(PUBREL, 7))
                await reached.wait()
        else:
            await reached.wait()
    async with life(world, script, note) as (peer, _):
        if crash in ("after PUBREC", "at PUBREL"):
            await peer.say(answer(PUBREL, 7))
        else:
            await peer.say(publish(2, 7, b"a", dup=True))
            assert await peer.packet() == answer(PUBREC, 7)
            assert await world.effects() == ["a"]
            await peer.say(answer(PUBREL, 7))
        assert await peer.packet() == answer(PUBCOMP, 7)
        await peer.say(publish(2, 7, b"b"))
        assert await peer.packet() == answer(PUBREC, 7)
    assert await world.effects() == ["a", "b"]


class Exchange:
    """A message and its acknowledgements, from the broker's side; after a cut it goes on as the broker would."""

    def __init__(self, qos: int, payload: bytes) -> None:
        self._payload = payload
        self._qos = qos
        self._is_received = False
        self._tries = 0

    async def go(self, peer: Peer) -> None:
        if not self._is_received:
            self._tries += 1
            await peer.say(publish(self._qos, 7, self._payload, dup=self._tries > 1))
            assert await peer.packet() == answer(PUBREC if self._qos == 2 else PUBACK, 7)
            self._is_received = True
        if self._qos == 2:
            await peer.say(answer(PUBREL, 7))
            assert await peer.packet() == answer(PUBCOMP, 7)


@pytest.mark.parametrize("qos", [1, 2])
async def test_a_message_is_handled_once_whichever_statement_of_the_inbox_is_its_last(
    world: World, script: Script, qos: int
) -> None:
    """Every statement, the ones for a message and those at PUBREL: the consumer dies when it has been executed."""
    count = 0
    is_over = False
    while not is_over:
        count += 1
        # At QoS 1 only the key tells; at QoS 2 the identifier does, and it is another message's the next time.
        payload = b"%d" % count
        exchange = Exchange(qos, keyed("p", 1, count, payload) if qos == 1 else payload)
        async with life(world, script, note) as (peer, inbox):
            await until(lambda: inbox._failures is not None)
            last = asyncio.create_task(_after_statements(inbox.database, count).wait())
            going = asyncio.create_task(exchange.go(peer))
            await asyncio.wait((last, going), return_when=asyncio.FIRST_COMPLETED)
            is_over = not last.done()
            if is_over:
                await going
            for task in (last, going):
                task.cancel()
            await asyncio.wait((last, going))
        if not is_over:
            async with life(world, script, note) as (peer, _):
                await exchange.go(peer)
        assert await world.effects() == [str(number) for number in range(1, count + 1)]
    assert count > 5, "the statements were met"


def _after_statements(database: Database, count: int) -> asyncio.Event:
    """Set when that many statements have been executed; the last one never returns."""
    reached = asyncio.Event()
    execute = database.execute
    left = count

    async def counted(db: Any, sql: str, *args: Any) -> list[Any]:
        nonlocal left
        rows = await execute(db, sql, *args)
        left -= 1
        if left <= 0:
            reached.set()
            await asyncio.Event().wait()
        return rows

    database.execute = counted  # type: ignore[method-assign]
    return reached


async def test_a_handler_that_raises_leaves_nothing_and_gets_the_message_again(world: World, script: Script) -> None:
    seen: list[bytes] = []

    async def handler(database: Database, db: Any, message: Message) -> None:
        await write(database, db, f"try {len(seen)}")
        seen.append(message.payload)
        if len(seen) < 3:
            raise ValueError("not yet")

    async with life(world, script, handler) as (peer, inbox):
        await peer.say(publish(2, 7, b"a"))
        assert await peer.packet() == answer(PUBREC, 7)
        assert inbox.handled == 1
    assert (seen, await world.effects()) == ([b"a"] * 3, ["try 2"])
    assert await world.rows("SELECT * FROM mqttlite_tries") == []


@pytest.mark.parametrize(("qos", "acknowledgement"), [(1, PUBACK), (2, PUBREC)])
async def test_after_its_tries_a_message_is_a_dead_letter_and_the_rest_goes_on(
    world: World, script: Script, qos: int, acknowledgement: int
) -> None:
    tries = []

    async def handler(database: Database, db: Any, message: Message) -> None:
        await note(database, db, message)
        if message.payload == b"bad":
            tries.append(message)
            raise ValueError("no \0 such account")

    async with life(world, script, handler, tries=3) as (peer, inbox):
        await peer.say(publish(qos, 7, b"bad") + publish(qos, 8, b"good"))
        assert await peer.packet() == answer(acknowledgement, 7)
        assert await peer.packet() == answer(acknowledgement, 8)
        assert (len(tries), inbox.dead, inbox.handled) == (3, 1, 1)
    assert await world.effects() == ["good"]
    dead = await world.rows("SELECT source, topic, payload, qos, error FROM mqttlite_dead")
    assert dead == [("inbox inbox", "t", b"bad", qos, "ValueError: no \N{REPLACEMENT CHARACTER} such account")]
    assert await world.rows("SELECT * FROM mqttlite_tries") == []


async def test_tries_are_counted_over_restarts(world: World, script: Script) -> None:
    tries = asyncio.Queue[None]()

    async def handler(database: Database, db: Any, message: Message) -> None:
        tries.put_nowait(None)
        raise ValueError

    for failures in (1, 2):
        async with life(world, script, handler, tries=3, pause_s=30) as (peer, inbox):
            await peer.say(publish(1, 7, b"bad", dup=True))
            await tries.get()
            await until(lambda: failures in (inbox._failures or {}).values())  # noqa: B023
    assert [row[0] for row in await world.rows("SELECT tries FROM mqttlite_tries")] == [2]
    async with life(world, script, handler, tries=3) as (peer, _):
        await peer.say(publish(1, 9, b"bad", dup=True))
        assert await peer.packet() == answer(PUBACK, 9)
    assert tries.qsize() == 1


@pytest.mark.parametrize(("qos", "acknowledgement"), [(1, PUBACK), (2, PUBREC)])
async def test_a_key_that_was_seen_is_acknowledged_and_not_handled_again(
    world: World, script: Script, qos: int, acknowledgement: int
) -> None:
    async with life(world, script, note) as (peer, _):
        await peer.say(publish(qos, 7, keyed("p", 1, 5, b"a")) + publish(qos, 8, keyed("p", 1, 4, b"b")))
        assert await peer.packet() == answer(acknowledgement, 7)
        assert await peer.packet() == answer(acknowledgement, 8)
    async with life(world, script, note, present=False) as (peer, inbox):
        for packet_id, epoch, sequence, payload in ((1, 1, 4, b"b"), (2, 1, 5, b"a"), (3, 2, 5, b"c"), (4, 1, 6, b"d")):
            await peer.say(publish(qos, packet_id, keyed("p", epoch, sequence, payload)))
            assert await peer.packet() == answer(acknowledgement, packet_id)
        assert (inbox.handled, inbox.repeats) == (2, 2)
    assert await world.effects() == ["a", "b", "c", "d"]


async def test_of_a_producer_no_more_than_eight_epochs_are_kept_and_none_comes_back(
    world: World, script: Script
) -> None:
    async with life(world, script, note) as (peer, _):
        for epoch in (*range(1, 12), 2, 11):
            await peer.say(publish(1, epoch, keyed("p", epoch, 0, b"%d" % epoch)))
            assert await peer.packet() == answer(PUBACK, epoch)
    assert await world.effects() == [str(epoch) for epoch in range(1, 12)]
    assert await world.rows("SELECT epoch FROM mqttlite_keys ORDER BY epoch") == [(epoch,) for epoch in range(4, 12)]


async def test_only_the_last_process_that_opened_an_inbox_can_commit(world: World, script: Script) -> None:
    """The first one is in its handler all the while that the second one handles the message and forgets it."""
    entered, leave = asyncio.Event(), asyncio.Event()

    async def slow(database: Database, db: Any, message: Message) -> None:
        entered.set()
        await leave.wait()
        await note(database, db, message)

    if world.kind == "sqlite":
        pytest.skip("a handler's transaction locks the whole database, so nobody can open it meanwhile")
    with pytest.raises(DatabaseError, match="another process has opened inbox 'inbox' as client 'consumer'"):
        async with life(World(world.kind, world.place), script, slow) as (peer, inbox):
            await peer.say(publish(2, 7, b"a"))
            await entered.wait()
            async with life(world, script, note) as (second, _):
                await second.say(publish(2, 7, b"a", dup=True))
                assert await second.packet() == answer(PUBREC, 7)
                await second.say(answer(PUBREL, 7))
                assert await second.packet() == answer(PUBCOMP, 7)
                leave.set()
                await until(lambda: not inbox._running)
    assert await world.effects() == ["a"]


on_servers = pytest.mark.parametrize("world", [kind for kind in KINDS if kind != "sqlite"], indirect=True)


@pytest.mark.parametrize("world", SINGLE, indirect=True)
async def test_a_database_server_that_dies_ends_the_inbox_and_nothing_is_acknowledged_or_done_twice(
    world: World, script: Script, postgres: Postgres
) -> None:
    slow = Slow()
    with pytest.raises(LostError, match=r"_database\(\) a pool or a function that opens a connection"):
        async with life(world, script, slow, tries=1) as (peer, inbox):
            await peer.say(publish(2, 7, b"a"))
            await slow.entered.wait()
            await asyncio.to_thread(postgres.crash)
            slow.leave.set()
            await until(lambda: not inbox._running)
            assert (inbox.handled, inbox.dead) == (0, 0), "it is not the message's fault"
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await peer.reader.readexactly(1)
    assert await world.effects() == []
    async with life(world, script, note) as (peer, inbox):
        await peer.say(publish(2, 7, b"a", dup=True))
        assert await peer.packet() == answer(PUBREC, 7)
    assert await world.effects() == ["a"]


@on_servers
async def test_a_database_server_that_died_between_two_messages_costs_the_next_one_no_try(
    world: World, script: Script, postgres: Postgres
) -> None:
    with contextlib.suppress(DatabaseError):  # a pool may have found out in time, and go on with a new connection
        async with life(world, script, note, tries=1) as (peer, inbox):
            await until(lambda: inbox._failures is not None)
            await asyncio.to_thread(postgres.crash)
            await peer.say(publish(2, 7, b"a"))
            await until(lambda: not inbox._running or inbox.handled + inbox.dead == 1)
    async with life(world, script, note) as (peer, _):
        await peer.say(publish(2, 7, b"a", dup=True))
        assert await peer.packet() == answer(PUBREC, 7)
    assert await world.effects() == ["a"]
    assert await world.rows("SELECT * FROM mqttlite_dead") == []


@pytest.mark.parametrize("world", ["sqlite"], indirect=True)
async def test_a_reader_that_keeps_a_commit_back_for_too_long_ends_the_inbox_and_costs_no_try(
    world: World, script: Script
) -> None:
    reader = sqlite3.connect(world.place)
    with contextlib.closing(reader), pytest.raises(DatabaseError, match="cannot commit: database is locked"):
        async with life(world, script, note, tries=1) as (peer, inbox):
            await until(lambda: inbox._failures is not None)
            async with inbox.database.transaction() as db:
                db.execute("PRAGMA busy_timeout = 1")
            reader.execute("BEGIN")
            assert reader.execute("SELECT count(*) FROM effects").fetchall() == [(0,)]
            await peer.say(publish(2, 7, b"a"))
            await until(lambda: not inbox._running)
            assert (inbox.handled, inbox.dead) == (0, 0)
    async with life(world, script, note, tries=1) as (peer, _):
        await peer.say(publish(2, 7, b"a", dup=True))
        assert await peer.packet() == answer(PUBREC, 7)
    assert await world.effects() == ["a"]


async def test_an_inbox_is_made_before_the_client_is_started_and_for_a_session_that_is_kept(world: World) -> None:
    database = await world.connect()
    with pytest.raises(ValueError, match="client_id"):
        Inbox(Client("mqtt://localhost"), database)
    client = Client("mqtt://127.0.0.1:1", client_id="c")
    client._connector.task = asyncio.create_task(asyncio.sleep(0))
    with pytest.raises(RuntimeError, match="before the client is started"):
        Inbox(client, database)
    await client._connector.task


async def test_handlers_of_other_topics_go_on_while_one_fails_and_each_topic_keeps_its_order(
    world: World, script: Script
) -> None:
    others = asyncio.Event()

    async def handler(database: Database, db: Any, message: Message) -> None:
        await write(database, db, f"{message.topic}{message.payload.decode()}")
        if message.topic == "a" and not others.is_set():
            raise ValueError("not before the others")
        if message.topic == "b" and message.payload == b"3":
            others.set()

    async with life(world, script, handler, side_by_side=4, tries=1_000_000) as (peer, _):
        packets = [publish(2, n + 3 * (t == "b"), b"%d" % n, topic=t) for n in (1, 2, 3) for t in ("a", "b")]
        await peer.say(b"".join(packets))
        for packet in packets:  # in order of arrival, although they were finished in another
            assert await peer.packet() == answer(PUBREC, packet[6])
    effects = await world.effects()
    assert [each for each in effects if each[0] == "a"] == ["a1", "a2", "a3"]
    assert [each for each in effects if each[0] == "b"] == ["b1", "b2", "b3"]
    assert effects.index("b2") < effects.index("a1")


async def test_side_by_side_two_deliveries_of_one_key_are_handled_once(world: World, script: Script) -> None:
    both = asyncio.Barrier(2)

    async def handler(database: Database, db: Any, message: Message) -> None:
        await note(database, db, message)
        if not database.is_single:
            await both.wait()  # both have found the key new

    async with life(world, script, handler, side_by_side=2) as (peer, inbox):
        packets = [publish(1, n, keyed("p", 1, 1, b"a"), topic=t) for n, t in ((1, "a"), (2, "b"))]
        await peer.say(b"".join(packets))
        assert {await peer.packet(), await peer.packet()} == {answer(PUBACK, 1), answer(PUBACK, 2)}
        assert (inbox.handled, inbox.repeats) == (1, 1)
    assert await world.effects() == ["a"]


async def test_a_dead_letter_can_go_to_a_topic_through_the_outbox(world: World, script: Script) -> None:
    async def handler(database: Database, db: Any, message: Message) -> None:
        raise ValueError

    async with life(world, script, handler, tries=1, dead_topic="dead") as (peer, _):
        await peer.say(publish(2, 7, b"bad"))
        assert await peer.packet() == answer(PUBREC, 7)
    rows = await world.rows("SELECT topic, payload, qos FROM mqttlite_outbox")
    assert rows == [("dead/t", b"bad", 2)]


async def test_a_handler_may_publish_but_not_end_the_transaction_or_open_another(world: World, script: Script) -> None:
    async def handler(database: Database, db: Any, message: Message) -> None:
        await note(database, db, message)
        if message.payload == b"b":
            await inbox.client.publish("other", "x", 1)
        if message.payload == b"c":
            if world.kind == "sqlite":
                db.execute("COMMIT")
            elif database.is_single:
                async with database.transaction():
                    pass
            else:
                raise DatabaseError("ended")

    with pytest.raises(DatabaseError, match=r"ended|inside"):
        async with life(world, script, handler) as (peer, inbox):
            await peer.say(publish(2, 7, b"a"))
            assert await peer.packet() == answer(PUBREC, 7)
            # PUBREL and the next message in one go: its handler publishes while the identifier waits to be deleted.
            await peer.say(answer(PUBREL, 7) + publish(2, 8, b"b"))
            assert sorted([(await peer.packet())[0] for _ in range(3)]) == [0x32, PUBREC, PUBCOMP]
            await peer.say(publish(2, 9, b"c"))
            await until(lambda: not inbox._running)


async def test_a_run_that_is_cancelled_leaves_its_message_to_the_next_run(world: World, script: Script) -> None:
    entered = asyncio.Event()

    async def handler(database: Database, db: Any, message: Message) -> None:
        await note(database, db, message)
        if not entered.is_set():
            entered.set()
            await asyncio.Event().wait()

    async with life(world, script, handler) as (peer, inbox):
        await peer.say(publish(2, 7, b"a"))
        await entered.wait()
        [task] = [task for task in asyncio.all_tasks() if task.get_name() == "run"]
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        again = asyncio.create_task(inbox.run(lambda db, message: handler(inbox.database, db, message)))
        assert await peer.packet() == answer(PUBREC, 7)
        again.cancel()
        await asyncio.wait([again])
    assert await world.effects() == ["a"]
