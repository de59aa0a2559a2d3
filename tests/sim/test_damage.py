"""Bits that flip in the middle of stores, files that go: said, kept, salvaged; never lost without a word.

A producer accepts messages, some of which are finished later; then its power is cut, and one bit of its store flips.
The next life either tells of damage, and salvaging its files gets all that is whole, or it has all that was accepted.
Only in the last commit damage looks like what a power cut may have left.
"""

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mqttlite.core import records as r
from mqttlite.core.records import State
from mqttlite.sim.process import Process
from mqttlite.sim.world import World
from mqttlite.store import damage
from mqttlite.store.base import Store, StoreError
from mqttlite.store.in_sqlite import sqlite_file, sqlite_wal
from mqttlite.store.journal import Journal
from mqttlite.store.sqlite import read
from mqttlite.store.tending.kinds import Reading
from mqttlite.store.tending.salvage import salvage

COUNT = 14  # commits
HEAD = b"\x34\x10\0\1a"
FLIPS = 9


def _sqlite(process: Process) -> Store:
    return process.sqlite_store("store")


def _journal(process: Process) -> Store:
    return Journal("store", 65536)


STORES = pytest.mark.parametrize(("make", "part"), [(_sqlite, "store-wal"), (_journal, "store")])


def _records(number: int) -> list[Any]:
    found = [(r.ACCEPTED, number, HEAD, b"%d" % number * random.Random(number).choice((3, 40, 2500)), b"")]
    if not number:
        found.append((r.IDENTITY, 1, b"producer", b"", b""))
    if number % 5 == 4:
        found.append((r.DONE, number - 3, b"", b"", b""))
    return found


def _expected(count: int) -> set[int]:
    return set(range(count)) - {number - 3 for number in range(count) if number % 5 == 4}


class Damage:
    """One world, one flipped bit. `lost`: messages that nobody told of. `said`: what the store told of, or ""."""

    def __init__(self, world: World, make: Callable[[Process], Store], part: str, seed: int, folder: Path) -> None:
        self.returned = 0
        self.said = ""
        self.state: State | None = None
        chance = random.Random(seed)
        stop = chance.randint(COUNT // 2, COUNT)

        async def main(process: Process) -> None:
            store = make(process)
            try:
                state = await store.open()
            except StoreError as error:
                self.said = str(error)
                return
            if process.life > 1:
                self.state = state
                await store.close()
                return
            store.snapshot = lambda: state
            for number in range(stop):
                before = process.disk.files()[part]
                for record in _records(number):
                    state.apply(*record)
                    store.record(*record)
                await store.commit()
                after = process.disk.files()[part]
                self.last = next(at for at, byte in enumerate(after) if before[at : at + 1] != bytes((byte,)))
                self.returned = number + 1
            await asyncio.Event().wait()

        process = world.process("producer", main)
        assert world.run_until(lambda: self.returned == stop, 60)
        process.cut_power()
        files = process.disk.files()
        data = bytearray(files[part])
        at = chance.randrange(32, self.last)  # what was written last is behind that
        data[at] ^= 1 << chance.randrange(8)
        files[part] = bytes(data)
        process.disk.put(files)
        process.start()
        world.run(60)
        after = process.disk.files()
        self.kept = not self.said or all(after[name] == files[name] for name in ("store", part))
        got = self.state
        if self.said:
            for name, content in after.items():
                (folder / name).write_bytes(content)
            salvage(str(folder / "store"))
            got = read(folder / "store") if part == "store-wal" else Reading(str(folder / "store")).state
            for old in folder.iterdir():
                old.unlink()
        assert got is not None
        self.lost = _expected(self.returned) - set(got.messages)


def _try(make: Callable[[Process], Store], part: str, folder: Path) -> int:
    """How many of the flips were told of."""
    said = 0
    for seed in range(FLIPS):
        found = Damage(World(seed), make, part, seed, folder)
        assert found.kept, "a damaged store was changed"
        said += bool(found.said)
        if found.said:
            assert len(found.lost) <= 1, f"what was whole is lost: {found.lost}"
        else:
            assert not found.lost, f"lost without a word: {found.lost}"
    return said


@STORES
def test_a_flipped_bit_is_told_of_or_costs_nothing_and_what_is_whole_is_salvaged(
    make: Callable[[Process], Store], part: str, tmp_path: Path
) -> None:
    assert _try(make, part, tmp_path) > FLIPS // 2


def _no_damage(*_: object) -> None:
    return None


@pytest.mark.parametrize(
    ("make", "part", "owner", "name", "bug"),
    [
        (_journal, "store", damage, "_damage", _no_damage),
        (_sqlite, "store-wal", sqlite_wal, "_behind", lambda reader, bad, after: sqlite_wal.Wal(True, bad)),
    ],
    ids=["journal", "WAL"],
)
def test_a_store_that_takes_damage_for_the_end_would_be_found_out(
    make: Callable[[Process], Store],
    part: str,
    owner: Any,
    name: str,
    bug: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(owner, name, bug)
    with pytest.raises(AssertionError, match="lost without a word"):
        _try(make, part, tmp_path)


# -- files that go while they are used


def _replaced(world: World, make: Callable[[Process], Store], how: str) -> tuple[list[int], Process]:
    """The commits that return after the files were replaced, by an old copy of them, or by nothing."""
    returned: list[int] = []

    async def main(process: Process) -> None:
        store = make(process)
        state = await store.open()
        store.snapshot = lambda: state
        for number in range(8):
            for record in _records(number):
                state.apply(*record)
                store.record(*record)
            if number == 4:
                process.disk.put(process.disk.files() if how == "replaced" else {})
            await store.commit()
            if number >= 4:
                returned.append(number)

    process = world.process("producer", main)
    process.may_fail = True
    assert world.run_until(lambda: not process.alive, 60)
    return returned, process


@pytest.mark.parametrize("make", [_sqlite, _journal])
@pytest.mark.parametrize("how", ["replaced", "deleted"])
def test_nothing_is_confirmed_by_a_store_whose_file_is_gone(
    world: World, make: Callable[[Process], Store], how: str
) -> None:
    returned, process = _replaced(world, make, how)
    assert not returned
    assert isinstance(process.error, StoreError)


def test_a_store_that_goes_on_in_a_file_that_was_replaced_would_be_found_out(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_file.SqliteFile, "_demand_unmoved", lambda self: None)
    returned, _ = _replaced(world, _sqlite, "replaced")
    assert returned


# -- a copy that was made while the store was in use


def test_a_copy_without_its_wal_is_never_taken_for_all_there_is() -> None:
    for seed in range(8):
        world = World(seed)
        states: list[State] = []

        async def main(process: Process, seed: int = seed, states: list[State] = states) -> None:
            store = process.sqlite_store("store", log_max=2000)
            states.append(await store.open())
            if process.life == 1:
                for number in range(seed * 3):
                    for record in _records(number):
                        store.record(*record)
                    await store.commit()
                await asyncio.Event().wait()
            await store.close()

        process = world.process("producer", main)
        world.run(20)
        process.kill()
        files = process.disk.files()
        del files["store-wal"]
        process.disk.put(files)
        process.start()
        assert world.run_until(lambda process=process: not process.alive, 60)  # type: ignore[misc]
        told = [str(text) for _, _, kind, text in world.trace if kind == "error"]
        assert any("without its -wal" in text for text in told)
        assert any(name.startswith("store.incomplete") for name in process.disk.files())
