"""A chip of the ESP32 family in download mode, on a pseudo-terminal: what esptool speaks to, with a flash behind it.

It speaks what Espressif documents as the serial protocol: SLIP frames, the commands of the ROM, registers (chip, MAC,
the SPI controller through which the flash's identity is asked), and takes the RAM stub that esptool uploads: not run,
but compared with what esptool ships, and from its "OHAI" on the protocol is the stub's. The flash is erased in sectors,
and between two erasures bits are only cleared.

A pseudo-terminal has no DTR and RTS: the chip is in download mode from the beginning, as if Boot were held at reset.
When it is told to run its program, `started` is set, and the bytes of the line belong to whoever asked for them with
`attach`.

Faults: see Faults.
"""

import hashlib
import json
import os
import select
import struct
import termios
import threading
import tty
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

SECTOR = 4096
SPI_USR = 1 << 18
READ_ID = 0x9F
READ_SFDP = 0x5A

OK = b"\0\0"
FAILED = b"\1\6"
BAD_CHECKSUM = b"\1\7"
UNKNOWN = b"\1\5"


@dataclass(frozen=True)
class Kind:
    """What differs between the chips. `magic`: at 0x40001000; None where the chip tells its number instead."""

    name: str
    number: int
    magic: int | None
    spi: int
    usr2: int
    w0: int
    mac: int  # address of its lower word
    clock_divider: int


KINDS = {
    kind.name: kind
    for kind in (
        Kind("ESP32", 0, 0x00F01D83, 0x3FF42000, 0x24, 0x80, 0x3FF5A004, 0x3FF40014),
        Kind("ESP32-C3", 5, None, 0x60002000, 0x20, 0x58, 0x60008844, 0x60000014),
        Kind("ESP32-S3", 9, None, 0x60002000, 0x20, 0x58, 0x60007044, 0x60000014),
    )
}


@dataclass
class Faults:
    """What goes wrong. Numbers count data blocks that have arrived, from 1 on; None: never."""

    is_silent: bool = False  # nothing answers: not in download mode, or a cable without data lines
    vanishes_at: int | None = None  # the port is gone
    dies_at: int | None = None  # power is cut: that block is written by half, and the port is gone, too
    loses_bytes_at: int | None = None  # of that block, once
    damages_at: int | None = None  # a bit in the flash that does not take what is written, once or for ever
    damages_again: bool = False


