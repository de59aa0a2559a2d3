"""The SQLite store: what is committed comes back, and what batches there are."""

import asyncio
import contextlib
import sqlite3
import tempfile
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mqttlite.core import records as r
from mqttlite.core.records import State
from mqttlite.store.base import StoreError
from mqttlite.store.in_sqlite.sqlite_file import connect
from mqttlite.store.sqlite import SqliteStore, read
from tests.peers import RUN_TIMEOUT_S
from tests.store.sqlite_records import Record, accepted, head, keep, opened, plain, total


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


# -- what is committed comes back


def key(flags: int = 1, number: int | None = None, producer: bytes = b"") -> bytes:
    return bytes((flags,)) + (b"" if number is None else number.to_bytes(8, "big") + producer)


EVERY_KIND = [
    plain(r.IDENTITY, 3, b"pump-7"),
    plain(r.NEXT, 41),
    plain(r.SUBSCRIBED, 1, b"a/#"),
    plain(r.SUBSCRIBED, 2, b"\xc3\xa4/+"),
    plain(r.UNSUBSCRIBED, 0, b"a/#"),
    accepted(41),
    accepted(42, b"\0" * 10_000, qos=2),
    accepted(43, key=key(1, 2**48 - 1, b"till"), qos=2),
    plain(r.RELEASED, 42),
    plain(r.RELEASED, 43),
    plain(r.DOUBT, 42),
    plain(r.DONE, 41),
    plain(r.HELD, 1),
    plain(r.HELD, 0x3FFFFFF << 16 | 65535),
    plain(r.FREED, 1),
    plain(r.ORIGIN, 2**47, b"other"),
    plain(r.SEEN, 7, b"producer 1"),
    plain(r.SEEN, 9, b"producer 1"),
    plain(r.SEEN, 2**40, b"producer 2", b"\x01" + b"\x80" * 127),
    plain(r.LOST, 0),
    plain(r.HELD, 5),
]


@pytest.mark.parametrize("size", [1, 5, len(EVERY_KIND)])
async def test_every_kind_of_record_comes_back(path: Path, size: int) -> None:
    for start in range(0, len(EVERY_KIND), size):
        async with opened(path) as (store, state):
            assert vars(state) == vars(total(EVERY_KIND[:start]))
            await keep(store, *EVERY_KIND[start : start + size])
        assert vars(read(path)) == vars(total(EVERY_KIND[: start + size]))


@st.composite
def histories(draw: st.DrawFn) -> list[Record | str]:
    """Records in an order that a session can make, with commits and restarts in between."""
    history: list[Record | str] = []
    state = State()
    producers = st.sampled_from([b"a", b"b"])
    choices = ["accept"] * 4 + ["done"] * 3 + ["commit"] * 2
    choices += [
        "release",
        "doubt",
        "again",
        "hold",
        "free",
        "lost",
        "sub",
        "unsub",
        "next",
        "origin",
        "seen",
        "restart",
    ]
    for _ in range(draw(st.integers(1, 40))):
        what = draw(st.sampled_from(choices))
        messages = sorted(state.messages)
        released = [seq for seq in messages if state.messages[seq][0][0] & 6 == 6]
        record: Record | None = None
        if what == "accept":
            number = draw(st.none() | st.integers(0, 2**48 - 1))
            given_key = draw(st.sampled_from([b"", b"\0", b"\1", key(1, number or 0, draw(producers))]))
            record = accepted(
                max(state.next, 0), draw(st.binary(max_size=20)), given_key, draw(st.sampled_from([1, 2]))
            )
        elif what == "done" and (messages or state.doubts):
            record = plain(r.DONE, draw(st.sampled_from(messages + sorted(state.doubts))))
        elif what == "release" and messages:
            record = plain(r.RELEASED, draw(st.sampled_from(messages)))
        elif what == "doubt" and released:
            record = plain(r.DOUBT, draw(st.sampled_from(released)))
        elif what == "again" and released:  # the peer lost the session, and a key makes another sending harmless
            seq = draw(st.sampled_from(released))
            _, payload, its_key = state.messages[seq]
            record = (r.ACCEPTED, seq, head(2), payload, its_key)
        elif what == "hold":
            record = plain(r.HELD, draw(st.integers(0, 3)) << 16 | draw(st.integers(1, 6)))
        elif what == "free":
            record = plain(r.FREED, draw(st.integers(1, 6)))
        elif what == "lost":
            record = plain(r.LOST, 0)
        elif what == "sub":
            record = plain(r.SUBSCRIBED, draw(st.integers(0, 2)), draw(producers))
        elif what == "unsub":
            record = plain(r.UNSUBSCRIBED, 0, draw(producers))
        elif what == "next":
            record = plain(r.NEXT, max(state.next, 0) + draw(st.integers(0, 3)))
        elif what == "origin":
            record = plain(r.ORIGIN, draw(st.integers(0, 2**48 - 1)), draw(producers))
        elif what == "seen":
            record = plain(r.SEEN, draw(st.integers(0, 50)), draw(producers))
        elif what in ("commit", "restart"):
            history.append(what)
        if record:
            state.apply(*record)
            history.append(record)
    return history


