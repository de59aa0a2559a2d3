"""One interface for the databases of applications: sqlite3, psycopg (3) and asyncpg. Host only; imports no driver.

A transaction of `Database.transaction` is durable when its block has ended without an exception, and has had no effect
when it ended with one; everything that mqttlite acknowledges rests on that. So connections that would break it are
refused: one that is in a transaction of the application's already, and one whose commits do not wait for the disk.

One connection can hold one transaction. All users of a single connection wait for each other (`asyncio.Lock`); a pool
lets them run side by side.

SQL is written with `?` for each argument and translated here; a literal `?` cannot be had.
"""

import asyncio
import functools
import inspect
import logging
import os
import sqlite3
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from contextvars import ContextVar
from typing import Any, TypeVar

from ..store.base import StoreError
from ..store.folder import sync_folder
from ..store.sqlite_leftovers import end_journal, settle_wal
from .schema import TABLES, VERSION

T = TypeVar("T")
Row = tuple[Any, ...]

log = logging.getLogger("mqttlite.database")

RETRY_MIN_S = 0.1  # between two attempts to reach a database that is away
RETRY_MAX_S = 5.0


class DatabaseError(StoreError):
    """The application's database cannot be used, or not in this way; the text says why and what to do."""


class LostError(DatabaseError):
    """The connection to the database is gone; the transaction has had no effect, unless it was about to commit."""


class _Transaction:
    """One that may be open: tasks started inside it still see it when it has ended."""

    def __init__(self, database: "Database") -> None:
        self.database: Database | None = database


_current: ContextVar[_Transaction | None] = ContextVar("mqttlite transaction", default=None)


