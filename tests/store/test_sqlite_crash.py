"""The SQLite store on a disk that loses power, fills up and fails: files in memory (mqttlite.sim.disks.sqlite_files).

The disk notes every operation, and where a commit has returned. A crash keeps what was synced; of what was not, each
sector of 512 bytes is kept or lost by itself: writes are dropped, torn and reordered. The files that are left are then
opened by Python's own SQLite. The -shm is not simulated (locking_mode=EXCLUSIVE): it never is a source of what is
durable.
"""

import asyncio
import contextlib
import errno
import random
from collections.abc import Callable, Iterable
from pathlib import Path

import apsw
import pytest

from mqttlite.core import records as r
from mqttlite.core.records import State
from mqttlite.sim.disks import sqlite_files
from mqttlite.store.base import StoreError
from mqttlite.store.in_sqlite import sqlite_file, sqlite_wal
from mqttlite.store.sqlite import SqliteStore
from mqttlite.store.tables import sqlite_schema
from mqttlite.store.tables.sqlite_tables import ClientTables, Connection
from tests.peers import RUN_TIMEOUT_S

SECTOR = 512
Record = tuple[int, int, bytes, bytes, bytes]
Operation = tuple[str, str, int, bytes]  # what, file, offset (of "returned": batches), data


class Disk:
    """Files in memory, and a log of what was done to them. `fail(what, file)` may raise before it is done."""

    def __init__(self) -> None:
        self.log: list[Operation] = []
        self.files: dict[str, bytearray] = {}
        self.fail: Callable[[str, str], None] = lambda what, name: None

    def do(self, what: str, name: str, offset: int = 0, data: bytes = b"") -> None:
        self.fail(what, name)
        self.log.append((what, name, offset, data))
        step(self.files, what, name, offset, data)

    # -- as sqlite_files.Files

    def exists(self, name: str) -> bool:
        return Path(name).name in self.files

    def size(self, name: str) -> int:
        return len(self.files.get(Path(name).name, b""))

    def read(self, name: str, offset: int, amount: int) -> bytes:
        return bytes(self.files.get(Path(name).name, b"")[offset : offset + amount])

    def create(self, name: str) -> None:
        self.files.setdefault(Path(name).name, bytearray())

    def write(self, name: str, offset: int, data: bytes) -> None:
        self.do("write", Path(name).name, offset, data)

    def truncate(self, name: str, size: int) -> None:
        self.do("truncate", Path(name).name, size)

    def sync(self, name: str) -> None:
        self.do("sync", Path(name).name)

    def delete(self, name: str) -> None:
        self.do("delete", Path(name).name)

    def sync_directory(self) -> None:
        self.do("sync directory", "")

    # -- power cuts

    def crashed(self, length: int, keep: Callable[[], bool]) -> dict[str, bytes]:
        """What is left when power is cut after the first `length` operations. `keep` decides for each sector."""
        durable: dict[str, bytearray] = {}
        loose: dict[str, list[Operation]] = {}
        for operation in self.log[:length]:
            what, name, _, _ = operation
            if what == "sync":
                for before in loose.pop(name, []):
                    step(durable, *before)
            elif what == "sync directory":
                for gone, several in loose.items():
                    deleted = max((at for at, one in enumerate(several, 1) if one[0] == "delete"), default=0)
                    if deleted:
                        durable.pop(gone, None)
                    del several[:deleted]
            elif what == "returned":
                continue
            else:
                loose.setdefault(name, []).append(operation)
        for what, name, offset, data in (operation for several in loose.values() for operation in several):
            if what != "write":
                if keep():
                    step(durable, what, name, offset, data)
                continue
            at = offset
            while at < offset + len(data):
                end = min(at // SECTOR * SECTOR + SECTOR, offset + len(data))
                if keep():
                    step(durable, what, name, at, data[at - offset : end - offset])
                at = end
        return {name: bytes(content) for name, content in durable.items()}

    def left(self, length: int, rng: random.Random) -> list[dict[str, bytes]]:
        """As `crashed`, with nothing of what was not synced, all of it, and any part; each outcome once."""
        result: list[dict[str, bytes]] = []
        for share in (0, 1, 0.5, 0.9):
            files = self.crashed(length, lambda share=share: rng.random() < share)  # type: ignore[misc]
            if files not in result:
                result.append(files)
        return result


def step(files: dict[str, bytearray], what: str, name: str, offset: int, data: bytes) -> None:
    if what == "write":
        content = files.setdefault(name, bytearray())
        content.extend(bytes(max(0, offset - len(content))))
        content[offset : offset + len(data)] = data
    elif what == "truncate":
        del files.setdefault(name, bytearray())[offset:]
    elif what == "delete":
        files.pop(name, None)


@pytest.fixture
def disk() -> Disk:
    return Disk()


def connector(disk: Disk) -> Callable[[str], Connection]:
    """Connections to the disk that check-point often: there most can go wrong."""
    return lambda path: sqlite_files.connect(disk, path, checkpoint=12)  # type: ignore[no-any-return]


def batches(seed: int, count: int) -> list[list[Record]]:
    """What a client does, in batches: messages of all sizes are accepted, released and done; identifiers are held."""
    rng = random.Random(seed)
    state = State()
    result: list[list[Record]] = []
    for number in range(count):
        batch: list[Record] = [(r.IDENTITY, 1, b"client", b"", b"")] if not number else []
        for _ in range(rng.randint(1, 8)):
            open_ = sorted(state.messages)
            what = rng.random()
            record: Record
            if what < 0.45 or not open_:
                payload = rng.randbytes(rng.choice((5, 64, 64, 700, 6000)))
                record = (r.ACCEPTED, max(0, state.next), b"\x34\x10\0\1a", payload, rng.choice((b"", b"\1")))
            elif what < 0.75:
                record = (r.DONE, open_[0], b"", b"", b"")
            elif what < 0.85:
                record = (r.RELEASED, rng.choice(open_), b"", b"", b"")
            elif what < 0.95:
                record = (rng.choice((r.HELD, r.FREED)), rng.randint(1, 5), b"", b"", b"")
            else:
                record = (r.SUBSCRIBED, rng.randint(0, 2), rng.choice((b"a", b"b/#")), b"", b"")
            state.apply(*record)
            batch.append(record)
        result.append(batch)
    return result


def sums(history: list[list[Record]]) -> list[dict[str, object]]:
    """The state after no batch, after the first, …"""
    result = []
    for count in range(len(history) + 1):
        state = State()
        for batch in history[:count]:
            for record in batch:
                state.apply(*record)
        result.append(vars(state))
    return result


async def write(store: SqliteStore, disk: Disk, history: list[list[Record]]) -> None:
    for number, batch in enumerate(history):
        for record in batch:
            store.record(*record)
        await store.commit()
        disk.log.append(("returned", "", number + 1, b""))


def check(files: dict[str, bytes], directory: Path, expected: list[dict[str, object]], least: int, most: int) -> None:
    """The files hold the sum of at least `least` batches."""
    lay_out(files, directory)
    path = str(directory / "state.db")
    wal = sqlite_wal.examine(path)
    assert wal.at < 0  # no power cut is taken for damage
    with contextlib.closing(sqlite_file.connect(path)) as connection:
        connection.execute("PRAGMA synchronous = OFF")  # this one is not cut
        tables = ClientTables()
        assert connection.execute("PRAGMA quick_check").fetchall() == [("ok",)]
        if sqlite_schema.check(connection, path, tables) > 1 and not wal.header:
            assert connection.execute("SELECT open FROM life").fetchall() == [(0,)]
        sqlite_schema.migrate(connection, path, tables)
        state = sqlite_schema.load(connection, tables)
    assert vars(state) in expected[least : most + 1]


def lay_out(files: dict[str, bytes] | dict[str, bytearray], directory: Path) -> None:
    """In this folder are these files, and nothing else of a store."""
    for old in directory.glob("state.db*"):
        old.unlink()
    for name, content in files.items():
        (directory / name).write_bytes(content)


async def every_cut(disk: Disk, directory: Path, seed: int, connect: Callable[[str], Connection]) -> None:
    history = batches(seed, 14)
    expected = sums(history)
    (directory / "left").mkdir()
    store = SqliteStore(directory / "state.db", connect=connect, log_max=(0, 2000, 8000, 1 << 18)[seed % 4])
    await store.open()
    await write(store, disk, history)
    await store.close()
    assert len([1 for what, name, _, _ in disk.log if what == "sync" and name == "state.db"]) >= 3  # checkpoints
    rng = random.Random(seed)
    returned = 0
    for length in range(len(disk.log) + 1):
        if length and disk.log[length - 1][0] == "returned":
            returned = disk.log[length - 1][2]
        for files in disk.left(length, rng):
            check(files, directory / "left", expected, returned, returned + 1)


@pytest.mark.parametrize("seed", range(4))
async def test_after_a_power_cut_at_any_operation_the_state_is_that_of_a_commit_and_none_that_returned_is_missing(
    disk: Disk, tmp_path: Path, seed: int
) -> None:
    await every_cut(disk, tmp_path, seed, connector(disk))


class Careless:
    """A connection that does not wait for the disk."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.executemany = self.connection.executemany
        self.close = self.connection.close

    def execute(self, sql: str, parameters: object = None, /) -> Iterable[object]:
        return self.connection.execute(sql.replace("= FULL", "= NORMAL"), parameters)


async def test_a_store_that_did_not_wait_for_the_disk_would_be_found_out(disk: Disk, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"client_id|Wal"):
        await every_cut(disk, tmp_path, 1, lambda path: Careless(connector(disk)(path)))


async def test_power_cuts_while_recovering_lose_nothing(disk: Disk, tmp_path: Path) -> None:
    history = batches(9, 12)
    (tmp_path / "left").mkdir()
    store = SqliteStore(tmp_path / "state.db", connect=connector(disk))
    await store.open()
    await write(store, disk, history)
    rng = random.Random(9)
    last = max(at for at, operation in enumerate(disk.log) if operation[0] == "returned")
    left = disk.crashed(last + 1, lambda: rng.random() < 0.5)
    await store.close()
    for _ in range(3):
        disk.files = {name: bytearray(content) for name, content in left.items()}
        disk.log = [("write", name, 0, content) for name, content in left.items()]
        disk.log += [("sync", name, 0, b"") for name in left]
        start = len(disk.log)
        lay_out(left, tmp_path)  # where the store looks before it opens
        again = SqliteStore(tmp_path / "state.db", connect=connector(disk))
        assert vars(await again.open()) == sums(history)[-1]
        await again.close()
        for length in range(start, len(disk.log) + 1):
            for files in disk.left(length, rng):
                check(files, tmp_path / "left", sums(history), len(history), len(history))
        left = disk.crashed(rng.randint(start, len(disk.log)), lambda: rng.random() < 0.5)


def full() -> apsw.Error:
    return sqlite_files.as_sqlite_has_it(OSError(errno.ENOSPC, "disk full"))


def broken() -> apsw.Error:
    return apsw.IOError("disk broken")


async def test_a_disk_that_is_full_for_a_moment_loses_nothing(disk: Disk, tmp_path: Path) -> None:
    history = batches(5, 12)
    expected = sums(history)
    (tmp_path / "left").mkdir()
    rng = random.Random(5)
    for number in range(0, 200, 4):
        disk.log.clear()
        disk.files.clear()
        lay_out({}, tmp_path)
        remaining = number

        def fail(what: str, name: str) -> None:
            nonlocal remaining
            remaining -= what == "write"
            if what == "write" and remaining in (-1, -2, -4):
                raise full()

        store = SqliteStore(tmp_path / "state.db", connect=connector(disk), log_max=(0, 2000)[number % 8 // 4])
        await store.open()
        disk.fail = fail
        await write(store, disk, history)
        await store.close()
        disk.fail = lambda what, name: None
        for files in disk.left(len(disk.log), rng):
            check(files, tmp_path / "left", expected, len(history), len(history))
        if remaining > 0:
            break  # it has not come to the operation that would fail
    else:
        pytest.fail("the history is too long for this test")


@pytest.mark.parametrize("operations", [("write",), ("sync",), ("truncate",)])
async def test_a_disk_that_fails_is_refused_and_nothing_is_claimed(
    disk: Disk, tmp_path: Path, operations: tuple[str, ...]
) -> None:
    history = batches(5, 12)
    expected = sums(history)
    (tmp_path / "left").mkdir()
    rng = random.Random(5)
    failed = passed_over = 0
    for number in range(0, 200, 2):
        disk.log.clear()
        disk.files.clear()
        lay_out({}, tmp_path)
        remaining = number

        def fail(what: str, name: str) -> None:
            nonlocal remaining
            if what in operations:
                remaining -= 1
                if remaining == -1:  # once: what works again afterwards must not be believed
                    raise broken()

        store = SqliteStore(tmp_path / "state.db", connect=connector(disk))
        disk.fail = lambda what, name: None
        await store.open()
        disk.fail = fail
        try:
            await write(store, disk, history)
        except StoreError as refusal:
            failed += 1
            assert "cannot keep what it is given" in str(refusal)
            with pytest.raises(StoreError, match="cannot keep"):
                await store.commit()
            store.record(*history[0][0])
            with pytest.raises(StoreError, match="cannot keep"):
                await asyncio.wait_for(store.commit(), RUN_TIMEOUT_S)
        else:
            if remaining >= 0:
                break  # it has not come to the operation that would fail
            passed_over += 1  # the WAL was being carried over, behind a commit
        finally:
            with contextlib.suppress(StoreError):
                await store.close()
        returned = max((offset for what, _, offset, _ in disk.log if what == "returned"), default=0)
        for files in disk.left(len(disk.log), rng):
            check(files, tmp_path / "left", expected, returned, returned + 1)
    assert failed or (passed_over and operations == ("truncate",))


async def test_a_disk_that_cannot_be_written_when_the_store_is_opened_is_refused(disk: Disk, tmp_path: Path) -> None:
    def fail(what: str, name: str) -> None:
        raise full()

    disk.fail = fail
    with pytest.raises(StoreError, match=r"cannot be opened: .*full"):
        await SqliteStore(tmp_path / "state.db", connect=connector(disk)).open()
    disk.fail = lambda what, name: None
    store = SqliteStore(tmp_path / "state.db", connect=connector(disk))  # the lock is free again
    await store.open()
    await store.close()


async def test_a_checkpoint_that_fails_behind_a_commit_has_nothing_committed_twice(disk: Disk, tmp_path: Path) -> None:
    """SQLite ends the transaction, then carries over its WAL, and passes over what goes wrong with that: so the batch
    is durable, and to write it once more would be wrong.
    """
    store = SqliteStore(tmp_path / "state.db", connect=connector(disk), log_max=1 << 20)
    await store.open()

    def fail(what: str, name: str) -> None:
        if what == "write" and name == "state.db":
            failed.append(name)
            raise full() if len(failed) % 2 else broken()

    failed: list[str] = []
    disk.fail = fail
    for number in range(40):
        store.record(r.ACCEPTED, number, b"\x34\x10\0\1a", bytes(1000))
        await store.commit()
    assert len(failed) > 2
    disk.fail = lambda what, name: None
    connection = store._file._connection
    assert connection
    rows = [store._file._tables.decode(data) for (data,) in connection.execute("SELECT records FROM log ORDER BY id")]
    assert [number for records in rows for _, number, *_ in records] == list(range(40))
    await store.close()
