"""A simulated disk as a file system of SQLite (a VFS), written with apsw; the only module that imports it.

Any object with the methods of Files will do as the disk. What it raises, OSError or apsw.Error, SQLite gets to know.
The -shm is not simulated (locking_mode=EXCLUSIVE): it is never a source of what is durable. The salts in a WAL are
SQLite's own chance, so what is written (not where, nor how much) differs from run to run.
"""

import contextlib
import errno
import itertools
from collections.abc import Callable
from typing import Any, Protocol
from weakref import WeakValueDictionary

import apsw

from ...store.in_sqlite.sqlite_file import CHECKPOINT
from .disk import SECTOR, name_of


class Files(Protocol):
    """What SQLite does to a disk; disk.Mount has it."""

    def exists(self, name: str) -> bool: ...
    def size(self, name: str) -> int: ...
    def read(self, name: str, offset: int, amount: int) -> bytes: ...
    def create(self, name: str) -> None: ...
    def write(self, name: str, offset: int, data: bytes) -> None: ...
    def truncate(self, name: str, size: int) -> None: ...
    def sync(self, name: str) -> None: ...
    def delete(self, name: str) -> None: ...
    def sync_directory(self) -> None: ...


_disks: "WeakValueDictionary[str, Files]" = WeakValueDictionary()
_numbers = itertools.count()
# SQLite's own file system syncs the directory when it has made one of these and syncs it for the first time.
_JOURNALS = ("-journal", "-wal")
_NAME = "mqttlite-sim"


def as_sqlite_has_it(error: OSError) -> apsw.Error:
    """An error of the disk, as SQLite wants to be told."""
    if error.errno != errno.ENOSPC:
        return apsw.IOError(str(error))
    full: Any = apsw.FullError(str(error))
    full.result = full.extendedresult = apsw.SQLITE_FULL  # apsw raises this very object
    return full  # type: ignore[no-any-return]


def _change(operation: Callable[..., object], *args: Any) -> None:
    """Do something to a disk, and tell SQLite of an error."""
    try:
        operation(*args)
    except OSError as error:
        raise as_sqlite_has_it(error) from None


class _File:
    """An open file, as apsw wants it."""

    def __init__(self, disk: Files, name: str, make: bool) -> None:
        self.disk = disk
        self.name = name
        self.is_new_journal = not disk.exists(name) and name.endswith(_JOURNALS)
        if make:
            _change(disk.create, name)

    def xRead(self, amount: int, offset: int) -> bytes:
        return self.disk.read(self.name, offset, amount)

    def xWrite(self, data: bytes, offset: int) -> None:
        _change(self.disk.write, self.name, offset, bytes(data))

    def xTruncate(self, size: int) -> None:
        _change(self.disk.truncate, self.name, size)

    def xSync(self, flags: int) -> None:
        _change(self.disk.sync, self.name)
        if self.is_new_journal:
            _change(self.disk.sync_directory)
            self.is_new_journal = False

    def xFileSize(self) -> int:
        return self.disk.size(self.name)

    def xSectorSize(self) -> int:
        return SECTOR

    def xDeviceCharacteristics(self) -> int:
        return apsw.SQLITE_IOCAP_POWERSAFE_OVERWRITE  # as SQLite assumes of every disk

    def xLock(self, level: int) -> None:
        pass

    def xUnlock(self, level: int) -> None:
        pass

    def xCheckReservedLock(self) -> bool:
        return False

    def xFileControl(self, op: int, pointer: int) -> bool:
        return False

    def xClose(self) -> None:
        pass


class _FileSystem(apsw.VFS):
    """All disks; a file's path is the number of its disk and its name."""

    def __init__(self) -> None:
        super().__init__(_NAME, base="unix")

    def xOpen(self, name: object, flags: list[int]) -> _File:  # type: ignore[override]
        path = str(name.filename() if isinstance(name, apsw.URIFilename) else name)
        disk, name = _place(path)
        flags[1] = flags[0]
        return _File(disk, name, make=bool(flags[0] & apsw.SQLITE_OPEN_CREATE))

    def xAccess(self, path: str, flags: int) -> bool:
        disk, name = _place(path)
        return disk.exists(name)

    def xDelete(self, path: str, sync_directory: bool) -> None:
        disk, name = _place(path)
        _change(disk.delete, name)
        if sync_directory:
            _change(disk.sync_directory)

    def xFullPathname(self, path: str) -> str:
        return path


_file_system: _FileSystem | None = None


def _place(path: str) -> tuple[Files, str]:
    _, number, name = path.split("/", 2)
    return _disks[number], name


class _Connection(apsw.Connection):
    """SQLite passes over what goes wrong when it carries over its WAL behind a commit: that stands. apsw would raise it
    as if the commit had failed.
    """

    def execute(self, sql: str, *args: Any) -> Any:  # type: ignore[override]
        name, _, pages = sql.partition("PRAGMA wal_autocheckpoint = ")
        if name or not pages:
            return super().execute(sql, *args)
        self.set_wal_hook(lambda connection, database, there: _carry_over(connection, database, there, int(pages)))
        return iter(())


def _carry_over(connection: apsw.Connection, database: str, there: int, pages: int) -> int:
    if there >= pages > 0:
        with contextlib.suppress(apsw.Error):
            connection.wal_checkpoint(database)
    return apsw.SQLITE_OK


def connect(disk: Files, path: str, *, checkpoint: int = CHECKPOINT) -> Any:
    """A connection with the settings of store.sqlite_file.connect. `checkpoint`: pages in the WAL for one."""
    global _file_system
    if _file_system is None:
        _file_system = _FileSystem()
    number = getattr(disk, "sqlite_number", None)
    if number is None:
        number = disk.sqlite_number = str(next(_numbers))  # type: ignore[attr-defined]
        _disks[number] = disk
    connection = _Connection(f"/{number}/{name_of(path)}", vfs=_NAME)
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute(f"PRAGMA wal_autocheckpoint = {checkpoint}")
    connection.execute("PRAGMA secure_delete = OFF")
    return connection
