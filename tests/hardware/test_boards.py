"""The board files: what they say is checked when they are read, and the tables of the docs say the same. No physical
board is involved.
"""

import re
from pathlib import Path

import pytest

from mqttlite.boards.known import data
from mqttlite.boards.known.data import BoardData, BoardDataError
from mqttlite.boards.settings.toml_lines import line_of
from mqttlite.boards.supplies import board_data

BOARDS = data.boards()
ESP32 = [board for board in BOARDS.values() if board.port == "esp32"]
TEXT = (board_data() / "esp32-devkitc.toml").read_text(encoding="utf-8")


@pytest.fixture(params=BOARDS.values(), ids=BOARDS)
def board(request: pytest.FixtureRequest) -> BoardData:
    found: BoardData = request.param
    return found


def test_the_five_boards_are_there() -> None:
    chips = {stem: board.chip for stem, board in BOARDS.items()}
    assert chips == {
        "esp32-devkitc": "ESP32",
        "esp32-s3-devkitc-1": "ESP32-S3",
        "esp32-c3-devkitm-1": "ESP32-C3",
        "esp32-c6-devkitc-1": "ESP32-C6",
        "rpi-pico-w": "RP2040",
    }


def test_chips_have_the_names_that_esptool_gives_them() -> None:
    detect = pytest.importorskip("esptool.targets")
    names = {chip.CHIP_NAME for chip in detect.CHIP_DEFS.values()}
    assert {board.chip for board in ESP32} <= names


def test_images_go_where_esptool_expects_the_bootloader() -> None:
    detect = pytest.importorskip("esptool.targets")
    offsets = {chip.CHIP_NAME: chip.BOOTLOADER_FLASH_OFFSET for chip in detect.CHIP_DEFS.values()}
    assert {board.chip: board.flash.firmware_offset for board in ESP32} == {
        board.chip: offsets[board.chip] for board in ESP32
    }


def test_a_board_is_found_by_its_chip_and_by_its_usb_identifiers() -> None:
    assert [board.stem for board in data.find("ESP32-C6")] == ["esp32-c6-devkitc-1"]
    assert [board.stem for board in data.find("", (0x2E8A, 0x0005))] == ["rpi-pico-w"]
    assert [board.stem for board in data.find("ESP32-S3", (0x1A86, 0x55D3))] == ["esp32-s3-devkitc-1"]  # a copy
    assert data.find("ESP32-P4") == []
    with pytest.raises(ValueError, match=r"there is no board 'esp33'; there are .*esp32-devkitc"):
        data.get("esp33")


def test_the_receive_buffer_holds_a_full_window_of_frames(board: BoardData) -> None:
    window, frame = 8, 128 + 10
    assert board.link.rxbuf >= window * frame


def test_a_board_has_a_file_system_and_room_for_the_firmware(board: BoardData) -> None:
    parts = {part.name: part for part in board.flash.partition}
    assert parts["vfs"].bytes >= 512 * 1024
    assert sum(part.bytes for part in parts.values() if part.type == "app") >= 1024 * 1024


def test_strapping_pins_are_those_to_be_avoided_for_that_reason(board: BoardData) -> None:
    groups = [set(avoid.pins) for avoid in board.pins.avoid if avoid.why.startswith("strapping")]
    assert groups == ([set(board.pins.strapping)] if board.pins.strapping else [])


def test_levels_are_said(board: BoardData) -> None:
    assert board.io_volts == 3.3
    assert board.five_volt_tolerant is False


def test_the_url_of_the_link_is_one_that_the_settings_take(board: BoardData) -> None:
    from mqttlite.boards.settings.settings_file import check_on_host

    check_on_host({"name": "one", "url": board.link.url})


