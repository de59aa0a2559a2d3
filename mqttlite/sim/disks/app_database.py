"""The application's database on a simulated disk: SQLite through apsw, as an inbox wants it."""

from typing import Any

import apsw

from ...database.adapter import Database
from ...database.on_sqlite import SqliteDatabase
from .disk import Mount
from .sqlite_files import connect


class AppDatabase(SqliteDatabase):
    """sqlite3's adapter with apsw underneath: the same statements, the same transactions."""

    def __init__(self, connection: Any) -> None:
        Database.__init__(self)
        self.connection = connection

    async def execute(self, db: Any, sql: str, *args: Any) -> list[tuple[Any, ...]]:
        """As Database.execute."""
        return list(db.execute(sql, args))

    async def _path(self, db: Any) -> str:
        return "/" + (await super()._path(db)).split("/", 2)[2]  # without the number of the disk

    def _lost(self, db: Any, error: BaseException) -> bool:
        return isinstance(error, (apsw.IOError, apsw.FullError, apsw.CorruptError, apsw.NotADBError))


def app_database(mount: Mount, journal: str = "WAL") -> AppDatabase:
    """The database of a program on its disk. `journal`: its journal_mode; DELETE is SQLite's own choice."""
    connection = connect(mount, "/app.db")
    connection.execute("PRAGMA temp_store = MEMORY")  # its files would not be on the simulated disk
    if journal != "WAL":
        connection.execute("PRAGMA locking_mode = NORMAL")  # EXCLUSIVE makes PERSIST of DELETE
    connection.execute(f"PRAGMA journal_mode = {journal}")
    return AppDatabase(connection)


async def ledger_database(mount: Mount, journal: str = "WAL") -> AppDatabase:
    """As app_database, with a table into which an application writes what it has handled: see programs.read."""
    database = app_database(mount, journal)
    async with database.transaction() as db:
        db.execute("CREATE TABLE IF NOT EXISTS ledger (entry INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT)")
    return database
