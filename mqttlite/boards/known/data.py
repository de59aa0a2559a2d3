"""What is known of each kind of board (hardware/boards/*.toml), as typed and checked data.

    boards()["esp32-devkitc"].link.url       serial://2?tx=17&rx=16&baud=115200
    find("ESP32-C3", usb=(0x10C4, 0xEA60))   those with this chip, as esptool names it, and with this USB adapter

A file that says too little, too much or what cannot be is refused with its line and key. The fields are explained in
hardware/README.md.
"""

import functools
import types
import typing
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, field, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

from ...settings.toml_file import read_toml
from .. import supplies
from ..settings.toml_lines import line_of

PORTS = ("esp32", "rp2")  # of MicroPython: its sys.platform on real boards
BLOCK = 0x1000  # of the flash: what is erased at once
_T = TypeVar("_T")


class BoardDataError(ValueError):
    """A board file is wrong: names the file, the line and the key."""


@dataclass(frozen=True)
class Avoid:
    """Pins that something else needs."""

    pins: tuple[int, ...]
    why: str


@dataclass(frozen=True)
class Pins:
    """GPIO numbers. `strapping`: read at reset, so what is wired to them may keep the board from starting."""

    header: tuple[int, ...]
    input_only: tuple[int, ...] = ()
    strapping: tuple[int, ...] = ()
    avoid: tuple[Avoid, ...] = ()


@dataclass(frozen=True)
class DefaultPins:
    """Those that MicroPython takes where none are named."""

    tx: int
    rx: int


@dataclass(frozen=True)
class Uart:
    """A UART of the chip, by its number in MicroPython."""

    id: int
    default: DefaultPins
    use: str


@dataclass(frozen=True)
class Link:
    """The UART and the pins that are recommended for the line to a gateway. `rxbuf`: bytes."""

    uart: int
    tx: int
    rx: int
    rts: int
    cts: int
    baud: int
    rxbuf: int

    @property
    def url(self) -> str:
        """The setting `url` for it."""
        return f"serial://{self.uart}?tx={self.tx}&rx={self.rx}&baud={self.baud}"


@dataclass(frozen=True)
class Led:
    """On the board. `pin`: a number, or a name for one behind another chip. `kind`: plain or WS2812 (addressable)."""

    pin: int | str
    kind: str = "plain"


@dataclass(frozen=True)
class Button:
    """On the board. `pin`: None where it is on none of the chip's. `active`: its level when it is pressed."""

    label: str
    pin: int | None = None
    active: str = "low"


@dataclass(frozen=True)
class Bridge:
    """The chip between a USB socket and UART0."""

    chip: str
    vid: int
    pid: int
    baud_max: int


@dataclass(frozen=True)
class NativeUsb:
    """The chip's own USB. `pins`: D- and D+ on the header, where they are there. `socket`: whether it has one. `pid`:
    while MicroPython runs; `pid_boot`: in download mode.
    """

    kind: str
    vid: int
    pid: int
    pid_boot: int
    socket: bool
    pins: tuple[int, ...] = ()


@dataclass(frozen=True)
class Reset:
    """In words: what DTR and RTS do, what opening the port does, and how to do it by hand."""

    by_lines: str
    on_open: str
    by_hand: str


@dataclass(frozen=True)
class Partition:
    """A part of the flash. `type` and `subtype` as ESP-IDF names them."""

    name: str
    type: str
    subtype: str
    offset: int
    bytes: int


@dataclass(frozen=True)
class Flash:
    """Of the board, and as the image of micropython.org lays it out. `image`: bin or uf2, the kind of file.
    `image_bytes`: the size of flash that the image is made for. `ours`: the file in hardware/partitions.
    """

    bytes: int
    image: str
    image_bytes: int
    partition: tuple[Partition, ...]
    firmware_offset: int = 0
    ours: str = ""


