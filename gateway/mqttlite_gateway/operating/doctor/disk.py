"""The disk that the store is on: room, kind, how long it takes until something is surely there."""

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from .finding import DOUBTFUL, LEFT_OUT, OK, WRONG, Case, Finding

STEP = "disk"
SYNCS = 20
LITTLE = 256 << 20  # bytes that should be free: SIZE_MAX of a store
SLOW_S = 0.1
IN_MEMORY = ("tmpfs", "ramfs", "overlay")
FOREIGN = ("nfs", "nfs4", "cifs", "fuse.sshfs", "9p", "vfat", "exfat")


class Mount(NamedTuple):
    """Where a folder is. `device`: MAJOR:MINOR."""

    device: str
    kind: str
    source: str
    is_read_only: bool


def mount_of(folder: Path, table: str = "/proc/self/mountinfo") -> Mount | None:
    """The file system of a folder; None: it cannot be told."""
    device = os.stat(folder).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    try:
        lines = Path(table).read_text().splitlines()
    except OSError:
        return None
    for line in reversed(lines):
        words, _, rest = line.partition(" - ")
        fields = words.split()
        if fields[2] == wanted:
            kind, source, *_ = rest.split()
            return Mount(wanted, kind, source, "ro" in fields[5].split(","))
    return None


def look(case: Case) -> Iterator[Finding]:
    """File system, room, syncs."""
    folder = case.store
    mount = mount_of(folder)
    yield from _mounted(folder, mount)
    room = os.statvfs(folder)
    free = room.f_bavail * room.f_frsize
    values = {"free_bytes": free, "size_bytes": room.f_blocks * room.f_frsize}
    text = f"{free / 1e9:.1f} GB of {values['size_bytes'] / 1e9:.1f} GB are free at {folder}"
    if free < LITTLE:
        todo = "make room: sudo apt clean, sudo journalctl --vacuum-size=50M; a full disk holds publishers back"
        yield Finding(STEP, WRONG, text, todo, values)
    else:
        yield Finding(STEP, OK, text, values=values)
    yield _syncs(folder)


def _mounted(folder: Path, mount: Mount | None) -> Iterator[Finding]:
    if mount is None:
        return
    values = {"file_system": mount.kind, "device": mount.source}
    if mount.is_read_only:
        todo = "a card at its end of life makes itself read-only: replace it; else mount it writable"
        yield Finding(STEP, WRONG, f"{folder} is read-only", todo, values)
    elif mount.kind in FOREIGN:
        todo = 'give the store a place on a local disk with ext4 or the like: store = "/…"'
        yield Finding(STEP, WRONG, f"{folder} is on {mount.kind}, which a store cannot be on", todo, values)
    elif mount.kind in IN_MEMORY:
        text = f"{folder} is on {mount.kind}: what is there does not survive a restart of the machine"
        yield Finding(STEP, DOUBTFUL, text, 'give the store a place on a disk: store = "/…"', values)


def sync_times(folder: Path, count: int = SYNCS) -> list[float]:
    """How long each of some small writes takes until it is surely on the disk (s), sorted. OSError."""
    times = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(count):
            os.write(file.fileno(), bytes(4096))
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - began)
    return sorted(times)


def _syncs(folder: Path) -> Finding:
    try:
        times = sync_times(folder)
    except OSError as error:
        return Finding(STEP, LEFT_OUT, f"syncs are not measured: {folder}: {error.strerror}", "sudo mqttlite doctor")
    middle, most = times[len(times) // 2], times[-1]
    values = {"sync_ms": round(middle * 1000, 2), "sync_ms_most": round(most * 1000, 2)}
    text = f"a sync takes {middle * 1000:.1f} ms, {most * 1000:.1f} ms at most of {len(times)}"
    if most > SLOW_S or middle > SLOW_S / 2:
        todo = "acknowledgements wait for it, and share it: a card of class A2 or an SSD is quicker"
        return Finding(STEP, DOUBTFUL, text, todo, values)
    return Finding(STEP, OK, text, values=values)
