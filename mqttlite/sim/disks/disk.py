"""A disk: what was synced survives a power cut; of what was not, each sector of 512 bytes is kept or lost by itself.

So writes are dropped, torn and reordered. Names are a journal of their own: of the creations, deletions and renamings
since the last sync of the directory, the first ones are kept. Files and directory are synced apart from each other, as
POSIX has it. A sync that fails loses what it should have written, though it can still be read. A mount is a process's
sight of the disk in one of its lives; after its end it ignores everything.
"""

import errno
import itertools
import posixpath
from collections.abc import Callable
from typing import NamedTuple

from ..timeline import Timeline

SECTOR = 512  # bytes that a disk writes whole or not at all
PAGE = 4096  # bytes that flash behind a controller writes at least
SHARES = (0.0, 0.5, 0.9, 1.0)  # of the unsynced sectors that a power cut leaves


class Operation(NamedTuple):
    """What is about to be done: the `number`-th operation that changes the disk."""

    number: int
    what: str  # write, truncate, sync, create, delete, rename, sync directory
    name: str  # of the file


_numbers = itertools.count(1)


class _File:
    """What a name stands for."""

    __slots__ = ("content", "durable", "loose", "number")

    def __init__(self, content: bytes = b"") -> None:
        self.number = next(_numbers)
        self.content = bytearray(content)
        self.durable = bytearray(content)
        self.loose: list[tuple[int, bytes | None]] = []  # not synced: offset, data; None: cut off there


class Disk:
    """The disk of a process.

    `on_operation`: called with each Operation before it is done. It may raise OSError (with errno ENOSPC or EIO) in its
    place, kill the process, or return something to be called when it has been done.
    `capacity`: bytes that all files may have. `sync_ns`, `write_ns`: how long these take, from and to. `written`: bytes
    that programs wrote; `syncs`: of files and of the directory; `pages`: that these had to write.
    """

    def __init__(self, world: Timeline, name: str) -> None:
        self.name = name
        self.on_operation: Callable[[Operation], Callable[[], object] | None] | None = None
        self.capacity: int | None = None
        self.sync_ns = (200_000, 4_000_000)  # a good SD card, or a bad SSD
        self.write_ns = (0, 0)
        self.operations = 0
        self.written = self.syncs = self.pages = 0
        self._world = world
        self._lane = name + " disk"
        self._names: dict[str, _File] = {}
        self._durable_names: dict[str, _File] = {}
        self._loose_names: list[tuple[str, str, _File | None]] = []  # what, name, file

    def mount(self) -> "Mount":
        """A new life begins."""
        return Mount(self)

    def files(self) -> dict[str, bytes]:
        """What is in each file, as a program would read it now."""
        return {name: bytes(file.content) for name, file in self._names.items()}

    def put(self, files: dict[str, bytes]) -> None:
        """Put these files on it, durably, in the place of all that was there: an old copy, for example."""
        self._names = {name: _File(content) for name, content in files.items()}
        self._durable_names = dict(self._names)
        self._loose_names = []

    def lose_power(self) -> None:
        """What was not synced is lost, as chance wants it."""
        chance = self._world.random
        share = chance.choice(SHARES)
        kept = round(len(self._loose_names) * chance.choice(SHARES))
        for change in self._loose_names[:kept]:
            _rename(self._durable_names, *change)
        for name in sorted({*self._names, *self._durable_names}):
            for file in (self._names.get(name), self._durable_names.get(name)):
                if file is not None and file.loose:
                    for offset, data in file.loose:
                        _tear(file.durable, offset, data, lambda: chance.random() < share)
                    file.loose.clear()
        for file in self._durable_names.values():
            file.content = bytearray(file.durable)
        self._names = dict(self._durable_names)
        self._loose_names.clear()

    # -- for mounts

    def _before(self, what: str, name: str, detail: str) -> Callable[[], object] | None:
        world = self._world
        self.operations += 1
        world.note(self._lane, what, detail)
        world.reach(f"{self._lane} {what} {name}" if name else f"{self._lane} {what}")
        if self.on_operation is not None:
            return world.ask(self.on_operation, Operation(self.operations, what, name))
        return None

    def _need(self, name: str) -> _File:
        file = self._names.get(name)
        if file is None:
            raise FileNotFoundError(errno.ENOENT, "no such file", name)
        return file

    def _takes(self, low: int, high: int) -> None:
        if high:
            self._world.ahead += self._world.draw(low, high)


