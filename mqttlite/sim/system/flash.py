"""The modules `os` and the function `open` for a board's program on the simulated disk, as littlefs has them: what was
closed is durable, and so is each change of a name, at once and in order. There are folders, which names imply.

What a power cut tears is a disk's, though, sector by sector: more than littlefs would leave.
"""

import errno
import io
import os
import stat
from typing import Any

from ..disks.disk import Mount, name_of
from .files import FakeOs, _Raw

FOLDER = os.stat_result((stat.S_IFDIR | 0o700, 0, 1, 1, 0, 0, 0, 0, 0, 0))


class FlashOs:
    """The module `os` of a board."""

    def __init__(self, fake: FakeOs) -> None:
        self._fake = fake

    @property
    def _mount(self) -> Mount:
        return self._fake.mount

    def getcwd(self) -> str:
        return "/"

    def mkdir(self, path: str) -> None:
        pass  # there is one as soon as something is in it

    rmdir = mkdir

    def listdir(self, path: str) -> list[str]:
        prefix = name_of(path) + "/" if name_of(path) else ""
        names = self._mount.disk.files() if self._mount.alive else {}
        return sorted({name[len(prefix) :].split("/")[0] for name in names if name.startswith(prefix)})

    def stat(self, path: str) -> os.stat_result:
        name = name_of(path)
        if not self._mount.exists(name):
            if name and not self.listdir(path):
                raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
            return FOLDER
        return self._fake.stat(path)

    def rename(self, old: str, new: str) -> None:
        self._fake.rename(old, new)
        self._mount.sync_directory()

    def remove(self, path: str) -> None:
        self._fake.remove(path)
        self._mount.sync_directory()


class _Durable(_Raw):
    """A file that is durable when it is closed."""

    def close(self) -> None:
        if not self.closed and self._writes:
            self._mount.sync(self._name)
            self._mount.sync_directory()
        super().close()


class FlashOpen:
    """The function `open` of a board: modes r, w, rb, wb and ab."""

    def __init__(self, fake: FakeOs) -> None:
        self._fake = fake

    def __call__(self, path: str, mode: str = "r") -> Any:
        binary = mode if mode.endswith("b") else mode + "b"
        raw = _Durable(self._fake, path, binary)
        file: Any = io.BufferedReader(raw) if binary == "rb" else io.BufferedWriter(raw)
        return file if mode == binary else io.TextIOWrapper(file, encoding="utf-8")
