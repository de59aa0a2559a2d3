"""A MicroPython image for a chip of the ESP32 family: what it is, whether it is whole, where it goes.

Such a file is what esptool writes from the chip's boot offset on: bootloader, partition table, application. Each of the
two programs says for which chip it is, and ends in a checksum and a SHA-256 of itself; the table says where the file
system is. All of that is checked before a byte reaches the board. Nothing is downloaded.
"""

import hashlib
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..known.partitions import ENTRY, ENTRY_MAGIC, MD5_MAGIC, SECTOR, TABLE_AT

OLDEST = (1, 25)  # of MicroPython: bundles are compiled for it, and its littlefs reads what we build

# IMAGE_CHIP_ID of a program's header: the chip as esptool calls it, and where its bootloader begins.
CHIPS = {
    0: ("ESP32", 0x1000),
    2: ("ESP32-S2", 0x1000),
    5: ("ESP32-C3", 0),
    9: ("ESP32-S3", 0),
    12: ("ESP32-C2", 0),
    13: ("ESP32-C6", 0),
    16: ("ESP32-H2", 0),
    18: ("ESP32-P4", 0x2000),
    20: ("ESP32-C61", 0),
    23: ("ESP32-C5", 0x2000),
}

_PROGRAM = 0xE9
_HEADER = 24  # with its extension
_CHECKSUM = 0xEF
_DESCRIPTION = 0xABCD5432
_APP = 0
_UF2 = b"UF2\n"
_BANNER = re.compile(
    rb"MicroPython (?:\(with v2\.0 preview\) )?v(\d+)\.(\d+)(?:\.(\d+))?([-.\w]*) on (\d{4}-\d\d-\d\d)"
)
FAMILY = "the image for your board is the .bin file of its page below micropython.org/download"


class ImageError(ValueError):
    """The file is not what is to be written; says why, and which one is."""


@dataclass(frozen=True)
class Partition:
    """A line of the partition table. `kind`: 0 for applications, 1 for data."""

    name: str
    kind: int
    subtype: int
    offset: int
    size: int

    @property
    def end(self) -> int:
        """The first byte behind it."""
        return self.offset + self.size


@dataclass(frozen=True)
class FirmwareImage:
    """A whole image. `offset`: where in the flash its first byte goes."""

    path: Path
    data: bytes
    chip: str
    offset: int
    version: tuple[int, int, int]
    version_text: str  # as it calls itself, with the day
    partitions: tuple[Partition, ...]

    @property
    def sha256(self) -> str:
        """Of the file."""
        return hashlib.sha256(self.data).hexdigest()

    def partition(self, name: str) -> Partition | None:
        """The partition of this name."""
        return next((part for part in self.partitions if part.name == name), None)

    def file_system(self, flash_bytes: int) -> Partition:
        """Where MicroPython has its file system in a flash of this size: the partition `vfs`; an image without one
        makes it out of what is left. Raises ImageError where the flash is too small.
        """
        end = max((part.end for part in self.partitions), default=0)
        if end > flash_bytes:
            raise ImageError(
                f"{self.path.name} is for a flash of at least {mebibytes(end)}, and this board has "
                f"{mebibytes(flash_bytes)}: choose the variant for the smaller flash on its download page"
            )
        found = self.partition("vfs")
        if found is None and end + 16 * SECTOR <= flash_bytes:
            found = Partition("vfs", 1, 0x81, end, flash_bytes - end)
        if found is None:
            raise ImageError(f"{self.path.name} leaves no room for a file system in {mebibytes(flash_bytes)} of flash")
        return found


def mebibytes(size: int) -> str:
    """A size in words: 4 MiB, 320 KiB."""
    return f"{size >> 20} MiB" if size % (1 << 20) == 0 else f"{size / 1024:g} KiB"


def read(path: Path) -> FirmwareImage:
    """The image in a file. Raises ImageError, and OSError for a file that cannot be read."""
    data = path.read_bytes()
    name = path.name
    if data[:4] == _UF2:
        raise ImageError(f"{name} is a UF2 file, which is copied to a drive, not written by esptool: {FAMILY}")
    if len(data) < _HEADER or data[0] != _PROGRAM:
        raise ImageError(f"{name} is no image for an ESP32: it does not begin with 0xE9; {FAMILY}")
    number = struct.unpack_from("<H", data, 12)[0]
    if number not in CHIPS:
        raise ImageError(f"{name} is for a chip with the number {number}, which is not known here")
    chip, offset = CHIPS[number]
    if data[_HEADER + 8 : _HEADER + 12] == _DESCRIPTION.to_bytes(4, "little"):
        raise ImageError(
            f"{name} is an application without bootloader and partition table, as for updates over the air: take the "
            ".bin file, not the .app-bin"
        )
    _check_program(data, 0, f"{name}, bootloader", number)
    partitions = tuple(_table(data, TABLE_AT - offset, name))
    at = next((part.offset for part in partitions if part.kind == _APP), 0) - offset
    if at < 0 or len(data) <= at + _HEADER or data[at] != _PROGRAM:
        raise ImageError(f"{name} ends before its application: download it again; {FAMILY}")
    end = _check_program(data, at, f"{name}, application", number)
    version, text = _version(data[at:end], name)
    return FirmwareImage(path, data, chip, offset, version, text, partitions)


