"""A disk in memory whose syncs take as long as we say, for processes that are measured; it counts what is written.

`disk.c` is put before the C library of a process (LD_PRELOAD). So brokers in any language are measured on the same
disk, and on a machine whose own is busy. Linux, and a C compiler.
"""

import contextlib
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

SOURCE = Path(__file__).with_name("disk.c")
MEMORY = Path("/dev/shm")  # where files are in memory


class Written(NamedTuple):
    """`spent_us`: of the processor, in syncs that are shorter than 0.5 ms: they are not slept."""

    syncs: int
    writes: int
    bytes: int
    spent_us: int

    def since(self, before: "Written") -> "Written":
        return Written(*(now - then for now, then in zip(self, before, strict=True)))


class Disk:
    """`folder`: its files. `environment`: of processes that use it. `written`: what they have written until now."""

    def __init__(self, folder: Path, sync_ms: float) -> None:
        library = folder / "disk.so"
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            raise SystemExit("a C compiler is needed (apt-get install gcc)")
        subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", library, SOURCE, "-ldl"], check=True)
        self.folder = folder
        self._counts = folder / "counts"
        self.environment = {
            "LD_PRELOAD": str(library),
            "DISK_SYNC_US": str(round(sync_ms * 1000)),
            "DISK_COUNTS": str(self._counts),
        }

    def written(self) -> Written:
        return Written(*struct.unpack("4Q", self._counts.read_bytes()))


@contextlib.contextmanager
def disk(sync_ms: float) -> Iterator[Disk]:
    """A disk that is empty."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        yield Disk(Path(folder), sync_ms)