class Database:
    """What an inbox and an outbox need of a database; made by `sqlite`, `psycopg_database`, `asyncpg_database`.

    is_single    one connection, hence one transaction at a time
    reconnects   when a connection is lost, the next transaction has another
    has_threads  a handler may be called in another thread than that of the event loop, one after the other
    """

    is_single = True
    reconnects = False
    has_threads = False
    bytes_type = "bytea"
    counter_type = "bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY"
    for_share = " FOR SHARE"  # appended to a SELECT: the row stays as it is until the transaction has ended
    for_update = " FOR UPDATE"

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._has_tables = False

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        """`async with database.transaction() as db:` a transaction of its own; `db` is a connection of the driver.

        Also for the application's own use of a connection that it has given to an inbox. DatabaseError when the
        database cannot be used; it must not be opened inside another transaction on the same single connection.
        """
        if self.is_single and self.is_inside():
            raise DatabaseError(
                "a transaction inside a transaction, on one connection, would wait for itself; use the connection that "
                "the handler was given"
            )
        async with self._lock if self.is_single else nullcontext():
            # By hand and not with `async with`: an error on entering is another than one of the block.
            source = self._connection()
            try:
                db = await source.__aenter__()
            except Exception as error:
                if _sqlstate(error)[:2] in ("28", "3D"):  # who we are, and which database: that stays so
                    raise DatabaseError(f"no connection to the database: {error}") from error
                raise LostError(f"no connection to the database: {error or repr(error)}") from error
            try:
                async with self._block(db):
                    transaction = _Transaction(self)
                    token = _current.set(transaction)
                    try:
                        yield db
                    finally:
                        transaction.database = None
                        _current.reset(token)
            except DatabaseError:
                raise
            except Exception as error:
                if self._lost(db, error):
                    raise self._failed(error) from error
                raise
            finally:
                await source.__aexit__(None, None, None)

    def _failed(self, error: Exception) -> DatabaseError:
        """What to say when `_lost`."""
        return LostError(f"the database has failed: {error or repr(error)}")

    async def insist(self, work: Callable[[], Awaitable[T]]) -> T:
        """The result of `work()`, which is called again while the database is away, if connections come back."""
        pause_s = RETRY_MIN_S
        while True:
            try:
                result = await work()
            except LostError as error:
                if not self.reconnects:
                    raise
                if pause_s == RETRY_MIN_S:
                    log.warning("%s; trying again until it is back", error)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, RETRY_MAX_S)
            else:
                if pause_s > RETRY_MIN_S:
                    log.warning("the database is back")
                return result

    def is_inside(self) -> bool:
        """Whether the caller runs inside a transaction of this database."""
        current = _current.get()
        return current is not None and current.database is self

    async def execute(self, db: Any, sql: str, *args: Any) -> list[Row]:
        """Run one statement in the transaction of `db`; its rows as tuples. The same on every database."""
        raise NotImplementedError

    def call(self, db: Any, work: Coroutine[Any, Any, Any]) -> Any:
        """Run `work`, which awaits nothing but `execute` on `db`: its result where the driver does not wait (sqlite3,
        a synchronous psycopg connection), otherwise an awaitable.
        """
        return work

    def done(self, db: Any, work: Coroutine[Any, Any, None]) -> Any:
        """As `call` for work without a result: it may be awaited on every database."""
        return self.call(db, work) or _DONE

    async def create_tables(self) -> None:
        """Create the tables that are missing, in a transaction of its own; inbox and outbox call it when they start.

        DatabaseError when they are of a newer mqttlite, or when commits do not wait for the disk.
        """
        if self._has_tables:
            return
        async with self.transaction() as db:
            await self._check(db)
            await self._lock_tables(db)
            for table in TABLES:
                await self.execute(db, table.format(bytes=self.bytes_type, counter=self.counter_type))
            rows = await self.execute(db, "SELECT version FROM mqttlite_schema")
            if not rows:
                await self.execute(db, "INSERT INTO mqttlite_schema (version) VALUES (?)", VERSION)
            elif rows[0][0] < VERSION:
                await self.execute(db, "UPDATE mqttlite_schema SET version = ?", VERSION)
            elif rows[0][0] > VERSION:
                raise DatabaseError(
                    f"the mqttlite_ tables are of version {rows[0][0]}, this mqttlite knows {VERSION}; update it"
                )
        self._has_tables = True

    async def _check(self, db: Any) -> None:
        rows = await self.execute(db, "SHOW synchronous_commit")
        if rows[0][0] == "off":
            raise DatabaseError(
                "synchronous_commit is off: messages would be acknowledged before they are on disk; set it to on"
            )

    async def _lock_tables(self, db: Any) -> None:
        # Two that create the same table at once would disturb each other; the number means nothing.
        await self.execute(db, "SELECT pg_advisory_xact_lock(3115004)")

    async def close(self) -> None:
        """Close what was opened here and not by the application, as long as nobody uses it."""

    def _connection(self) -> AbstractAsyncContextManager[Any]:
        """A connection, for as long as the block takes."""
        raise NotImplementedError

    def _block(self, db: Any) -> AbstractAsyncContextManager[Any]:
        """A transaction on it: committed at the end of the block, rolled back by an exception."""
        raise NotImplementedError

    def _lost(self, db: Any, error: BaseException) -> bool:
        """Whether the database is to blame for `error`, and not who used it."""
        raise NotImplementedError


def _sqlstate(error: BaseException) -> str:
    """The code of PostgreSQL's error; "" without one."""
    return str(getattr(error, "sqlstate", None) or "")


def _explain(error: Exception) -> None:
    """Say what to do about an error of a driver, if it is that a table of ours is missing."""
    text = str(error)
    if "mqttlite_" in text and (text.startswith("no such table") or _sqlstate(error) == "42P01"):
        raise DatabaseError(
            f"{text.splitlines()[0]}: the tables of mqttlite are not there yet; call `await "
            "database.create_tables()` once, before the first transaction that needs them"
        ) from error


class _Done:
    """The result of what has been done already: may be awaited, need not be."""

    def __await__(self) -> Any:
        return iter(())


_DONE = _Done()


