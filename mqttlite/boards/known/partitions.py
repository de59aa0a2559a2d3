"""Partition tables for ESP32 boards: read from hardware/partitions/*.csv, checked, and made into what the bootloader
reads from the flash.

    layout = read(folder / "8MiB.csv")       raises LayoutError, which names the line
    chip.write(Part("partition table", TABLE_AT, layout.binary()))

The format is ESP-IDF's (gen_esp32part.py): an entry of 32 bytes each, then an MD5 of all entries, in one sector. Pure
but for reading the file.
"""

import hashlib
import re
import struct
from dataclasses import dataclass
from pathlib import Path

from .data import Partition

TABLE_AT = 0x8000  # in the flash, of every chip of the family
TABLE_BYTES = 0xC00  # the sector's rest is not the table's
FIRST = 0x9000  # where the first partition may begin
SECTOR = 0x1000
APP_ALIGNMENT = 0x10000
LABEL_MAX = 15  # the field has 16, and ends with a zero
OTADATA_BYTES = 2 * SECTOR

TYPES = {"app": 0, "data": 1}
SUBTYPES = {
    "app": {"factory": 0x00, **{f"ota_{n}": 0x10 + n for n in range(16)}, "test": 0x20},
    "data": {"ota": 0x00, "phy": 0x01, "nvs": 0x02, "coredump": 0x03, "nvs_keys": 0x04, "fat": 0x81, "spiffs": 0x82}
    | {"littlefs": 0x83},
}
ROMFS = 0x8F  # as MicroPython's own partitions-4MiB-romfs.csv has it
RING = 0x40  # the first of those that are an application's own
ENTRY = struct.Struct("<2sBBII16sI")
ENTRY_MAGIC = b"\xaa\x50"
MD5_MAGIC = b"\xeb\xeb" + b"\xff" * 14


class LayoutError(ValueError):
    """A partition table cannot be: says where and why."""


@dataclass(frozen=True)
class Layout:
    """A partition table. `flash_bytes`: of the flash that it is for."""

    name: str
    flash_bytes: int
    parts: tuple[Partition, ...]

    def __getitem__(self, name: str) -> Partition:
        for part in self.parts:
            if part.name == name:
                return part
        raise KeyError(name)

    def __contains__(self, name: str) -> bool:
        return any(part.name == name for part in self.parts)

    @property
    def slots(self) -> int:
        """How many OTA slots it has."""
        return sum(part.type == "app" and part.subtype.startswith("ota_") for part in self.parts)

    @property
    def app_bytes(self) -> int:
        """How large an application may be."""
        return min(part.bytes for part in self.parts if part.type == "app")

    def binary(self) -> bytes:
        """What the flash has at TABLE_AT."""
        entries = b"".join(
            ENTRY.pack(
                ENTRY_MAGIC, TYPES[part.type], _subtype(part), part.offset, part.bytes, part.name.encode("ascii"), 0
            )
            for part in self.parts
        )
        table = entries + MD5_MAGIC + hashlib.md5(entries, usedforsecurity=False).digest()
        return table.ljust(TABLE_BYTES, b"\xff")


def layouts(folder: Path) -> dict[str, Layout]:
    """All tables of a folder, by the name of their file. Raises LayoutError."""
    return {path.name: read(path) for path in sorted(folder.glob("*.csv"))}


def read(path: Path) -> Layout:
    """A table whose file name begins with the size of the flash (`8MiB.csv`), checked. Raises LayoutError."""
    size = re.match(r"(\d+)MiB\b", path.name)
    if not size:
        raise LayoutError(f"{path}: its name does not begin with the size of the flash, such as 8MiB")
    parts: list[Partition] = []
    lines: list[int] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        words = [word.strip() for word in line.partition("#")[0].strip().rstrip(",").split(",")]
        if words == [""]:
            continue
        try:
            parts.append(_part(words))
        except LayoutError as error:
            raise LayoutError(f"{path}:{number}: {error}") from None
        lines.append(number)
    layout = Layout(path.name, int(size[1]) << 20, tuple(parts))
    for place, what in wrong(layout):
        where = f":{lines[place]}" if place is not None else ""
        raise LayoutError(f"{path}{where}: {what}")
    return layout


