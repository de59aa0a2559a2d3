"""Bugs in SQLite files and journals: syncing, recovery, compaction."""

from typing import Any

from mqttlite.core.records import State
from mqttlite.store import area_host, journal
from mqttlite.store.in_sqlite import sqlite_file
from mqttlite.store.in_sqlite.sqlite_file import SqliteFile
from mqttlite.store.journal import Journal
from mqttlite.store.sqlite import SqliteWriter
from mqttlite.store.tables import batches, sqlite_schema

from .planting import Change, Given, around, text, value
from .settings import short_log, small_journal, small_sectors

_no_sync = text(SqliteFile._open_file, {"return state": "connection.execute('PRAGMA synchronous = OFF'); return state"})


def _backwards(decode: Any) -> Any:
    def decoded(data: bytes, *place: int) -> Any:
        kind, number, head, payload, key = decode(data, *place)
        return kind, number, head, payload[::-1], key

    return decoded


def _log_backwards(decode: Any) -> Any:
    """Only where a broker's log is read: what it has goes into blocks at once, which the same function decodes."""
    return lambda data: [(*record[:4], record[4][::-1], record[5]) for record in decode(data)]


CHANGES: dict[str, Change | Given] = {
    "SQLite does not sync: client": _no_sync,
    "SQLite does not sync: broker": _no_sync,
    "the WAL is not written again at open": Given(short_log, value(sqlite_file, "settle_wal", lambda path: None)),
    "the log is not read at open": text(sqlite_schema.load, {"if batches:": "if False:"}),
    "commit does not wait": text(SqliteWriter.commit, {"future = self._loop.create_future()": "return"}),
    "a write that failed counts": text(SqliteFile.write, {"self._failed = True": "return"}),
    "what did not fit counts": value(
        SqliteFile, "_write_in_need", lambda self, connection, *_: self._roll_back(connection)
    ),
    "the journal does not sync": text(area_host.FileArea._sync, {"os.fsync(self._file.fileno())": "pass"}),
    "the journal's folder is not synced": text(area_host.FileArea._rename, {"sync_folder(self.path)": "pass"}),
    "the journal believes what is torn": Given(
        small_sectors, value(Journal, "_holds", lambda self, at: int.from_bytes(self._area.read(at, 3), "big"))
    ),
    "the log is read wrongly": around(batches, "decode_of_sessions", _log_backwards),
    "the journal is read wrongly": around(journal, "decode", _backwards),
    "compaction forgets messages": Given(small_journal, text(State.records, {"in sorted(self.messages)": "in ()"})),
    "compaction forgets what was released": Given(
        small_journal,
        text(
            State.records,
            {
                "yield (ACCEPTED, seq) + self.messages[seq]": "head, *rest = self.messages[seq];"
                " yield (ACCEPTED, seq, bytes((head[0] & 0xFD,)) + head[1:], *rest)"
            },
        ),
    ),
}
