"""A chip of the ESP32 family in download mode, through esptool: what it is, and its flash.

esptool is used as a library and says nothing itself: what it would print goes to a Report, its errors become
FlashError. Whoever asks is blocked meanwhile.
"""

import functools
import logging
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from ...serial.ports import PortError
from ..extras import need
from .ports import has_lines, opened, usb_ids, why_not_open
from .troubles import may_be_the_line, of_flashing

if TYPE_CHECKING:
    from ..report import Report

log = logging.getLogger("mqttlite.boards")

ROM_BAUD = 115200
BAUD = 460800
ATTEMPTS = 7  # esptool's own number: the longer reset sequences come after the first


class FlashError(Exception):
    """The board cannot be written; says what to press or to plug. `may_be_the_line`: a slower line may help."""

    def __init__(self, text: str, *, is_line: bool = False) -> None:
        super().__init__(text)
        self.is_line = is_line


class Part(NamedTuple):
    """What goes into the flash, and where."""

    what: str
    offset: int
    data: bytes


class Chip:
    """A connected chip; `connected` makes one. `flash_bytes`: 0 where it does not say how large its flash is."""

    def __init__(self, esp: Any, usb: tuple[int, int] | None, report: "Report") -> None:
        commands = need("esptool.cmds")
        self._esp = esp
        self._report = report
        self.name: str = esp.CHIP_NAME  # "ESP32-C3"
        self.description: str = esp.get_chip_description()  # "ESP32-D0WD-V3 (revision v3.1)"
        self.usb = usb
        self.mac = ":".join(f"{byte:02x}" for byte in esp.read_mac("BASE_MAC"))
        size = commands.detect_flash_size(esp)
        self.flash_bytes = need("esptool.util").flash_size_bytes(size) if size else 0
        self.has_lines = has_lines(esp._port)

    def erase(self) -> None:
        """Erase all of the flash."""
        with errors():
            if self._esp.IS_STUB:
                need("esptool.cmds").erase_flash(self._esp)
            else:  # the ROM has no command for that; beginning to write erases
                self._esp.flash_begin(self.flash_bytes, 0, logging=False)

    def write(self, part: Part) -> None:
        """Write it, compressed, and compare the MD5 of what the flash then holds. Raises FlashError."""
        _logger().report, _logger().what = self._report, part.what
        with errors():
            need("esptool.cmds").write_flash(self._esp, [(part.offset, part.data)], compress=True)

    def start(self) -> bool:
        """Leave download mode and run what was written. Whether the chip was told: without DTR and RTS, and with its
        ROM gone, somebody has to press Reset.
        """
        with errors():
            if self.has_lines:
                need("esptool.cmds").reset_chip(self._esp, "hard-reset")
                return True
            if self._esp.IS_STUB:
                return False
            self._esp.soft_reset(False)
            return True

    def close(self) -> None:
        """Give the port back."""
        self._esp._port.close()


@contextmanager
def connected(
    path: str, report: "Report", *, baud: int = BAUD, stub: bool | None = None, attempts: int = ATTEMPTS
) -> Iterator[Chip]:
    """A chip at a serial port. `baud`: the speed to write at. `stub`: whether esptool's own program, which is faster
    than the ROM's, is put into the RAM; None: where the chip can be reset afterwards. Raises FlashError.
    """
    commands = need("esptool.cmds")
    _logger().report = report
    try:
        port = opened(path, ROM_BAUD)
    except PortError as error:
        raise FlashError(why_not_open(error)) from None
    lines = has_lines(port)
    try:
        with errors():
            usb = usb_ids(path)
            esp = commands.detect_chip(port, ROM_BAUD, "default-reset" if lines else "no-reset", False, attempts)
            if lines if stub is None else stub:
                esp = commands.run_stub(esp)
            if baud > ROM_BAUD:
                esp.change_baud(baud)
            commands.attach_flash(esp)
            chip = Chip(esp, usb, report)
        yield chip
    finally:
        port.close()


@contextmanager
def errors() -> Iterator[None]:
    """esptool's errors, and the port's, as FlashError."""
    fatal = need("esptool.util").FatalError
    try:
        yield
    except (fatal, OSError, struct.error) as error:
        log.debug("esptool: %r", error)
        raise FlashError(of_flashing(error), is_line=may_be_the_line(error)) from error


@functools.cache
def _logger() -> Any:
    """In the place of esptool's own logger, from now on: its progress goes to a `report`, the rest into the log."""
    logger = need("esptool.logger")

    class Logger(logger.TemplateLogger):  # type: ignore[misc, name-defined]
        report: "Report"
        what = ""

        def print(self, *args: Any, **options: Any) -> None:
            log.debug("esptool: %s", " ".join(map(str, args)).strip())

        def note(self, message: str) -> None:
            log.debug("esptool: %s", message)

        warning = error = note

        def stage(self, finish: bool = False) -> None:
            pass

        def progress_bar(self, cur_iter: int, total_iters: int, *_: Any, **__: Any) -> None:
            self.report.progress(f"writing {self.what}", cur_iter, total_iters)

        def set_verbosity(self, verbosity: str) -> None:
            pass

    logger.log.set_logger(Logger())
    return Logger  # whose attributes are set: esptool 5.0 keeps its own object, and gives it this class
