"""Files onto a board that runs MicroPython already, through its prompt, with mpremote as a library.

Only what has changed is copied, each file beside the old one and then renamed: a cable that is pulled leaves the old or
the new file, and the same command again goes on.
"""

import hashlib
import time
from binascii import b2a_base64
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ...serial.ports import PortError
from ..extras import need
from ..known.data import PORTS
from .ports import has_lines, opened, why_not_open

if TYPE_CHECKING:
    from ..report import Report

PROMPT = b">>> "
RUNNING_S = 7.5  # a program that runs takes less; a link that tries to come up must be found in a pause
PROMPT_S = 8.0  # a start, with the window in which Ctrl-C counts, takes less
BY_HAND_S = 60.0  # so long somebody may take to press Reset
# Ctrl-C as a board on its USB link takes it: three times, and then nothing until it writes next (serial/usb_port.py);
# Ctrl-B leaves the raw prompt.
INTERRUPT = b"\r\x03\x03\x03\x02"
AGAIN_S = 2.6
PULSE_S = 0.1
CHUNK = 480  # bytes at once

# Which half of the flash runs, "" where there are none; the SHA-256 of each file below a folder; the settings.
_HALF = """
import json, os
def there(path):
    try:
        os.stat(path)
        return True
    except OSError:
        return False
try:
    with open("half.json") as file:
        half = json.load(file)["good"]
except (OSError, ValueError, KeyError):
    half = "a" if there("a") else "b" if there("b") else ""
print(half, end="")
"""
_HASHES = """
import hashlib, os
def walk(folder, below):
    for entry in os.ilistdir(folder or "."):
        name, kind = entry[0], entry[1]
        place = below + name
        if kind == 0x4000:
            if place + "/" in keep:
                continue
            walk(folder + "/" + name if folder else name, place + "/")
        else:
            hash = hashlib.sha256()
            with open(folder + "/" + name if folder else name, "rb") as file:
                while True:
                    block = file.read(256)
                    if not block:
                        break
                    hash.update(block)
            print(hash.digest().hex(), place)
try:
    keep = %r
    walk(%r, "")
except OSError:
    pass
"""


_SETTINGS = """
import sys
try:
    with open("/settings.json" if sys.platform in %r else "settings.json", "rb") as file:
        print(file.read().hex())
except OSError:
    print("!")
"""


class BoardError(ValueError):
    """The board does not do what it is asked at its prompt; says why and what to do."""


class Board:
    """A board at its prompt; `at_prompt` makes one."""

    def __init__(self, transport: Any, report: "Report") -> None:
        self._transport = transport
        self._report = report
        self.is_restarted = False

    def run(self, code: str) -> str:
        """What this code prints there. Raises BoardError."""
        with _errors():
            printed: bytes = self._transport.exec(code)
        return printed.decode()

    def half(self) -> str:
        """The folder of the half that runs, "" where the board has no halves."""
        return self.run(_HALF)

    def hashes(self, folder: str, keep: tuple[str, ...]) -> dict[str, str]:
        """The SHA-256 of all files below a folder, but for the folders `keep` in it ("lib/"), by their place in it."""
        lines = self.run(_HASHES % (keep, folder)).splitlines()
        return {place: digest for digest, _, place in (line.strip().partition(" ") for line in lines)}

    def settings(self) -> bytes | None:
        """Its settings.json; None: it has none."""
        text = self.run(_SETTINGS % (PORTS,)).strip()
        return None if text == "!" else bytes.fromhex(text)

    def put(self, files: Mapping[str, bytes], folder: str, *, keep: tuple[str, ...], removes: bool = True) -> list[str]:
        """Make the files below a folder these, but for the folders `keep` in it; without `removes`, others stay, too.
        Which places have changed.
        """
        there = self.hashes(folder, keep)
        changed = [place for place, data in files.items() if there.get(place) != hashlib.sha256(data).hexdigest()]
        gone = [place for place in there if place not in files] if removes else []
        total = sum(len(files[place]) for place in changed)
        done = 0
        for place in changed:
            self._write(f"{folder}/{place}" if folder else place, files[place])
            done += len(files[place])
            self._report.progress("copying", done, total)
        for place in gone:
            self.run(f"import os\nos.remove({f'{folder}/{place}' if folder else place!r})")
        return [*changed, *gone]

    def _write(self, path: str, data: bytes) -> None:
        folders = path.split("/")[:-1]
        for depth in range(1, len(folders) + 1):
            folder = "/".join(folders[:depth])
            self.run(f"import os\ntry:\n    os.mkdir({folder!r})\nexcept OSError:\n    pass")
        # Base 64: what mpremote itself does, bytes as a literal, takes three times as long on a line of 115,200 baud.
        self.run(f"from binascii import a2b_base64\nnew = open({path + '.new'!r}, 'wb')")
        for at in range(0, len(data), CHUNK):
            self.run(f"new.write(a2b_base64({b2a_base64(data[at : at + CHUNK], newline=False)!r}))")
        self.run(f"import os\nnew.close()\nos.rename({path + '.new'!r}, {path!r})")

    def close(self) -> None:
        """Give the port back."""
        with _errors():
            self._transport.close()

    def leave_running(self, code: str) -> None:
        """Start this code and do not wait for it: it has the port to itself."""
        self.is_restarted = True
        with _errors():
            self._transport.exec_raw_no_follow(code)

    def restart(self) -> None:
        """Start it again, as by Reset."""
        self.is_restarted = True
        with _errors():
            self._transport.exec_raw_no_follow("import machine\nmachine.reset()")
            time.sleep(PULSE_S)  # it is on the line then


