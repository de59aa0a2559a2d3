"""A disk that is full: the store waits, comes up, is drained, and goes on when there is room."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from mqttlite.core import records as r
from mqttlite.sim.process import Process
from mqttlite.sim.world import World
from mqttlite.store.in_sqlite.sqlite_file import SqliteFile

HEAD = b"\x34\x10\0\1a"


def _fill(process: Process, left: int = 0) -> None:
    """From now on the disk has room for so many bytes."""
    process.disk.capacity = sum(map(len, process.disk.files().values())) + left


async def _keep(store: Any, *records: Any) -> None:
    for record in records:
        store.record(*record)
    await store.commit()


def _accepted(seq: int) -> tuple[Any, ...]:
    return r.ACCEPTED, seq, HEAD, b"x" * 2000, b""


def test_what_was_taken_is_committed_once_there_is_room_and_nothing_is_confirmed_before(world: World) -> None:
    committed: list[int] = []
    stores: list[Any] = []

    async def main(process: Process) -> None:
        store = process.sqlite_store(reserve=0)
        stores.append(store)
        await store.open()
        await _keep(store, (r.IDENTITY, 1, b"client"), _accepted(0))
        _fill(process)
        for seq in range(1, 40):
            await _keep(store, _accepted(seq))
            committed.append(seq)
        await store.close()

    process = world.process("a", main)
    world.run(30)
    assert process.alive
    assert len(committed) < 39
    assert not stores[0].fits(1)
    process.disk.capacity = None
    assert world.run_until(lambda: not process.alive, 30)
    assert len(committed) == 39
    assert any("until there is room" in str(text) for _, _, _, text in world.trace)


def test_a_store_comes_up_on_a_full_disk_and_is_drained_and_takes_more_when_there_is_room(world: World) -> None:
    seen: list[Any] = []

    async def main(process: Process) -> None:
        store = process.sqlite_store(reserve=256 << 10)
        state = await store.open()
        if process.life == 1:
            await _keep(store, (r.IDENTITY, 1, b"client"), *[_accepted(seq) for seq in range(20)])
            await asyncio.Event().wait()
        seen.append(sorted(state.messages))
        assert not store.fits(100)
        for seq in state.messages:
            await _keep(store, (r.DONE, seq))
        seen.append("drained")
        process.disk.capacity = None
        room = asyncio.Event()
        store.on_room = room.set
        await room.wait()
        await _keep(store, _accepted(20))
        await store.close()

    process = world.process("a", main)
    world.run(5)
    process.cut_power()
    _fill(process)
    process.start()
    assert world.run_until(lambda: not process.alive, 60)
    assert seen == [list(range(20)), "drained"]
    assert any("room on the disk again" in str(text) for _, _, _, text in world.trace)


def test_a_program_that_ends_does_not_wait_for_room(world: World) -> None:
    async def main(process: Process) -> None:
        store = process.sqlite_store(reserve=0)
        await store.open()
        await _keep(store, (r.IDENTITY, 1, b"client"))
        _fill(process)
        store.record(*_accepted(0)[:3], b"x" * 90_000)
        await store.close()

    process = world.process("a", main)
    process.may_fail = True
    assert world.run_until(lambda: not process.alive, 10)
    assert "is full" in str(process.error)


def _go_on_when_full(write: Callable[..., None]) -> Callable[..., None]:
    def written(self: SqliteFile, *args: Any) -> None:
        try:
            write(self, *args)
        except Exception:
            self._failed = False

    return written


def test_a_store_that_confirms_on_a_full_disk_would_be_found_out(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SqliteFile, "write", _go_on_when_full(SqliteFile.write))
    with pytest.raises(AssertionError):
        test_what_was_taken_is_committed_once_there_is_room_and_nothing_is_confirmed_before(world)
