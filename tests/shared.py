"""What all workers of a test run share: a folder, where one of them makes what costs much, and the others take it."""

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

_PLACE = "MQTTLITE_TEST_SHARED"  # in the environment


def begin() -> bool:
    """Called when tests begin, by each process: whether this is the one that has to call `end`."""
    if _PLACE in os.environ:
        return False
    os.environ[_PLACE] = tempfile.mkdtemp(prefix="mqttlite-shared-")
    return True


def folder() -> Path:
    """The folder of this run."""
    return Path(os.environ[_PLACE])


def end() -> Path:
    """The run is over: its folder, to be removed."""
    return Path(os.environ.pop(_PLACE))


@contextlib.contextmanager
def alone(name: str) -> Iterator[Path]:
    """Nobody else makes what is called `name` meanwhile: its path, where something is or not."""
    with (folder() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder() / name
