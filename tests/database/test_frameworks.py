"""Inbox and outbox in transactions of SQLAlchemy and Django, on files of SQLite and a server of PostgreSQL."""

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import sqlalchemy
import sqlalchemy.ext.asyncio as asynchronous
from django.db import IntegrityError, connections, models, transaction
from sqlalchemy import orm

from mqttlite import AnswerError, Client
from mqttlite.broker import Broker
from mqttlite.client.messages import Message
from mqttlite.database import (
    Database,
    DatabaseError,
    Inbox,
    LostError,
    Outbox,
    asyncpg_database,
    django_database,
    psycopg_database,
    sqlalchemy_database,
    sqlite,
)
from tests.database.frameworks import KINDS, FrameworkWorld
from tests.database.postgres import Postgres
from tests.database.world import PUBCOMP, PUBREC, PUBREL, Script, answer, life, note, publish


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of SQLite with the table `effects`."""
    with contextlib.closing(sqlite3.connect(tmp_path / "application.db")) as first:
        first.execute("CREATE TABLE effects (id INTEGER PRIMARY KEY AUTOINCREMENT, text text NOT NULL)")
    return tmp_path / "application.db"


@pytest.fixture(params=KINDS)
async def world(request: pytest.FixtureRequest) -> AsyncIterator[FrameworkWorld]:
    """A database with a table `effects`, as a framework has it."""
    if "sqlite" in request.param:
        place = request.getfixturevalue("path")
    else:
        schema = f"s{uuid4().hex}"
        place = request.getfixturevalue("postgres").dsn(schema)
        async with await psycopg.AsyncConnection.connect(place, autocommit=True) as first:
            await first.execute(f"CREATE SCHEMA {schema}")
            await first.execute(
                "CREATE TABLE effects (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, text text NOT NULL)"
            )
    made = FrameworkWorld(request.param, place)
    yield made
    await made.close()


async def test_effect_and_receipt_are_one_transaction_over_a_failure_and_a_crash(
    world: FrameworkWorld, script: Script
) -> None:
    tries = 0
    entered = asyncio.Event()

    async def failing(database: Database, db: Any, message: Message) -> None:
        nonlocal tries
        tries += 1
        await note(database, db, message)
        if tries == 1:
            raise ValueError("not this time")
        if message.payload == b"b":
            entered.set()
            await asyncio.Event().wait()

    async with life(world, script, failing) as (peer, inbox):
        await peer.say(publish(2, 7, b"a"))
        assert await peer.packet() == answer(PUBREC, 7)
        assert await world.effects() == ["a"]  # of the second try
        assert [number % 65536 for (number,) in await world.rows("SELECT packet_id FROM mqttlite_received")] == [7]
        assert inbox.handled == 1
        await peer.say(publish(2, 8, b"b"))
        await entered.wait()
    async with life(world, script, note) as (peer, inbox):  # nothing of the crash has stayed
        await peer.say(publish(2, 7, b"a", dup=True))
        assert await peer.packet() == answer(PUBREC, 7)
        await peer.say(answer(PUBREL, 7) + publish(2, 8, b"b", dup=True))
        assert {await peer.packet(), await peer.packet()} == {answer(PUBCOMP, 7), answer(PUBREC, 8)}
        assert await world.effects() == ["a", "b"]


async def test_a_message_of_the_outbox_exists_if_and_only_if_the_transaction_commits(world: FrameworkWorld) -> None:
    async with Broker(["mqtt://127.0.0.1:0"]) as broker:
        url = broker.addresses[0]
        async with Client(url, client_id="out") as client, client.subscription("orders/#") as messages:
            database = await world.connect()
            outbox = Outbox(database, poll_s=0.05)
            await database.create_tables()
            with pytest.raises(ZeroDivisionError):
                async with database.transaction() as db:
                    await outbox.publish(db, "orders/1", "never")
                    raise ZeroDivisionError
            async with database.transaction() as db:
                await outbox.publish(db, "orders/2", b"\0\xff", qos=2)
            forwarding = asyncio.create_task(outbox.forward(client))
            message = await anext(messages)
            assert (message.topic, message.payload, message.qos) == ("orders/2", b"\0\xff", 2)
            forwarding.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await forwarding


@pytest.mark.parametrize(
    "world",
    [
        "engine postgresql+psycopg",
        "async_engine postgresql+asyncpg",
        "async_sessionmaker postgresql+psycopg",
        "django postgresql",
    ],
    indirect=True,
)
async def test_an_inbox_goes_on_when_its_server_was_restarted(
    world: FrameworkWorld, script: Script, postgres: Postgres
) -> None:
    entered = asyncio.Event()
    leave = asyncio.Event()

    async def slow(database: Database, db: Any, message: Message) -> None:
        await note(database, db, message)
        entered.set()
        await leave.wait()

    async with life(world, script, slow, tries=1) as (peer, inbox):
        await peer.say(publish(2, 7, b"in the handler"))
        await entered.wait()
        await asyncio.to_thread(postgres.crash)
        leave.set()
        assert await peer.packet() == answer(PUBREC, 7)
        await asyncio.to_thread(postgres.crash)
        await peer.say(answer(PUBREL, 7))
        assert await peer.packet() == answer(PUBCOMP, 7)
        assert (inbox.handled, inbox.dead) == (1, 0), "it is not the message's fault"
    assert await world.effects() == ["in the handler"]


@pytest.mark.parametrize("world", ["session postgresql+psycopg", "async_session postgresql+asyncpg"], indirect=True)
async def test_a_session_of_the_applications_own_does_not_come_back_and_says_so(
    world: FrameworkWorld, postgres: Postgres
) -> None:
    database = await world.connect()
    await database.create_tables()
    await asyncio.to_thread(postgres.crash)
    with pytest.raises(LostError, match=r"give sqlalchemy_database\(\) an engine or a sessionmaker"):
        async with database.transaction() as db:
            await database.execute(db, "SELECT 1")


class _Base(orm.DeclarativeBase):
    pass


class _Effect(_Base):
    __tablename__ = "effects"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    text: orm.Mapped[str]


class _DjangoEffect(models.Model):
    text = models.TextField()

    class Meta:
        app_label = "tests"
        db_table = "effects"
        managed = False


async def _handle_at_a_broker(database: Database, handler: Any, count: int) -> None:
    async with Broker(["mqtt://127.0.0.1:0"]) as broker:
        url = broker.addresses[0]
        client = Client(url, client_id="in")
        inbox = Inbox(client, database, pause_s=0)
        async with client, Client(url) as other:
            await client.subscribe("t", 2)
            running = asyncio.create_task(inbox.run(handler))
            for number in range(count):
                await (await other.publish("t", str(number), 2))
            while inbox.handled < count and not running.done():
                moved = asyncio.ensure_future(client._life.progress.wait())
                await asyncio.wait((running, moved), return_when=asyncio.FIRST_COMPLETED)
                moved.cancel()
            if running.done():
                running.result()
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running


@contextlib.asynccontextmanager
async def _asking(database: Database, function: Any, into: type) -> AsyncIterator[Client]:
    """Who asks an inbox that serves, at a broker of their own."""
    async with Broker(["mqtt://127.0.0.1:0"]) as broker:
        client = Client(broker.addresses[0], client_id="server")
        inbox = Inbox(client, database, pause_s=0)
        async with client, Client(broker.addresses[0]) as asker:
            await client.subscribe("charge", 2)
            serving = asyncio.create_task(inbox.serve(function, into=into))
            yield asker
            serving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await serving


def _texts(path: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(path)) as other:
        return [text for (text,) in other.execute("SELECT text FROM effects ORDER BY id")]


async def test_a_plain_function_uses_a_session_and_its_objects_in_a_thread(path: Path) -> None:
    engine = sqlalchemy.create_engine(f"sqlite:///{path}")
    main = threading.get_ident()

    def handler(session: orm.Session, message: Message) -> None:
        assert threading.get_ident() != main
        session.add(_Effect(text=message.payload.decode()))

    await _handle_at_a_broker(sqlalchemy_database(orm.sessionmaker(engine)), handler, 3)
    assert _texts(path) == ["0", "1", "2"]
    engine.dispose()


@pytest.mark.parametrize("is_async", [False, True])
async def test_an_answer_that_is_an_error_undoes_what_a_session_has_not_written_yet(path: Path, is_async: bool) -> None:
    def charge(session: Any, value: str, _: Message) -> str:
        session.add(_Effect(text=value))
        if value == "poor":
            raise AnswerError("refused")
        return "booked"

    async def charge_async(session: Any, value: str, message: Message) -> str:
        return charge(session, value, message)

    if is_async:
        engine: Any = asynchronous.create_async_engine(f"sqlite+aiosqlite:///{path}")
        database = sqlalchemy_database(asynchronous.async_sessionmaker(engine, autoflush=False))
    else:
        engine = sqlalchemy.create_engine(f"sqlite:///{path}")
        database = sqlalchemy_database(orm.sessionmaker(engine, autoflush=False))
    async with _asking(database, charge_async if is_async else charge, str) as asker:
        with pytest.raises(AnswerError, match="refused"):
            await asker.request("charge", "poor", key="order-1")
        assert await asker.request("charge", "rich", key="order-2", into=str) == "booked"
    assert _texts(path) == ["rich"]
    disposing = engine.dispose()
    if is_async:
        await disposing


async def test_a_plain_function_uses_djangos_models_and_an_outbox_in_a_thread(path: Path) -> None:
    world = FrameworkWorld("django sqlite", path)
    alias = world._alias("sqlite")
    database = django_database(alias)
    outbox = Outbox(database)

    def handler(connection: Any, message: Message) -> None:
        _DjangoEffect.objects.using(alias).create(text=message.payload.decode())
        outbox.publish(connection, "done", message.payload)

    await _handle_at_a_broker(database, handler, 3)
    assert _texts(path) == ["0", "1", "2"]
    assert await world.rows("SELECT topic FROM mqttlite_outbox") == [("done",)] * 3

    def view() -> None:  # as a request is handled
        try:
            for number in range(2):
                with contextlib.suppress(ZeroDivisionError), transaction.atomic(using=alias):
                    outbox.publish(connections[alias], "view", str(number))
                    _DjangoEffect.objects.using(alias).create(text="view")
                    number / number
        finally:
            connections[alias].close()

    await asyncio.to_thread(view)
    assert await world.rows("SELECT topic, payload FROM mqttlite_outbox WHERE topic = 'view'") == [("view", b"1")]
    with pytest.raises(DatabaseError, match="sync_to_async"):
        await outbox.publish(connections[alias], "view", "x")

    async def no_handler(connection: Any, message: Message) -> None: ...

    inbox = Inbox(Client("mqtt://localhost", client_id="x"), database)
    with pytest.raises(DatabaseError, match="a handler for Django is a plain function"):
        await inbox.run(no_handler)
    await database.close()


async def test_an_error_of_djangos_models_may_become_the_answer(path: Path) -> None:
    world = FrameworkWorld("django sqlite", path)
    alias = world._alias("sqlite")
    database = django_database(alias)

    def charge(connection: Any, value: int, _: Message) -> str:
        try:
            _DjangoEffect.objects.using(alias).create(id=value, text=f"order {value}")
        except IntegrityError as error:
            raise AnswerError("there is one") from error
        return "booked"

    async with _asking(database, charge, int) as asker:
        assert await asker.request("charge", "7", key="order-1", into=str) == "booked"
        with pytest.raises(AnswerError, match="there is one"):
            await asker.request("charge", "7", key="order-2")
        assert await asker.request("charge", "8", key="order-3", into=str) == "booked"
    assert _texts(path) == ["order 7", "order 8"]
    await database.close()


async def test_a_handler_that_commits_by_itself_is_told_so(path: Path) -> None:
    engine = sqlalchemy.create_engine(f"sqlite:///{path}")

    def handler(session: orm.Session, message: Message) -> None:
        session.add(_Effect(text="x"))
        session.commit()

    with pytest.raises(DatabaseError, match="the handler has ended the transaction itself"):
        await _handle_at_a_broker(sqlalchemy_database(orm.sessionmaker(engine)), handler, 1)
    engine.dispose()


async def test_a_connection_in_a_transaction_is_refused(path: Path) -> None:
    engine = sqlalchemy.create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text("SELECT 1"))
        database = sqlalchemy_database(connection)
        with pytest.raises(DatabaseError, match="a transaction that the application has not ended"):
            await database.create_tables()
    engine.dispose()


def test_a_wrong_object_is_refused_with_what_is_accepted(path: Path) -> None:
    engine = sqlalchemy.create_engine(f"sqlite:///{path}")
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for make, wrong, words in (
            (
                sqlalchemy_database,
                connection,
                r"takes an Engine, .* not sqlite3\.Connection; for that, there is sqlite\(\)",
            ),
            (sqlalchemy_database, "sqlite://", r"takes an Engine, .* not builtins\.str"),
            (sqlalchemy_database, orm.scoped_session(orm.sessionmaker(engine)), "scoped_session"),
            (django_database, engine, r"the alias of a database .*; for that, there is sqlalchemy_database\(\)"),
            (django_database, 7, "the alias of a database in the settings"),
            (sqlite, engine, r"takes a sqlite3\.Connection, .*; for that, there is sqlalchemy_database\(\)"),
            (psycopg_database, connection, r"takes a psycopg\.AsyncConnection, .*; for that, there is sqlite\(\)"),
            (psycopg_database, psycopg.Connection.__new__(psycopg.Connection), r"not psycopg\.Connection"),
            (asyncpg_database, connections["default"], r"takes an asyncpg\.Connection, .* django_database\(\)"),
            (Outbox, engine, r"database must be a Database, .*: write sqlalchemy_database\(\.\.\.\) around it"),
            (Outbox, "ledger.db", r"made by asyncpg_database\(\), django_database\(\)"),
            (lambda wrong: Inbox(Client("mqtt://x", client_id="x"), wrong), connection, r"write sqlite\(\.\.\.\)"),
        ):
            with pytest.raises(TypeError, match=words):
                make(wrong)  # type: ignore[operator]
    engine.dispose()
    with pytest.raises(DatabaseError, match="no engine"):
        sqlalchemy_database(orm.sessionmaker())
    with pytest.raises(DatabaseError, match="no engine"):
        sqlalchemy_database(orm.Session())
    engine.dialect.name = "mysql"
    with pytest.raises(DatabaseError, match="on SQLite and PostgreSQL, not on mysql"):
        sqlalchemy_database(engine)