@dataclass(frozen=True)
class BoardData:
    """A kind of board. `chip`: as esptool names it. `micropython`: the name of its image at micropython.org."""

    name: str
    chip: str
    port: str
    micropython: str
    io_volts: float
    five_volt_tolerant: bool
    power: str
    sources: tuple[str, ...]
    pins: Pins
    uart: tuple[Uart, ...]
    link: Link
    reset: Reset
    flash: Flash
    notes: tuple[str, ...] = ()
    led: Led | None = None
    button: Button | None = None
    usb_serial: Bridge | None = None
    usb_native: NativeUsb | None = None
    stem: str = field(default="", compare=False)

    @property
    def usb_ids(self) -> tuple[tuple[int, int], ...]:
        """Vendor and product of every way to plug it in, with MicroPython or waiting to be written."""
        found = [(self.usb_serial.vid, self.usb_serial.pid)] if self.usb_serial else []
        native = self.usb_native
        return (*found, *([(native.vid, native.pid), (native.vid, native.pid_boot)] if native else []))

    @property
    def download(self) -> str:
        """Where its image is."""
        return f"https://micropython.org/download/{self.micropython}/"

    @property
    def plain_led(self) -> int | str | None:
        """The pin of an LED that a level switches; None where there is none, or an addressable one."""
        return self.led.pin if self.led and self.led.kind == "plain" else None


def boards(folder: Path | None = None) -> dict[str, BoardData]:
    """All kinds of boards, by the stem of their file. Raises BoardDataError."""
    return dict(_boards(folder or supplies.board_data()))


@functools.cache
def _boards(folder: Path) -> dict[str, BoardData]:
    return {path.stem: read(path) for path in sorted(folder.glob("*.toml"))}


def get(stem: str) -> BoardData:
    """The kind of board with this name. ValueError: there is none."""
    known = boards()
    if stem not in known:
        raise ValueError(f"there is no board '{stem}'; there are {', '.join(known)}")
    return known[stem]


def find(chip: str = "", usb: tuple[int, int] | None = None) -> list[BoardData]:
    """Those with this chip, as esptool names it ("" for any); where some of them have this USB vendor and product,
    these alone.
    """
    same = [board for board in boards().values() if chip in ("", board.chip)]
    by_usb = [board for board in same if usb in board.usb_ids]
    return by_usb or same


def read(path: Path) -> BoardData:
    """One board file. Raises BoardDataError, with the line and the key."""
    try:
        values = read_toml(path)
    except ValueError as error:
        raise BoardDataError(str(error)) from None
    try:
        found = _made(BoardData, values, "")
        for key, what in _wrong(found):
            raise _Wrong(key, what)
    except _Wrong as error:
        line = line_of(path.read_text(encoding="utf-8-sig"), error.key)
        raise BoardDataError(f"{path}:{line}: {error.key}: {error.what}") from None
    return replace(found, stem=path.stem)


class _Wrong(Exception):
    def __init__(self, key: str, what: str) -> None:
        self.key = key
        self.what = what


def _made(kind: type[_T], values: Any, key: str) -> _T:
    """A dataclass of the values of a table."""
    if not isinstance(values, dict):
        raise _Wrong(key, "must be a table")
    hints = typing.get_type_hints(kind)
    known = {each.name: each for each in fields(typing.cast(Any, kind)) if each.name != "stem"}
    for name in values:
        if name not in known:
            raise _Wrong(_joined(key, name), f"is not known; {', '.join(known)} are")
    made = {}
    for name, each in known.items():
        if name in values:
            made[name] = _value(hints[name], values[name], _joined(key, name))
        elif each.default is MISSING:
            raise _Wrong(_joined(key, name), "is missing")
    return kind(**made)


