"""The application's database is sqlite3's. Host only."""

import os
import sqlite3
import threading
from collections.abc import AsyncIterator, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any

from ..store.folder import sync_folder
from ..store.in_sqlite.sqlite_leftovers import end_journal, settle_wal
from .adapter import ENDED, OPEN, Database, DatabaseError, Row, at_once, driver_error, explain, not_accepted


class OnSqlite(Database):
    """What holds of SQLite, whoever has the connection."""

    bytes_type = "BLOB"
    counter_type = "INTEGER PRIMARY KEY AUTOINCREMENT"
    for_share = for_update = ""

    # Where the database itself has failed: readonly, io error, corrupt, full, cannot open, not a database.
    _FAILED = frozenset((8, 10, 11, 13, 14, 26))

    async def _synchronous(self, db: Any) -> int:
        level: int = (await self.execute(db, "PRAGMA synchronous"))[0][0]
        return level

    async def _check(self, db: Any) -> None:
        if await self._synchronous(db) < 2:
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

    def _failed(self, error: Exception) -> DatabaseError:
        return DatabaseError(f"the database has failed: {driver_error(error)!s}")  # and does not come back by itself

    def _lost(self, db: Any, error: BaseException) -> bool:
        return getattr(driver_error(error), "sqlite_errorcode", 0) & 0xFF in self._FAILED


class SqliteDatabase(OnSqlite):
    _is_ours = False  # the connection was opened here

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__()
        if not isinstance(connection, sqlite3.Connection):
            raise not_accepted("sqlite", "a sqlite3.Connection, or the path of a database", connection)
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
            if (
                not self._has_tables
                and not self.connection.in_transaction
                and await self._synchronous(self.connection) == 2
            ):
                self.connection.execute("PRAGMA synchronous = EXTRA")
        except Exception as error:
            if self._lost(self.connection, error):
                raise self._failed(error) from error
            raise
        await super().create_tables()

    async def close(self) -> None:
        if self._is_ours:
            self.connection.close()

    async def execute(self, db: Any, sql: str, *args: Any) -> list[Row]:
        cursor = db.cursor()
        cursor.row_factory = None  # of the application, which need not give tuples
        try:
            rows: list[Row] = cursor.execute(sql, args).fetchall()
        except sqlite3.OperationalError as error:
            explain(error)
            raise
        return rows

    def call(self, db: Any, work: Coroutine[Any, Any, Any]) -> Any:
        return at_once(work)

    def _connection(self) -> AbstractAsyncContextManager[Any]:
        return nullcontext(self.connection)

    @asynccontextmanager
    async def _block(self, db: Any) -> AsyncIterator[None]:
        try:
            is_open = db.in_transaction
        except sqlite3.ProgrammingError as error:
            raise DatabaseError(f"the connection cannot be used: {error}") from error
        if is_open:
            raise DatabaseError(OPEN)
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
                raise DatabaseError(ENDED) from error
            try:
                db.execute("COMMIT")
            except sqlite3.OperationalError as error:  # without WAL, whoever reads keeps it back
                raise DatabaseError(f"cannot commit: {error}; is another connection in a long transaction?") from error
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise

    def _lost(self, db: Any, error: BaseException) -> bool:
        return isinstance(error, sqlite3.Error) and super()._lost(db, error)  # of nothing that is around one


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
        return SqliteDatabase(source)
    database = SqliteDatabase(sqlite3.connect(source, check_same_thread=False))
    database._is_ours = True
    return database
