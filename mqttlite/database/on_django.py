"""The application's database is one of Django's settings (4.2 or newer), on SQLite or PostgreSQL. Host only; Django is
imported when one is used.

Django's connections belong to their thread, and refuse to be used in an event loop: so an inbox has a thread of its
own, in which its connection lives and handlers are called, with the whole of Django's ORM in the transaction of their
message.
"""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from ..client.subscriptions.threads import HandlerThread
from .adapter import (
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
from .on_postgres import percent
from .on_sqlite import OnSqlite


class _Django(Database):
    """`alias`: of the database in the settings."""

    reconnects = True
    has_threads = True

    def __init__(self, alias: str) -> None:
        super().__init__()
        self._alias = alias
        self._own = HandlerThread("mqttlite inbox")

    def handler_thread(self) -> HandlerThread:
        return self._own

    def release(self, thread: HandlerThread) -> None:
        pass  # it has the connection

    def check_handler(self, handler: Callable[..., Any]) -> None:
        if inspect.iscoroutinefunction(handler):
            raise DatabaseError(
                "a handler for Django is a plain function, which is called in a thread: what a coroutine function does "
                "with the ORM has another connection, and is not in the transaction"
            )

    async def execute(self, db: Any, sql: str, *args: Any) -> list[Row]:
        if not _is_in_loop():  # in a handler, or in a view: there the connection is that of the thread
            return self._execute(db, sql, args)
        if not self.is_inside():
            raise DatabaseError(
                "Django's connections cannot be used in an event loop: call this in the function around which "
                "transaction.atomic() is, through sync_to_async()"
            )
        rows: list[Row] = await self._own.call(self._execute, db, sql, args)
        return rows

    def _execute(self, db: Any, sql: str, args: tuple[Any, ...]) -> list[Row]:
        try:
            with db.cursor() as cursor:
                cursor.execute(percent(sql) if args else sql, args or None)
                rows = cursor.fetchall() if cursor.description else []
        except Exception as error:
            explain(error)
            raise
        return [tuple(bytes(each) if type(each) is memoryview else each for each in row) for row in rows]

    def call(self, db: Any, work: Coroutine[Any, Any, Any]) -> Any:
        return work if _is_in_loop() else at_once(work)

    def _connection(self) -> AbstractAsyncContextManager[Any]:
        return self._opened()

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[Any]:
        yield await self._own.call(self._open)

    def _open(self) -> Any:
        """In the thread: its connection, a new one where the last is lost."""
        from django.db import connections

        connection = connections[self._alias]
        connection.close_if_unusable_or_obsolete()
        if connection.connection is None:
            connection.ensure_connection()
            self._prepare(connection)
        return connection

    def _prepare(self, connection: Any) -> None:
        """A connection was opened."""

    @asynccontextmanager
    async def _block(self, db: Any) -> AsyncIterator[None]:
        if db.in_atomic_block:
            raise DatabaseError(OPEN)
        async with self._atomic(durable=True):
            yield

    @asynccontextmanager
    async def savepoint(self, db: Any, error: type[Exception]) -> AsyncIterator[None]:
        """See Database. After an error of the ORM, Django itself has to undo it: until then it executes nothing."""
        async with self._atomic(durable=False):
            yield

    @asynccontextmanager
    async def _atomic(self, durable: bool) -> AsyncIterator[None]:
        from django.db import transaction

        block = transaction.atomic(using=self._alias, durable=durable)
        await self._own.call(block.__enter__)
        try:
            yield
        except BaseException as error:
            await self._own.call(block.__exit__, type(error), error, error.__traceback__)
            raise
        await self._own.call(block.__exit__, None, None, None)

    def _failed(self, error: Exception) -> DatabaseError:
        return LostError(f"the database has failed: {driver_error(error)!s}")

    def _lost(self, db: Any, error: BaseException) -> bool:
        code = sqlstate(error)
        if code:
            return code[:3] in ("57P", "080")
        # The driver itself says so, and no server. (The connection tells nothing: Django has another one already.)
        return type(error).__module__ == "django.db.utils" and type(error).__name__ in (
            "OperationalError",
            "InterfaceError",
        )

    async def close(self) -> None:
        await self._own.call(self._close)
        self._own.close()

    def _close(self) -> None:
        from django.db import connections

        connections[self._alias].close()


class _OnSqlite(OnSqlite, _Django):
    def _prepare(self, connection: Any) -> None:
        with connection.cursor() as cursor:
            if cursor.execute("PRAGMA synchronous").fetchone()[0] == 2:
                cursor.execute("PRAGMA synchronous = EXTRA")  # as SqliteDatabase.create_tables says
        # IMMEDIATE, as on_sqlite.py says; of this thread's connection alone. Since 5.1 a setting, transaction_mode
        connection._start_transaction_under_autocommit = lambda: connection.cursor().execute("BEGIN IMMEDIATE")


def _is_in_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def django_database(source: Any = "default") -> Database:
    """A database of Django's settings by its alias, or `django.db.connection`, `connections["alias"]`. SQLite or
    PostgreSQL.

    A handler is a plain function: it is called in the inbox's own thread, in `transaction.atomic()` of its message, and
    what it does with models is committed with the receipt. `outbox.publish(connection, topic, payload)` in a view or a
    command, inside `transaction.atomic()`: the message exists if and only if that commits.

    TypeError for any other object, DatabaseError for any other kind of database.
    """
    alias = source if isinstance(source, str) else getattr(source, "alias", None)
    if not isinstance(alias, str) or not (isinstance(source, str) or hasattr(source, "vendor")):
        accepted = 'the alias of a database in the settings, as "default", or django.db.connection'
        raise not_accepted("django_database", accepted, source)
    from django.db import connections

    vendor = connections[alias].vendor
    if vendor not in ("sqlite", "postgresql"):
        raise DatabaseError(f"inbox and outbox work on SQLite and PostgreSQL, not on {vendor}")
    return (_OnSqlite if vendor == "sqlite" else _Django)(alias)
