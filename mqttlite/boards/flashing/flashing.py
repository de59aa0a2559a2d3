"""One board, from whatever its flash holds to its first message: what `mqttlite flash` does.

The file system is written before MicroPython: a board that starts at all has everything. A power cut in
the middle leaves a board that does not start, or not properly; the same command again writes both from their
beginnings, with the same key for the same name.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mqttlite_board.settings import full, public

from ..images import board_files, firmware_image, littlefs_image, romfs
from ..known import kinds
from ..reaching import chip
from ..reaching.first_message import First, Where, check_broker, wait
from ..settings import asking, trusted_certificate
from ..settings.settings_file import check_on_host, new_key, urls_of
from ..updating.devices import Device, Devices

if TYPE_CHECKING:
    from ..images.firmware_image import FirmwareImage, Partition
    from ..known.kinds import Kind
    from ..report import Report
    from ..settings.asking import Asker

SLOWER = (460800, 115200)  # speeds to try when bytes are lost at the one asked for


class NoImageError(ValueError):
    """No image was given; says which one is for this board and where it is."""


@dataclass(frozen=True)
class Wishes:
    """What the command line says. `path`: the serial port."""

    path: str
    image: Path | None
    sha256: str | None
    application: Path
    devices: Path
    broker: str
    board: str | None = None
    bundle: str | None = None
    link: str | None = None
    drive: Path | None = None
    baud: int = chip.BAUD
    stub: bool | None = None
    erases: bool = False
    uses_romfs: bool = False
    only_shows: bool = False
    wait_s: float = 120.0
    check_mac: Callable[[str], None] | None = None  # told whose board it is, before anything is written; may raise


@dataclass(frozen=True)
class Plan:
    """What is going to be written to one board."""

    kind: "Kind"
    image: "FirmwareImage"
    partition: "Partition"
    values: dict[str, Any]
    broker: str
    bundle: str
    files: dict[str, bytes]
    rom: chip.Part | None = None

    @property
    def parts(self) -> list[chip.Part]:
        """In the order in which they are written."""
        system = littlefs_image.build(self.files, self.partition.size)
        return [
            chip.Part("the file system", self.partition.offset, system),
            *([self.rom] if self.rom else []),
            chip.Part("MicroPython", self.image.offset, self.image.data),
        ]

    def show(self, report: "Report") -> None:
        """Say it, without secrets."""
        image, part = self.image, self.partition
        report.step(
            f"MicroPython {image.version_text} for {image.chip}: {len(image.data):,} bytes at {image.offset:#x}",
            image=image.path.name,
            sha256=image.sha256,
        )
        size = sum(map(len, self.files.values()))
        report.step(
            f"file system, {firmware_image.mebibytes(part.size)} at {part.offset:#x}: {len(self.files)} files, "
            f"{size:,} bytes, with the bundle '{self.bundle}'",
            files={name: len(content) for name, content in sorted(self.files.items())},
        )
        if self.rom:
            report.step(
                f"ROMFS at {self.rom.offset:#x}: {len(self.rom.data):,} bytes, mqttlite and the board's program"
            )
        shown = public(self.values)
        report.step("settings: " + ", ".join(f"{key} = {value}" for key, value in shown.items()), settings=shown)


def flash(wishes: Wishes, known: dict[str, Any], asker: "Asker", report: "Report") -> First | None:
    """Write a board and wait for its first message; None where nobody waits. Raises FlashError, NotStartedError,
    and ValueErrors that say what is wrong with what was given.
    """
    plan: Plan | None = None
    written = False
    speeds = [wishes.baud, *(speed for speed in SLOWER if speed < wishes.baud)]
    for speed, slower in zip(speeds, [*speeds[1:], None], strict=True):
        try:
            with chip.connected(wishes.path, report, baud=speed, stub=wishes.stub) as board:
                if plan is None:
                    plan = _prepared(wishes, known, board, asker, report)
                if wishes.only_shows:
                    report.step("nothing was written (--dry-run)")
                    board.start()
                    return None
                remember(wishes, plan.values, plan.kind.stem)
                _write(plan, board, wishes.erases, report)
                written = True
                return begin(wishes, wishes.path, plan.values, plan.broker, lambda: _start(board), report)
        except chip.FlashError as error:
            if written or slower is None or not error.is_line:
                raise
            report.note(f"{error}; once more at {slower} baud")
    raise AssertionError("the last speed either works or raises")


def _prepared(wishes: Wishes, known: dict[str, Any], board: chip.Chip, asker: "Asker", report: "Report") -> Plan:
    """As `prepare`, shown, and with a look for the broker. A board that cannot be written runs again what it has."""
    try:
        plan = prepare(wishes, known, board, asker, report)
        plan.show(report)
        if wishes.wait_s and not wishes.only_shows:
            asyncio.run(check_broker(where(wishes, wishes.path, plan.values, plan.broker)))
    except BaseException:
        with contextlib.suppress(chip.FlashError):
            board.start()
        raise
    return plan


def prepare(wishes: Wishes, known: dict[str, Any], board: chip.Chip, asker: "Asker", report: "Report") -> Plan:
    """Find out and ask what there is to know, and check it, before anything is written."""
    kind = kinds.choose(board.name, board.usb, asker, wishes.board)
    report.step(
        f"{board.description} with {firmware_image.mebibytes(board.flash_bytes)} of flash, MAC {board.mac}, at "
        f"{wishes.path}: {kind.name}",
        chip=board.name,
        mac=board.mac,
        board=kind.stem,
        port=wishes.path,
    )
    if wishes.check_mac:
        wishes.check_mac(board.mac)
    if wishes.image is None:
        raise NoImageError(
            f"for {kind.name} download {kind.where}, and give it with --image; nothing is downloaded here"
        )
    image = firmware_image.read(wishes.image)
    firmware_image.check(image, board.name, wishes.sha256)
    if not board.flash_bytes:
        raise chip.FlashError("the flash does not say how large it is: it is missing, or of an unknown kind")
    partition = image.file_system(board.flash_bytes)
    values, broker = record(wishes, known, asker, board.mac)
    bundle = wishes.bundle or board_files.bundle_for(values, wishes.application)
    files = board_files.board(values, wishes.application, bundle, has_library=not wishes.uses_romfs)
    rom = _rom(image, bundle) if wishes.uses_romfs else None
    return Plan(kind, image, partition, values, broker, bundle, files, rom)


def record(wishes: Wishes, known: dict[str, Any], asker: "Asker", mac: str) -> tuple[dict[str, Any], str]:
    """The settings for a board, what is known and what is asked, checked, with the key that its name had or a new one;
    and the broker's URL as this computer reaches it. Raises NotAskedError, SettingError.
    """
    values, broker = asking.settings(asker, known, mac, wishes.broker)
    before = Devices(wishes.devices).find(values["name"])
    values.setdefault("key", before.key if before and before.key else new_key())
    check_on_host(values)
    return values, broker


def _rom(image: "FirmwareImage", bundle: str) -> chip.Part:
    data = romfs.build(board_files.library(bundle))
    return chip.Part("ROMFS", romfs.partition(image, len(data)).offset, data)


def remember(wishes: Wishes, values: dict[str, Any], stem: str) -> None:
    """Store the device with its key, before the board gets it: a key that only the board knows is of no use."""
    values = full(values)
    devices = Devices(wishes.devices)
    name = values["name"]
    devices.put(
        replace(
            devices.find(name) or Device(name),
            key=values["key"],
            topic=values["topic"],
            board=stem,
            url=urls_of(values)[0],
            username=values["username"] or "",
            image=wishes.image.name if wishes.image else "",
        )
    )


def _start(board: chip.Chip) -> bool:
    was_told = board.start()
    board.close()
    return was_told


def _write(plan: Plan, board: chip.Chip, erases: bool, report: "Report") -> None:
    if erases:
        report.step("erasing the flash")
        board.erase()
    for part in plan.parts:
        report.step(f"writing {part.what}")
        board.write(part)
        report.note(f"{part.what} is verified: the flash holds what was sent")


def begin(
    wishes: Wishes,
    path: str,
    values: dict[str, Any],
    broker: str,
    start: Callable[[], bool],
    report: "Report",
) -> First | None:
    """Start the board at the port `path`, which `start` gives back, and wait for its first message if it shall."""
    if not wishes.wait_s:
        if not start():
            report.note("press Reset (EN) on the board")
        return None
    report.step(f"the board starts; waiting for its first message (up to {wishes.wait_s:g} s)")
    first = asyncio.run(wait(where(wishes, path, values, broker), start, report, wishes.wait_s))
    report.result(first.words, topic=first.topic, payload=first.payload, qos=first.qos, after_s=round(first.after_s, 1))
    return first


def where(wishes: Wishes, path: str, values: dict[str, Any], broker: str) -> Where:
    """How to hear of it."""
    values = full(values)
    url = urls_of(values)[0]
    link = wishes.link or (path if url.startswith("serial:usb") else None)
    return Where(
        values["topic"],
        broker if url.startswith("serial:") else url,
        path,
        link,
        username=values["username"],
        password=values["password"],
        ca=trusted_certificate.options(values).get("ca"),
    )