def wrong(layout: Layout) -> list[tuple[int | None, str]]:
    """What cannot be about a table, each with the number of its entry, where it is one's."""
    found: list[tuple[int | None, str]] = []
    names: set[str] = set()
    free = FIRST
    for place, part in enumerate(layout.parts):
        label = f"'{part.name}'"
        if not re.fullmatch(r"[A-Za-z0-9_.-]+", part.name) or len(part.name) > LABEL_MAX:
            found.append((place, f"{label} is no name of 1 to {LABEL_MAX} letters, digits, '_', '.' or '-'"))
        if part.name in names:
            found.append((place, f"there are two partitions {label}"))
        names.add(part.name)
        alignment = APP_ALIGNMENT if part.type == "app" else SECTOR
        if part.offset % alignment:
            found.append((place, f"{label} begins at {part.offset:#x}, which is no multiple of {alignment:#x}"))
        if part.bytes % SECTOR or not part.bytes:
            found.append((place, f"{label} has {part.bytes:#x} bytes, which is no multiple of {SECTOR:#x}"))
        if part.offset < free:
            what = "the partition table" if free == FIRST else f"'{layout.parts[place - 1].name}'"
            found.append((place, f"{label} begins at {part.offset:#x}, inside of {what}, which ends at {free:#x}"))
        if part.offset + part.bytes > layout.flash_bytes:
            found.append((place, f"{label} ends behind the {layout.flash_bytes >> 20} MiB of the flash"))
        free = part.offset + part.bytes
    if len(layout.parts) > TABLE_BYTES // ENTRY.size - 1:
        found.append((None, "there are too many partitions"))
    return found or _missing(layout)


def _missing(layout: Layout) -> list[tuple[int | None, str]]:
    """What a board of ours needs, and is not there."""
    found: list[tuple[int | None, str]] = []
    if not any(part.type == "app" for part in layout.parts):
        found.append((None, "there is no application partition"))
    if layout.slots:
        sizes = {part.bytes for part in layout.parts if part.type == "app" and part.subtype.startswith("ota_")}
        if layout.slots < 2 or len(sizes) > 1:
            found.append((None, "an update needs two OTA slots of one size"))
        otadata = [part for part in layout.parts if (part.type, part.subtype) == ("data", "ota")]
        if len(otadata) != 1 or otadata[0].bytes != OTADATA_BYTES:
            found.append((None, f"OTA slots need one otadata partition of {OTADATA_BYTES:#x} bytes"))
    if "vfs" not in layout or layout["vfs"].type != "data":
        found.append((None, "there is no data partition 'vfs', where MicroPython has its files"))
    if not any(part.subtype == "nvs" for part in layout.parts):
        found.append((None, "there is no partition for nvs, which Wi-Fi needs"))
    return found


def _part(words: list[str]) -> Partition:
    if len(words) != 5:
        raise LayoutError(f"has {len(words)} fields instead of 5: name, type, subtype, offset, size")
    name, kind, subtype, offset, size = words
    if kind not in TYPES:
        raise LayoutError(f"type '{kind}' is none of {', '.join(TYPES)}")
    part = Partition(name, kind, subtype, _number(offset), _number(size))
    _subtype(part)
    return part


def _number(text: str) -> int:
    """As ESP-IDF writes them: 0x1000, 4096, 4K, 1M."""
    match = re.fullmatch(r"(0x[0-9a-fA-F]+|\d+)([KM]?)", text)
    if not match:
        raise LayoutError(f"'{text}' is no number")
    return int(match[1], 0) << {"": 0, "K": 10, "M": 20}[match[2]]


def _subtype(part: Partition) -> int:
    known = SUBTYPES[part.type]
    if part.subtype in known:
        return known[part.subtype]
    if re.fullmatch(r"0x[0-9a-fA-F]{1,2}", part.subtype):
        return int(part.subtype, 16)
    raise LayoutError(f"subtype '{part.subtype}' is none of {', '.join(known)}, and no number")
