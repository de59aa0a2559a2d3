"""Flipped bits, lost files, copies made at the wrong moment: said, kept, and what is whole is salvaged."""
# ruff: noqa: ASYNC240 - a test's own small files do not block anybody

import asyncio
import logging
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mqttlite.broker.clients.broker_store import BrokerStore
from mqttlite.core import records as r
from mqttlite.core.records import State
from mqttlite.store.area_raw import RawArea
from mqttlite.store.base import Store, StoreError
from mqttlite.store.in_sqlite import sqlite_file, sqlite_wal
from mqttlite.store.journal import Journal
from mqttlite.store.sqlite import SqliteStore, read
from mqttlite.store.tending import kinds
from mqttlite.store.tending.backup import backup, reset
from mqttlite.store.tending.salvage import salvage
from tests.peers import RUN_TIMEOUT_S

HEAD = b"\x32\x10\x00\x03a/b"


async def keep(store: Any, *records: tuple[Any, ...]) -> None:
    for record in records:
        store.record(*record)
    await store.commit()


def accepted(seq: int) -> tuple[Any, ...]:
    return r.ACCEPTED, seq, HEAD, b"message %d" % seq, b""


async def filled(make: Callable[[], Any], count: int) -> Any:
    """A store with so many messages, a commit each."""
    store = make()
    state = await store.open()
    store.snapshot = lambda: state
    await keep(store, (r.IDENTITY, 1, b"pump"), (r.SUBSCRIBED, 1, b"a/#"))
    for seq in range(count):
        await keep(store, accepted(seq))
    return store


def killed(path: Path, files: tuple[str, ...], to: Path) -> None:
    """What a process leaves that is killed now."""
    for name in files:
        if os.path.exists(str(path) + name):
            shutil.copy(str(path) + name, str(to) + name)


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1 << at % 8
    path.write_bytes(data)


# -- SQLite


@pytest.fixture
async def left(tmp_path: Path) -> Path:
    """A store whose process was killed: 20 messages, most of them in the WAL."""
    store = await filled(lambda: SqliteStore(tmp_path / "alive.db"), 20)
    killed(tmp_path / "alive.db", ("", "-wal"), tmp_path / "left.db")
    await store.close()
    return tmp_path / "left.db"


