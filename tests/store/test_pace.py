"""Where commits are made: on the loop's thread while the disk is quick."""

import asyncio
import threading
from pathlib import Path

import pytest

from mqttlite.core import records as r
from mqttlite.store import pace
from mqttlite.store.pace import Pace
from mqttlite.store.sqlite import SqliteStore
from mqttlite.store.tables import batches

Record = tuple[int, int, bytes, bytes, bytes]


def test_it_begins_only_after_some_quick_commits() -> None:
    found = Pace()
    took = 0
    while not found.is_quick:
        found.took(0.0002)
        took += 1
    assert took >= pace.TRIES


@pytest.mark.parametrize("seconds", [0.002, 0.020])
def test_a_slow_disk_is_never_waited_for_on_the_loops_thread(seconds: float) -> None:
    found = Pace()
    for _ in range(1000):
        found.took(seconds)
        assert not found.is_quick


def test_a_disk_between_the_two_bounds_stays_where_it_is() -> None:
    found = Pace()
    for _ in range(100):
        found.took(0.0005)
    assert not found.is_quick
    for _ in range(100):
        found.took(0.0002)
    assert found.is_quick
    for _ in range(1000):
        found.took(0.0005)
    assert found.is_quick
    for _ in range(20):
        found.took(0.002)
    assert not found.is_quick


def test_a_disk_with_a_long_pause_now_and_then_is_tried_ever_more_rarely() -> None:
    found = Pace()
    begun = 0
    for number in range(100_000):
        was_quick = found.is_quick
        found.took(0.1 if number % 100 == 99 else 0.0002)
        begun += found.is_quick and not was_quick
    assert 1 <= begun <= 8


async def test_commits_move_to_the_loops_thread_on_a_quick_disk_and_back_on_a_slow_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SqliteStore(tmp_path / "state.db")
    await store.open()
    write = store._file.write
    seconds = 0.0001
    threads: list[bool] = []

    def timed(batch: list[Record], empty_log: bool = False) -> None:
        threads.append(threading.current_thread() is threading.main_thread())
        write(batch, empty_log)
        store._file.took_s = seconds

    monkeypatch.setattr(store._file, "write", timed)
    for seconds in (0.0001, 0.01, 0.0001):
        threads.clear()
        for number in range(60):
            store.record(r.NEXT, number)
            await store.commit()
        assert threads[-1] == (seconds < pace.QUICK_S)
    await store.close()


async def test_what_can_be_committed_at_once_is_durable_when_that_returns(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "state.db")
    await store.open()
    store.record(r.NEXT, 5)
    assert not store.commit_now()  # nobody knows the disk yet
    store._pace.is_quick = True
    assert store.commit_now()
    store.record(r.NEXT, 7)
    waits = asyncio.ensure_future(store.commit())
    await asyncio.sleep(0)
    store.record(r.NEXT, 8)
    assert not store.commit_now()  # a batch has begun, and it comes first
    await waits
    await store.close()
    store = SqliteStore(tmp_path / "state.db")
    assert (await store.open()).next == 8
    await store.close()


async def test_a_batch_that_has_the_log_carried_over_is_the_threads_and_says_nothing_of_syncs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SqliteStore(tmp_path / "state.db", log_max=100_000)
    written: list[float] = []
    store.on_written = written.append
    await store.open()
    write, took = store._file.write, store._pace.took
    on_loop: list[bool] = []
    measured: list[float] = []

    def watched(batch: list[Record], empty_log: bool = False) -> None:
        on_loop.append(threading.current_thread() is threading.main_thread())
        write(batch, empty_log)

    def taken(seconds: float) -> None:
        measured.append(seconds)
        took(seconds)

    monkeypatch.setattr(store._file, "write", watched)
    monkeypatch.setattr(store._pace, "took", taken)
    for number, size in enumerate((10, 120_000, 10)):
        store._pace.is_quick = True
        store.record(r.ACCEPTED, number, b"\x32\x10\x00\x03a/b", bytes(size))
        assert store.commit_now() == (size == 10)
        await store.commit()
    assert on_loop == [True, False, True]
    assert len(written) == 3 and min(written) > 0
    assert measured == [written[0], written[2]]
    await store.close()


@pytest.mark.parametrize("number", [0, 1, (1 << 48) - 1])
def test_a_batch_is_one_record_after_the_other_as_records_have_them(number: int) -> None:
    kinds = (r.ACCEPTED, r.DONE, r.SUBSCRIBED)
    contents = [(b"", b"", b""), (b"head", b"", b""), (b"", b"p" * 70_000, b"key"), (b"h" * 70_000, b"p", b"")]
    batch: list[Record] = [(kind, number, *content) for kind in kinds for content in contents]
    one_by_one = [r.encode(*record) for record in batch]
    data = batches.encode(batch)
    assert data == b"".join(len(record).to_bytes(4, "big") + record for record in one_by_one)
    assert batches.decode(data) == batch
    of_sessions = [(7, *record) for record in batch]
    data = batches.encode_of_sessions(of_sessions)
    assert data == b"".join(
        (4 + len(record)).to_bytes(4, "big") + (7).to_bytes(4, "big") + record for record in one_by_one
    )
    assert batches.decode_of_sessions(data) == of_sessions