def check_application(path: Path, data: bytes) -> None:
    """Raise ImageError where `data`, of the file `path`, is not what goes into an OTA slot: the application alone."""
    name = path.name
    of_it = "an OTA slot takes the application alone: micropython.bin of a build, or the .app-bin of its download page"
    if len(data) < _HEADER + 12 or data[0] != _PROGRAM:
        raise ImageError(f"{name} is no image for an ESP32: it does not begin with 0xE9; {of_it}")
    number = struct.unpack_from("<H", data, 12)[0]
    if number not in CHIPS:
        raise ImageError(f"{name} is for a chip with the number {number}, which is not known here")
    if data[_HEADER + 8 : _HEADER + 12] != _DESCRIPTION.to_bytes(4, "little"):
        raise ImageError(f"{name} begins with a boot loader, as a whole image does; {of_it}")
    _check_program(data, 0, name, number)
    version, text = _version(data, name)
    if version[:2] < OLDEST:
        raise ImageError(f"{name} is MicroPython {text}; it must be {'.'.join(map(str, OLDEST))} or newer")


def check(image: FirmwareImage, chip: str, sha256: str | None = None) -> None:
    """Raise ImageError where an image is not for `chip` (as esptool calls it), too old, or not the one meant."""
    name = image.path.name
    if sha256 is not None and sha256.strip().lower() != image.sha256:
        raise ImageError(
            f"the SHA-256 of {name} is {image.sha256}, not the one of --sha256: it is another file, or damaged; "
            "download it again"
        )
    if image.chip != chip:
        raise ImageError(f"{name} is for an {image.chip}, and this board has an {chip}: {FAMILY}")
    if image.version[:2] < OLDEST:
        raise ImageError(
            f"{name} is MicroPython {image.version_text}; it must be {'.'.join(map(str, OLDEST))} or newer: {FAMILY}"
        )


def _check_program(data: bytes, begin: int, what: str, number: int) -> int:
    """Walk through a program that begins there; where it ends. Raises ImageError where it is damaged or cut off."""
    damaged = f"{what}: damaged, or not all there; download it again"
    if struct.unpack_from("<H", data, begin + 12)[0] != number:
        raise ImageError(f"{what}: for another chip than the bootloader")
    at = begin + _HEADER
    checksum = _CHECKSUM
    for _ in range(data[begin + 1]):
        if at + 8 > len(data):
            raise ImageError(damaged)
        size = struct.unpack_from("<I", data, at + 4)[0]
        segment = data[at + 8 : at + 8 + size]
        checksum ^= _xor(segment)
        at += 8 + size
    at = begin + ((at - begin) | 15)  # the checksum is the last byte of a line of 16
    if at >= len(data) or data[at] != checksum:
        raise ImageError(f"{damaged} (its checksum is wrong)")
    at += 1
    if data[begin + 23]:
        if hashlib.sha256(data[begin:at]).digest() != data[at : at + 32]:
            raise ImageError(f"{damaged} (its SHA-256 is another)")
        at += 32
    return at


def _xor(data: bytes) -> int:
    """All bytes, by exclusive or: as one number, folded in halves."""
    size = 1 << max(len(data) - 1, 0).bit_length()
    value = int.from_bytes(data, "little")
    while size > 1:
        size >>= 1
        value = (value >> 8 * size) ^ (value & ((1 << 8 * size) - 1))
    return value


def _table(data: bytes, at: int, name: str) -> Iterator[Partition]:
    begin = at
    if data[at : at + 2] != ENTRY_MAGIC:
        raise ImageError(f"{name} has no partition table at {TABLE_AT:#x}: it is no whole image; {FAMILY}")
    while data[at : at + 2] == ENTRY_MAGIC:
        _, kind, subtype, offset, size, label, _ = ENTRY.unpack_from(data, at)
        yield Partition(label.rstrip(b"\0").decode(errors="backslashreplace"), kind, subtype, offset, size)
        at += ENTRY.size
    if data[at : at + 16] == MD5_MAGIC and hashlib.md5(data[begin:at]).digest() != data[at + 16 : at + 32]:
        raise ImageError(f"{name}, partition table: damaged (its MD5 is another); download it again")


def _version(program: bytes, name: str) -> tuple[tuple[int, int, int], str]:
    found = _BANNER.search(program)
    if found is None:
        at = _HEADER + 8
        described = struct.unpack_from("<I", program, at)[0] == _DESCRIPTION
        is_what = (
            f"{_text(program[at + 48 : at + 80])} {_text(program[at + 16 : at + 48])}"
            if described
            else "something else"
        )
        raise ImageError(f"{name} is not MicroPython; it says it is {is_what}: {FAMILY}")
    return version_of(found)


def version_of(banner: re.Match[bytes]) -> tuple[tuple[int, int, int], str]:
    """MicroPython's version, as a number and in words with the day, from the groups of what it prints at its start."""
    major, minor, patch, rest, day = banner.groups()
    version = int(major), int(minor), int(patch or 0)
    return version, f"{'.'.join(map(str, version))}{rest.decode()} of {day.decode()}"


def _text(field: bytes) -> str:
    return field.split(b"\0")[0].decode(errors="backslashreplace")