WRONG = {
    "a key that is not known": ("rxbuf = 2048", "rxbuff = 2048", "link.rxbuff", "is not known"),
    "a key that is missing": ("baud = 115200\n", "", "link.baud", "is missing"),
    "a number that is text": ("tx = 17\nrx = 16", 'tx = "17"\nrx = 16', "link.tx", "must be a whole number"),
    "a text that is a number": ('name = "ESP32-DevKitC', "name = 32 #", "name", "must be text"),
    "a list that is none": ("input_only = [34, 35, 36, 39]", "input_only = 34", "pins.input_only", "must be a list"),
    "a pin that is not on the header": ("tx = 17\nrx = 16", "tx = 20\nrx = 16", "link.tx", "not on the header"),
    "a pin that is strapping": ("tx = 17\nrx = 16", "tx = 12\nrx = 16", "link.tx", "to be avoided: strapping"),
    "a pin that cannot be an output": ("tx = 17\nrx = 16", "tx = 34\nrx = 16", "link.tx", "cannot be an output"),
    "a pin that is used twice": ("rts = 18", "rts = 17", "link.rts", "used for link.tx, too"),
    "a pin in two groups": ("pins = [1, 3]", "pins = [1, 2]", "pins.avoid[2].pins", "in another group"),
    "a strapping pin without a group": ("strapping = [0,", "strapping = [13, 0,", "pins.strapping", "in no group"),
    "a pin twice on the header": ("header = [0, 1,", "header = [0, 0, 1,", "pins.header", "has a pin twice"),
    "the REPL's UART for the link": ("uart = 2\ntx", "uart = 0\ntx", "link.uart", "is the REPL's"),
    "a UART that is not there": ("uart = 2\ntx", "uart = 3\ntx", "link.uart", "none of the board's"),
    "a UART twice": ("id = 1", "id = 0", "uart[1].id", "there twice"),
    "partitions that overlap": ("offset = 0xF000", "offset = 0xE000", "flash.partition[1].offset", "inside of 'nvs'"),
    "a partition between two blocks": ("bytes = 0x6000", "bytes = 0x6100", "flash.partition[0]", "a block of 4096"),
    "a partition beyond the flash": ("offset = 0x200000", "offset = 0x210000", "flash.partition[3].bytes", "larger"),
    "an image for a larger flash": ("image_bytes = 0x400000", "image_bytes = 0x800000", "flash.image_bytes", "more"),
    "a source that is no address": ('"https://docs.micropython', '"docs.micropython', "sources[3]", "no https://"),
    "a kind of image": ('image = "bin"', 'image = "hex"', "flash.image", "none of bin, uf2"),
    "a port of MicroPython": ('port = "esp32"', 'port = "esp8266"', "port", "none of esp32, rp2"),
    "a button that is sometimes pressed": ('active = "low"', 'active = "often"', "button.active", "none of low, high"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_named_with_its_line_and_key(what: str, tmp_path: Path) -> None:
    old, new, key, words = WRONG[what]
    assert old in TEXT
    text = TEXT.replace(old, new, 1)
    path = tmp_path / "wrong.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BoardDataError) as caught:
        data.read(path)
    said = str(caught.value)
    line = line_of(text, key)
    assert said.startswith(f"{path}:{line}: {key}: ")
    assert words in said
    name = re.sub(r"\[\d+\]", "", key.split(".")[-1])
    assert re.match(rf"{name} =|\[", text.splitlines()[line - 1])  # where it is missing, the line of its table


def test_a_key_is_found_in_lists_of_lists_and_behind_text_that_looks_like_it() -> None:
    text = 'a = """\nb = 1\n[c]\n"""\n[[d]]\n[[d.e]]\nf = 1\n[[d]]\n[[d.e]]\n[[d.e]]\nf = 2\n[c]\nb = 1\n'
    for key, line in {"c": 12, "c.b": 13, "d[1]": 8, "d[0].e[0].f": 7, "d[1].e[1].f": 11, "d[1].e[0].f": 9}.items():
        assert line_of(text, key) == line
    assert (line_of(text, "g"), line_of(text, "g", 0), line_of(text, "d[1].e[1].g")) == (1, 0, 10)


def test_pins_that_the_chip_does_not_offer_for_a_uart_are_refused_on_a_pico(tmp_path: Path) -> None:
    path = tmp_path / "pico.toml"
    text = (board_data() / "rpi-pico-w.toml").read_text(encoding="utf-8")
    path.write_text(text.replace("tx = 4\nrx = 5\nrts", "tx = 5\nrx = 4\nrts"), encoding="utf-8")
    with pytest.raises(BoardDataError, match=r"link\.tx: pin 5 cannot be tx of UART 1"):
        data.read(path)


def test_a_file_that_is_no_toml_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.toml"
    path.write_text("name = \n", encoding="utf-8")
    with pytest.raises(BoardDataError, match=re.escape(str(path))):
        data.read(path)
