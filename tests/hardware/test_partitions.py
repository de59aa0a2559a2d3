"""Our partition tables for ESP32 boards, and what the bootloader reads of them, beside ESP-IDF's own program."""

from pathlib import Path

import pytest

from mqttlite.boards.known import data, partitions
from mqttlite.boards.known.partitions import LayoutError
from tests.runtimes import ROOT

espressif = pytest.importorskip("esp_idf_defs.partitions")  # gen_esp32part.py as a module

FOLDER = ROOT / "hardware" / "partitions"
LAYOUTS = partitions.layouts(FOLDER)


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_table_has_what_a_board_of_ours_uses(name: str) -> None:
    layout = LAYOUTS[name]
    assert layout["romfs"].subtype == f"{partitions.ROMFS:#x}"
    assert layout["mqttlite"].subtype == f"{partitions.RING:#x}"
    assert layout["mqttlite"].bytes >= 32 * partitions.SECTOR
    assert layout["vfs"].bytes >= 512 * 1024
    assert layout.slots == (0 if "one" in name else 2)


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_table_uses_all_of_the_flash_behind_it(name: str) -> None:
    layout = LAYOUTS[name]
    assert layout.parts[0].offset == partitions.FIRST
    for before, after in zip(layout.parts, layout.parts[1:], strict=False):
        assert before.offset + before.bytes == after.offset
    assert layout.parts[-1].offset + layout.parts[-1].bytes == layout.flash_bytes


def test_the_single_application_is_as_large_as_in_micropythons_own_images() -> None:
    for board in data.boards().values():
        if board.port == "esp32":
            app = next(part for part in board.flash.partition if part.type == "app")
            assert LAYOUTS["4MiB-one.csv"].app_bytes == app.bytes


def test_board_files_name_a_table_that_fits_their_flash() -> None:
    named = {board.flash.ours: board.flash.bytes for board in data.boards().values() if board.flash.ours}
    assert {name: LAYOUTS[name].flash_bytes for name in named} == named
    assert {board.stem for board in data.boards().values() if not board.flash.ours} == {"rpi-pico-w"}


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_binary_table_is_byte_for_byte_what_esp_idf_makes_of_the_same_file(name: str) -> None:
    theirs = espressif.PartitionTable.from_csv((FOLDER / name).read_text(encoding="utf-8"))
    theirs.verify()
    theirs.verify_size_fits(LAYOUTS[name].flash_bytes)
    assert LAYOUTS[name].binary() == theirs.to_binary()


def test_esp_idf_refuses_a_table_with_a_bit_flipped() -> None:
    binary = bytearray(LAYOUTS["8MiB.csv"].binary())
    assert len(espressif.PartitionTable.from_binary(bytes(binary))) == len(LAYOUTS["8MiB.csv"].parts)
    binary[8] ^= 1
    with pytest.raises(espressif.InputError, match="MD5"):
        espressif.PartitionTable.from_binary(bytes(binary))


@pytest.mark.parametrize("name", LAYOUTS)
def test_our_reader_of_images_finds_them_behind_a_bootloader(name: str) -> None:
    from mqttlite.boards.images.firmware_image import _table

    layout = LAYOUTS[name]
    found = [(part.name, part.offset, part.size) for part in _table(layout.binary() + b"\xff" * 0x1000, 0, name)]
    assert found == [(part.name, part.offset, part.bytes) for part in layout.parts]


GOOD = (FOLDER / "4MiB.csv").read_text(encoding="utf-8")
WRONG = {
    "partitions that overlap": ("0x190000, 0x180000", "0x180000, 0x180000", 8, "inside of 'ota_0'"),
    "an application between two pages": ("0x10000,  0x180000", "0x11000,  0x170000", 7, "no multiple of 0x10000"),
    "a partition between two sectors": ("0x310000, 0x20000", "0x310800, 0x20000", 9, "no multiple of 0x1000"),
    "a size between two sectors": ("0x330000, 0x20000", "0x330000, 0x1fff0", 10, "no multiple of 0x1000"),
    "a partition beyond the flash": ("0x350000, 0xb0000", "0x350000, 0xc0000", 11, "behind the 4 MiB"),
    "a partition in the table's place": ("0x9000,   0x4000", "0x8000,   0x4000", 4, "inside of the partition table"),
    "a long name": ("mqttlite, data", "mqttlite_journal, data", 10, "no name of 1 to 15"),
    "a name twice": ("romfs,    data", "mqttlite, data", 10, "two partitions 'mqttlite'"),
    "a type that is not known": ("romfs,    data", "romfs,    date", 9, "type 'date'"),
    "a subtype that is not known": ("data, fat", "data, fats", 11, "subtype 'fats'"),
    "a number that is none": ("0xb0000", "0xg0000", 11, "'0xg0000' is no number"),
    "a field too few": ("vfs,      data, fat,", "vfs,      data,", 11, "has 4 fields instead of 5"),
    "no otadata": ("otadata,  data, ota,", "otadata,  data, 0x41,", None, "otadata partition of 0x2000"),
    "slots of two sizes": ("0x190000, 0x180000", "0x190000, 0x170000", None, "two OTA slots of one size"),
    "no place for files": ("vfs,      data", "files,    data", None, "no data partition 'vfs'"),
    "no nvs": ("nvs,      data, nvs", "nvs,      data, 0x42", None, "no partition for nvs"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_table_that_cannot_be_is_refused_with_its_line(what: str, tmp_path: Path) -> None:
    old, new, line, words = WRONG[what]
    assert old in GOOD
    path = tmp_path / "4MiB.csv"
    path.write_text(GOOD.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(LayoutError) as caught:
        partitions.read(path)
    where = str(path) if line is None else f"{path}:{line}"
    assert str(caught.value).startswith(f"{where}: ")
    assert words in str(caught.value)


def test_a_table_whose_name_does_not_say_for_which_flash_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "large.csv"
    path.write_text(GOOD, encoding="utf-8")
    with pytest.raises(LayoutError, match="size of the flash"):
        partitions.read(path)
