"""The window at each start in which Ctrl-C leads to the prompt; and the board of these tests, against real mpremote."""

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mqttlite.serial.ports import HostPort, open_port
from tests import runtimes
from tests.firmware.boards import START
from tests.firmware.console_board import ConsoleBoard
from tests.peers import RUN_TIMEOUT_S, run, unavailable

MAIN = """
from micropython import kbd_intr
kbd_intr(-1)
import window
try:
    for n in range(%d):
        print("window", n)
        window.pause(%d)
    window.catch_ctrl_c(True)
    print("started")
    import time
    time.sleep(60)
except KeyboardInterrupt as error:
    window.asked(error)
    window.prompt(error)
    raise
"""


class Terminal:
    """What a board says, awaited; what is typed."""

    def __init__(self, port: HostPort) -> None:
        self.port = port
        self.said = b""
        self._at = 0

    async def says(self, text: bytes) -> bytes:
        """All that it has said up to `text`, which comes after what was awaited before."""
        try:
            async with asyncio.timeout(RUN_TIMEOUT_S):
                while self.said.find(text, self._at) < 0:
                    self.said += await self.port.read()
        except TimeoutError:
            raise AssertionError(f"the board does not say {text!r}: {self.said[self._at :]!r}") from None
        begin, self._at = self._at, self.said.find(text, self._at) + len(text)
        return self.said[begin : self._at]

    async def type(self, keys: bytes) -> None:
        """Bytes to the board."""
        await self.port.write(keys)


@contextlib.asynccontextmanager
async def started(folder: Path, times: int = 1, ms: int = 60000) -> AsyncIterator[tuple[ConsoleBoard, Terminal]]:
    """A board in its window, and a terminal on it."""
    shutil.copy(START / "window.py", folder)
    (folder / "main.py").write_text(MAIN % (times, ms))
    board = ConsoleBoard(folder)
    async with board.line:
        port = open_port(board.path)
        terminal = Terminal(port)
        await board.power_on()
        try:
            await terminal.says(b"window 0")
            yield board, terminal
        finally:
            port.close()
            await board.power_off()


@pytest.mark.parametrize("keys", [b"\x03", b"\r\x03", b"typed before\x03", b"\0\x03\x03"])
async def test_ctrl_c_in_the_window_leads_to_the_prompt(tmp_path: Path, keys: bytes) -> None:
    async with started(tmp_path) as (_, terminal):
        await terminal.type(keys)
        assert b"KeyboardInterrupt" in await terminal.says(b">>> ")
        await terminal.type(b"print(6 * 7)\r")
        await terminal.says(b"\n42\r\n>>> ")
        await terminal.type(b"while 1: print('z' * 9)\r\r")
        await terminal.says(b"zzzzzzzzz")
        await terminal.type(b"\x03")  # MicroPython's own Ctrl-C is back
        await terminal.says(b"KeyboardInterrupt")
        assert b"started" not in terminal.said


async def test_ctrl_d_at_the_prompt_starts_the_board_again(tmp_path: Path) -> None:
    async with started(tmp_path) as (_, terminal):
        await terminal.type(b"\x03")
        await terminal.says(b">>> ")
        await terminal.type(b"\x04")
        await terminal.says(b"soft reboot")
        await terminal.says(b"window 0")


@pytest.mark.parametrize(
    "frames",
    [
        bytes(range(256)) * 4,
        b"\0" + b"\x03\x90\x03\x01\x03\x03\0",
        b"\x03\x90\x03" * 400 + b"\x03",  # the end of what found the buffer full
    ],
)
async def test_what_a_gateway_sends_at_a_start_leads_to_no_prompt(tmp_path: Path, frames: bytes) -> None:
    async with started(tmp_path, times=3, ms=250) as (_, terminal):
        if frames.endswith(b"\0"):
            await terminal.type(frames)
        else:  # while nobody reads
            await terminal.type(frames + b"\0")
        await terminal.says(b"started")


async def mpremote(board: ConsoleBoard, *args: str) -> str:
    """What mpremote prints."""
    program = runtimes.installed("mpremote") or unavailable("mpremote")
    return (await run(str(program), "connect", board.path, *args, env=dict(os.environ), folder=board.folder)).stdout


async def test_mpremote_breaks_into_a_program_that_has_another_line(tmp_path: Path) -> None:
    async with started(tmp_path, ms=10) as (board, terminal):
        await terminal.says(b"started")
        terminal.port.close()
        assert (await mpremote(board, "exec", "print(6 * 7)")).strip() == "42"


async def test_mpremote_breaks_in_during_the_window(tmp_path: Path) -> None:
    async with started(tmp_path) as (board, terminal):
        terminal.port.close()
        assert (await mpremote(board, "exec", "print(6 * 7)")).strip() == "42"
        (tmp_path / "copied.py").write_text("print(43)\n")
        await mpremote(board, "cp", str(tmp_path / "copied.py"), ":there.py")
        assert (tmp_path / "there.py").read_text() == "print(43)\n"
        assert (await mpremote(board, "exec", "import there")).strip() == "43"
