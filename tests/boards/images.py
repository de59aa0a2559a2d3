"""Images as MicroPython's build makes them for chips of the ESP32 family: structure, checksums, hashes and descriptions
are true; the code in them is noise.
"""

import hashlib
import random
import struct
from collections.abc import Iterable

CHIPS = {"ESP32": (0, 0x1000), "ESP32-C3": (5, 0), "ESP32-S3": (9, 0), "ESP32-C6": (13, 0)}
# ports/esp32/partitions-4MiB.csv of MicroPython 1.25
TABLE = (
    ("nvs", 1, 0x02, 0x9000, 0x6000),
    ("phy_init", 1, 0x01, 0xF000, 0x1000),
    ("factory", 0, 0x00, 0x10000, 0x1F0000),
    ("vfs", 1, 0x81, 0x200000, 0x200000),
)
Row = tuple[str, int, int, int, int]


def program(chip: str, segments: Iterable[bytes], *, hashed: bool = True) -> bytes:
    """A bootloader or an application of these segments."""
    segments = list(segments)
    number = CHIPS[chip][0]
    made = struct.pack("<BBBBI", 0xE9, len(segments), 2, 0x20, 0x40081000)
    made += struct.pack("<B3xHBHH4xB", 0xEE, number, 0, 0, 0xFFFF, int(hashed))
    checksum = 0xEF
    for n, segment in enumerate(segments):
        segment += bytes(-len(segment) % 4)
        for byte in segment:
            checksum ^= byte
        made += struct.pack("<II", 0x3F400020 + 0x10000 * n, len(segment)) + segment
    made += bytes(15 - len(made) % 16) + bytes([checksum])
    return made + hashlib.sha256(made).digest() if hashed else made


def description(name: str, version: str) -> bytes:
    """An esp_app_desc_t."""
    texts = struct.pack("<32s32s16s16s32s", version.encode(), name.encode(), b"12:00:00", b"Apr 15 2025", b"v5.4.1")
    return struct.pack("<II8x", 0xABCD5432, 0) + texts + bytes(32 + 80)


def table(rows: Iterable[Row] = TABLE) -> bytes:
    """A partition table with its MD5."""
    made = b""
    for name, kind, subtype, offset, size in rows:
        made += struct.pack("<2sBBII16sI", b"\xaa\x50", kind, subtype, offset, size, name.encode(), 0)
    return made + b"\xeb\xeb" + b"\xff" * 14 + hashlib.md5(made).digest()


def image(
    chip: str = "ESP32",
    version: str = "v1.25.0",
    *,
    rows: Iterable[Row] = TABLE,
    name: str = "micropython",
    size: int = 60000,
) -> bytes:
    """A whole .bin: bootloader, partition table, application. `size`: about so many bytes of application."""
    rows = tuple(rows)
    noise = random.Random(f"{chip} {version}")
    banner = f"MicroPython {version} on 2025-04-15\0".encode() if name == "micropython" else b"Blink\0"
    offset = CHIPS[chip][1]
    at = next(row[3] for row in rows if row[1] == 0)
    application = program(chip, [description(name, version) + banner, noise.randbytes(size)])
    made = program(chip, [noise.randbytes(4000), noise.randbytes(9000)])
    made = made.ljust(0x8000 - offset, b"\xff") + table(rows)
    return made.ljust(at - offset, b"\xff") + application
