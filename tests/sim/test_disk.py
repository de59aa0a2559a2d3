"""The disk: what a power cut leaves, what fails, and stores on it."""

import asyncio
import errno
import itertools
from collections.abc import Callable
from typing import Any

import pytest

from mqttlite.client import Client
from mqttlite.core import records as r
from mqttlite.core.records import State
from mqttlite.sim.disks.disk import SECTOR, Operation
from mqttlite.sim.process import Process
from mqttlite.sim.programs import broker
from mqttlite.sim.world import World
from mqttlite.store.base import Store, StoreError
from mqttlite.store.journal import Journal


async def _idle(process: Process) -> None:
    await asyncio.Event().wait()


def _after_power_cut(world: World, name: str, work: Callable[[Process], object]) -> dict[str, bytes]:
    """What is on the disk when power was cut after `work`."""
    process = world.process(name, _idle)
    world.run(0)
    work(process)
    process.cut_power()
    return process.disk.files()


def test_what_was_synced_survives_and_of_what_was_not_any_sectors_do(world: World) -> None:
    def work(process: Process) -> None:
        mount = process.mount
        mount.create("a")
        mount.write("a", 0, b"A" * 10 * SECTOR)
        mount.sync("a")
        mount.sync_directory()
        mount.write("a", SECTOR // 2, b"B" * 4 * SECTOR)

    kept = set()
    for number in range(50):
        content = _after_power_cut(world, f"p{number}", work)["a"]
        assert len(content) == 10 * SECTOR
        parts = [content[SECTOR // 2 : SECTOR]]
        parts += [content[at : at + SECTOR] for at in range(SECTOR, 4 * SECTOR, SECTOR)]
        parts += [content[4 * SECTOR : 4 * SECTOR + SECTOR // 2]]
        assert all(set(part) in ({ord("A")}, {ord("B")}) for part in parts)
        assert set(content[: SECTOR // 2]) == set(content[4 * SECTOR + SECTOR // 2 :]) == {ord("A")}
        kept.add(tuple(part[0] for part in parts))
    assert {(65,) * 5, (66,) * 5} < kept
    assert len(kept) > 6


def test_names_survive_with_a_sync_of_the_directory(world: World) -> None:
    def work(process: Process) -> None:
        mount = process.mount
        mount.create("a")
        mount.write("a", 0, b"1")
        mount.sync("a")
        mount.sync_directory()
        mount.create("a.new")
        mount.write("a.new", 0, b"2")
        mount.sync("a.new")
        mount.rename("a.new", "a")

    found = {tuple(sorted(_after_power_cut(world, f"p{number}", work).items())) for number in range(50)}
    assert found == {(("a", b"1"),), (("a", b"1"), ("a.new", b"2")), (("a", b"2"),)}


def test_a_killed_process_leaves_everything_that_it_has_written(world: World) -> None:
    process = world.process("a", _idle)
    world.run(0)
    mount = process.mount
    mount.create("a")
    mount.write("a", 0, b"not synced")
    process.kill()
    mount.write("a", 0, b"too late!!")
    mount.delete("a")
    assert process.disk.files() == {"a": b"not synced"}


def test_an_old_copy_can_be_put_back(world: World) -> None:
    process = world.process("a", _idle)
    world.run(0)
    process.mount.create("a")
    old = process.disk.files()
    process.mount.write("a", 0, b"new")
    process.disk.put(old)
    assert process.disk.files() == {"a": b""}


def test_what_a_failed_sync_has_not_written_no_later_one_writes(world: World) -> None:
    def fail(operation: Operation) -> None:
        raise OSError(errno.EIO, "no")

    process = world.process("a", _idle)
    world.run(0)
    mount = process.mount
    mount.create("a")
    mount.sync_directory()
    mount.write("a", 0, b"1")
    process.disk.on_operation = fail
    with pytest.raises(OSError, match="no"):
        mount.sync("a")
    process.disk.on_operation = None
    assert mount.read("a", 0, 10) == b"1"
    mount.write("a", 1, b"2")
    mount.sync("a")
    process.cut_power()
    assert process.disk.files() == {"a": b"\x002"}


HISTORY: list[list[tuple[int, int, bytes, bytes, bytes]]] = [
    [(r.IDENTITY, 1, b"client", b"", b""), (r.SUBSCRIBED, 2, b"a/#", b"", b"")],
    [(r.ACCEPTED, 0, b"\x34\x10\0\1a", b"x" * 700, b"")],
    [(r.ACCEPTED, 1, b"\x34\x10\0\1a", b"y" * 5000, b""), (r.RELEASED, 0, b"", b"", b"")],
    [(r.DONE, 0, b"", b"", b""), (r.HELD, 7, b"", b"", b"")],
    [(r.FREED, 7, b"", b"", b""), (r.ACCEPTED, 2, b"\x32\x10\0\1b", b"z", b"")],
]


def _sums() -> list[dict[str, Any]]:
    """The state after no batch, after the first, …"""
    result = []
    for count in range(len(HISTORY) + 1):
        state = State()
        for record in itertools.chain(*HISTORY[:count]):
            state.apply(*record)
        result.append(vars(state))
    return result


def _sqlite(process: Process) -> Store:
    return process.sqlite_store()


def _tables(process: Process) -> Store:
    """Without a log: each batch changes several pages of the database."""
    return process.sqlite_store(log_max=0)


def _journal(process: Process) -> Store:
    return Journal("state.journal", 8192)


STORES = pytest.mark.parametrize("make", [_sqlite, _journal])


async def _write(store: Store, returned: list[int]) -> None:
    await store.open()
    await _write_rest(store, returned)


async def _write_rest(store: Store, returned: list[int]) -> None:
    """What comes behind the batches that have returned."""
    state = State()
    for record in itertools.chain(*HISTORY[: returned[-1]]):
        state.apply(*record)
    store.snapshot = lambda: state
    for number, batch in enumerate(HISTORY[returned[-1] :], returned[-1]):
        for record in batch:
            state.apply(*record)
            store.record(*record)
        await store.commit()
        returned.append(number + 1)
    await store.close()


@STORES
@pytest.mark.parametrize("how", ["kill", "cut_power"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_store_survives_an_end_at_every_operation_of_the_disk(
    make: Callable[[Process], Store], how: str, when: str
) -> None:
    expected = _sums()
    for number in itertools.count(1):
        world = World(number)
        returned = [0]

        async def main(process: Process, returned: list[int] = returned) -> Any:
            if process.life == 1:
                return await _write(make(process), returned)
            store = make(process)
            state = vars(await store.open())
            await store.close()
            return state

        process = world.process("a", main, start=False)

        def at_operation(
            operation: Operation, number: int = number, process: Process = process
        ) -> Callable[[], object] | None:
            if operation.number != number or process.life > 1:
                return None
            if when == "before":
                getattr(process, how)()
            return getattr(process, how)  # type: ignore[no-any-return]

        process.disk.on_operation = at_operation
        process.start()
        assert world.run_until(lambda process=process: not process.alive, 60)  # type: ignore[misc]
        if process.disk.operations < number:
            break
        process.start()
        assert world.run_until(lambda process=process: not process.alive, 60)  # type: ignore[misc]
        assert process.result in expected[returned[-1] : returned[-1] + 2], (number, returned)
    assert number > 12
    assert returned == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("make", [_sqlite, _journal])
def test_what_a_store_has_shown_after_a_kill_it_shows_after_a_power_cut(make: Callable[[Process], Store]) -> None:
    """A packet may have told of it in between."""
    for seed in range(30):
        world = World(seed)
        shown: list[Any] = []
        syncs = 0

        async def main(process: Process, shown: list[Any] = shown) -> None:
            store = make(process)
            if process.life == 1:
                await _write(store, [0])
            else:
                shown.append(vars(await store.open()))
                process.cut_power()

        def at_operation(operation: Operation, which: int = seed % 15 + 1) -> None:
            nonlocal syncs
            if process.life == 1 and operation.what == "sync":  # noqa: B023
                syncs += 1
                if syncs == which:
                    process.kill()  # noqa: B023

        process = world.process("a", main, start=False)
        process.disk.on_operation = at_operation
        for _ in range(3):
            process.start()
            world.run(5)
        assert len(shown) == 2
        assert shown[0] == shown[1]


@pytest.mark.parametrize("make", [_sqlite, _tables, _journal])
@pytest.mark.parametrize("fails_again", [False, True])
def test_what_a_failed_sync_has_left_to_be_read_is_lost_by_no_later_power_cut_in_part(
    make: Callable[[Process], Store], fails_again: bool
) -> None:
    """A sync fails and the process is killed; the next one reads what was not written, and loses power, at once or
    when it has noticed that its disk has failed again: with SQLite at every third operation, others for each sync.
    """
    step = 1 if make is _journal else 3
    sums = _sums()
    cases = 0
    for failing in itertools.count(1):
        for cut in itertools.count(1 + failing % step, step):
            world = World(failing * 100 + cut)
            known = [0]  # batches that have returned, or were shown

            async def main(process: Process, known: list[int] = known) -> Any:
                store = make(process)
                if process.life < 3:
                    try:
                        known.append(sums.index(vars(await store.open())))
                        await _write_rest(store, known)
                    except StoreError:
                        (process.kill if process.life == 1 else process.cut_power)()
                    return None
                return vars(await store.open())

            syncs = 0

            def at_operation(operation: Operation) -> None:
                nonlocal syncs
                life = process.life  # noqa: B023
                syncs += life == 1 and operation.what == "sync"
                if life == 1 and syncs == failing and operation.what == "sync":  # noqa: B023
                    raise OSError(errno.EIO, "no")
                if life == 2 and operation.number == before + cut:  # noqa: B023
                    if fails_again:
                        raise OSError(errno.EIO, "no")
                    process.cut_power()  # noqa: B023

            process = world.process("a", main, start=False)
            process.disk.on_operation = at_operation
            process.start()
            assert world.run_until(lambda process=process: not process.alive, 60)  # type: ignore[misc]
            before = process.disk.operations
            process.start()
            assert world.run_until(lambda process=process: not process.alive, 60)  # type: ignore[misc]
            ended = process.disk.operations < before + cut
            process.start()
            assert world.run_until(lambda process=process: not process.alive, 60)  # type: ignore[misc]
            assert process.result in sums[known[-1] : known[-1] + 2], (failing, cut)
            cases += 1
            if ended:
                break
        if syncs < failing:
            break
    assert cases > 40


@pytest.mark.parametrize(("make", "code"), [(_sqlite, errno.EIO), (_journal, errno.EIO), (_journal, errno.ENOSPC)])
def test_a_store_refuses_what_a_disk_that_fails_does_not_keep(
    world: World, make: Callable[[Process], Store], code: int
) -> None:
    returned = [0]

    async def main(process: Process) -> None:
        await _write(make(process), returned)

    def fail(operation: Operation) -> None:
        if operation.what in ("write", "sync") and returned[-1] == 3:
            raise OSError(code, "no")

    process = world.process("a", main, start=False)
    process.disk.on_operation = fail
    process.may_fail = True
    process.start()
    world.run(10)
    assert isinstance(process.error, StoreError)
    assert returned == [0, 1, 2, 3]


@STORES
def test_a_full_disk_refuses(world: World, make: Callable[[Process], Store]) -> None:
    returned = [0]

    async def main(process: Process) -> None:
        process.disk.capacity = sum(len(content) for content in process.disk.files().values()) + 3000
        await _write(make(process), returned)

    process = world.process("a", main, start=False)
    process.may_fail = True
    process.start()
    world.run(10)
    assert isinstance(process.error, StoreError)


def test_a_commit_takes_as_long_as_the_disk(world: World) -> None:
    async def main(process: Process) -> float:
        async with Client("mqtt://broker", client_id="a", retry_first=True, store=process.sqlite_store()) as client:
            before = world.now
            await client.publish("a", "x", 1)
            passed = (world.now - before) / 1e9
            client._outgoing.receipts.clear()
        return passed

    process = world.process("a", main, start=False)
    process.disk.sync_ns = (500_000_000, 500_000_000)

    world.process("broker", broker())
    process.start()
    assert world.run_until(lambda: not process.alive, 100)
    assert 0.5 <= process.result < 2.1


def test_a_store_is_open_once_in_a_process(world: World) -> None:
    async def main(process: Process) -> None:
        first = process.sqlite_store()
        await first.open()
        with pytest.raises(StoreError, match="open in this process already"):
            await process.sqlite_store().open()
        await first.close()
        second = process.sqlite_store()
        await second.open()
        await second.close()

    process = world.process("a", main)
    world.run(10)
    assert not process.alive


def test_a_blocking_sync_holds_up_all_that_a_process_does(world: World) -> None:
    times: list[float] = []

    async def main(process: Process) -> None:
        process.disk.sync_ns = (10**9, 10**9)
        journal = Journal("state.journal", 8192)
        asyncio.get_running_loop().call_later(0.5, lambda: times.append(world.now / 1e9))
        await journal.open()
        times.append(asyncio.get_running_loop().time())
        await asyncio.sleep(0.01)

    world.process("a", main)
    world.run(10)
    assert times == [times[0]] * 2 and times[0] >= 2
