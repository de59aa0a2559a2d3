"""The application's database is PostgreSQL, through psycopg (3) or asyncpg. Host only; imports no driver."""

import functools
import inspect
from collections.abc import AsyncIterator, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any

from .adapter import OPEN, Database, DatabaseError, LostError, Row, at_once, explain, is_opener, not_accepted, sqlstate


@functools.cache
def percent(sql: str) -> str:
    return sql.replace("%", "%%").replace("?", "%s")


@functools.cache
def _dollars(sql: str) -> str:
    parts = sql.split("?")
    return "".join(f"{part}${number}" for number, part in enumerate(parts[:-1], 1)) + parts[-1]


class _Postgres(Database):
    """`source`: a connection, a pool, or a function that opens a connection."""

    name = ""  # of the function that makes one of these

    def __init__(self, source: Any, is_pool: bool) -> None:
        super().__init__()
        self._source = source
        self._opens = is_opener(source)
        self._kept: Any = None  # opened by `source`
        self.is_single = not is_pool
        self.reconnects = is_pool or self._opens

    def _connection(self) -> AbstractAsyncContextManager[Any]:
        if self._opens:
            return self._one()
        return nullcontext(self._source) if self.is_single else self._of_pool()

    @asynccontextmanager
    async def _one(self) -> AsyncIterator[Any]:
        if self._kept is None or self._is_closed(self._kept):
            self._kept = await self._source()
        yield self._kept

    def _of_pool(self) -> AbstractAsyncContextManager[Any]:
        raise NotImplementedError

    def _is_closed(self, db: Any) -> bool:
        raise NotImplementedError

    def _failed(self, error: Exception) -> DatabaseError:
        text = f"the database has failed: {error or repr(error)}"
        return LostError(text if self.reconnects else f"{text}; {self._advice()}")

    def _closed(self) -> LostError:
        text = "the connection to PostgreSQL is closed"
        return LostError(text if self.reconnects else f"{text}; {self._advice()}")

    def _advice(self) -> str:
        return (
            f"this connection does not come back: give {self.name}() a pool or a function that opens a connection, "
            "which then goes on by itself"
        )

    def _lost(self, db: Any, error: BaseException) -> bool:
        # 57P01 to 57P05: the server ends or is not ready; 08: the connection
        if not isinstance(error, Exception) or sqlstate(error)[:3] in ("57P", "080"):
            return isinstance(error, Exception)
        try:
            return self._is_closed(db)
        except Exception:  # a pool takes a connection that was lost back at once, and nothing can be asked of it
            return True

    async def close(self) -> None:
        if self._kept is not None:
            kept, self._kept = self._kept, None
            await kept.close()


class _Psycopg(_Postgres):
    name = "psycopg_database"

    def __init__(self, source: Any) -> None:
        is_pool = hasattr(source, "getconn") and inspect.iscoroutinefunction(source.getconn)
        is_connection = hasattr(source, "info") and inspect.iscoroutinefunction(getattr(source, "execute", None))
        if not (is_pool or is_connection or is_opener(source)):
            raise not_accepted(
                self.name,
                "a psycopg.AsyncConnection, a psycopg_pool.AsyncConnectionPool or a function that opens a connection",
                source,
            )
        super().__init__(source, is_pool)

    async def execute(self, db: Any, sql: str, *args: Any) -> list[Row]:
        cursor = db.cursor(row_factory=_tuples)
        try:
            begun = cursor.execute(percent(sql) if args else sql, args or None)
            if inspect.isawaitable(begun):
                await begun
                return await cursor.fetchall() if cursor.description else []
        except Exception as error:
            explain(error)
            raise
        return cursor.fetchall() if cursor.description else []

    def call(self, db: Any, work: Coroutine[Any, Any, Any]) -> Any:
        return work if inspect.iscoroutinefunction(db.execute) else at_once(work)

    def _of_pool(self) -> AbstractAsyncContextManager[Any]:
        pool: AbstractAsyncContextManager[Any] = self._source.connection()
        return pool

    def _is_closed(self, db: Any) -> bool:
        return bool(db.closed)

    @asynccontextmanager
    async def _block(self, db: Any) -> AsyncIterator[None]:
        if db.info.transaction_status.name != "IDLE":
            raise self._closed() if db.closed else DatabaseError(OPEN)
        async with db.transaction():
            yield


def _tuples(cursor: Any) -> Any:
    return tuple


def psycopg_database(source: Any) -> Database:
    """A `psycopg.AsyncConnection` that the application has opened, a `psycopg_pool.AsyncConnectionPool`, or a function
    that opens a connection: `lambda: psycopg.AsyncConnection.connect(dsn)`.

    A server that is restarted ends a connection for good, and with it what uses it (LostError); with a pool or a
    function, inbox and outbox wait until it is back, and go on. The pool is for handlers side by side; it needs one
    connection more than there are of them.
    """
    return _Psycopg(source)


class _Asyncpg(_Postgres):
    name = "asyncpg_database"

    def __init__(self, source: Any) -> None:
        is_pool = hasattr(source, "acquire")
        if not (is_pool or hasattr(source, "fetch") or is_opener(source)):
            raise not_accepted(
                self.name, "an asyncpg.Connection, an asyncpg.Pool or a function that opens a connection", source
            )
        super().__init__(source, is_pool)

    async def execute(self, db: Any, sql: str, *args: Any) -> list[Row]:
        try:
            return [tuple(row) for row in await db.fetch(_dollars(sql), *args)]
        except Exception as error:
            explain(error)
            raise

    def _of_pool(self) -> AbstractAsyncContextManager[Any]:
        pool: AbstractAsyncContextManager[Any] = self._source.acquire()
        return pool

    def _is_closed(self, db: Any) -> bool:
        return bool(db.is_closed())

    @asynccontextmanager
    async def _block(self, db: Any) -> AsyncIterator[None]:
        if db.is_closed():
            raise self._closed()
        if db.is_in_transaction():
            raise DatabaseError(OPEN)
        async with db.transaction():
            yield


def asyncpg_database(source: Any) -> Database:
    """An `asyncpg.Connection` that the application has opened, an `asyncpg.Pool`, or a function that opens a
    connection: `lambda: asyncpg.connect(dsn)`.

    A server that is restarted ends a connection for good, and with it what uses it (LostError); with a pool or a
    function, inbox and outbox wait until it is back, and go on. The pool is for handlers side by side; it needs one
    connection more than there are of them.
    """
    return _Asyncpg(source)
