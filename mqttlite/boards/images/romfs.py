"""ROMFS: files that a board runs where they lie in its flash, without a copy on its heap.

Only firmware that was built with it has a partition for that (`romfs`): not the images for ESP32 and Pico that
micropython.org offers. MicroPython mounts it as /rom and looks for modules in /rom/lib last, so a half without a lib/
of its own runs on it, and one that an update has brought wins.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..extras import need

if TYPE_CHECKING:
    from .firmware_image import FirmwareImage, Partition

NAME = "romfs"


class NoRomError(ValueError):
    """The firmware has no ROMFS, or a smaller one; says what to do."""


def build(files: Mapping[str, bytes]) -> bytes:
    """A ROMFS image with these files; names have no slash in front."""
    writer = need("mpremote.romfs").VfsRomWriter()
    _add(writer, files)
    return bytes(writer.finalise())


def _add(writer: Any, files: Mapping[str, bytes]) -> None:
    folders: dict[str, dict[str, bytes]] = {}
    for name, content in sorted(files.items()):
        folder, slash, rest = name.partition("/")
        if slash:
            folders.setdefault(folder, {})[rest] = content
        else:
            writer.mkfile(name, content)
    for folder, inside in folders.items():
        writer.opendir(folder)
        _add(writer, inside)
        writer.closedir()


def partition(image: "FirmwareImage", size: int) -> "Partition":
    """Where an image has its ROMFS, for `size` bytes. Raises NoRomError."""
    found = image.partition(NAME)
    if found is None:
        raise NoRomError(
            f"{image.path.name} has no partition '{NAME}', so no ROMFS: leave out --romfs, or build MicroPython with "
            "MICROPY_VFS_ROM=1 and partitions-4MiB-romfs.csv (docs/flash.md)"
        )
    if size > found.size:
        raise NoRomError(
            f"mqttlite takes {size:,} bytes of ROMFS, and the partition of {image.path.name} has {found.size:,}"
        )
    return found