@settings(deadline=None, max_examples=100, derandomize=True)
@given(histories(), st.sampled_from((0, 300, 1 << 18)))
def test_what_comes_back_is_the_sum_of_the_records(history: list[Record | str], log_max: int) -> None:
    async def run(path: Path) -> None:
        store = SqliteStore(path, log_max=log_max)
        await store.open()
        state = State()
        try:
            for step in history:
                if step == "commit":
                    await store.commit()
                    assert vars(read(path)) == vars(state)
                elif step == "restart":
                    await store.close()
                    store = SqliteStore(path, log_max=log_max)
                    assert vars(await store.open()) == vars(state)
                elif not isinstance(step, str):
                    store.record(*step)
                    state.apply(*step)
        finally:
            await store.close()
        assert vars(read(path)) == vars(state)

    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(run(Path(directory) / "state.db"))


async def test_no_sequence_number_comes_again_after_its_message_is_done(path: Path) -> None:
    async with opened(path) as (store, _):
        await keep(store, accepted(70_000), accepted(70_001))
        await keep(store, plain(r.DONE, 70_001), plain(r.DONE, 70_000))
    async with opened(path) as (store, state):
        assert state.next == 70_002
        await keep(store, accepted(70_002), plain(r.DONE, 70_002))  # within one batch
    async with opened(path) as (_, state):
        assert state.next == 70_003
        assert not state.messages


# -- batches


class Spy:
    """A connection that notes what is asked of it, and waits before each COMMIT if it is told to."""

    def __init__(self, path: str) -> None:
        self.connection = connect(path)
        self.said: list[str] = []

    def execute(self, sql: str, parameters: object = (), /) -> Iterable[object]:
        self.said.append(sql)
        return self.connection.execute(sql, parameters)  # type: ignore[arg-type]

    def executemany(self, sql: str, parameters: Iterable[object], /) -> object:
        rows = list(parameters)
        self.said.append(f"{sql} × {len(rows)}")
        return self.connection.executemany(sql, rows)  # type: ignore[arg-type]

    def close(self) -> None:
        self.connection.close()


async def spied(path: Path, **options: int) -> tuple[SqliteStore, list[str]]:
    spies: list[Spy] = []

    def spy(path: str) -> Spy:
        spies.append(Spy(path))
        return spies[0]

    store = SqliteStore(path, connect=spy, **options)
    await store.open()
    spies[0].said.clear()
    return store, spies[0].said


async def test_records_that_gather_while_a_batch_is_written_are_the_next_batch(path: Path) -> None:
    store, said = await spied(path)

    async def publish(seq: int) -> None:
        store.record(*accepted(seq))
        await store.commit()

    async with asyncio.TaskGroup() as group:
        for seq in range(10):
            group.create_task(publish(seq))
        while not said:  # noqa: ASYNC110 - until the first batch is being written, in the store's thread
            await asyncio.sleep(0)
        for seq in range(10, 30):
            group.create_task(publish(seq))
    assert len([sql for sql in said if sql.startswith("INSERT INTO log")]) == 2
    await store.close()


