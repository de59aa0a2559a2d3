"""Serial ports on a host, through pyserial: real adapters and ptys. CPython only.

Opened exclusively, raw, without pulsing DTR and RTS (that resets an ESP32), and with the adapter's latency timer at 1
ms where the driver lets one set it.
"""

import asyncio
import contextlib
import errno
import grp
import os
import termios
from pathlib import Path

READ_SIZE = 4096


class PortError(OSError):
    """A serial port cannot be opened, or is gone; says what to do."""


class HostPort:
    """An open serial port on the running event loop."""

    def __init__(self, path: str, baud: int, rtscts: bool) -> None:
        try:
            import serial
        except ImportError as error:
            raise PortError("serial lines need pyserial; install it with: pip install 'mqttlite[gateway]'") from error
        self.path = path
        try:
            self._serial = serial.Serial(path, baud, timeout=0, write_timeout=0, exclusive=True, rtscts=rtscts)
        except serial.SerialException as error:
            raise PortError(_why_not(path, error.errno, str(error))) from error
        except ValueError as error:
            raise PortError(f"{path}: {error}") from error
        self._fd = self._serial.fileno()
        _configure(self._fd)
        with contextlib.suppress(OSError, ValueError, AttributeError):  # a pty, or a driver without it
            self._serial.set_low_latency_mode(True)
        self._loop = asyncio.get_running_loop()
        self._readable = asyncio.Event()
        self._writable = asyncio.Event()
        self._loop.add_reader(self._fd, self._readable.set)

    async def read(self) -> bytes:
        """What has arrived, at least one byte. Raises PortError when the port is gone."""
        while True:
            await self._readable.wait()
            self._readable.clear()
            try:
                data = os.read(self._fd, READ_SIZE)
            except BlockingIOError:
                continue
            except OSError as error:
                raise self._gone(error.strerror) from error
            if not data:
                raise self._gone("end of file")
            return data

    async def write(self, data: bytes | bytearray) -> None:
        """Hand over all of `data`. Raises PortError when the port is gone."""
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._fd, view) :]
            except BlockingIOError:
                await self._wait_until_writable()
            except OSError as error:
                raise self._gone(error.strerror) from error

    async def _wait_until_writable(self) -> None:
        self._writable.clear()
        self._loop.add_writer(self._fd, self._writable.set)
        try:
            await self._writable.wait()
        finally:
            self._loop.remove_writer(self._fd)

    def _gone(self, why: str | None) -> PortError:
        self.close()
        return PortError(f"{self.path} is gone ({why}); was it unplugged?")

    def close(self) -> None:
        """Give the port back; any number of times."""
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            self._fd = -1
            self._serial.close()
            self._readable.set()
            self._writable.set()


def open_port(path: str, baud: int = 115200, rtscts: bool = False) -> HostPort:
    """Open a serial port. Raises PortError with a sentence that says what to do."""
    return HostPort(path, baud, rtscts)


def ports_there() -> list[str]:
    """The serial ports of this machine, by the names that survive unplugging where there are such."""
    from serial.tools.list_ports import comports

    stable = Path("/dev/serial/by-id")
    return [str(path) for path in sorted(stable.iterdir())] if stable.exists() else [p.device for p in comports()]


def _configure(fd: int) -> None:
    """What pyserial leaves to be set."""
    with contextlib.suppress(termios.error):
        state = termios.tcgetattr(fd)
        state[2] &= ~termios.HUPCL  # DTR and RTS stay as they are at close: on many boards they are wired to reset
        state[6][termios.VMIN] = 1  # an empty read means that the port is gone, not that nothing has arrived
        termios.tcsetattr(fd, termios.TCSANOW, state)


def _why_not(path: str, code: int | None, text: str) -> str:
    if code == errno.ENOENT:
        there = ports_there()
        return f"{path} does not exist; " + (
            "there is " + ", ".join(there) if there else "no serial port is there at all"
        )
    if code == errno.EACCES:
        with contextlib.suppress(OSError, KeyError):
            group = grp.getgrgid(os.stat(path).st_gid).gr_name
            return (
                f"{path}: permission denied; its group is '{group}': sudo usermod -aG {group} $USER, then log in again"
            )
        return f"{path}: permission denied"
    if code in (errno.EAGAIN, errno.EBUSY):
        return f"{path} is in use by another program; fuser -v {path} tells which"
    return f"cannot open {path}: {text}"
