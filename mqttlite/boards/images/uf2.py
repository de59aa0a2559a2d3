"""An image for a board that shows itself as a drive, as Raspberry Pi's chips do: a .uf2 file, copied onto it."""

import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .firmware_image import OLDEST, ImageError, version_of

BLOCK = struct.Struct("<8I476sI")
MAGIC = (0x0A324655, 0x9E5D5157, 0x0AB16F30)
HAS_FAMILY = 0x2000
FAMILIES = {0xE48BFF56: "RP2040", 0xE48BFF59: "RP2350", 0xE48BFF5B: "RP2350"}
INFO = "INFO_UF2.TXT"
PLACES = ("/media/*/*", "/run/media/*/*", "/media/*", "/mnt/*", "/Volumes/*")  # where systems show drives

_BANNER = re.compile(rb"MicroPython v(\d+)\.(\d+)(?:\.(\d+))?([-.\w]*) on (\d{4}-\d\d-\d\d)")


@dataclass(frozen=True)
class Uf2Image:
    """A whole one."""

    path: Path
    data: bytes
    chip: str
    version: tuple[int, int, int]
    version_text: str


def is_uf2(path: Path) -> bool:
    """Whether a file begins as one. Raises OSError."""
    with path.open("rb") as file:
        return file.read(4) == MAGIC[0].to_bytes(4, "little")


def read(path: Path) -> Uf2Image:
    """The image in a file: complete, for one chip, MicroPython, new enough. Raises ImageError, OSError."""
    data = path.read_bytes()
    families, content = set(), b""
    for family, payload in _blocks(data, path.name):
        families.add(family)
        content += payload
    chips = {FAMILIES[family] for family in families if family in FAMILIES}
    if len(chips) != 1:
        raise ImageError(f"{path.name} is not for one of Raspberry Pi's chips")
    found = _BANNER.search(content)
    if found is None:
        raise ImageError(f"{path.name} is not MicroPython")
    version, text = version_of(found)
    if version[:2] < OLDEST:
        raise ImageError(f"{path.name} is MicroPython {text}; it must be {'.'.join(map(str, OLDEST))} or newer")
    return Uf2Image(path, data, chips.pop(), version, text)


def _blocks(data: bytes, name: str) -> Iterator[tuple[int, bytes]]:
    """Family and payload of each block. Raises ImageError where one is missing or damaged."""
    wrong = ImageError(f"{name} is damaged, or not all there: download it again")
    if not data or len(data) % BLOCK.size:
        raise wrong
    expected = None
    for at in range(0, len(data), BLOCK.size):
        begin, second, flags, _, size, number, total, family, payload, end = BLOCK.unpack_from(data, at)
        if (begin, second, end) != MAGIC or size > len(payload):
            raise wrong
        if number == 0 and (expected is None or expected[0] == expected[1]):  # a file may hold several images
            expected = (0, total)
        if (number, total) != expected:
            raise wrong
        expected = (number + 1, total)
        yield family if flags & HAS_FAMILY else 0, payload[:size]
    if expected is None or expected[0] != expected[1]:
        raise wrong


def drives() -> list[Path]:
    """The drives of boards that wait for an image."""
    found = {path.resolve() for place in PLACES for path in Path("/").glob(place[1:]) if (path / INFO).is_file()}
    return sorted(found)


def copy(image: Uf2Image, drive: Path) -> None:
    """Copy it; the board takes it and starts, and the drive is gone. Raises ImageError for a drive of another chip."""
    info = (drive / INFO).read_text(encoding="ascii", errors="replace")
    model = next((line.partition(":")[2].strip() for line in info.splitlines() if line.startswith("Board-ID")), "")
    if "RP2" in model and ("RP2350" in model) != (image.chip == "RP2350"):
        raise ImageError(
            f"{image.path.name} is for an {image.chip}, and the drive {drive} is a board of kind '{model}'"
        )
    with (drive / image.path.name).open("wb") as file:
        file.write(image.data)
        file.flush()
        os.fsync(file.fileno())
