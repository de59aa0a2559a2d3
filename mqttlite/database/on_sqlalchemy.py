"""The application's database is SQLAlchemy's (2.0 or newer): engines, connections, sessions and what makes sessions,
synchronous or asynchronous, on SQLite or PostgreSQL. Host only; SQLAlchemy is imported when one is used.
"""

import functools
import inspect
from collections.abc import AsyncIterator, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any

from .adapter import (
    ENDED,
    OPEN,
    Database,
    DatabaseError,
    LostError,
    Row,
    at_once,
    driver_error,
    explain,
    not_accepted,
    sqlstate,
)
from .on_sqlite import OnSqlite

ACCEPTED = (
    "an Engine, a Connection, a Session or a sessionmaker of SQLAlchemy, or an AsyncEngine, AsyncConnection, "
    "AsyncSession or async_sessionmaker"
)


@functools.cache
def _statement(sql: str, types: tuple[type, ...]) -> Any:
    """Of SQLAlchemy: parameters have types, since asyncpg would take each int for one of 32 bits."""
    from sqlalchemy import BigInteger, Double, LargeBinary, Text, bindparam, text

    known = {int: BigInteger, float: Double, bytes: LargeBinary, str: Text}
    parts = sql.split("?")
    named = "".join(f"{part}:a{number}" for number, part in enumerate(parts[:-1])) + parts[-1]
    found = text(named)
    return found.bindparams(*(bindparam(f"a{number}", type_=known[each]()) for number, each in enumerate(types)))


class _SqlAlchemy(Database):
    """`source`: see ACCEPTED. `makes`: gives a connection or session for each transaction; None: `source` is one."""

    def __init__(self, source: Any, makes: Any, is_async: bool) -> None:
        super().__init__()
        self._source = source
        self._makes = makes
        self._is_async = is_async
        self.reconnects = makes is not None
        # Of a pool, each transaction has a connection of its own; what is synchronous waits for itself all the same.
        self.is_single = makes is None or not is_async or not self._has_pool()
        self.has_threads = not is_async and self._is_shared()

    def _has_pool(self) -> bool:
        return True

    def _is_shared(self) -> bool:
        """Whether a connection may be used in another thread than its own."""
        return True

    async def execute(self, db: Any, sql: str, *args: Any) -> list[Row]:
        statement = _statement(sql, tuple(map(type, args)))
        try:
            result = db.execute(statement, {f"a{number}": value for number, value in enumerate(args)})
            if inspect.isawaitable(result):
                result = await result
        except Exception as error:
            explain(error)
            if type(error).__name__ in ("InvalidRequestError", "ResourceClosedError"):
                raise DatabaseError(f"{ENDED}: {error}") from error
            raise
        if not result.returns_rows:
            return []
        return [tuple(bytes(each) if type(each) is memoryview else each for each in row) for row in result.fetchall()]

    def call(self, db: Any, work: Coroutine[Any, Any, Any]) -> Any:
        return work if inspect.iscoroutinefunction(db.execute) else at_once(work)

    @asynccontextmanager
    async def _made(self) -> AsyncIterator[Any]:
        made = self._makes()
        if self._is_async:
            async with made as db:
                yield db
        else:
            with made as db:
                yield db

    def _connection(self) -> AbstractAsyncContextManager[Any]:
        return nullcontext(self._source) if self._makes is None else self._made()

    @asynccontextmanager
    async def _block(self, db: Any) -> AsyncIterator[None]:
        if db.in_transaction():
            raise DatabaseError(OPEN)
        block = db.begin()
        if self._is_async:
            async with block:
                await self._begun(db)
                yield
        else:
            with block:
                await self._begun(db)
                yield

    @asynccontextmanager
    async def savepoint(self, db: Any, error: type[Exception]) -> AsyncIterator[None]:
        """See Database. A session forgets what it has not written yet, too."""
        block = db.begin_nested()
        if self._is_async:
            async with block:
                yield
        else:
            with block:
                yield

    async def _begun(self, db: Any) -> None:
        """A transaction has begun."""

    def _failed(self, error: Exception) -> DatabaseError:
        text = f"the database has failed: {driver_error(error)!s}"
        if self.reconnects:
            return LostError(text)
        return LostError(
            f"{text}; this connection does not come back: give sqlalchemy_database() an engine or a sessionmaker"
        )

    def _lost(self, db: Any, error: BaseException) -> bool:
        return bool(getattr(error, "connection_invalidated", False)) or sqlstate(error)[:3] in ("57P", "080")


