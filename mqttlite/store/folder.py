"""The folder that a store lies in. CPython only."""

import os


def sync_folder(path: str) -> None:
    """Make the names beside the file `path` durable, and its own. OSError of the disk."""
    folder = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