def _joined(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


def _value(kind: Any, value: Any, key: str) -> Any:
    """`value` if it is of this kind."""
    if typing.get_origin(kind) in (types.UnionType, typing.Union):
        choices = [each for each in typing.get_args(kind) if each is not type(None)]
        if len(choices) == 1:
            return _value(choices[0], value, key)
        if type(value) not in choices:
            raise _Wrong(key, f"{value!r} must be a number or a name")
        return value
    if typing.get_origin(kind) is tuple:
        inner = typing.get_args(kind)[0]
        if not isinstance(value, list):
            raise _Wrong(key, "must be a list")
        return tuple(_value(inner, each, f"{key}[{place}]") for place, each in enumerate(value))
    if hasattr(kind, "__dataclass_fields__"):
        return _made(kind, value, key)
    if type(value) is not kind:
        words = {int: "a whole number", str: "text", bool: "true or false", float: "a number with a point"}
        raise _Wrong(key, f"{value!r} must be {words[kind]}")
    return value


def _wrong(board: BoardData) -> Iterator[tuple[str, str]]:
    """Keys, and what about them cannot be."""
    if board.port not in PORTS:
        yield "port", f"'{board.port}' is none of {', '.join(PORTS)}"
    yield from _wrong_pins(board)
    yield from _wrong_uarts(board)
    if board.led and board.led.kind not in ("plain", "WS2812"):
        yield "led.kind", f"'{board.led.kind}' is none of plain, WS2812"
    if board.button and board.button.active not in ("low", "high"):
        yield "button.active", f"'{board.button.active}' is none of low, high"
    if not board.usb_ids:
        yield "usb_serial", "is missing, and so is usb_native: a board has a USB socket"
    for place, source in enumerate(board.sources):
        if not source.startswith("https://"):
            yield f"sources[{place}]", f"'{source}' is no https:// address"
    if not board.sources:
        yield "sources", "is empty: where are the facts from?"
    yield from _wrong_flash(board.flash)


def _wrong_pins(board: BoardData) -> Iterator[tuple[str, str]]:
    pins = board.pins
    header = set(pins.header)
    if len(header) != len(pins.header):
        yield "pins.header", "has a pin twice"
    for name in ("input_only", "strapping"):
        for pin in set(getattr(pins, name)) - header:
            yield f"pins.{name}", f"pin {pin} is not on the header"
    seen: set[int] = set()
    for place, avoid in enumerate(pins.avoid):
        for pin in avoid.pins:
            if pin not in header:
                yield f"pins.avoid[{place}].pins", f"pin {pin} is not on the header"
            if pin in seen:
                yield f"pins.avoid[{place}].pins", f"pin {pin} is in another group, too"
            seen.add(pin)
    if set(pins.strapping) - seen:
        yield "pins.strapping", f"pin {min(set(pins.strapping) - seen)} is in no group of pins.avoid"
    link = board.link
    used = {"led.pin": board.led.pin if board.led else None, "button.pin": board.button.pin if board.button else None}
    for name in ("tx", "rx", "rts", "cts"):
        pin = getattr(link, name)
        if pin not in header:
            yield f"link.{name}", f"pin {pin} is not on the header"
        if pin in seen:
            why = next(avoid.why for avoid in pins.avoid if pin in avoid.pins)
            yield f"link.{name}", f"pin {pin} is to be avoided: {why}"
        if pin in used.values():
            yield f"link.{name}", f"pin {pin} is used for {next(key for key in used if used[key] == pin)}, too"
        if name in ("tx", "rts") and pin in pins.input_only:
            yield f"link.{name}", f"pin {pin} cannot be an output"
        used[f"link.{name}"] = pin


def _wrong_uarts(board: BoardData) -> Iterator[tuple[str, str]]:
    numbers = [uart.id for uart in board.uart]
    for place, number in enumerate(numbers):
        if number in numbers[:place]:
            yield f"uart[{place}].id", f"UART {number} is there twice"
    of_link = [uart for uart in board.uart if uart.id == board.link.uart]
    if not of_link:
        yield "link.uart", f"UART {board.link.uart} is none of the board's"
    elif "REPL" in of_link[0].use:
        yield "link.uart", f"UART {board.link.uart} is the REPL's"
    if board.port == "rp2":  # its UARTs have fixed places: machine_uart.c, IS_VALID_TX and so on
        for place, name in enumerate(("tx", "rx", "cts", "rts")):
            pin = getattr(board.link, name)
            if pin % 4 != place or (pin + 4) // 8 % 2 != board.link.uart:
                yield f"link.{name}", f"pin {pin} cannot be {name} of UART {board.link.uart} on this chip"


def _wrong_flash(flash: Flash) -> Iterator[tuple[str, str]]:
    if flash.image not in ("bin", "uf2"):
        yield "flash.image", f"'{flash.image}' is none of bin, uf2"
    if flash.image_bytes > flash.bytes:
        yield "flash.image_bytes", "is more than the flash has"
    if not flash.partition:
        yield "flash.partition", "is missing"
        return
    for place, part in enumerate(flash.partition):
        if part.offset % BLOCK or part.bytes % BLOCK:
            yield f"flash.partition[{place}]", f"'{part.name}' does not begin and end with a block of {BLOCK} bytes"
    for place, (before, after) in enumerate(pairwise(flash.partition)):
        if before.offset + before.bytes > after.offset:
            yield f"flash.partition[{place + 1}].offset", f"'{after.name}' begins inside of '{before.name}'"
    last = flash.partition[-1]
    if last.offset + last.bytes > flash.image_bytes:
        place = len(flash.partition) - 1
        yield f"flash.partition[{place}].bytes", f"'{last.name}' is larger than what is left of the flash"
