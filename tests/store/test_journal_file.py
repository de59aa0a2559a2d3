"""The journal in a file on CPython: cut at every operation on the file, and what it refuses."""

import asyncio
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mqttlite.core.records import ACCEPTED, DONE, HELD, IDENTITY, State
from mqttlite.store import area_file, area_host, folder
from mqttlite.store.area_raw import RawArea
from mqttlite.store.base import StoreError
from mqttlite.store.journal import Journal

HEAD = b"\x32\x5a\x00\x09topic/abc"


def summary(state: State) -> list[str]:
    return sorted(map(repr, state.records()))


class Inode:
    def __init__(self, data: bytes = b"") -> None:
        self.data = data
        self.synced = len(data)


class File:
    """What `open` gives: bytes are the process's until flushed, and the disk's only when synced."""

    def __init__(self, disk: "Disk", inode: Inode) -> None:
        self.disk, self.inode, self.buffer, self.at = disk, inode, b"", 0

    def seek(self, at: int, whence: int = 0) -> int:
        self.at = at + (len(self.inode.data) if whence else 0)
        return self.at

    def read(self, size: int) -> bytes:
        self.at += size
        return self.inode.data[self.at - size : self.at]

    def write(self, data: bytes) -> None:
        self.buffer += data

    def flush(self) -> None:
        self.inode.data += self.buffer
        self.buffer = b""
        self.disk.instant()

    def fileno(self) -> Inode:
        return self.inode

    def close(self) -> None:
        if self.buffer:
            self.flush()


class Disk:
    """Files in one folder, standing in for `open` and `os`: what is not synced may be lost, torn, or come as zeros."""

    O_RDONLY = os.O_RDONLY
    O_DIRECTORY = os.O_DIRECTORY
    O_CLOEXEC = os.O_CLOEXEC
    O_CREAT = os.O_CREAT
    O_EXCL = os.O_EXCL
    O_RDWR = os.O_RDWR
    path = os.path

    def __init__(self, files: dict[str, bytes] | None = None) -> None:
        self.names = {name: Inode(data) for name, data in (files or {}).items()}
        self.durable_names = dict(self.names)
        self.on_instant: Callable[[], None] | None = None
        self.fail_sync = False

    def instant(self) -> None:
        if self.on_instant:
            self.on_instant()

    def images(self) -> Iterator[dict[str, bytes]]:
        """What a power cut may leave at this instant: either folder; of the file, every prefix that was not synced."""
        folders = [self.durable_names]
        if self.names != self.durable_names:
            folders.append(self.names)
        for names in folders:
            files = {name: inode.data for name, inode in names.items()}
            inode = names.get("journal")
            if inode is None:
                yield files
                continue
            for size in range(inode.synced, len(inode.data) + 1):
                yield files | {"journal": inode.data[:size]}
                yield files | {"journal": inode.data[:size] + bytes(len(inode.data) - size)}

    def open(self, name: str, mode: "str | int", permissions: int = 0) -> Any:
        if isinstance(mode, int):
            return None  # the folder, or a new file that is opened again at once
        if mode == "wb":
            self.names[name] = Inode()
            self.instant()
        elif name not in self.names:
            raise OSError(errno.ENOENT, name)
        return File(self, self.names[name])

    def close(self, _: None) -> None:
        pass

    def fsync(self, inode: Inode | None) -> None:
        if self.fail_sync:
            raise OSError(errno.EIO, "sync failed")
        if inode:
            inode.synced = len(inode.data)
        else:
            self.durable_names = dict(self.names)
        self.instant()

    def unlink(self, name: str) -> None:
        if self.names.pop(name, None) is None:
            raise FileNotFoundError(errno.ENOENT, name)

    def stat(self, name: str) -> Any:
        return SimpleNamespace(st_dev=1, st_ino=id(self.names[name]))

    def fstat(self, inode: Inode) -> Any:
        return SimpleNamespace(st_dev=1, st_ino=id(inode))

    def replace(self, source: str, target: str) -> None:
        self.names[target] = self.names.pop(source)
        self.instant()


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[[Disk], Disk]:
    def use(disk: Disk) -> Disk:
        monkeypatch.setattr(area_file, "open", disk.open, raising=False)
        monkeypatch.setattr(area_host, "os", disk)
        monkeypatch.setattr(folder, "os", disk)
        return disk

    return use


async def opened(size: int = 4096, path: "str | Path" = "journal") -> tuple[Journal, State]:
    journal = Journal(path, size)
    state = await journal.open()
    journal.snapshot = lambda: state
    return journal, state


def take(journal: Journal, state: State, *record: Any) -> None:
    journal.record(*record)
    state.apply(*record)