async def test_a_message_finished_before_the_log_is_carried_over_never_reaches_the_tables(path: Path) -> None:
    store, said = await spied(path)
    await keep(store, *(accepted(seq) for seq in range(9)))
    await keep(store, *(plain(r.DONE, seq) for seq in range(9)))
    await store.close()
    assert "DELETE FROM log" in said
    assert not [sql for sql in said if "outbound" in sql]


async def test_the_tables_hold_everything_once_the_log_is_full_or_the_store_is_closed(path: Path) -> None:
    async with opened(path, log_max=1000) as (store, _):
        for seq in range(9):
            await keep(store, accepted(seq, bytes(200)))
        with contextlib.closing(sqlite3.connect(path)) as connection:
            (kept,) = connection.execute("SELECT count(*) FROM outbound").fetchone()
            assert 4 <= kept < 9
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM outbound").fetchone() == (9,)
        assert connection.execute("SELECT count(*) FROM log").fetchone() == (0,)


async def test_consecutive_messages_are_deleted_as_one_range(path: Path) -> None:
    store, said = await spied(path, log_max=0)
    await keep(store, *(accepted(seq) for seq in range(20)))
    await keep(store, *(plain(r.RELEASED, seq) for seq in range(20)))
    await keep(store, *(plain(r.DONE, seq) for seq in reversed(range(20))))
    assert [sql[-3:] for sql in said if "BETWEEN" in sql] == ["× 1", "× 1"]
    await store.close()


async def test_who_stops_waiting_for_a_commit_does_not_stop_others(path: Path) -> None:
    async with opened(path) as (store, _):
        store.record(*accepted(0))
        impatient = asyncio.ensure_future(store.commit())
        patient = asyncio.ensure_future(store.commit())
        await asyncio.sleep(0)
        impatient.cancel()
        await patient
        assert impatient.cancelled()
        assert read(path).next == 1


async def test_records_that_nobody_waits_for_are_written_soon(path: Path) -> None:
    async with opened(path) as (store, _), asyncio.timeout(RUN_TIMEOUT_S):
        store.record(*accepted(0))
        while not read(path).messages:  # noqa: ASYNC110 - another connection has to see it
            await asyncio.sleep(0.001)
        store.record(*plain(r.DONE, 0))
        while read(path).messages:  # noqa: ASYNC110
            await asyncio.sleep(0.001)


async def test_a_batch_that_fails_while_nobody_waits_is_told(path: Path) -> None:
    store = SqliteStore(path)
    await store.open()
    failed: asyncio.Future[StoreError] = asyncio.get_running_loop().create_future()
    store.on_failure = failed.set_result
    store.record(r.ACCEPTED, "no number")  # type: ignore[arg-type]
    async with asyncio.timeout(RUN_TIMEOUT_S):
        assert "cannot keep what it is given" in str(await failed)
    await store.close()


async def test_closing_commits(path: Path) -> None:
    async with opened(path) as (store, _):
        store.record(*accepted(0))
    assert list(read(path).messages) == [0]
    with pytest.raises(StoreError, match="is closed"):
        await store.commit()
    assert list((await store.open()).messages) == [0]
    await store.close()


async def test_a_store_that_is_closed_and_cancelled_meanwhile_keeps_what_it_has_taken(path: Path) -> None:
    store = SqliteStore(path)
    await store.open()
    said: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))
    for number in range(3):  # the batches after the first have more than a few records, and are gathered
        for seq in range(10 * number, 10 * number + 10):
            store.record(*accepted(seq + 1))
        if number < 2:
            await store.commit()
            store._pace.is_quick = False
    closing = asyncio.create_task(store.close())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    await asyncio.sleep(0.05)  # longer than a batch is gathered
    assert not said
    assert len(read(path).messages) == 30
