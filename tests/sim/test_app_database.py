"""The application's database on a disk whose syncs fail: a transaction of an earlier life is there whole or not at all,
and what was committed, or could be read, stays.
"""

import errno
import itertools

import pytest

from mqttlite.database import on_sqlite
from mqttlite.database.adapter import DatabaseError
from mqttlite.sim.disks.app_database import AppDatabase, app_database
from mqttlite.sim.disks.disk import Operation
from mqttlite.sim.process import Process
from mqttlite.sim.timeline import ProcessFailed
from mqttlite.sim.world import World

TABLES = ("one", "two")  # of one row each, hence pages of their own
STEPS = (("one",), TABLES, ("two",))  # the tables whose rows a transaction counts up; again and again
LAST = 5


async def _read(database: AppDatabase) -> int:
    """How many transactions the database holds. AssertionError: one of them in part."""
    async with database.transaction() as db:
        counts = []
        for table in TABLES:
            db.execute(f"CREATE TABLE IF NOT EXISTS {table} (id INTEGER PRIMARY KEY, counted INTEGER)")
            counts += [counted for (counted,) in db.execute(f"SELECT counted FROM {table}")] or [0]
    done = [(STEPS * LAST)[:count] for count in range(LAST + 1)]
    possible = [[sum(table in step for step in steps) for table in TABLES] for steps in done]
    assert counts in possible
    return possible.index(counts)


async def _count(database: AppDatabase, step: int) -> None:
    async with database.transaction() as db:
        for table in STEPS[step % len(STEPS)]:
            db.execute(
                f"INSERT INTO {table} (id, counted) VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET counted = counted + 1"
            )


def _lives(world: World, journal: str, failing: int, cut: int) -> bool:
    """A process whose `failing`-th sync fails, which kills it; its next life, which loses power at its `cut`-th
    operation; and one that looks. False: there were not so many syncs, or operations.
    """
    known = 0  # transactions that were committed, or shown
    syncs = before = 0
    has_cut = False

    async def main(process: Process) -> None:
        nonlocal known
        database = app_database(process.mount, journal)
        try:
            await database.create_tables()
            shown = await _read(database)
            assert known <= shown <= known + 1
            known = shown
            for step in range(known, LAST if process.life < 3 else known):
                await _count(database, step)
                known += 1
        except DatabaseError:
            process.kill()

    def at_operation(operation: Operation) -> None:
        nonlocal syncs, has_cut
        if process.life == 1 and operation.what.startswith("sync"):
            syncs += 1
            if syncs == failing:
                raise OSError(errno.EIO, "no")
        if process.life == 2 and operation.number == before + cut:
            has_cut = True
            process.cut_power()

    process = world.process("a", main, start=False)
    process.disk.on_operation = at_operation
    for _ in range(3):
        before = process.disk.operations
        process.start()
        assert world.run_until(lambda: not process.alive, 60)
    return syncs >= failing and has_cut


def _check_all(journal: str) -> int:
    """How many combinations of a sync and an operation were tried: all with a WAL, else every fifth operation."""
    cases = 0
    step = 1 if journal == "WAL" else 5
    for failing in itertools.count(1):
        first = 1 + failing % step
        for cut in itertools.count(first, step):
            if not _lives(World(failing * 100 + cut), journal, failing, cut):
                break
            cases += 1
        if cut == first:
            return cases
    raise AssertionError


@pytest.mark.parametrize("journal", ["WAL", "DELETE", "TRUNCATE", "PERSIST"])
def test_what_a_failed_sync_has_left_is_lost_by_no_later_power_cut_in_part(journal: str) -> None:
    assert _check_all(journal) > 100


@pytest.mark.parametrize(
    ("journal", "what"),
    [("WAL", "settle_wal"), ("DELETE", "sync_folder"), ("TRUNCATE", "end_journal"), ("PERSIST", "end_journal")],
)
def test_what_makes_it_durable_is_missed_when_it_is_left_out(
    monkeypatch: pytest.MonkeyPatch, journal: str, what: str
) -> None:
    monkeypatch.setattr(on_sqlite, what, lambda path: None)
    with pytest.raises(ProcessFailed, match=r"assert \d <= \d|counts in possible|malformed"):
        _check_all(journal)


def test_a_checkpoint_in_place_of_writing_the_wal_again_would_be_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    create_tables = AppDatabase.create_tables

    async def with_checkpoint(self: AppDatabase) -> None:
        self.connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        await create_tables(self)

    monkeypatch.setattr(AppDatabase, "create_tables", with_checkpoint)
    monkeypatch.setattr(on_sqlite, "settle_wal", lambda path: None)
    with pytest.raises(ProcessFailed, match=r"counts in possible|malformed"):
        _check_all("WAL")


def test_a_rollback_journal_whose_deletion_is_left_to_chance_would_be_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def never(self: AppDatabase, db: object) -> int:
        return 3

    monkeypatch.setattr(AppDatabase, "_synchronous", never)
    with pytest.raises(ProcessFailed, match=r"assert \d <= \d"):
        _check_all("DELETE")