class _OnSqlite(OnSqlite, _SqlAlchemy):
    def _has_pool(self) -> bool:
        return False  # one writer at a time in any case

    def _is_shared(self) -> bool:
        return bool(_bind(self._source).engine.url.database)  # one in memory belongs to its thread

    async def _begun(self, db: Any) -> None:
        if await self._synchronous(db) == 2:
            await self.execute(db, "PRAGMA synchronous = EXTRA")  # as SqliteDatabase.create_tables says
        try:
            await self.execute(db, "BEGIN IMMEDIATE")
        except Exception as error:
            raise DatabaseError(
                f"cannot begin a transaction: {driver_error(error)}; is another connection in a long one?"
            ) from error


def _bind(source: Any) -> Any:
    """The engine or connection behind it."""
    if hasattr(source, "kw"):
        return source.kw.get("bind")
    if hasattr(source, "get_bind"):
        return source.get_bind()
    return source


def sqlalchemy_database(source: Any) -> Database:
    """An `Engine` or `AsyncEngine`: for each message a connection and a transaction of its own, which the handler gets;
    a `sessionmaker` or `async_sessionmaker`: the same with a session, which is flushed and committed. A `Connection`,
    `AsyncConnection`, `Session` or `AsyncSession` that the application has opened: one transaction after the other.

    SQLite (pysqlite, aiosqlite) and PostgreSQL (psycopg, asyncpg). A handler for what is synchronous is a plain
    function, called in a thread of its own; for what is asynchronous, a coroutine function. `outbox.publish(db, ...)`
    takes any connection or session of the same database, in whatever transaction it is; await it where `db` is
    asynchronous.

    A server that is restarted is waited for with an engine or what makes sessions; a connection of the application's
    own does not come back. TypeError for any other object, DatabaseError for any other kind of database.
    """
    kind = type(source)
    is_of_sqlalchemy = any(each.__module__.startswith("sqlalchemy.") for each in kind.__mro__)
    is_maker = hasattr(source, "kw") and hasattr(source, "class_")
    is_session = hasattr(source, "get_bind") and not is_maker
    is_connection = hasattr(source, "in_transaction") and not is_session
    is_engine = hasattr(source, "connect") and not (is_connection or is_session or is_maker)
    if (
        not is_of_sqlalchemy
        or hasattr(source, "registry")
        or not (is_maker or is_session or is_connection or is_engine)
    ):
        raise not_accepted("sqlalchemy_database", ACCEPTED, source)
    is_async = hasattr(source.class_ if is_maker else source, "sync_session" if is_session else "sync_engine")
    if is_maker:
        is_async = hasattr(source.class_, "sync_session_class")
    try:
        bind = _bind(source)
    except Exception as error:  # UnboundExecutionError
        raise DatabaseError(f"the session has no engine: {error}") from error
    if bind is None:
        raise DatabaseError("the sessionmaker has no engine: write sessionmaker(engine)")
    name = bind.dialect.name
    if name not in ("sqlite", "postgresql"):
        raise DatabaseError(f"inbox and outbox work on SQLite and PostgreSQL, not on {name}")
    made = _OnSqlite if name == "sqlite" else _SqlAlchemy
    makes = source if is_maker else source.connect if is_engine else None
    return made(source, makes, is_async)
