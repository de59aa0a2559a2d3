"""Serial ports on a host: a real device through pyserial, or a pseudo-terminal. CPython on POSIX.

Opening a port must not reset the board behind it. The usual circuit resets an ESP32 while RTS is on and DTR is off, so
both are left as the kernel's open sets them, on together, and are not dropped on close either.
"""

import asyncio
import contextlib
import errno
import fcntl
import glob
import grp
import os
import stat
import struct
import termios
import tty
from collections.abc import Callable
from pathlib import Path

READ_SIZE = 4096
RESET_S = 0.1
_TIOCSRS485, _RS485_ENABLED, _RS485_RTS_ON_SEND = 0x542F, 1, 2
_PTY_MAJORS = range(136, 144)


class PortError(OSError):
    """A port that cannot be opened or is gone; the text says which, why and what to do. `errno` is the system's."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(code, text)
        self._text = text

    def __str__(self) -> str:
        return self._text


class HostPort:
    """An open serial port on the running event loop; `close` gives the descriptor back. See line.Port."""

    def __init__(self, path: str, fd: int, close: Callable[[], object]) -> None:
        self.path = path
        self._fd = fd
        self._close = close
        self._waiting: set[asyncio.Future[None]] = set()
        os.set_blocking(fd, False)

    async def read(self) -> bytes:
        """What has arrived, at least one byte. Raises PortError when the port is gone or closed."""
        while True:
            await self._ready(write=False)
            try:
                data = os.read(self._fd, READ_SIZE)
            except BlockingIOError:
                continue
            except OSError as error:
                raise self._gone(error) from None
            if data:
                return data
            raise self._gone(OSError(errno.EIO, "end of file"))

    async def write(self, data: bytes | bytearray) -> None:
        """Hand over all of `data` to the kernel. Raises PortError when the port is gone or closed."""
        view = memoryview(data)
        while view:
            if self._fd < 0:
                raise self._closed()
            try:
                view = view[os.write(self._fd, view) :]
            except BlockingIOError:
                await self._ready(write=True)
            except OSError as error:
                raise self._gone(error) from None

    async def reset_board(self) -> None:
        """Reset the board behind the usual circuit: RTS on, DTR off, then both on, as they were (see the top). Does
        nothing on a port without these lines; a board without the circuit does not notice.
        """
        with contextlib.suppress(OSError):
            lines = struct.pack("I", termios.TIOCM_DTR), struct.pack("I", termios.TIOCM_RTS)
            fcntl.ioctl(self._fd, termios.TIOCMBIC, lines[0])
            fcntl.ioctl(self._fd, termios.TIOCMBIS, lines[1])
            await asyncio.sleep(RESET_S)
            fcntl.ioctl(self._fd, termios.TIOCMBIS, lines[0])

    def drive_by_rts(self) -> None:
        """Have the kernel switch an RS-485 driver by RTS: on while bytes leave. Raises PortError when it cannot."""
        try:
            fcntl.ioctl(self._fd, _TIOCSRS485, struct.pack("8I", _RS485_ENABLED | _RS485_RTS_ON_SEND, *[0] * 7))
        except OSError as error:
            text = f"{self.path} cannot switch an RS-485 driver by RTS ({error.strerror}); an adapter that switches it "
            raise PortError(error.errno or errno.EIO, text + 'itself needs no driver = "rts"') from None

    def close(self) -> None:
        """Give the port back; whoever waits for it gets a PortError. Any number of times."""
        if self._fd < 0:
            return
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._fd)
        loop.remove_writer(self._fd)
        self._fd = -1
        for wait in self._waiting:
            if not wait.done():
                wait.set_exception(self._closed())
        self._close()

    async def _ready(self, *, write: bool) -> None:
        if self._fd < 0:
            raise self._closed()
        loop = asyncio.get_running_loop()
        add, remove = (loop.add_writer, loop.remove_writer) if write else (loop.add_reader, loop.remove_reader)
        wait: asyncio.Future[None] = loop.create_future()
        self._waiting.add(wait)
        add(self._fd, _finish, wait)
        try:
            await wait
        finally:
            self._waiting.discard(wait)
            if self._fd >= 0:
                remove(self._fd)

    def _gone(self, error: OSError) -> PortError:
        return PortError(error.errno or errno.EIO, f"{self.path} is gone ({error.strerror}); was it unplugged?")

    def _closed(self) -> PortError:
        return PortError(errno.EBADF, f"{self.path} is gone (closed by this program)")


def open_port(path: str, baud: int = 115200, rtscts: bool = False) -> HostPort:
    """Open a serial device or pseudo-terminal: raw, locked, with low latency where the driver has that.

    `baud`: bit/s. `rtscts`: hardware flow control; not for boards whose reset hangs on RTS. Raises PortError with a
    sentence that says what to do.
    """
    try:
        info = os.stat(path)
        if not stat.S_ISCHR(info.st_mode):
            raise OSError(errno.ENOTTY, "not a device")
        if os.major(info.st_rdev) in _PTY_MAJORS:
            fd = _open_pty(path)
            return HostPort(path, fd, lambda: os.close(fd))
    except OSError as error:
        raise explained(path, error) from None
    return _open_serial(path, baud, rtscts)


def is_serial_device(path: str) -> bool:
    """Whether it is one, and no pseudo-terminal."""
    try:
        info = os.stat(path)
    except OSError:
        return False
    return stat.S_ISCHR(info.st_mode) and os.major(info.st_rdev) not in _PTY_MAJORS


def ports_there() -> list[str]:
    """The serial ports of this machine, by the names that survive unplugging where there are such."""
    by_id = sorted(glob.glob("/dev/serial/by-id/*"))
    named = {os.path.realpath(path) for path in by_id}
    plain = sorted(path for kind in ("ttyUSB", "ttyACM", "ttyAMA") for path in glob.glob(f"/dev/{kind}*"))
    return by_id + [path for path in plain if path not in named]


def _finish(wait: asyncio.Future[None]) -> None:
    if not wait.done():
        wait.set_result(None)


def _open_pty(path: str) -> int:
    fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        tty.setraw(fd, termios.TCSANOW)
    except termios.error as error:  # no OSError, though it looks like one
        os.close(fd)
        raise OSError(*error.args) from None
    except OSError:
        os.close(fd)
        raise
    return fd


def _open_serial(path: str, baud: int, rtscts: bool) -> HostPort:
    try:
        import serial
    except ImportError:
        text = f"{path} needs pyserial, which is not installed: pip install 'mqttlite[gateway]'"
        raise PortError(errno.ENOSYS, text) from None
    try:
        device = serial.Serial(path, baud, timeout=0, write_timeout=0, exclusive=True, rtscts=rtscts)
    except ValueError as error:
        raise PortError(errno.EINVAL, f"{path} cannot run at {baud} baud: {error}") from None
    except OSError as error:
        raise explained(path, systems_own(error)) from None
    with contextlib.suppress(OSError, ValueError, NotImplementedError):  # a driver without it costs some milliseconds
        device.set_low_latency_mode(True)
    fd: int = device.fileno()
    with contextlib.suppress(OSError):  # nobody else opens it; pyserial's lock is for programs that look for one
        fcntl.ioctl(fd, termios.TIOCEXCL)
    with contextlib.suppress(termios.error):  # what pyserial leaves to be set; a port that is gone already says so soon
        settings = termios.tcgetattr(fd)
        settings[2] &= ~termios.HUPCL  # closing leaves DTR and RTS alone
        settings[6][termios.VMIN] = 1  # an empty read means that the port is gone, not that nothing has arrived
        termios.tcsetattr(fd, termios.TCSANOW, settings)
    return HostPort(path, fd, device.close)


def systems_own(error: OSError) -> OSError:
    """The system's error behind pyserial's, which has put the number into its text, or lost it."""
    cause = error.__context__
    if isinstance(cause, termios.error):  # no OSError, though it looks like one
        return OSError(*cause.args)
    return cause if isinstance(cause, OSError) and cause.errno else error


def explained(path: str, error: OSError) -> PortError:
    """The same error with words that say why and what to do."""
    code = error.errno or errno.EIO
    if code in (errno.ENOENT, errno.ENXIO, errno.ENODEV):
        there = ", ".join(ports_there()) or "no serial port"
        return PortError(code, f"{path} does not exist; there is {there}")
    if code in (errno.EACCES, errno.EPERM):
        group = _group_of(path)
        text = f"{path}: permission denied; its group is '{group}': sudo usermod -aG {group} $USER, then log in again"
        return PortError(code, text)
    if code in (errno.EBUSY, errno.EAGAIN):
        who = ", ".join(users_of(path)) or "another program"
        return PortError(code, f"{path} is in use by {who}; one program at a time can have it")
    if code == errno.ENOTTY:
        return PortError(code, f"{path} is no serial device")
    return PortError(code, f"{path} cannot be opened: {error.strerror or error}")


def _group_of(path: str) -> str:
    try:
        return grp.getgrgid(os.stat(path).st_gid).gr_name
    except (OSError, KeyError):
        return "dialout"


def users_of(path: str, but: int = 0) -> list[str]:
    """The programs that have the device open, but for one process, as far as this user may know: "picocom (process
    1234)".
    """
    device = os.path.realpath(path)
    users = []
    for process in sorted(glob.glob("/proc/[0-9]*")):
        if process == f"/proc/{but}":
            continue
        with contextlib.suppress(OSError):  # it has ended meanwhile, or is somebody else's
            if any(os.path.realpath(fd) == device for fd in glob.glob(f"{process}/fd/*")):
                users.append(f"{Path(process, 'comm').read_text().strip()} (process {process[6:]})")
    return users