@contextmanager
def at_prompt(path: str, report: "Report") -> Iterator[Board]:
    """A board, brought to its prompt whatever it does. Raises BoardError."""
    transports = need("mpremote.transport_serial")
    _interrupt(path, report)
    with _errors(path):
        transport = transports.SerialTransport(path, baudrate=115200)
    try:
        with _errors():
            transport.enter_raw_repl(soft_reset=False)
        board = Board(transport, report)
        yield board
        if not board.is_restarted:
            with _errors():
                transport.exit_raw_repl()  # so that whoever comes next finds the prompt for people
    finally:
        with _errors():
            transport.close()


def _interrupt(path: str, report: "Report") -> None:
    """Lead the board to its prompt: by Ctrl-C, else by a reset and Ctrl-C while it starts. A program whose link has the
    USB socket takes Ctrl-C for a byte of the link.
    """
    try:
        port = opened(path, 115200, timeout=0.05)
    except PortError as error:
        raise BoardError(why_not_open(error)) from None
    with port:
        if _answers(port, RUNNING_S):
            return
        if has_lines(port):
            report.note("the board is reset, to get to its prompt")
            port.dtr = False  # Boot stays up
            port.rts = True
            time.sleep(PULSE_S)
            port.rts = False
            if _answers(port, PROMPT_S):
                return
        report.note("press Reset (EN) on the board")
        if not _answers(port, BY_HAND_S):
            raise BoardError(
                f"the board at {path} does not get to its prompt: is it one with MicroPython? mqttlite flash --image … "
                "writes it anew"
            )


def _answers(port: Any, within_s: float) -> bool:
    """Press Ctrl-C until the prompt is there."""
    end = time.monotonic() + within_s
    heard = b""
    while time.monotonic() < end:
        port.write(INTERRUPT)
        until = time.monotonic() + AGAIN_S
        while time.monotonic() < until:
            heard = (heard + port.read(port.in_waiting or 1))[-64:]
            if heard.endswith(PROMPT):
                while port.read(256):  # a prompt for each of the keys, the last with a banner: nothing may be left
                    pass
                return True
    return False


@contextmanager
def _errors(path: str = "") -> Iterator[None]:
    """mpremote's errors as BoardError."""
    errors = need("mpremote.transport")
    try:
        yield
    except errors.TransportExecError as error:
        raise BoardError(f"the board says: {error.error_output.strip().splitlines()[-1]}") from None
    except (errors.TransportError, OSError) as error:
        raise BoardError(f"{path or 'the board'}: {error}; plug it in again, and run the same command again") from None
