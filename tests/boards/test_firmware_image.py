"""What is checked of an image before a byte reaches a board."""

import hashlib
from pathlib import Path

import pytest

from mqttlite.boards.images import firmware_image
from mqttlite.boards.images.firmware_image import ImageError
from tests.boards import images

MIB = 1 << 20


def saved(folder: Path, data: bytes, name: str = "ESP32_GENERIC-20250415-v1.25.0.bin") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(("chip", "offset"), [("ESP32", 0x1000), ("ESP32-C3", 0), ("ESP32-S3", 0), ("ESP32-C6", 0)])
def test_an_image_says_for_which_chip_and_version_it_is_and_where_it_goes(
    tmp_path: Path, chip: str, offset: int
) -> None:
    image = firmware_image.read(saved(tmp_path, images.image(chip, "v1.26.1")))
    assert (image.chip, image.offset, image.version) == (chip, offset, (1, 26, 1))
    assert image.version_text == "1.26.1 of 2025-04-15"
    firmware_image.check(image, chip)
    system = image.file_system(4 * MIB)
    assert (system.name, system.offset, system.size) == ("vfs", 2 * MIB, 2 * MIB)


def test_a_table_without_a_file_system_leaves_it_what_is_behind(tmp_path: Path) -> None:
    rows = [row for row in images.TABLE if row[0] != "vfs"]  # as MicroPython's newer images have it
    image = firmware_image.read(saved(tmp_path, images.image(rows=rows)))
    system = image.file_system(8 * MIB)
    assert (system.offset, system.size) == (2 * MIB, 6 * MIB)


def test_other_partition_tables_are_read_from_the_image(tmp_path: Path) -> None:
    rows = [
        ("nvs", 1, 0x02, 0x9000, 0x4000),
        ("otadata", 1, 0x00, 0xD000, 0x2000),
        ("ota_0", 0, 0x10, 0x10000, 0x180000),
        ("ota_1", 0, 0x11, 0x190000, 0x180000),
        ("romfs", 1, 0x8F, 0x310000, 0x20000),
        ("vfs", 1, 0x81, 0x330000, 0xD0000),
    ]
    image = firmware_image.read(saved(tmp_path, images.image("ESP32-S3", rows=rows)))
    assert image.file_system(4 * MIB).offset == 0x330000
    romfs = image.partition("romfs")
    assert romfs is not None
    assert romfs.size == 0x20000


def test_an_image_for_a_larger_flash_is_refused(tmp_path: Path) -> None:
    image = firmware_image.read(saved(tmp_path, images.image()))
    with pytest.raises(ImageError, match=r"at least 4 MiB, and this board has 2 MiB: choose the variant"):
        image.file_system(2 * MIB)


def test_an_image_for_another_chip_is_refused(tmp_path: Path) -> None:
    image = firmware_image.read(saved(tmp_path, images.image("ESP32-S3")))
    with pytest.raises(ImageError, match=r"is for an ESP32-S3, and this board has an ESP32-C3"):
        firmware_image.check(image, "ESP32-C3")


def test_an_image_that_is_too_old_is_refused(tmp_path: Path) -> None:
    image = firmware_image.read(saved(tmp_path, images.image(version="v1.24.1")))
    with pytest.raises(ImageError, match=r"is MicroPython 1\.24\.1 of 2025-04-15; it must be 1\.25 or newer"):
        firmware_image.check(image, "ESP32")


def test_a_file_with_another_hash_than_the_one_given_is_refused(tmp_path: Path) -> None:
    data = images.image()
    image = firmware_image.read(saved(tmp_path, data))
    firmware_image.check(image, "ESP32", hashlib.sha256(data).hexdigest().upper())
    with pytest.raises(ImageError, match=r"not the one of --sha256"):
        firmware_image.check(image, "ESP32", "00" * 32)


@pytest.mark.parametrize("hashed", [True, False])
@pytest.mark.parametrize("place", [0x40, 0x2F00, 0xF100, -100])
def test_a_damaged_program_is_refused(tmp_path: Path, place: int, hashed: bool) -> None:
    data = bytearray(images.image("ESP32"))
    if not hashed:
        at = data.index(b"MicroPython v")
        begin = data.rindex(b"\xe9", 0, at - 256)
        assert data[begin + 23] == 1
        data[begin + 23] = 0
        del data[-32:]
    data[place] ^= 4
    with pytest.raises(ImageError, match=r"damaged, or not all there; download it again"):
        firmware_image.read(saved(tmp_path, bytes(data)))


def test_a_download_that_broke_off_is_refused_wherever_it_did(tmp_path: Path) -> None:
    data = images.image("ESP32-C3", size=3000)
    for end in range(0, len(data), 1009):
        with pytest.raises(ImageError, match=r"download it again|no image|whole image"):
            firmware_image.read(saved(tmp_path, data[:end]))


def test_a_damaged_partition_table_is_refused(tmp_path: Path) -> None:
    data = bytearray(images.image("ESP32"))
    data[0x7000 + 6] ^= 1
    with pytest.raises(ImageError, match=r"partition table: damaged"):
        firmware_image.read(saved(tmp_path, bytes(data)))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"UF2\n" + bytes(508), r"is a UF2 file, which is copied to a drive"),
        (b"<!DOCTYPE html>" + bytes(100), r"is no image for an ESP32"),
        (b"", r"is no image for an ESP32"),
        (
            images.program("ESP32", [images.description("micropython", "v1.25.0"), b"code"]),
            r"is an application without bootloader and partition table, .* take the \.bin file, not the \.app-bin",
        ),
        (images.image(name="blink"), r"is not MicroPython; it says it is blink v1\.25\.0"),
        (b"\xe9\x01" + bytes(10) + b"\x77\x77" + bytes(100), r"is for a chip with the number 30583"),
    ],
    ids=["uf2", "web page", "empty", "application alone", "another program", "another chip"],
)
def test_a_file_of_another_kind_is_named(tmp_path: Path, data: bytes, words: str) -> None:
    with pytest.raises(ImageError, match=words):
        firmware_image.read(saved(tmp_path, data))