async def test_a_file_recovers_from_a_cut_at_every_operation(use: Callable[[Disk], Disk]) -> None:
    disk = use(Disk())
    images: dict[str, tuple[dict[str, bytes], int, int]] = {}
    sums = [summary(State())]
    committed = 0

    def on_instant() -> None:
        for image in disk.images():
            key = repr(image)
            # The same image again has to satisfy both instants: all committed by now, nothing that came after then.
            images[key] = (image, committed, images[key][2] if key in images else len(sums))

    disk.on_instant = on_instant
    journal, state = await opened(1024)

    def record(*record: Any) -> None:
        take(journal, state, *record)
        sums.append(summary(state))

    record(IDENTITY, 7, b"client")
    for seq in range(16):
        record(ACCEPTED, seq, HEAD, b"%080d" % seq, b"\1")
        record(HELD, seq + 1)
        if seq % 2:
            record(DONE, seq - 1)
            record(DONE, max(seq - 2, 0))
            await journal.commit()
            committed = len(sums) - 1
    assert journal._count > 2
    assert len(images) > 1000
    for image, low, high in images.values():
        use(Disk(image))
        again, recovered = await opened(1024)
        assert summary(recovered) in sums[low:high]
        take(again, recovered, ACCEPTED, 9999, HEAD, b"after the cut", b"")
        await again.commit()
        await again.close()
        assert summary((await opened(1024))[1]) == summary(recovered)


async def test_a_second_cut_while_it_recovers_changes_nothing(use: Callable[[Disk], Disk]) -> None:
    disk = use(Disk())
    journal, state = await opened()
    for seq in range(3):
        take(journal, state, ACCEPTED, seq, HEAD, b"payload", b"")
    await journal.commit()
    whole = disk.names["journal"].data
    for size in range(len(whole) - 1, len(whole) - 20, -1):
        disk = use(Disk({"journal": whole[:size]}))
        images: list[dict[str, bytes]] = []
        disk.on_instant = lambda disk=disk, images=images: images.extend(disk.images())
        expected = summary((await opened())[1])
        assert images
        for image in images:
            use(Disk(image))
            assert summary((await opened())[1]) == expected


async def test_a_sync_that_failed_once_is_never_forgiven(use: Callable[[Disk], Disk]) -> None:
    disk = use(Disk())
    journal, state = await opened()
    take(journal, state, ACCEPTED, 1, HEAD, b"", b"")
    disk.fail_sync = True
    results = await asyncio.gather(journal.commit(), journal.commit(), return_exceptions=True)
    assert all(isinstance(result, StoreError) for result in results)
    disk.fail_sync = False
    with pytest.raises(StoreError, match="sync failed"):
        await journal.commit()
    with pytest.raises(StoreError, match="sync failed"):
        await journal.close()


async def test_who_commits_at_the_same_time_shares_one_sync(use: Callable[[Disk], Disk]) -> None:
    disk = use(Disk())
    journal, state = await opened()
    syncs = 0

    def on_instant() -> None:
        nonlocal syncs
        syncs += 1

    disk.on_instant = on_instant

    async def one(seq: int) -> None:
        take(journal, state, ACCEPTED, seq, HEAD, b"", b"")
        await journal.commit()

    await asyncio.gather(*[one(seq) for seq in range(10)])
    assert syncs == 3  # a flush, a sync, a mark


async def test_a_full_journal_refuses_messages_and_still_takes_what_ends_them(tmp_path: Path) -> None:
    journal, state = await opened(4096, tmp_path / "journal")
    seq = 0
    while journal.fits(80):
        take(journal, state, ACCEPTED, seq, HEAD, b"%071d" % seq, b"")
        await journal.commit()
        seq += 1
    assert 20 < seq < 30
    for number in range(seq):
        take(journal, state, HELD, number + 1)
        await journal.commit()
    assert not journal.fits(80)
    for number in range(seq):
        take(journal, state, DONE, number)
        await journal.commit()
    assert journal.fits(80)
    await journal.close()
    assert (tmp_path / "journal").stat().st_size <= 4096
    journal, again = await opened(4096, tmp_path / "journal")
    assert summary(again) == summary(state)
    await journal.close()


async def test_a_message_larger_than_the_journal_is_refused_in_words(tmp_path: Path) -> None:
    journal, _ = await opened(4096, tmp_path / "journal")
    with pytest.raises(StoreError, match="a message of 4000 bytes never fits"):
        journal.fits(4000)
    await journal.close()


async def test_a_file_that_is_no_journal_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "letter"
    path.write_bytes(b"Dear Sir or Madam")
    with pytest.raises(StoreError, match="letter: no journal"):
        await Journal(path).open()
    assert path.read_bytes() == b"Dear Sir or Madam"


async def test_only_its_owner_may_read_a_journal(tmp_path: Path) -> None:
    journal, _ = await opened(4096, tmp_path / "journal")
    await journal.close()
    assert (tmp_path / "journal").stat().st_mode & 0o777 == 0o600


async def test_flash_that_does_not_take_a_program_is_an_error() -> None:
    class Worn:
        def readblocks(self, block: int, buf: bytearray, offset: int) -> None:
            buf[:] = b"\xff" * len(buf)

        def writeblocks(self, block: int, buf: object, offset: int) -> int:
            return -5

        def ioctl(self, op: int, arg: int) -> int:
            return {4: 4, 5: 4096}.get(op, 0)

    with pytest.raises(StoreError):
        await Journal(RawArea(Worn())).open()
