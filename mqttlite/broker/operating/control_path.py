"""Where a broker has its control socket, and where `mqttlite ctl` looks for it.

Each broker has a name of its own (`broker-PID.sock`), so that several of one user do not share one. The folder is that
of its service ($RUNTIME_DIRECTORY), that of its user ($XDG_RUNTIME_DIR/mqttlite), /run/mqttlite-broker for root, or one
of this user alone in the folder for temporary files.
"""

import os
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

# RuntimeDirectory of the units: the broker's own, and that of the gateway, which has one inside
SERVICE = Path("/run/mqttlite-broker")
GATEWAY = Path("/run/mqttlite")
NAME = "broker-"
END = ".sock"


def default_path() -> Path | None:
    """For this process. None where this user can have none."""
    for folder in _folders():
        if _made(folder):
            _tidy(folder)
            return folder / f"{NAME}{os.getpid()}{END}"
    return None


def running() -> list[Path]:
    """The sockets of brokers that run, of this user and of the services; those that this user may not use only where
    there are no others.
    """
    found = []
    for folder in dict.fromkeys(_folders()):
        for each in (SERVICE, GATEWAY) if folder == SERVICE else (folder,):
            found += _answered(each)
    return [path for path in found if os.access(path, os.W_OK)] or found


def _answered(folder: Path) -> list[Path]:
    """Those in a folder."""
    if _is_open(folder):
        return []
    try:
        return [path for path in sorted(folder.glob(f"{NAME}*{END}")) if is_answered(path)]
    except OSError:  # not ours to look at
        return []


def is_answered(path: str | os.PathLike[str]) -> bool:
    """Whether somebody listens there, or may: that it is another user's cannot be told."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.settimeout(1)
            probe.connect(os.fspath(path))
        except PermissionError:
            return True
        except OSError:
            return False
    return True


def _folders() -> Iterator[Path]:
    service = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    if service:
        yield Path(service)
        return
    own = os.environ.get("XDG_RUNTIME_DIR")
    if own:
        yield Path(own, "mqttlite")
    yield SERVICE
    yield Path(tempfile.gettempdir(), f"mqttlite-{os.getuid()}")


def _is_open(folder: Path) -> bool:
    """Whether somebody else could have put a socket there: one of a user that is neither this one nor the broker's."""
    try:
        found = folder.lstat()
    except OSError:
        return True
    mine = found.st_uid == os.getuid() or folder in (SERVICE, GATEWAY)
    return not stat.S_ISDIR(found.st_mode) or bool(found.st_mode & 0o022) or not mine


def _made(folder: Path) -> bool:
    """Whether it is there, or could be made, is this user's, and nobody else can put something into it."""
    try:
        folder.mkdir(0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022


def _tidy(folder: Path) -> None:
    """Remove what brokers have left that were killed."""
    for path in folder.glob(f"{NAME}*{END}"):
        pid = path.name.removeprefix(NAME).removesuffix(END)
        if pid.isdigit() and Path("/proc/self").exists() and not Path("/proc", pid).exists():
            path.unlink(missing_ok=True)
