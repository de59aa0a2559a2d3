"""One interface for the databases of applications: sqlite3 (on_sqlite.py), psycopg (3) and asyncpg (on_postgres.py).
Host only; imports no driver.

A transaction of `Database.transaction` is durable when its block has ended without an exception, and has had no effect
when it ended with one; everything that mqttlite acknowledges rests on that. So connections that would break it are
refused: one that is in a transaction of the application's already, and one whose commits do not wait for the disk.

One connection can hold one transaction. All users of a single connection wait for each other (`asyncio.Lock`); a pool
lets them run side by side.

SQL is written with `?` for each argument and translated here; a literal `?` cannot be had.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from contextvars import ContextVar
from typing import Any, TypeVar

from ..client.subscriptions.threads import HandlerThread
from ..store.base import StoreError
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
                if sqlstate(error)[:2] in ("28", "3D"):  # who we are, and which database: that stays so
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

    def handler_thread(self) -> HandlerThread:
        """Where an inbox calls handlers; `release` it. Of a database that `has_threads`."""
        return HandlerThread("mqttlite inbox")

    def release(self, thread: HandlerThread) -> None:
        """No handler is called there any more."""
        thread.close()

    def check_handler(self, handler: Callable[..., Any]) -> None:
        """DatabaseError when this handler would not use the transaction of its message."""

    @asynccontextmanager
    async def savepoint(self, db: Any, error: type[Exception]) -> AsyncIterator[None]:
        """Part of a transaction: `error` undoes it, and the transaction goes on; whatever else is raised ends that."""
        await self.execute(db, "SAVEPOINT mqttlite_answer")
        try:
            yield
        except error:
            await self.execute(db, "ROLLBACK TO SAVEPOINT mqttlite_answer")
            raise

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


def driver_error(error: BaseException) -> BaseException:
    """The driver's error behind that of SQLAlchemy or Django."""
    return getattr(error, "orig", None) or (error.__cause__ if _is_wrapped(error) else None) or error


def _is_wrapped(error: BaseException) -> bool:
    return type(error).__module__ == "django.db.utils"


def sqlstate(error: BaseException) -> str:
    """The code of PostgreSQL's error; "" without one."""
    found = driver_error(error)
    return str(getattr(found, "sqlstate", None) or getattr(found, "pgcode", None) or "")


OPEN = "the connection is in a transaction that the application has not ended: commit it, or use database.transaction()"
ENDED = "the handler has ended the transaction itself; leave commit and rollback to the inbox"

_MAKERS = {
    "sqlite3": "sqlite",
    "psycopg": "psycopg_database",
    "psycopg_pool": "psycopg_database",
    "asyncpg": "asyncpg_database",
    "sqlalchemy": "sqlalchemy_database",
    "django": "django_database",
}


def is_opener(source: object) -> bool:
    """Whether it is a function, and nothing of a driver's own that can be called (as a sqlite3.Connection can)."""
    return callable(source) and type(source).__module__.split(".")[0] not in _MAKERS


def not_accepted(name: str, accepted: str, value: object) -> TypeError:
    """The error for what `name`(...) cannot use; another function that could is named."""
    kind = type(value)
    maker = _MAKERS.get(kind.__module__.split(".")[0], "")
    hint = f"; for that, there is {maker}()" if maker and maker != name else ""
    return TypeError(f"{name}() takes {accepted}, not {kind.__module__}.{kind.__qualname__}{hint}")


def check_database(value: object) -> None:
    """TypeError in words unless it is a Database."""
    if isinstance(value, Database):
        return
    kind = type(value)
    maker = _MAKERS.get(kind.__module__.split(".")[0])
    hint = (
        f"write {maker}(...) around it"
        if maker
        else f"made by {', '.join(f'{m}()' for m in sorted({*_MAKERS.values()}))}"
    )
    raise TypeError(f"database must be a Database, not {kind.__module__}.{kind.__qualname__}: {hint}")


def explain(error: Exception) -> None:
    """Say what to do about an error of a driver, if it is that a table of ours is missing."""
    error = driver_error(error)  # type: ignore[assignment]
    text = str(error)
    if "mqttlite_" in text and (text.startswith("no such table") or sqlstate(error) == "42P01"):
        raise DatabaseError(
            f"{text.splitlines()[0]}: the tables of mqttlite are not there yet; call `await "
            "database.create_tables()` once, before the first transaction that needs them"
        ) from error


class _Done:
    """The result of what has been done already: may be awaited, need not be."""

    def __await__(self) -> Any:
        return iter(())


_DONE = _Done()


def at_once(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that never waits."""
    try:
        work.send(None)
    except StopIteration as end:
        return end.value
    work.close()
    raise RuntimeError("this must not wait for anything")
