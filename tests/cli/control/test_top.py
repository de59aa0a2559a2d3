"""`mqttlite top` in a terminal (a pty, and pyte to read its screen), and as plain text."""

import asyncio
import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import pyte
import pytest

from mqttlite.cli.control.top_numbers import Look
from tests.broker.raw import TIMEOUT_S, RawClient
from tests.cli.control.test_ctl import MQTTLITE, broker
from tests.peers import run
from tests.runtimes import ROOT

COLUMNS, LINES = 110, 24


class Screen:
    """A terminal with the program in it."""

    def __init__(self, folder: Path) -> None:
        self.screen = pyte.Screen(COLUMNS, LINES)
        self._stream = pyte.ByteStream(self.screen)
        self._master, slave = pty.openpty()
        self.resize(COLUMNS, LINES)
        self.before = termios.tcgetattr(slave)
        self._slave = slave
        self.process = subprocess.Popen(
            [*MQTTLITE, "top", "-i", "0.1"],
            cwd=ROOT,
            env={**os.environ, "RUNTIME_DIRECTORY": str(folder), "TERM": "xterm-256color"},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.set_blocking(self._master, False)
        self.raw = b""

    def resize(self, columns: int, lines: int) -> None:
        self.screen.resize(lines, columns)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def press(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def _read(self) -> None:
        try:
            data = os.read(self._master, 65536)
        except BlockingIOError:
            return
        except OSError:  # the last one has closed it
            return
        self.raw += data
        self._stream.feed(data)

    async def shows(self, wanted: Callable[[list[str]], object]) -> list[str]:
        """The lines of the screen, once `wanted` is true of them."""
        lines: list[str] = []
        try:
            async with asyncio.timeout(TIMEOUT_S):
                while True:
                    self._read()
                    lines = [line.rstrip() for line in self.screen.display]
                    if wanted(lines):
                        return lines
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise AssertionError("\n".join(lines)) from None

    async def ended(self) -> int:
        """Its exit code; the terminal is as it was, and shows no cursor keys or screens of ours."""
        async with asyncio.timeout(TIMEOUT_S):
            while self.process.poll() is None:
                self._read()
                await asyncio.sleep(0.01)
        self._read()
        assert termios.tcgetattr(self._slave) == self.before
        assert self.raw.rstrip().endswith((b"\x1b[?25h", b"\x1b[?1049l"))  # the cursor and the screen of before
        return int(self.process.returncode)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._master)
        os.close(self._slave)


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Screen]:
    screen = Screen(folder)
    try:
        yield screen
    finally:
        screen.close()


def rows(lines: list[str]) -> list[str]:
    """The client identifiers that are shown, in order."""
    head = next((n for n, line in enumerate(lines) if re.match(r"client\*? +", line)), None)
    if head is None:
        return []
    words = [line.split()[0] for line in lines[head + 1 :] if line]
    return [word for word in words if word in ("few", "many", "none")]


async def waiting(client_id: str, port: int, count: int) -> RawClient:
    """A client that has taken messages and acknowledges none."""
    client = await RawClient(port).__aenter__()
    await client.connect(client_id)
    topic = f"to/{quote(client_id)}"
    await client.subscribe(topic, 1)
    async with RawClient(port) as publisher:
        await publisher.connect("publisher")
        for number in range(count):
            publisher.publish(topic, b"%d" % number, 1)
            assert (await publisher.packet()).kind == "puback"
    return client


async def test_it_shows_sorts_fits_and_ends(tmp_path: Path) -> None:
    async with broker(tmp_path) as (_, port, _):
        clients = [await waiting(name, port, count) for name, count in (("few", 1), ("many", 5), ("none", 0))]
        async with opened(tmp_path) as screen:
            lines = await screen.shows(lambda lines: rows(lines) == ["many", "few", "none"])  # queued most in front
            assert f"mqtt://127.0.0.1:{port}" in lines[0]
            assert any(line.startswith("clients   3 connected, 0 away") for line in lines)
            assert any("in doubt 6 out, 0 in" in line for line in lines)
            screen.press(b"c")
            await screen.shows(lambda lines: rows(lines) == ["few", "many", "none"])
            screen.press(b"r")
            await screen.shows(lambda lines: rows(lines) == ["none", "many", "few"])
            screen.press(b"rd")
            await screen.shows(lambda lines: rows(lines) == ["many", "few", "none"])
            screen.resize(70, 10)  # the kernel sends SIGWINCH
            lines = await screen.shows(lambda lines: rows(lines) == ["many"] and lines[-1].startswith("q quit"))
            assert not any("address" in line for line in lines)  # there is no room for it
            screen.press(b"\x1b[B")
            await screen.shows(lambda lines: rows(lines)[:1] == ["few"])
            screen.press(b"\x1b[H")
            await screen.shows(lambda lines: rows(lines) == ["many"])
            screen.press(b"\x1b[B")
            await screen.shows(lambda lines: rows(lines)[:1] == ["few"])
            screen.resize(110, 24)  # there is room for those above, too
            await screen.shows(lambda lines: rows(lines) == ["many", "few", "none"])
            clients[1].cut()
            await screen.shows(lambda lines: rows(lines) == ["few", "none"])
            screen.press(b"q")
            assert await screen.ended() == 0
        for client in clients:
            client.cut()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 0)])
