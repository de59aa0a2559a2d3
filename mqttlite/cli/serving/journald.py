"""The log as systemd's journal takes it: its own protocol, a datagram for each record, with fields to be asked for.

    journalctl -u mqttlite-gateway MQTTLITE_EVENT=refused
    journalctl -u mqttlite-gateway MQTTLITE_PORT=/dev/ttyUSB0 -o verbose

A field of a record, such as `client`, becomes MQTTLITE_CLIENT. A value with a newline is sent by its length; a record
that is too large for a datagram is handed over as a sealed memory file.
"""

import errno
import fcntl
import logging
import os
import socket
import struct
import sys

from ..streams import one_line
from .log_forms import fields_of, formatter, priority_of

SOCKET = "/run/systemd/journal/socket"
PREFIX = "MQTTLITE_"
_LENGTH = struct.Struct("<Q")


def journal(identifier: str, path: str = "") -> "JournalHandler | None":
    """A handler for the journal of this machine; None: there is none."""
    try:
        return JournalHandler(identifier, path or SOCKET)
    except OSError:
        return None


class JournalHandler(logging.Handler):
    """Sends records to the journal; `identifier`: who says so. What it does not take goes to standard error, which the
    journal reads, too. OSError: it is not there.
    """

    def __init__(self, identifier: str, path: str) -> None:
        super().__init__()
        self._identifier = identifier
        self._path = path
        self._fallback = formatter("journal")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        try:
            self._socket.connect(path)
        except OSError:
            self._socket.close()
            raise

    def emit(self, record: logging.LogRecord) -> None:
        """As of logging.Handler."""
        try:
            data = encoded(self._fields(record))
            try:
                self._send(data)
            except OSError:  # full for a moment, or the journal has been started again
                try:
                    self._socket.connect(self._path)
                    self._send(data)
                except OSError:
                    sys.stderr.write(self._fallback.format(record) + "\n")
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        """As of logging.Handler."""
        self._socket.close()
        super().close()

    def _send(self, data: bytes) -> None:
        try:
            self._socket.send(data)
        except OSError as error:
            if not _is_too_large(error):
                raise
            file = os.memfd_create("journal", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            try:
                _write_all(file, data)
                _seal(file)
                socket.send_fds(self._socket, [b""], [file])
            finally:
                os.close(file)

    def _fields(self, record: logging.LogRecord) -> dict[str, str]:
        message = one_line(record.getMessage())
        if record.exc_info:
            message += "\n" + logging.Formatter().formatException(record.exc_info)
        found = {
            "MESSAGE": message,
            "PRIORITY": str(priority_of(record)),
            "SYSLOG_IDENTIFIER": self._identifier,
            "LOGGER": record.name,
        }
        for name, value in fields_of(record).items():
            found[PREFIX + name.upper()] = str(value)
        return found


def encoded(fields: dict[str, str]) -> bytes:
    """As the journal reads them."""
    parts = []
    for name, value in fields.items():
        data = value.encode(errors="backslashreplace")
        if b"\n" in data:
            parts.append(name.encode() + b"\n" + _LENGTH.pack(len(data)) + data + b"\n")
        else:
            parts.append(name.encode() + b"=" + data + b"\n")
    return b"".join(parts)


def _is_too_large(error: OSError) -> bool:
    return error.errno in (errno.EMSGSIZE, errno.ENOBUFS)


def _write_all(file: int, data: bytes) -> None:
    at = 0
    while at < len(data):
        at += os.write(file, data[at:])


def _seal(file: int) -> None:
    """Nobody changes it any more: the journal takes no other."""
    fcntl.fcntl(
        file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
    )
