"""The modules `os` and `fcntl` and the function `open` for product code that keeps files: they lead to the disk of the
process that is running. What they do not have is the real module's.
"""

import errno
import io
import os
import posixpath
import stat
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from ..disks.disk import Mount, name_of
from ..machine import Machines

FIRST = 1_000_000  # of the numbers of open files: no real one is so great


class _Handle:
    """An open file or, without a name, the directory."""

    def __init__(self, mount: Mount, name: str) -> None:
        self.mount = mount
        self.name = name
        self.number = mount.number(name) if name else None  # of the file that it was when it was opened
        self.at = 0
        self.locked = False


class FakeOs:
    """The module `os`."""

    def __init__(self, world: Machines) -> None:
        self._world = world
        self._handles: dict[int, _Handle] = {}
        self._next = FIRST
        self.path = _FakePath(self)

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    @property
    def mount(self) -> Mount:
        """Of the process that is running."""
        process = self._world.current
        if process is None:
            raise RuntimeError("no process is running: whose disk?")
        return process.mount

    def handle(self, file: int) -> _Handle:
        handle = self._handles.get(file)
        if handle is None:
            raise OSError(errno.EBADF, "Bad file descriptor")
        return handle

    def open(self, path: str, flags: int, mode: int = 0o777, **_: Any) -> int:
        mount = self.mount
        name = name_of(path)
        if mount.alive and (name in ("", ".") or flags & os.O_DIRECTORY):
            name = ""
        elif flags & os.O_CREAT:
            if flags & os.O_EXCL and mount.exists(name):
                raise FileExistsError(errno.EEXIST, "File exists", path)
            mount.create(name)
        elif not mount.exists(name):
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
        return self.add(mount, name)

    def add(self, mount: Mount, name: str) -> int:
        self._next += 1
        self._handles[self._next] = _Handle(mount, name)
        return self._next

    def close(self, file: int) -> None:
        handle = self.handle(file)
        del self._handles[file]
        if handle.locked:
            handle.mount.locks.discard(handle.name)

    def fsync(self, file: int) -> None:
        handle = self.handle(file)
        if handle.name:
            handle.mount.sync(handle.name)
        else:
            handle.mount.sync_directory()

    def ftruncate(self, file: int, size: int) -> None:
        handle = self.handle(file)
        handle.mount.truncate(handle.name, size)

    def write(self, file: int, data: bytes) -> int:
        handle = self.handle(file)
        handle.mount.write(handle.name, handle.at, bytes(data))
        handle.at += len(data)
        return len(data)

    def pread(self, file: int, size: int, offset: int) -> bytes:
        handle = self.handle(file)
        return handle.mount.read(handle.name, offset, size)

    def pwrite(self, file: int, data: bytes, offset: int) -> int:
        handle = self.handle(file)
        handle.mount.write(handle.name, offset, data)
        return len(data)

    def unlink(self, path: str, **_: Any) -> None:
        self.mount.delete(name_of(path))

    remove = unlink

    def rename(self, old: str, new: str, **_: Any) -> None:
        self.mount.rename(name_of(old), name_of(new))

    replace = rename

    def chmod(self, path: str, mode: int, **_: Any) -> None:
        pass

    def stat(self, path: str, **_: Any) -> os.stat_result:
        """Of a file; its number is that of what the name stands for now."""
        mount = self.mount
        name = name_of(path)
        number = mount.number(name)
        if number is None:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
        return _stat(number, mount.size(name))

    lstat = stat

    def fstat(self, file: int) -> os.stat_result:
        handle = self.handle(file)
        return _stat(handle.number or 0, handle.mount.size(handle.name))

    def statvfs(self, path: str) -> Any:
        """Only what is free."""
        return SimpleNamespace(f_bavail=self.mount.free(), f_frsize=1)

    def posix_fallocate(self, file: int, offset: int, size: int) -> None:
        handle = self.handle(file)
        handle.mount.write(handle.name, offset, bytes(size))

    def access(self, path: str, mode: int, **_: Any) -> bool:
        return True

    def getpid(self) -> int:
        process = self._world.current
        return 1000 + process.life if process else 1


def _stat(number: int, size: int) -> os.stat_result:
    return os.stat_result((stat.S_IFREG | 0o600, number, 1, 1, 0, 0, size, 0, 0, 0))


class _FakePath:
    """The module `os.path`."""

    def __init__(self, fake: FakeOs) -> None:
        self._fake = fake

    def __getattr__(self, name: str) -> Any:
        return getattr(posixpath, name)

    def exists(self, path: str) -> bool:
        return self._fake.mount.exists(name_of(path))

    def getsize(self, path: str) -> int:
        return self._fake.mount.size(name_of(path))

    isfile = exists
    lexists = exists

    def realpath(self, path: Any) -> str:
        return "/" + name_of(os.fspath(path))

    abspath = realpath


class FakeFcntl:
    """The module `fcntl`: flock alone, exclusive and without waiting."""

    LOCK_EX = 2
    LOCK_NB = 4
    LOCK_UN = 8

    def __init__(self, fake: FakeOs) -> None:
        self._fake = fake

    def flock(self, file: int, how: int) -> None:
        handle = self._fake.handle(file)
        locks = handle.mount.locks
        if how & self.LOCK_UN:
            locks.discard(handle.name)
            handle.locked = False
            return
        if handle.name in locks and not handle.locked:
            raise BlockingIOError(errno.EWOULDBLOCK, "Resource temporarily unavailable")
        locks.add(handle.name)
        handle.locked = True


class _Raw(io.RawIOBase):
    """A file without a buffer."""

    def __init__(self, fake: FakeOs, path: str, mode: str) -> None:
        self._fake = fake
        self._mount = mount = fake.mount
        self._name = name = name_of(path)
        self._appends = mode == "ab"
        self._at = 0
        self._number = 0
        if mode == "rb":
            if not mount.exists(name):
                raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
        else:
            mount.create(name)
            if mode == "wb" and mount.size(name):
                mount.truncate(name, 0)
        self._writes = mode != "rb"
        self._number = fake.add(mount, name)

    def fileno(self) -> int:
        return self._number

    def readable(self) -> bool:
        return not self._writes

    def writable(self) -> bool:
        return self._writes

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        base = (0, self._at, self._mount.size(self._name))[whence]
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        data = self._mount.read(self._name, self._at, len(buffer))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def write(self, data: Any) -> int:
        if self._appends:
            self._at = self._mount.size(self._name)
        taken = bytes(data)
        self._mount.write(self._name, self._at, taken)
        self._at += len(taken)
        return len(taken)

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._fake._handles.pop(self._number, None)


def fake_open(fake: FakeOs) -> Callable[..., Any]:
    """The function `open` for binary files, modes rb, wb and ab."""

    def open(path: str, mode: str = "r") -> Any:
        if mode not in ("rb", "wb", "ab"):
            raise NotImplementedError(f"a file of the simulated disk in mode {mode}")
        raw = _Raw(fake, path, mode)
        return io.BufferedReader(raw) if mode == "rb" else io.BufferedWriter(raw)

    return open
