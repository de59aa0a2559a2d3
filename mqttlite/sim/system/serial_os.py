"""What mqttlite.serial.ports asks the operating system and pyserial for, answered by the serial lines of a world.

Replaced while a world runs: the names `os`, `glob`, `fcntl`, `grp` and `termios` of mqttlite.serial.ports, and the
module `serial` where it is imported. So `open_port` and `HostPort` run as they are. There are no descriptors: the
numbers mean something to the virtual loop's add_reader and add_writer alone.
"""

import errno
import fnmatch
import glob
import grp
import os
import stat
import sys
import termios
from types import SimpleNamespace
from typing import Any

from ...serial import ports
from ..lines.serial import OpenPort, SerialPort, serial_ports
from ..machine import Machine, Machines

MAJOR = 188  # of ttyUSB
GROUP = "dialout"
# Linux's words, whatever this machine's library says: they are in the trace.
WORDS = {
    errno.ENOENT: "No such file or directory",
    errno.EIO: "Input/output error",
    errno.EBADF: "Bad file descriptor",
    errno.EAGAIN: "Resource temporarily unavailable",
    errno.EACCES: "Permission denied",
}


def serial_answers(world: Machines) -> list[tuple[Any, str, Any]]:
    """(where, name, what stands there while the world runs)."""
    fake = _System(world)
    modules = _Modules()
    return [
        (ports, "os", _Os(os, fake)),
        (ports, "glob", _Glob(glob, fake)),
        (ports, "fcntl", SimpleNamespace(ioctl=lambda *_: 0)),  # locks
        (ports, "grp", _Grp(grp, fake)),
        (ports, "termios", _Termios(termios, fake)),
        (modules, "serial", SimpleNamespace(Serial=fake.serial, SerialException=SerialException)),
    ]


class _Modules:
    """sys.modules, for whoever sets attributes."""

    def __init__(self) -> None:
        self.__dict__ = sys.modules


class SerialException(OSError):
    """As pyserial's."""


class _System:
    def __init__(self, world: Machines) -> None:
        self.world = world
        self.ports = serial_ports(world)

    @property
    def process(self) -> Machine:
        process = self.world.current
        if process is None:
            raise RuntimeError("no process is running: whose port?")
        return process

    def port(self, path: str) -> SerialPort:
        """FileNotFoundError: there is none."""
        process = self.process
        port = self.ports.find(process, path) if process.alive else None
        if port is None:
            raise FileNotFoundError(errno.ENOENT, WORDS[errno.ENOENT], path)
        return port

    def file(self, number: int) -> OpenPort | None:
        """None: the process is dead, and nothing that it does has an effect."""
        if not self.process.alive:
            return None
        file = self.ports.files.get(number)
        if file is None:
            raise OSError(errno.EBADF, WORDS[errno.EBADF])
        return file

    def serial(
        self,
        port: str,
        baudrate: int,
        timeout: float = 0,
        write_timeout: float = 0,
        exclusive: bool = True,
        rtscts: bool = False,
    ) -> "_Serial":
        """pyserial's class."""
        found = self.port(port)
        if self.world.now < found.ready_at:
            raise _refused("could not open port", port, errno.EACCES)
        if found.file:
            raise _refused("Could not exclusively lock port", port, errno.EAGAIN)
        return _Serial(self, self.ports.open(found, self.process, baudrate).number)


def _refused(words: str, path: str, code: int) -> SerialException:
    return SerialException(code, f"{words} {path}: [Errno {code}] {WORDS[code]}")


class _Serial:
    """An open port, as pyserial shows it."""

    def __init__(self, system: _System, number: int) -> None:
        self._system = system
        self._number = number

    def fileno(self) -> int:
        return self._number

    def set_low_latency_mode(self, _on: bool) -> None:
        pass

    def close(self) -> None:
        if self._system.file(self._number):
            self._system.ports.close(self._number)


class _Module:
    """A module in whose place it stands, but for what a class below answers."""

    def __init__(self, module: Any, system: _System) -> None:
        self._module = module
        self._system = system

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


class _Os(_Module):
    path = SimpleNamespace(realpath=str)

    def stat(self, path: str) -> Any:
        self._system.port(path)
        return SimpleNamespace(st_mode=stat.S_IFCHR | 0o660, st_rdev=os.makedev(MAJOR, 0), st_gid=20)

    def set_blocking(self, _file: int, _blocking: bool) -> None:
        pass

    def read(self, file: int, size: int) -> bytes:
        found = self._system.file(file)
        if found is None or found.hung_up:  # a tty that was hung up has come to its end
            return b""
        if not found.port.received:
            raise BlockingIOError(errno.EAGAIN, WORDS[errno.EAGAIN])
        return found.port.read(size)

    def write(self, file: int, data: Any) -> int:
        found = self._system.file(file)
        if found is None:
            return len(data)
        if found.hung_up:
            raise OSError(errno.EIO, WORDS[errno.EIO])
        taken = found.port.out.take(bytes(data))
        if not taken:
            raise BlockingIOError(errno.EAGAIN, WORDS[errno.EAGAIN])
        return taken


class _Glob(_Module):
    """Of serial ports; there is nothing else."""

    def glob(self, pattern: str) -> list[str]:
        return fnmatch.filter(self._system.ports.paths(self._system.process), pattern)


class _Grp(_Module):
    def getgrgid(self, _number: int) -> Any:
        return SimpleNamespace(gr_name=GROUP)


class _Termios(_Module):
    """Settings that nobody reads."""

    def tcgetattr(self, file: int) -> list[Any]:
        found = self._system.file(file)
        if found and found.hung_up:
            raise termios.error(errno.EIO, WORDS[errno.EIO])
        return [0, 0, 0, 0, 0, 0, [b"\0"] * 32]

    def tcsetattr(self, file: int, _when: int, _settings: list[Any]) -> None:
        self.tcgetattr(file)
