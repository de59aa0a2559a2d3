"""A simulated disk as a file system of SQLite (a VFS), written with apsw; the only module that imports it.

The -shm is not simulated (locking_mode=EXCLUSIVE): it is never a source of what is durable. Chance and time that SQLite
asks for are the same in each run.
"""

import errno
import itertools
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import apsw

from ..store.sqlite_file import CHECKPOINT
from .disk import SECTOR, name_of

if TYPE_CHECKING:
    from .disk import Mount

_mounts: "WeakValueDictionary[str, Mount]" = WeakValueDictionary()
_numbers = itertools.count()
# SQLite's own file system syncs the directory when it has made one of these and syncs it for the first time.
_JOURNALS = ("-journal", "-wal")
_NAME = "mqttlite-sim"


def _said(error: OSError) -> apsw.Error:
    """An error of the disk as SQLite wants to be told."""
    return apsw.FullError(str(error)) if error.errno == errno.ENOSPC else apsw.IOError(str(error))


class _File:
    """An open file, as apsw wants it."""

    def __init__(self, mount: "Mount", name: str, make: bool) -> None:
        self.mount = mount
        self.name = name
        self.is_new_journal = not mount.exists(name) and name.endswith(_JOURNALS)
        if make:
            try:
                mount.create(name)
            except OSError as error:
                raise _said(error) from None

    def xRead(self, amount: int, offset: int) -> bytes:
        return self.mount.read(self.name, offset, amount)

    def xWrite(self, data: bytes, offset: int) -> None:
        try:
            self.mount.write(self.name, offset, bytes(data))
        except OSError as error:
            raise _said(error) from None

    def xTruncate(self, size: int) -> None:
        try:
            self.mount.truncate(self.name, size)
        except OSError as error:
            raise _said(error) from None

    def xSync(self, flags: int) -> None:
        try:
            self.mount.sync(self.name)
            if self.is_new_journal:
                self.mount.sync_directory()
                self.is_new_journal = False
        except OSError as error:
            raise _said(error) from None

    def xFileSize(self) -> int:
        return self.mount.size(self.name)

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


class _Files(apsw.VFS):
    """All mounts; a file's path is its mount's number and its name."""

    def __init__(self) -> None:
        super().__init__(_NAME, base="unix")

    def xOpen(self, name: object, flags: list[int]) -> _File:  # type: ignore[override]
        path = str(name.filename() if isinstance(name, apsw.URIFilename) else name)
        mount, name = _place(path)
        flags[1] = flags[0]
        return _File(mount, name, make=bool(flags[0] & apsw.SQLITE_OPEN_CREATE))

    def xAccess(self, path: str, flags: int) -> bool:
        mount, name = _place(path)
        return mount.exists(name)

    def xDelete(self, path: str, sync_directory: bool) -> None:
        mount, name = _place(path)
        try:
            mount.delete(name)
            if sync_directory:
                mount.sync_directory()
        except OSError as error:
            raise apsw.IOError(str(error)) from None

    def xFullPathname(self, path: str) -> str:
        return path

    def xRandomness(self, amount: int) -> bytes:
        return bytes(range(1, 256))[:amount]

    def xCurrentTimeInt64(self) -> int:
        return 0


_files: _Files | None = None


def _place(path: str) -> "tuple[Mount, str]":
    _, number, name = path.split("/", 2)
    return _mounts[number], name


def connect(mount: "Mount", path: str, *, checkpoint: int = CHECKPOINT) -> Any:
    """A connection with the settings of store.sqlite_file.connect. `checkpoint`: pages in the WAL for one."""
    global _files
    if _files is None:
        _files = _Files()
    number = getattr(mount, "sqlite_number", None)
    if number is None:
        number = mount.sqlite_number = str(next(_numbers))  # type: ignore[attr-defined]
        _mounts[number] = mount
    connection = apsw.Connection(f"/{number}/{name_of(path)}", vfs=_NAME)
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute(f"PRAGMA wal_autocheckpoint = {checkpoint}")
    connection.execute("PRAGMA secure_delete = OFF")
    return connection
