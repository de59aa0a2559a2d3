"""A second connection to an SQLite store, which only reads: for the loop, while a thread writes. CPython only.

It sees what is committed. SQLite keeps the errors of a connection in the connection, so two threads that share one
could take each other's.
"""

import contextlib
import sqlite3
from typing import Any

from ..tables.sqlite_tables import Connection
from .sqlite_reading import reading


class Beside:
    """Reads from the store `path`; made when it is wanted. Where files are not this machine's, with `first` itself."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def connection(self, first: Connection) -> Connection:
        """What to read with. sqlite3.Error."""
        if not isinstance(first, sqlite3.Connection):
            return first
        if self._connection is None:
            self._connection = reading(self._path, any_thread=True)
        found: Any = self._connection
        return found  # type: ignore[no-any-return]

    def close(self) -> None:
        """Before the first one is closed."""
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None