def wal_of(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


async def test_a_wal_that_is_whole_is_read_and_one_that_is_torn_is_read_to_there(left: Path) -> None:
    assert sqlite_wal.examine(str(left)).at < 0
    data = wal_of(left).read_bytes()
    wal_of(left).write_bytes(data[:-1000])
    store = SqliteStore(left)
    assert sorted((await store.open()).messages) == list(range(19))
    await store.close()


async def test_any_bit_in_the_middle_of_a_wal_is_damage_and_nothing_is_lost_that_is_whole(left: Path) -> None:
    data = wal_of(left).read_bytes()
    frame = 24 + 4096
    frames = (len(data) - 32) // frame
    places = [0, 5, 9, 17, 26, 31]  # in the header
    places += [32 + number * frame + at for number in range(2, frames - 3, 9) for at in (1, 6, 9, 14, 18, 23, 24, 2000)]
    for at in places:
        wal_of(left).write_bytes(data)
        flip(wal_of(left), at)
        before = left.read_bytes(), wal_of(left).read_bytes()
        with pytest.raises(StoreError, match=r"is damaged .*-wal is wrong.*behind that.*store salvage"):
            await SqliteStore(left).open()
        assert (left.read_bytes(), wal_of(left).read_bytes()) == before
        to = left.with_name("new.db")
        salvage(str(left), str(to))
        assert sorted(read(to).messages) == list(range(20)), at
        assert (left.read_bytes(), wal_of(left).read_bytes()) == before
        to.unlink()


async def test_a_salvaged_store_takes_the_place_of_the_damaged_one_and_goes_on_behind_it(left: Path) -> None:
    flip(wal_of(left), wal_of(left).stat().st_size // 2)
    lines = salvage(str(left))
    assert any("-wal is wrong" in line for line in lines)
    assert [file.name for file in left.parent.glob("left.db.damaged-*")]
    store = SqliteStore(left)
    state = await store.open()
    assert sorted(state.messages) == list(range(20))
    assert state.next > 20  # numbers that may have been used are not used again
    await store.close()


async def test_a_flipped_bit_in_the_log_of_a_database_is_damage(tmp_path: Path) -> None:
    store = await filled(lambda: SqliteStore(tmp_path / "alive.db"), 20)
    store._thread.submit(lambda: list(store._file._connection.execute("PRAGMA wal_checkpoint(FULL)"))).result()
    killed(tmp_path / "alive.db", ("", "-wal"), tmp_path / "left.db")
    await store.close()
    path = tmp_path / "left.db"
    os.truncate(wal_of(path), 32)  # begun anew, and nothing in it yet
    flip(path, path.read_bytes().index(b"message 7"))
    before = path.read_bytes()
    strays = len(sqlite_file.strays)
    for _ in range(3):
        with pytest.raises(StoreError, match="1 of the batches in its log"):
            await SqliteStore(path).open()
        assert path.read_bytes() == before and wal_of(path).exists()
    assert len(sqlite_file.strays) == strays
    lines = salvage(str(path))
    assert "1 of 21 batches of the log are lost" in lines
    assert sorted(read(path).messages) == [seq for seq in range(20) if seq != 7]


async def test_pages_that_cannot_be_read_cost_only_what_is_in_them(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    store = await filled(lambda: SqliteStore(path, log_max=0), 0)
    await keep(store, *[(r.ACCEPTED, seq, HEAD, bytes(1000), b"") for seq in range(100)])
    await store.close()
    data = bytearray(path.read_bytes())
    data[14 * 4096 : 16 * 4096] = b"\xa5" * 4096 * 2
    path.write_bytes(data)
    with pytest.raises(StoreError, match="is damaged"):
        await SqliteStore(path).open()
    lines = salvage(str(path))
    assert any("rows of the table outbound are lost" in line for line in lines)
    state = read(path)
    assert 80 < len(state.messages) < 100
    assert state.client_id == b"pump"


async def test_a_copy_without_its_wal_is_used_and_said_and_kept(left: Path, caplog: pytest.LogCaptureFixture) -> None:
    wal_of(left).unlink()
    before = left.read_bytes()
    store = SqliteStore(left)
    await store.open()
    await store.close()
    assert "without its -wal" in caplog.text and "store backup" in caplog.text
    (kept,) = left.parent.glob("left.db.incomplete-*")
    assert kept.read_bytes() == before
    caplog.clear()
    store = SqliteStore(left)
    await store.open()
    await store.close()
    assert not caplog.records


async def test_a_database_that_is_gone_or_empty_beside_a_wal_is_damage_and_an_empty_one_alone_is_said(
    left: Path, caplog: pytest.LogCaptureFixture
) -> None:
    left.write_bytes(b"")
    with pytest.raises(StoreError, match="the database is empty, and its -wal is not"):
        await SqliteStore(left).open()
    left.unlink()
    with pytest.raises(StoreError, match="the database is gone, and its -wal is not"):
        await SqliteStore(left).open()
    empty = left.with_name("empty.db")
    empty.touch()
    store = SqliteStore(empty)
    await store.open()
    await store.close()
    assert "is an empty file" in caplog.text
    empty.write_bytes(b"")
    with pytest.raises(StoreError, match="it is empty, and a store was in it"):
        await SqliteStore(empty).open()
    empty.unlink()
    store = SqliteStore(empty)
    await store.open()
    await store.close()
    assert "is gone, and there was a store" in caplog.text


@pytest.mark.parametrize("name", ["", "-wal", ".lock"])
@pytest.mark.parametrize("how", ["deleted", "replaced"])
async def test_a_file_that_is_no_longer_the_one_at_its_path_stops_the_store(
    tmp_path: Path, name: str, how: str
) -> None:
    path = tmp_path / "state.db"
    store = await filled(lambda: SqliteStore(path), 3)
    file = tmp_path / ("state.db" + name)
    if how == "deleted":
        file.unlink()
    else:
        (tmp_path / "other").write_bytes(b"precious")
        os.replace(tmp_path / "other", file)
    store._file._look_at = 0  # the lock is not looked at after each commit
    with pytest.raises(StoreError, match="is no longer the file that was opened"):
        await keep(store, accepted(3))
    with pytest.raises(StoreError, match="no longer"):
        await store.commit()
    await store.close()
    assert how == "deleted" or file.read_bytes() == b"precious"


async def test_a_backup_is_whole_while_the_store_is_written(tmp_path: Path) -> None:
    store = await filled(lambda: SqliteStore(tmp_path / "state.db"), 10)

    async def go_on() -> None:
        for seq in range(10, 200):
            await keep(store, accepted(seq))

    task = asyncio.create_task(go_on())
    await asyncio.to_thread(backup, str(tmp_path / "state.db"), str(tmp_path / "copy.db"))
    await task
    await store.close()
    assert stat.S_IMODE((tmp_path / "copy.db").stat().st_mode) == 0o600
    state = read(tmp_path / "copy.db")
    assert sorted(state.messages) == list(range(len(state.messages)))
    assert len(state.messages) >= 10
    copy = SqliteStore(tmp_path / "copy.db")
    await copy.open()
    await copy.close()
    assert not list(tmp_path.glob("copy.db.incomplete*"))
    with pytest.raises(StoreError, match="there already"):
        backup(str(tmp_path / "state.db"), str(tmp_path / "copy.db"))
    with pytest.raises(StoreError, match=r"there is no folder .*media: make it, or give another name$"):
        backup(str(tmp_path / "state.db"), str(tmp_path / "media" / "copy.db"))


async def test_a_brokers_store_is_salvaged_with_its_sessions(tmp_path: Path) -> None:
    store = BrokerStore(tmp_path / "broker.db")
    await store.open()
    for number in range(1, 6):
        store.note(store.new_session(), 32, 0, b"client %d" % number)
        store.note(number, r.ACCEPTED, 0, HEAD, b"for %d" % number)
        store.retain(b"topic %d" % number, b"value", 1)
        await store.commit()
    killed(tmp_path / "broker.db", ("", "-wal"), tmp_path / "left.db")
    await store.close()
    assert kinds.kind_of(str(tmp_path / "left.db")) == kinds.BROKER
    flip(tmp_path / "left.db-wal", (tmp_path / "left.db-wal").stat().st_size // 2)
    salvage(str(tmp_path / "left.db"))
    store = BrokerStore(tmp_path / "left.db")
    state = await store.open()
    await store.close()
    assert sorted(state.sessions) == [b"client %d" % number for number in range(1, 6)]
    assert [state.messages[0][1] for _, state in state.sessions.values()] == [b"for %d" % n for n in range(1, 6)]
    assert len(state.retained) == 5


async def test_a_store_that_is_reset_is_moved_aside_and_begins_empty_without_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "state.db"
    store = await filled(lambda: SqliteStore(path), 3)
    with pytest.raises(StoreError, match="in this process already"):
        reset(str(path))
    await store.close()
    aside = reset(str(path))
    assert sorted(read(aside).messages) == [0, 1, 2]
    store = SqliteStore(path)
    assert not (await store.open()).messages
    await store.close()
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


# -- journals


def made(path: Path, when: str = "") -> Journal:
    return Journal(path, 65536, 0, when)


async def test_any_bit_in_the_middle_of_a_journal_is_damage_and_what_is_whole_goes_on(tmp_path: Path) -> None:
    await (await filled(lambda: made(tmp_path / "j"), 20)).close()
    data = (tmp_path / "j").read_bytes()
    for at in [*range(12), *range(40, len(data) - 80, 7)]:
        path = tmp_path / f"j{at}"
        path.write_bytes(data)
        flip(path, at)
        before = path.read_bytes()
        with pytest.raises(StoreError, match=r"whole records .* store salvage"):
            await made(path).open()
        assert path.read_bytes() == before
        salvage(str(path), str(path) + "-new")
        salvaged = kinds.Reading(str(path) + "-new").state
        again = made(path, "aside")
        state = await again.open()
        assert vars(state) == vars(salvaged)
        assert len(set(range(20)) - set(state.messages)) <= 1
        assert state.next >= 20 and (at < 12 or state.next > 20)
        assert "is damaged" in again.notice and ".damaged" in again.notice
        assert Path(str(path) + ".damaged").read_bytes() == before
        again.snapshot = lambda state=state: state
        await keep(again, accepted(state.next))
        await again.close()
        assert not kinds.Reading(str(path)).problem


async def test_a_journal_of_a_board_has_no_marks_and_its_damage_shows_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mqttlite.store.area_file import FileArea

    await (await filled(lambda: Journal(FileArea(str(tmp_path / "j"), 65536)), 20)).close()
    flip(tmp_path / "j", (tmp_path / "j").stat().st_size // 2)
    with pytest.raises(StoreError, match="whole records"):
        await Journal(FileArea(str(tmp_path / "j"), 65536)).open()


async def test_an_empty_journal_is_a_new_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "j").touch()
    store = made(tmp_path / "j")
    assert (await store.open()).next == -1
    await store.close()
    assert "is an empty file" in caplog.text


async def test_an_old_journal_that_was_replaced_while_it_was_in_use_stops_it(tmp_path: Path) -> None:
    store = await filled(lambda: made(tmp_path / "j"), 3)
    shutil.copy(tmp_path / "j", tmp_path / "copy")
    os.replace(tmp_path / "copy", tmp_path / "j")
    with pytest.raises(StoreError, match="no longer the file that was opened"):
        await keep(store, accepted(3))
    with pytest.raises(StoreError, match="no longer"):
        await store.close()


class Flash:
    """NOR flash: 4 blocks."""

    def __init__(self) -> None:
        self.image = bytearray(b"\xff" * 4096 * 4)

    def readblocks(self, block: int, buf: bytearray, offset: int) -> None:
        at = block * 4096 + offset
        buf[:] = self.image[at : at + len(buf)]

    def writeblocks(self, block: int, buf: Any, offset: int) -> None:
        at = block * 4096 + offset
        self.image[at : at + len(buf)] = buf

    def ioctl(self, op: int, arg: int) -> int:
        if op == 6:
            self.image[arg * 4096 : arg * 4096 + 4096] = b"\xff" * 4096
        return {4: 4, 5: 4096}.get(op, 0)


@pytest.mark.parametrize("lives", [1, 2])
async def test_any_bit_of_a_journal_on_raw_flash_is_damage_its_header_too(
    lives: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of 256 headers one ends in a byte that a single bit makes 0xFF: flash that was being programmed, as well.
    monkeypatch.setattr(os, "urandom", lambda size: bytes(size))
    flash = Flash()
    store = await filled(lambda: Journal(RawArea(flash)), 8)
    if lives > 1:
        state = State()
        for record in [(r.IDENTITY, 1, b"pump"), *map(accepted, range(8))]:
            state.apply(*record)
        store._compact(state)
        for seq in range(8, 12):
            await keep(store, accepted(seq))
    half = store._area.half * 8192
    used = store._area.at
    image = bytes(flash.image)
    for at in [*range(12), *range(40, used - 60, 9)]:
        flash.image[:] = image
        flash.image[half + at] ^= 1 << at % 8
        with pytest.raises(StoreError, match="whole records"):
            await Journal(RawArea(flash)).open()
        again = Journal(RawArea(flash), when_damaged="aside")
        state = await again.open()
        assert len(set(range(8 if lives == 1 else 12)) - set(state.messages)) <= 1
        assert again.notice
        assert vars(await Journal(RawArea(flash)).open()) == vars(state)


# -- files that are no stores


async def refused(store: Store) -> str:
    with pytest.raises(StoreError) as refusal:
        async with asyncio.timeout(RUN_TIMEOUT_S):
            await store.open()
    return str(refusal.value)


@pytest.mark.parametrize("make", [SqliteStore, Journal])
async def test_a_folder_a_fifo_and_a_device_are_refused_in_words(tmp_path: Path, make: Any) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    assert "is a folder" in await refused(make(tmp_path / "folder"))
    assert "is a FIFO" in await refused(make(tmp_path / "fifo"))
    assert "is a device" in await refused(make("/dev/null"))
    for path in (tmp_path / "folder", tmp_path / "fifo", Path("/dev/null")):
        with pytest.raises(StoreError, match="give the store the name of a file"):
            kinds.kind_of(str(path))


@pytest.mark.parametrize("name", [".lock", "-wal", "-shm", "-journal"])
async def test_a_link_beside_a_store_is_not_followed(tmp_path: Path, name: str) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / ("state.db" + name)).symlink_to(tmp_path / "precious")
    assert "is a symbolic link" in await refused(SqliteStore(tmp_path / "state.db"))
    assert (tmp_path / "precious").read_text() == "precious"


async def test_a_link_beside_a_journal_is_not_followed_and_a_linked_journal_stays_linked(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "link.new").symlink_to(tmp_path / "precious")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    await (await filled(lambda: made(tmp_path / "link"), 2)).close()
    assert (tmp_path / "precious").read_text() == "precious"
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real").is_file()


@pytest.mark.parametrize("make", [SqliteStore, made])
async def test_a_store_that_others_could_read_is_its_owners_again(
    tmp_path: Path, make: Any, caplog: pytest.LogCaptureFixture
) -> None:
    await (await filled(lambda: make(tmp_path / "s"), 2)).close()
    (tmp_path / "s").chmod(0o666)
    store = make(tmp_path / "s")
    state = await store.open()
    store.snapshot = lambda: state
    assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()} == {0o600}
    assert "could be opened by others (mode 666)" in caplog.text
    await store.close()


@pytest.mark.parametrize(
    "name", ["a'b\"c.db", "x?mode=memory&y", "file:y.db?mode=memory", "z%41#h", "n\new", ":memory:"]
)
async def test_any_name_is_the_name_of_a_file_and_is_shown_escaped(tmp_path: Path, name: str) -> None:
    await (await filled(lambda: SqliteStore(tmp_path / name), 2)).close()
    assert sorted(read(tmp_path / name).messages) == [0, 1]
    (tmp_path / name).write_bytes(b"xx")
    assert "\n" not in await refused(SqliteStore(tmp_path / name))
