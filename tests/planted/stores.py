"""Bugs in SQLite files and journals: syncing, recovery, compaction."""

from typing import Any

from mqttlite.core import records as r
from mqttlite.core.records import State
from mqttlite.sim.small.small import Small
from mqttlite.store import area_host, journal, sqlite_file
from mqttlite.store.base import StoreError
from mqttlite.store.journal import Journal
from mqttlite.store.sqlite import SqliteWriter
from mqttlite.store.sqlite_file import SqliteFile

from .planting import Patch
from .register import ONE, ONE_JOURNAL, TWO, TWO_MANY, mutation
from .settings import short_log, small_journal, small_sectors


@mutation(
    "SQLite does not sync: client",
    "The client's store commits without flushing.",
    "lost",
    ONE,
    "kill broker @ event 32",
    "power off producer @ event 46",
)
def _(patch: Patch) -> None:
    _synchronous_off(patch)


@mutation(
    "SQLite does not sync: broker",
    "The broker's store commits without flushing.",
    "confirmed",
    ONE,
    "power off broker @ event 34",
)
def _(patch: Patch) -> None:
    _synchronous_off(patch)


def _synchronous_off(patch: Patch) -> None:
    def wrap(open_file: Any) -> Any:
        def opened(self: Any) -> Any:
            state = open_file(self)
            self._connection.execute("PRAGMA synchronous = OFF")
            return state

        return opened

    patch.around(SqliteFile, "_open_file", wrap)


@mutation(
    "the WAL is not written again at open",
    "A store takes for durable what a process wrote whose sync failed.",
    "wait",  # for a broker that takes what the power cut has left for damage
    TWO,
    "fail broker disk 89",
    "power off broker before disk 97",
    setting=short_log,
)
def _(patch: Patch) -> None:
    patch.set(sqlite_file, "settle_wal", lambda path: None)


@mutation(
    "the log is not read at open",
    "A store forgets the batches that were not carried over.",
    "lost",
    ONE,
    "power off broker @ event 32",
)
def _(patch: Patch) -> None:
    patch.set(sqlite_file, "load", lambda connection, tables: tables.load(connection))


@mutation(
    "commit does not wait",
    "A commit returns when the batch has begun.",
    "lost",
    ONE,
    "power off broker before disk 70",
)
def _(patch: Patch) -> None:
    def wrap(commit: Any) -> Any:
        async def committed(self: SqliteWriter) -> None:
            if self._records and not self._busy and not self._failure:
                self._start()

        return committed

    patch.around(SqliteWriter, "commit", wrap)


@mutation(
    "a write that failed counts",
    "A store goes on when its disk has failed, as if nothing had happened.",
    "leak",
    TWO,
    "fail broker disk 76",
)
def _(patch: Patch) -> None:
    def wrap(write: Any) -> Any:
        def written(self: SqliteFile, *args: Any) -> None:
            try:
                write(self, *args)
            except StoreError:
                self._failed = False

        return written

    patch.around(SqliteFile, "write", wrap)


@mutation(
    "what did not fit counts",
    "A store takes a batch for written that a full disk has refused.",
    "session",
    ONE,
    "full broker disk 68",
    "power off broker before disk 72",
)
def _(patch: Patch) -> None:
    def forget(self: SqliteFile, connection: Any, *_: object) -> None:
        self._roll_back(connection)

    patch.set(SqliteFile, "_write_in_need", forget)


@mutation(
    "the journal does not sync",
    "The journal hands its bytes to the operating system, and no further.",
    "wait",
    ONE_JOURNAL,
    "power off producer @ event 32",
)
def _(patch: Patch) -> None:
    patch.set(area_host.FileArea, "_sync", lambda self: self._file.flush())


@mutation(
    "the journal's folder is not synced",
    "A new generation of the journal has no durable name.",
    "lost",
    ONE_JOURNAL,
    "kill broker @ event 30",
    "power off producer @ event 48",
)
def _(patch: Patch) -> None:
    patch.set(area_host, "sync_folder", lambda path: None)


@mutation(
    "the journal believes what is torn",
    "What stands in the journal counts, whatever its checksum says.",
    "invented",
    TWO_MANY,
    "power off producer before disk 58",
    setting=small_sectors,
)
def _(patch: Patch) -> None:
    patch.set(Journal, "_holds", lambda self, at: int.from_bytes(self._area.read(at, 3), "big"))


@mutation(
    "the log is read wrongly",
    "The bytes of payloads in SQLite's log are read in the wrong order at a restart.",
    "invented",
    ONE,
    "kill broker @ event 38",
)
def _(patch: Patch) -> None:
    patch.around(r, "decode", _backwards)


@mutation(
    "the journal is read wrongly",
    "The bytes of payloads in the journal are read in the wrong order at a restart.",
    "invented",
    ONE_JOURNAL,
    "kill broker @ event 31",
    "kill producer @ event 48",
)
def _(patch: Patch) -> None:
    patch.around(journal, "decode", _backwards)


def _backwards(decode: Any) -> Any:
    def decoded(data: bytes) -> Any:
        kind, number, head, payload, key = decode(data)
        return kind, number, head, payload[::-1], key

    return decoded


@mutation(
    "compaction forgets messages",
    "A journal that is rewritten does not have what is not finished.",
    "lost",
    Small(1, 30, "journal"),
    "kill producer @ event 89",
    setting=small_journal,
)
def _(patch: Patch) -> None:
    def wrap(records: Any) -> Any:
        return lambda self: (record for record in records(self) if record[0] != r.ACCEPTED)

    patch.around(State, "records", wrap)


@mutation(
    "compaction forgets what was released",
    "A journal that is rewritten has released messages as ones that may be published again.",
    "twice",
    TWO_MANY,
    "kill producer @ event 103",
    setting=small_journal,
)
def _(patch: Patch) -> None:
    def wrap(records: Any) -> Any:
        def without(self: State) -> Any:
            for kind, number, head, payload, key in records(self):
                yield kind, number, bytes((head[0] & 0xFD,)) + head[1:] if kind == r.ACCEPTED else head, payload, key

        return without

    patch.around(State, "records", wrap)