class RomLoader:
    """`with RomLoader("ESP32") as chip: … chip.path … chip.flash`."""

    def __init__(
        self,
        kind: str = "ESP32",
        *,
        flash_bytes: int = 4 << 20,
        mac: str = "24:0a:c4:12:34:56",
        faults: Faults | None = None,
        flash: bytearray | None = None,
    ) -> None:
        self.kind = KINDS[kind]
        self.flash = bytearray(b"\xff" * flash_bytes) if flash is None else flash
        self.faults = faults or Faults()
        self.started = threading.Event()
        self.done = threading.Event()  # it was started, or is gone
        self.is_stub = False
        self.bauds: list[int] = []
        self.blocks = 0  # of data, that have arrived
        self.commands: list[int] = []
        low, high = int(mac.replace(":", "")[4:], 16), int(mac.replace(":", "")[:4], 16)
        self._registers = {
            0x40001000: self.kind.magic or 0,
            self.kind.mac: low,
            self.kind.mac + 4: high,
            self.kind.clock_divider: 40_000_000 // 115200,
        }
        self._uploaded = bytearray()
        self._writing: tuple[int, int] = (0, 0)  # from there on, so many bytes
        self._inflate: zlib._Decompress | None = None
        self._listener: Callable[[bytes], None] | None = None
        self._is_dead = False
        self._is_gone = False
        self.master, slave = os.openpty()
        tty.setraw(slave)
        self.path = os.ttyname(slave)
        self._slave = slave  # kept open, so that the line survives who opens and closes it
        self._stop_read, self._stop = os.pipe()
        self._thread = threading.Thread(target=self._run, name=f"chip at {self.path}")

    def __enter__(self) -> "RomLoader":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        os.write(self._stop, b".")
        self._thread.join()
        for descriptor in (self._stop, self._stop_read, self.master, self._slave):
            os.close(descriptor)

    def attach(self, listener: Callable[[bytes], None]) -> None:
        """From now on what arrives on the line goes to `listener`, called in the chip's own thread."""
        self._listener = listener

    def send(self, data: bytes) -> None:
        """Put the program's own output on the line."""
        os.write(self.master, data)

    # -- the line

    def _run(self) -> None:
        frame: bytearray | None = None
        while True:
            ready, _, _ = select.select([self.master, self._stop_read], [], [])
            if self._stop_read in ready:
                return
            data = os.read(self.master, 65536)
            if self.started.is_set():
                if self._listener:
                    self._listener(data)
                continue
            for byte in data:
                if byte != 0xC0:
                    if frame is not None:
                        frame.append(byte)
                elif not frame:
                    frame = bytearray()
                else:
                    packet = bytes(frame).replace(b"\xdb\xdc", b"\xc0").replace(b"\xdb\xdd", b"\xdb")
                    frame = None
                    self._packet(packet)
                    if self._is_gone:
                        return

    def _frame(self, packet: bytes) -> None:
        escaped = packet.replace(b"\xdb", b"\xdb\xdd").replace(b"\xc0", b"\xdb\xdc")
        os.write(self.master, b"\xc0" + escaped + b"\xc0")

    def _answer(self, op: int, value: int = 0, data: bytes = b"", status: bytes = OK) -> None:
        body = data + status + (b"" if self.is_stub else b"\0\0")
        self._frame(struct.pack("<BBHI", 1, op, len(body), value) + body)

    def _packet(self, packet: bytes) -> None:
        if len(packet) < 8 or packet[0] != 0 or self.faults.is_silent or self._is_dead:
            return
        _, op, size, checksum = struct.unpack_from("<BBHI", packet)
        data = packet[8:]
        self.commands.append(op)
        if len(data) != size:
            self._answer(op, status=FAILED)
            return
        handler = getattr(self, f"_do_{op:02x}", None)
        if handler is None or (op >= 0xD0 and not self.is_stub) or (op == 0x14 and self.kind.magic is not None):
            self._answer(0, status=UNKNOWN)
            return
        handler(op, data, checksum)

    # -- commands of ROM and stub, by their numbers

    def _do_08(self, op: int, data: bytes, checksum: int) -> None:  # sync
        for _ in range(8):
            self._answer(op, 0 if self.is_stub else 0x20120707)
        self.bauds.append(termios.tcgetattr(self._slave)[5])

    def _do_0a(self, op: int, data: bytes, checksum: int) -> None:  # read register
        self._answer(op, self._registers.get(struct.unpack("<I", data[:4])[0], 0))

    def _do_09(self, op: int, data: bytes, checksum: int) -> None:  # write register
        address, value, mask, _ = struct.unpack("<IIII", data[:16])
        self._registers[address] = self._registers.get(address, 0) & ~mask | value & mask
        if address == self.kind.spi and value & SPI_USR:
            self._registers[address] = 0
            self._registers[self.kind.spi + self.kind.w0] = self._ask_flash(
                self._registers[self.kind.spi + self.kind.usr2] & 0xFF
            )
        self._answer(op)

    def _ask_flash(self, command: int) -> int:
        if command == READ_ID:
            return ((len(self.flash) - 1).bit_length() << 16) | 0x40EF  # Winbond
        return 0x50444653 if command == READ_SFDP else 0

    def _do_14(self, op: int, data: bytes, checksum: int) -> None:  # security information, with the chip's number
        self._answer(op, data=struct.pack("<I8BII", 0, *bytes(8), self.kind.number, 0))

    def _do_0d(self, op: int, data: bytes, checksum: int) -> None:  # attach the flash; set its size
        self._answer(op)

    _do_0b = _do_0d

    def _do_0f(self, op: int, data: bytes, checksum: int) -> None:  # speed of the line
        self.bauds.append(struct.unpack_from("<I", data)[0])
        self._answer(op)

    def _do_05(self, op: int, data: bytes, checksum: int) -> None:  # upload to RAM: begin, data, end
        self._answer(op)

    def _do_07(self, op: int, data: bytes, checksum: int) -> None:
        block = data[16:]
        if _checksum(block) != checksum:
            self._answer(op, status=BAD_CHECKSUM)
            return
        self._uploaded += block
        self._answer(op)

    def _do_06(self, op: int, data: bytes, checksum: int) -> None:
        self._answer(op)
        if bytes(self._uploaded) == shipped_stub(self.kind.name):
            self.is_stub = True
            self._frame(b"OHAI")

    def _do_02(self, op: int, data: bytes, checksum: int) -> None:  # write: begin, data, end
        size, _, _, offset = struct.unpack_from("<IIII", data)
        self._begin(size, offset)
        self._answer(op)

    def _do_10(self, op: int, data: bytes, checksum: int) -> None:  # the same, compressed
        self._do_02(op, data, checksum)
        self._inflate = zlib.decompressobj()

    def _begin(self, size: int, offset: int) -> None:
        self._inflate = None
        self._writing = (offset, size)
        if size:
            self._erase(offset, size)

    def _do_03(self, op: int, data: bytes, checksum: int) -> None:
        block = data[16:]
        self.blocks += 1
        faults = self.faults
        if self.blocks == faults.vanishes_at:
            self._vanish()
            return
        if self.blocks == faults.loses_bytes_at:
            faults.loses_bytes_at = None
            block = block[:-3]
        if _checksum(block) != checksum:
            self._answer(op, status=BAD_CHECKSUM)
            return
        content = self._inflate.decompress(block) if self._inflate else block
        if self.blocks == faults.dies_at:
            content = content[: len(content) // 2]
            self._is_dead = True
        offset, _ = self._writing
        self._program(offset, content)
        self._writing = (offset + len(content), 0)
        if faults.damages_at is not None and self.blocks >= faults.damages_at:
            self.flash[offset] ^= 1
            if not faults.damages_again:
                faults.damages_at = None
        if self._is_dead:
            self._vanish()
        else:
            self._answer(op)

    _do_11 = _do_03

    def _do_04(self, op: int, data: bytes, checksum: int) -> None:
        runs = struct.unpack_from("<I", data)[0] == 0
        self._answer(op)
        if runs or not self.is_stub:
            self.started.set()
            self.done.set()

    _do_12 = _do_04

    def _do_13(self, op: int, data: bytes, checksum: int) -> None:  # MD5 of a region
        offset, size = struct.unpack_from("<II", data)
        found = hashlib.md5(self.flash[offset : offset + size])
        self._answer(op, data=found.digest() if self.is_stub else found.hexdigest().encode())

    def _do_d0(self, op: int, data: bytes, checksum: int) -> None:  # erase: all of it, a region
        self._erase(0, len(self.flash))
        self._answer(op)

    def _do_d1(self, op: int, data: bytes, checksum: int) -> None:
        self._erase(*struct.unpack_from("<II", data))
        self._answer(op)

    def _vanish(self) -> None:
        """The line hangs up. Its other end stays open here, so that no other line gets its name meanwhile."""
        self._is_gone = True
        self.done.set()
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, self.master)
        os.close(nothing)

    # -- the flash

    def _erase(self, offset: int, size: int) -> None:
        begin = offset // SECTOR * SECTOR
        end = -(-(offset + size) // SECTOR) * SECTOR
        self.flash[begin:end] = b"\xff" * (end - begin)

    def _program(self, offset: int, content: bytes) -> None:
        there = int.from_bytes(self.flash[offset : offset + len(content)], "little")
        both = there & int.from_bytes(content, "little")
        self.flash[offset : offset + len(content)] = both.to_bytes(len(content), "little")


def _checksum(data: bytes) -> int:
    state = 0xEF
    for byte in data:
        state ^= byte
    return state


def shipped_stub(chip: str) -> bytes:
    """The RAM stub that the installed esptool has for a chip."""
    import base64

    spec = find_spec("esptool")
    assert spec and spec.origin
    name = chip.lower().replace("-", "") + ".json"
    for version in ("2", "1", ""):
        path = Path(spec.origin).parent / "targets" / "stub_flasher" / version / name
        if path.exists():
            stub = json.loads(path.read_text(encoding="utf-8"))
            return base64.b64decode(stub["text"]) + base64.b64decode(stub.get("data", ""))
    raise FileNotFoundError(name)
