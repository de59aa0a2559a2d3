"""A board's flash, started by the real interpreter: its file system is mounted as "/" by MicroPython's own VfsLfs2,
then boot.py and main.py run from it, as on a board; standard input and output are the UART on the USB socket.
"""

import asyncio
import contextlib
import os
import tty
from collections.abc import AsyncIterator
from pathlib import Path

from mqttlite.boards.images import littlefs_image
from tests import runtimes
from tests.boards.rom_loader import RomLoader
from tests.peers import end, unavailable

# A block device over a file `b`, of which the file system has `size` bytes from `begin` on. Bits are only cleared
# between two erasures, as in a flash.
FLASH = """
class Flash:
    def __init__(self, b, begin, size):
        self.b, self.begin, self.size = b, begin, size

    def readblocks(self, n, buf, off=0):
        self.b.seek(self.begin + n * 4096 + off)
        self.b.readinto(buf)

    def writeblocks(self, n, buf, off=None):
        if off is None:
            self.ioctl(6, n)
            off = 0
        self.b.seek(self.begin + n * 4096 + off)
        self.b.write(buf)

    def ioctl(self, op, arg):
        if op == 3:
            self.b.flush()
        elif op == 4:
            return self.size // 4096
        elif op == 5:
            return 4096
        elif op == 6:
            self.b.seek(self.begin + arg * 4096)
            self.b.write(b"\\xff" * 4096)
            return 0
"""

BOOT = """
import os, sys, vfs
import board
class esp32:
    raw_temperature = staticmethod(lambda: 128)
class WLAN:  # a radio that finds its network at once
    def __init__(self, kind):
        self.is_there = False
    def active(self, on):
        pass
    def connect(self, name, password):
        self.is_there = True
    def isconnected(self):
        return self.is_there
    def ifconfig(self, address=None):
        return ("127.0.0.1",)
class network:
    STA_IF = 0
network.WLAN = WLAN
sys.modules["esp32"] = esp32
sys.modules["network"] = network
b = open(%r, "r+b")
rom = %r
if rom:
    with open(rom, "rb") as file:
        rom = file.read()
vfs.umount("/")
vfs.mount(Flash(b, 0, %d), "/")
if rom:
    vfs.mount(vfs.VfsRom(rom), "/rom")
    sys.path += ["/rom", "/rom/lib"]
os.chdir("/")
board.run()
"""


class FlashedBoard:
    """`with RomLoader(...) as chip: async with FlashedBoard(chip, folder).powered() as board: ...`

    When the chip is told to run its program, the interpreter starts on the file system that its flash holds then; the
    line of the chip is its USB socket from there on. `heap`: as on an ESP32 without more than its first areas. `rom`:
    where the flash has a ROMFS (which lies on the heap here: give it more).
    """

    def __init__(
        self,
        chip: RomLoader,
        folder: Path,
        *,
        begin: int = 0x200000,
        size: int = 0x200000,
        heap: str = "110k",
        rom: slice | None = None,
    ) -> None:
        program = runtimes.built(32, "console")
        if not program.exists():
            unavailable("MicroPython with a board's console, 32 bits (build/board)")
        self._chip = chip
        self._place = slice(begin, begin + size)
        self.file = folder / "flash.bin"
        self._rom = rom
        self._rom_file = folder / "rom.bin"
        script = FLASH + BOOT % (str(self.file), str(self._rom_file) if rom else "", size)
        self._argv = runtimes.micropython_argv(program, script, heap=heap)
        self._master = -1
        self._process: asyncio.subprocess.Process | None = None
        self.printed = b""  # everything that it has put on the line

    @contextlib.asynccontextmanager
    async def powered(self) -> AsyncIterator["FlashedBoard"]:
        """Starts the interpreter when the chip is told to; without power when the block ends."""
        starting = asyncio.create_task(self._start())
        try:
            yield self
        finally:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            await self.power_off()
            if self._master >= 0:
                asyncio.get_running_loop().remove_reader(self._master)
                self._chip.attach(lambda _: None)
                os.close(self._master)
                os.close(self._slave)
            print(f"--- the board's line ---\n{self.printed.decode(errors='backslashreplace')}")

    @property
    def files(self) -> dict[str, bytes]:
        """What its file system holds."""
        return littlefs_image.read(self.file.read_bytes())

    async def power_off(self) -> None:
        """It ends between two instructions."""
        if self._process:
            await end(self._process)
            self._process = None

    async def power_on(self) -> None:
        """It starts with what its flash holds."""
        socket = os.open(self._tty, os.O_RDWR | os.O_NOCTTY)
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._argv, stdin=socket, stdout=socket, stderr=socket, cwd="/", start_new_session=True
            )
        finally:
            os.close(socket)

    async def _start(self) -> None:
        while not self._chip.started.is_set():  # noqa: ASYNC110 (an event of a thread)
            await asyncio.sleep(0.01)
        self.file.write_bytes(self._chip.flash[self._place])
        if self._rom:
            self._rom_file.write_bytes(self._chip.flash[self._rom])
        self._master, slave = os.openpty()
        tty.setraw(slave)
        self._tty = os.ttyname(slave)
        self._slave = slave
        asyncio.get_running_loop().add_reader(self._master, self._from_board)
        self._chip.attach(lambda data: os.write(self._master, data) and None)
        await self.power_on()

    def _from_board(self) -> None:
        data = os.read(self._master, 65536)
        self.printed += data
        self._chip.send(data)
