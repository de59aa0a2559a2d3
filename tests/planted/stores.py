"""Bugs in SQLite files and journals: syncing, recovery, compaction."""

from typing import Any

from mqttlite.core import records as r
from mqttlite.core.records import State
from mqttlite.store import area_host, journal, sqlite_file, sqlite_schema
from mqttlite.store.journal import Journal
from mqttlite.store.sqlite import SqliteWriter
from mqttlite.store.sqlite_file import SqliteFile

from .planting import Bug, around, text, value
from .worlds import (
    ONE,
    ONE_JOURNAL,
    ONE_MANY_JOURNAL,
    TWO,
    TWO_MANY,
    short_log,
    small_journal,
    small_sectors,
    under,
)

_no_sync = text(SqliteFile._open_file, {"return state": "connection.execute('PRAGMA synchronous = OFF'); return state"})


def _backwards(decode: Any) -> Any:
    def decoded(data: bytes) -> Any:
        kind, number, head, payload, key = decode(data)
        return kind, number, head, payload[::-1], key

    return decoded


BUGS = [
    Bug(
        "SQLite does not sync: client",
        "The client's store commits without flushing.",
        "lost",
        under(ONE, "kill broker @ event 32", "power off producer @ event 46"),
        _no_sync,
    ),
    Bug(
        "SQLite does not sync: broker",
        "The broker's store commits without flushing.",
        "confirmed",
        under(ONE, "power off broker @ event 34"),
        _no_sync,
    ),
    Bug(
        "the WAL is not written again at open",
        "A store takes for durable what a process wrote whose sync failed.",
        "wait",  # for a broker that takes what the power cut has left for damage
        under(TWO, "fail broker disk 89", "power off broker before disk 97"),
        value(sqlite_file, "settle_wal", lambda path: None),
        setting=short_log,
    ),
    Bug(
        "the log is not read at open",
        "A store forgets the batches that were not carried over.",
        "lost",
        under(ONE, "power off broker @ event 32"),
        text(sqlite_schema.load, {"if not records:": "if True:"}),
    ),
    Bug(
        "commit does not wait",
        "A commit returns when the batch has begun.",
        "lost",
        under(ONE, "power off broker before disk 70"),
        text(SqliteWriter.commit, {"future = self._loop.create_future()": "return"}),
    ),
    Bug(
        "a write that failed counts",
        "A store goes on when its disk has failed, as if nothing had happened.",
        "leak",
        under(TWO, "fail broker disk 76"),
        text(SqliteFile.write, {"self._failed = True": "return"}),
    ),
    Bug(
        "what did not fit counts",
        "A store takes a batch for written that a full disk has refused.",
        "session",
        under(ONE, "full broker disk 68", "power off broker before disk 72"),
        value(SqliteFile, "_write_in_need", lambda self, connection, *_: self._roll_back(connection)),
    ),
    Bug(
        "the journal does not sync",
        "The journal hands its bytes to the operating system, and no further.",
        "wait",
        under(ONE_JOURNAL, "power off producer @ event 32"),
        text(area_host.FileArea._sync, {"os.fsync(self._file.fileno())": "pass"}),
    ),
    Bug(
        "the journal's folder is not synced",
        "A new generation of the journal has no durable name.",
        "lost",
        under(ONE_JOURNAL, "kill broker @ event 30", "power off producer @ event 48"),
        text(area_host.FileArea._rename, {"sync_folder(self.path)": "pass"}),
    ),
    Bug(
        "the journal believes what is torn",
        "What stands in the journal counts, whatever its checksum says.",
        "invented",
        under(TWO_MANY, "power off producer before disk 58"),
        value(Journal, "_holds", lambda self, at: int.from_bytes(self._area.read(at, 3), "big")),
        setting=small_sectors,
    ),
    Bug(
        "the log is read wrongly",
        "The bytes of payloads in SQLite's log are read in the wrong order at a restart.",
        "invented",
        under(ONE, "kill broker @ event 38"),
        around(r, "decode", _backwards),
    ),
    Bug(
        "the journal is read wrongly",
        "The bytes of payloads in the journal are read in the wrong order at a restart.",
        "invented",
        under(ONE_JOURNAL, "kill broker @ event 31", "kill producer @ event 48"),
        around(journal, "decode", _backwards),
    ),
    Bug(
        "compaction forgets messages",
        "A journal that is rewritten does not have what is not finished.",
        "lost",
        under(ONE_MANY_JOURNAL, "kill producer @ event 89"),
        text(State.records, {"in sorted(self.messages)": "in ()"}),
        setting=small_journal,
    ),
    Bug(
        "compaction forgets what was released",
        "A journal that is rewritten has released messages as ones that may be published again.",
        "twice",
        under(TWO_MANY, "kill producer @ event 103"),
        text(
            State.records,
            {
                "yield (ACCEPTED, seq) + self.messages[seq]": "head, *rest = self.messages[seq];"
                " yield (ACCEPTED, seq, bytes((head[0] & 0xFD,)) + head[1:], *rest)"
            },
        ),
        setting=small_journal,
    ),
]