async def test_a_signal_leaves_the_terminal_as_it_was(tmp_path: Path, number: signal.Signals, code: int) -> None:
    async with broker(tmp_path), opened(tmp_path) as screen:
        await screen.shows(lambda lines: lines[0].startswith("mqttlite "))
        if number == signal.SIGINT:
            screen.press(b"\x03")
        else:
            screen.process.send_signal(number)
        assert await screen.ended() == code


async def test_a_broker_that_goes_and_comes_back_is_followed(tmp_path: Path) -> None:
    async with opened_after(tmp_path) as screen:
        await screen.shows(lambda lines: any("no broker of this user" in line for line in lines))
        async with broker(tmp_path) as (_, port, _):
            await screen.shows(lambda lines: f":{port}" in lines[0] and not any("no broker" in each for each in lines))
            screen.press(b"q")
            assert await screen.ended() == 0


@asynccontextmanager
async def opened_after(folder: Path) -> AsyncIterator[Screen]:
    """A screen that has seen a broker, which is gone."""
    async with broker(folder) as (_, port, _):
        screen = Screen(folder)
        await screen.shows(lambda lines: f":{port}" in lines[0])
    try:
        yield screen
    finally:
        screen.close()


async def test_it_is_plain_text_where_there_is_no_terminal(tmp_path: Path) -> None:
    async with broker(tmp_path) as (_, port, _):
        client = await waiting("some\x1b[2Jone", port, 3)
        done = await run(
            *MQTTLITE, "top", "--count", "2", "-i", "0.05", env={**os.environ, "RUNTIME_DIRECTORY": str(tmp_path)}
        )
        client.cut()
    assert "\x1b" not in done.stdout
    assert done.stdout.count(f"mqtt://127.0.0.1:{port}") == 2
    [line, _] = [line for line in done.stdout.splitlines() if line.startswith(r"some\x1b[2Jone")]
    assert line.split()[3] == "3"


async def test_what_it_cannot_do_is_one_line(tmp_path: Path) -> None:
    env = {**os.environ, "RUNTIME_DIRECTORY": str(tmp_path)}
    for args, words in (
        ((), "no broker of this user or of the service runs here"),
        (("--sort", "z"), "--sort z: it is one of c, u, b"),
        (("-i", "0"), "have to be more than 0"),
    ):
        done = await run(*MQTTLITE, "top", *args, env=env, check=False)
        assert (done.code, done.stderr.count("\n")) == (1, 1)
        assert words in done.stderr


async def test_without_rich_it_says_what_to_install(tmp_path: Path) -> None:
    code = "import sys; sys.modules['rich'] = None; sys.stdout.isatty = lambda: True; from mqttlite.cli import main; "
    done = await run(sys.executable, "-c", code + "sys.exit(main(['top']))", check=False)
    assert done.stderr.strip() == (
        "mqttlite top: the live view needs rich: pip install 'mqttlite[top]' (--plain does without)"
    )


def test_rates_are_of_two_looks_and_begin_again_with_the_broker() -> None:
    def status(sent: int) -> dict[str, object]:
        return {"received": 0, "sent": sent, "dropped": 0, "bytes_received": 0, "bytes_sent": 0}

    def client(accepted: int, address: str = "a") -> dict[str, object]:
        return {"client": "x", "address": address, "accepted": accepted, "sent_bytes": None, "read_bytes": 0}

    first = Look(status(100), [client(10)], 5.0)
    second = Look(status(150), [client(30)], 7.0, first)
    assert (first.rates["sent"], second.rates["sent"]) == (0, 25)
    assert second._client_rates["x", "accepted"] == 10
    third = Look(status(3), [client(2, "b")], 8.0, second)
    assert (third.rates["sent"], third._client_rates["x", "accepted"]) == (0, 0)