class Mount:
    """A process's sight of its disk, until the process dies. Raises OSError."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self.alive = True
        self.locks: set[str] = set()  # files that are locked with flock

    def die(self, power: bool) -> None:
        """The process has ended."""
        self.alive = False
        if power:
            self.disk.lose_power()
        # SQLite holds on to a mount where no garbage collector sees it: that must not keep the whole world.
        del self.disk

    def exists(self, name: str) -> bool:
        return self.alive and name in self.disk._names

    def size(self, name: str) -> int:
        file = self.disk._names.get(name) if self.alive else None
        return len(file.content) if file is not None else 0

    def number(self, name: str) -> int | None:
        """Which file a name stands for; None: there is no such name."""
        file = self.disk._names.get(name) if self.alive else None
        return file.number if file is not None else None

    def free(self) -> int:
        """Bytes that may still be written."""
        if not self.alive or self.disk.capacity is None:
            return 1 << 40
        return max(0, self.disk.capacity - sum(len(file.content) for file in self.disk._names.values()))

    def read(self, name: str, offset: int, amount: int) -> bytes:
        file = self.disk._names.get(name) if self.alive else None
        return bytes(file.content[offset : offset + amount]) if file is not None else b""

    def create(self, name: str) -> None:
        """An empty file, if there is none."""
        if self.alive and name not in self.disk._names:
            self._rename("create", name, _File())

    def write(self, name: str, offset: int, data: bytes) -> None:
        if not self.alive:
            return
        disk = self.disk
        after = disk._before("write", name, f"{name} {offset}+{len(data)}")
        file = disk._need(name)
        content = file.content
        grows = offset + len(data) - len(content)
        if disk.capacity is not None and grows > 0:
            used = sum(len(file.content) for file in disk._names.values())
            if used + grows > disk.capacity:
                raise OSError(errno.ENOSPC, "No space left on device")
        _write(content, offset, data)
        file.loose.append((offset, data))
        disk.written += len(data)
        disk._takes(*disk.write_ns)
        if after:
            after()

    def truncate(self, name: str, size: int) -> None:
        if self.alive:
            after = self.disk._before("truncate", name, f"{name} {size}")
            file = self.disk._need(name)
            _write(file.content, size, None)
            file.loose.append((size, None))
            if after:
                after()

    def sync(self, name: str) -> None:
        if self.alive:
            disk = self.disk
            file = disk._need(name)
            try:
                after = disk._before("sync", name, name)
            except OSError:
                file.loose.clear()  # as on Linux: what a failed sync has not written is never written
                raise
            disk.syncs += 1
            disk.pages += _pages(file.loose)
            for offset, data in file.loose:
                _write(file.durable, offset, data)
            file.loose.clear()
            disk._takes(*disk.sync_ns)
            if after:
                after()

    def delete(self, name: str) -> None:
        if self.alive:
            self.disk._need(name)
            self._rename("delete", name, None)

    def rename(self, old: str, new: str) -> None:
        """`new` is what `old` was, in one step."""
        if self.alive:
            self._rename("rename", new, self.disk._need(old), old)

    def sync_directory(self) -> None:
        if self.alive:
            disk = self.disk
            after = disk._before("sync directory", "", "")
            for change in disk._loose_names:
                _rename(disk._durable_names, *change)
            disk.syncs += 1
            disk.pages += bool(disk._loose_names)
            disk._loose_names.clear()
            disk._takes(*disk.sync_ns)
            if after:
                after()

    def _rename(self, what: str, name: str, file: _File | None, old: str = "") -> None:
        disk = self.disk
        after = disk._before(what, name, f"{old} to {name}" if old else name)
        change = (old, name, file)
        _rename(disk._names, *change)
        disk._loose_names.append(change)
        if after:
            after()


def _pages(loose: list[tuple[int, bytes | None]]) -> int:
    """How many pages these writes touch."""
    return len(
        {page for offset, data in loose for page in range(offset // PAGE, (offset + len(data or b"") - 1) // PAGE + 1)}
    )


def _rename(names: dict[str, _File], old: str, name: str, file: _File | None) -> None:
    names.pop(old, None)
    if file is None:
        names.pop(name, None)
    else:
        names[name] = file


def _write(content: bytearray, offset: int, data: bytes | None) -> None:
    if data is None:
        if offset < len(content):
            del content[offset:]
        else:
            content.extend(bytes(offset - len(content)))
        return
    if offset > len(content):
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


def _tear(content: bytearray, offset: int, data: bytes | None, keep: Callable[[], bool]) -> None:
    """Do as much of an operation that was not synced as is kept."""
    if data is None:
        if keep():
            _write(content, offset, None)
        return
    at = offset
    while at < offset + len(data):
        end = min(at // SECTOR * SECTOR + SECTOR, offset + len(data))
        if keep():
            _write(content, at, data[at - offset : end - offset])
        at = end


def name_of(path: str) -> str:
    """The name that a path stands for: folders are part of names."""
    return posixpath.normpath("/" + path).lstrip("/")
