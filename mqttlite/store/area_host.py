"""Where a journal lies, on an operating system: a file that is synced, and the folder that it is renamed in. CPython.

Syncing blocks the event loop for as long as the disk takes; a server with many messages has the SQLite store.
"""

import contextlib
import os

from . import area_file
from .folder import sync_folder


class FileArea(area_file.FileArea):
    """The file `path`, of at most `size` bytes, mode 0600."""

    def _sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())

    def _rename(self) -> None:
        os.chmod(self.path + ".new", 0o600)
        os.replace(self.path + ".new", self.path)
        sync_folder(self.path)

    def resume(self, at: int) -> bool:
        # Never: what a sync has failed to write can still be read, and no later sync writes it; what would be appended
        # behind it would go with it at the next power cut. So each life begins with a generation of its own.
        return False

    def close(self) -> None:
        with contextlib.suppress(OSError):  # what it would still write has failed before, and was reported
            super().close()