def _at_once(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that never waits."""
    try:
        work.send(None)
    except StopIteration as end:
        return end.value
    work.close()
    raise RuntimeError("this must not wait for anything")


# -- sqlite3


class _Sqlite(Database):
    bytes_type = "BLOB"
    counter_type = "INTEGER PRIMARY KEY AUTOINCREMENT"
    for_share = for_update = ""

    # Where the database itself has failed: readonly, io error, corrupt, full, cannot open, not a database.
    _FAILED = frozenset((8, 10, 11, 13, 14, 26))

    _is_ours = False  # the connection was opened here

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__()
        self.connection = connection
        if getattr(connection, "autocommit", None) is False:
            raise DatabaseError("a connection with autocommit=False is always in a transaction; open it without")
        self.has_threads = _is_free(connection)

    async def create_tables(self) -> None:
        """As Database.create_tables. A connection with synchronous = FULL, SQLite's default, gets EXTRA: with a
        rollback journal, FULL leaves it to chance when the deletion of the journal is durable, and until then a power
        cut undoes the commit.
        """
        try:
            if not self._has_tables and not self.connection.in_transaction and await self._synchronous() == 2:
                self.connection.execute("PRAGMA synchronous = EXTRA")
        except Exception as error:
            if self._lost(self.connection, error):
                raise DatabaseError(f"the database has failed: {error or repr(error)}") from error
            raise
        await super().create_tables()

    async def close(self) -> None:
        if self._is_ours:
            self.connection.close()

    async def _synchronous(self) -> int:
        level: int = (await self.execute(self.connection, "PRAGMA synchronous"))[0][0]
        return level

    async def execute(self, db: Any, sql: str, *args: Any) -> list[Row]:
        cursor = db.cursor()
        cursor.row_factory = None  # of the application, which need not give tuples
        try:
            rows: list[Row] = cursor.execute(sql, args).fetchall()
        except sqlite3.OperationalError as error:
            _explain(error)
            raise
        return rows

    def call(self, db: Any, work: Coroutine[Any, Any, Any]) -> Any:
        return _at_once(work)

    def _connection(self) -> AbstractAsyncContextManager[Any]:
        return nullcontext(self.connection)

    def _failed(self, error: Exception) -> DatabaseError:
        return DatabaseError(f"the database has failed: {error or repr(error)}")  # and does not come back by itself

    @asynccontextmanager
    async def _block(self, db: Any) -> AsyncIterator[None]:
        try:
            is_open = db.in_transaction
        except sqlite3.ProgrammingError as error:
            raise DatabaseError(f"the connection cannot be used: {error}") from error
        if is_open:
            raise DatabaseError(
                "the connection is in a transaction that the application has not ended: commit it, or use "
                "database.transaction()"
            )
        # IMMEDIATE: the write lock now, where waiting for it helps, and not in the middle of the handler.
        try:
            db.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            raise DatabaseError(f"cannot begin a transaction: {error}; is another connection in a long one?") from error
        db.execute("SAVEPOINT mqttlite")  # is gone when the transaction is not this one any more
        try:
            yield
            try:
                db.execute("RELEASE mqttlite")
            except sqlite3.OperationalError as error:
                raise DatabaseError(
                    "the handler has ended the transaction itself; leave commit and rollback to the inbox"
                ) from error
            try:
                db.execute("COMMIT")
            except sqlite3.OperationalError as error:  # without WAL, whoever reads keeps it back
                raise DatabaseError(f"cannot commit: {error}; is another connection in a long transaction?") from error
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise

    def _lost(self, db: Any, error: BaseException) -> bool:
        return isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", 0) & 0xFF in self._FAILED

    async def _check(self, db: Any) -> None:
        if await self._synchronous() < 2:
            raise DatabaseError(
                "commits of this connection do not wait for the disk: messages would be acknowledged too early; "
                "execute PRAGMA synchronous = FULL"
            )
        (mode,) = (await self.execute(db, "PRAGMA journal_mode"))[0]
        if mode in ("memory", "off") and await self._path(db):
            raise DatabaseError(
                f"journal_mode is {mode}: a transaction would be there in part after a crash; execute "
                "PRAGMA journal_mode = WAL"
            )

    async def _lock_tables(self, db: Any) -> None:
        """IMMEDIATE has locked everything. What an earlier process has left is durable from here on."""
        path = await self._path(db)
        if path:
            try:
                settle_wal(path)
                end_journal(path)
                sync_folder(path)
            except OSError as error:
                raise DatabaseError(f"the database has failed: {error}") from error

    async def _path(self, db: Any) -> str:
        """The file of the database; "": it has none."""
        return os.fsdecode((await self.execute(db, "PRAGMA database_list"))[0][2])  # the first is "main"


def _is_free(connection: sqlite3.Connection) -> bool:
    """Whether a connection may be used in other threads: `check_same_thread` cannot be asked for."""
    found = []

    def use() -> None:
        try:
            connection.cursor().close()
        except sqlite3.ProgrammingError:
            return
        found.append(True)

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    return bool(found)


def sqlite(source: "sqlite3.Connection | str | os.PathLike[str]") -> Database:
    """A sqlite3 connection that the application has opened and goes on to own; or a path: then it is opened here.

    A connection of `sqlite3.connect(path)` belongs to its thread, that of the event loop: a handler's statements stop
    the event loop for as long as they take. With a path, or a connection opened with `check_same_thread=False`, an
    inbox calls a handler that is no coroutine function in a thread of its own, in the transaction of its message; the
    connection is never used by two threads at once, as long as the application uses it in `database.transaction()`
    only. Everything else, and the commit, stays in the thread of the event loop: one sync of the disk (0.1 ms to 10 ms
    on SSDs, 30 ms and more on SD cards).
    """
    if not isinstance(source, (str, os.PathLike)):
        return _Sqlite(source)
    database = _Sqlite(sqlite3.connect(source, check_same_thread=False))
    database._is_ours = True
    return database


# -- PostgreSQL


@functools.cache
def _percent(sql: str) -> str:
    return sql.replace("%", "%%").replace("?", "%s")


@functools.cache
def _dollars(sql: str) -> str:
    parts = sql.split("?")
    return "".join(f"{part}${number}" for number, part in enumerate(parts[:-1], 1)) + parts[-1]


_OPEN = (
    "the connection is in a transaction that the application has not ended: commit it, or use database.transaction()"
)


class _Postgres(Database):
    """`source`: a connection, a pool, or a function that opens a connection."""

    name = ""  # of the function that makes one of these

    def __init__(self, source: Any, is_pool: bool) -> None:
        super().__init__()
        self._source = source
        self._opens = callable(source)
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
        if not isinstance(error, Exception) or _sqlstate(error)[:3] in ("57P", "080"):
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
        super().__init__(source, hasattr(source, "getconn"))

    async def execute(self, db: Any, sql: str, *args: Any) -> list[Row]:
        cursor = db.cursor(row_factory=_tuples)
        try:
            begun = cursor.execute(_percent(sql) if args else sql, args or None)
            if inspect.isawaitable(begun):
                await begun
                return await cursor.fetchall() if cursor.description else []
        except Exception as error:
            _explain(error)
            raise
        return cursor.fetchall() if cursor.description else []

    def call(self, db: Any, work: Coroutine[Any, Any, Any]) -> Any:
        return work if inspect.iscoroutinefunction(db.execute) else _at_once(work)

    def _of_pool(self) -> AbstractAsyncContextManager[Any]:
        pool: AbstractAsyncContextManager[Any] = self._source.connection()
        return pool

    def _is_closed(self, db: Any) -> bool:
        return bool(db.closed)

    @asynccontextmanager
    async def _block(self, db: Any) -> AsyncIterator[None]:
        if db.info.transaction_status.name != "IDLE":
            raise self._closed() if db.closed else DatabaseError(_OPEN)
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
        super().__init__(source, hasattr(source, "acquire"))

    async def execute(self, db: Any, sql: str, *args: Any) -> list[Row]:
        try:
            return [tuple(row) for row in await db.fetch(_dollars(sql), *args)]
        except Exception as error:
            _explain(error)
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
            raise DatabaseError(_OPEN)
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
