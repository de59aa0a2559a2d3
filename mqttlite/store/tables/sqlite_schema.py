"""What is in an SQLite file that is a store: its tables, and beside them a log of batches that have yet to come there.
CPython only.

A batch of records is one row that is appended to the table `log`: the least that SQLite can be asked to write. When the
log has grown, its records are carried over into the tables (sqlite_tables.py), as their sum: what came and went
meanwhile never gets there.
"""

from binascii import crc32
from typing import Any, Protocol

from ..base import StoreError
from ..place import shown
from .sqlite_tables import Connection


class Tables(Protocol):
    """What is in the file: sqlite_tables.py."""

    application_id: int
    migrations: list[tuple[str, ...]]

    def load(self, connection: Connection) -> Any: ...
    def write(self, connection: Connection, batch: list[Any]) -> None: ...
    def prepare(self, connection: Connection) -> None: ...
    def committed(self) -> None: ...
    def rolled_back(self, connection: Connection) -> None: ...
    def encode(self, batch: list[Any]) -> bytes: ...
    def decode(self, data: bytes) -> list[Any]: ...


class Damaged(Exception):
    """The file is not what a store has written."""


def row(connection: Connection, sql: str) -> Any:
    """The one row of a query."""
    (row,) = list(connection.execute(sql))
    return row


def migrate(connection: Connection, path: str, tables: Tables) -> None:
    """Bring the schema to the version of this release. StoreError: not ours, or of a later one."""
    for number in range(check(connection, path, tables), len(tables.migrations)):
        connection.execute("BEGIN IMMEDIATE")
        for statement in tables.migrations[number]:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {number + 1}")
        connection.execute("COMMIT")


def check(connection: Connection, path: str, tables: Tables) -> int:
    """The schema version of a file; 0: it is empty. StoreError when it is not a store, or of a later version."""
    (application,) = row(connection, "PRAGMA application_id")
    (version,) = row(connection, "PRAGMA user_version")
    (names,) = row(connection, "SELECT count(*) FROM sqlite_master")
    if application != tables.application_id and (application or version or names):
        raise StoreError(f"{shown(path)} is an SQLite database of another program: give the store a file of its own")
    newest = len(tables.migrations)
    if version > newest:
        raise StoreError(
            f"{shown(path)} has schema version {version} and was written by a later release of mqttlite; this one knows"
            f" {newest}: install that release, or give the store another file"
        )
    return int(version)


def load(connection: Connection, tables: Tables) -> Any:
    """What the file holds, once its log is carried over. Damaged: a batch of the log is not as it was written."""
    batches, wrong = logged(connection)
    if wrong:
        raise Damaged(f"{wrong} of the batches in its log are not as they were written")
    if batches:
        tables.prepare(connection)
        carry_over(connection, tables, tables.decode(b"".join(batches)))
    return tables.load(connection)


def logged(connection: Connection) -> tuple[list[bytes], int]:
    """The batches in the log, and how many there are besides that are damaged or missing."""
    batches = []
    wrong = 0
    last = None
    for number, data, crc in connection.execute("SELECT id, records, crc FROM log ORDER BY id"):
        wrong += number - last - 1 if last is not None else 0
        last = number
        if crc is None or crc == crc32(data):  # None: written by an earlier release
            batches.append(data)
        else:
            wrong += 1
    return batches, wrong


def carry_over(connection: Connection, tables: Tables, records: list[Any]) -> None:
    """Bring the tables up to date with what is in the log, and what would come behind it; then the log is empty."""
    connection.execute("BEGIN IMMEDIATE")
    tables.write(connection, records)
    connection.execute("DELETE FROM log")
    connection.execute("COMMIT")
    tables.committed()
