"""Links on real ports: the pump, opening a port, and what happens when one is unplugged."""

import asyncio
import contextlib
import errno
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mqttlite.cli.demo.pty_line import NoisyLine
from mqttlite.link import Link, Stream
from mqttlite.link.frames import MQTT
from mqttlite.link.stream import LINK_LOST
from mqttlite.serial.line import Line
from mqttlite.serial.ports import PortError, open_port
from tests.link.ends import pattern

BAUD = 921600


@contextlib.asynccontextmanager
async def running(link: Link, path: str) -> AsyncIterator[asyncio.Task[None]]:
    """The link on the port, as a task that is ended at the end of the block."""
    task = asyncio.create_task(Line(link, open_port(path, BAUD), BAUD).run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class Collector:
    """What arrives at a link on the MQTT channel, and an event for when it is up."""

    def __init__(self, link: Link, size: int) -> None:
        self.link = link
        self.got = bytearray()
        self.size = size
        self.up = asyncio.Event()
        self.complete = asyncio.Event()
        self.writable = asyncio.Event()
        link.on_up = lambda peer: self.up.set()
        link.on_data = self._data
        link.on_writable = self.writable.set

    def _data(self, channel: int, data: bytes | memoryview) -> None:
        if channel == MQTT:
            self.got += data
            self.link.consumed(len(data))
            if len(self.got) >= self.size:
                self.complete.set()

    async def send_all(self, data: bytes | bytearray) -> None:
        await self.up.wait()
        at = 0
        while at < len(data):
            self.writable.clear()
            taken = self.link.send(MQTT, data[at:])
            at += taken
            if at < len(data):
                await self.writable.wait()


async def test_bytes_cross_a_noisy_line_of_ptys_in_both_directions() -> None:
    data = pattern(20000)
    async with NoisyLine(BAUD, bit_errors=1e-4, dropped=1e-3, seed=4) as line:
        a = Collector(Link(1, baud=BAUD, window=16), len(data))
        b = Collector(Link(2, baud=BAUD, window=16), len(data))
        async with running(a.link, line.a_path), running(b.link, line.b_path):
            await asyncio.gather(a.send_all(data), b.send_all(data), a.complete.wait(), b.complete.wait())
        assert a.got == b.got == data
        assert a.link.stats.repaired > 0
        assert line.noise_ab.dropped > 0
        assert line.overflowed == 0


async def test_an_unplugged_port_ends_the_session_and_a_replugged_one_begins_another() -> None:
    async with NoisyLine(BAUD) as line:
        a = Collector(Link(1, baud=BAUD), 4)
        closed: asyncio.Queue[int] = asyncio.Queue()
        opened = asyncio.Event()
        stream = Stream(Link(2, baud=BAUD))
        stream.link.on_up = lambda peer: stream.open()
        stream.on_opened = opened.set
        stream.on_close = closed.put_nowait
        gateway = Stream(a.link)
        gateway.on_open = gateway.accept
        async with running(a.link, line.a_path):
            async with running(stream.link, line.b_path) as task:
                await opened.wait()
                line.unplug("b")
                with pytest.raises(PortError, match=r"gone .*unplugged"):
                    await task
                assert await closed.get() == LINK_LOST
            with pytest.raises(PortError, match="does not exist"):
                open_port(line.b_path, BAUD)
            line.replug("b")
            opened.clear()
            async with running(stream.link, line.b_path):
                await opened.wait()


async def test_a_cancelled_line_closes_its_port_and_ends_the_session() -> None:
    async with NoisyLine(BAUD) as line:
        a = Collector(Link(1, baud=BAUD), 0)
        b = Collector(Link(2, baud=BAUD), 0)
        async with running(a.link, line.a_path):
            async with running(b.link, line.b_path):
                await a.up.wait()
                await b.up.wait()
            assert not b.link.up
            open_port(line.b_path, BAUD).close()


async def test_an_error_in_a_callback_is_not_lost() -> None:
    async with NoisyLine(BAUD) as line:
        a = Link(1, baud=BAUD)
        b = Link(2, baud=BAUD)

        def fail(_peer: object) -> None:
            raise RuntimeError("the application is broken")

        b.on_up = fail
        async with running(a, line.a_path), running(b, line.b_path) as task:
            with pytest.raises(RuntimeError, match="application is broken"):
                await task


async def test_a_port_in_use_is_refused_and_free_again_when_closed() -> None:
    async with NoisyLine(BAUD) as line:
        first = open_port(line.a_path, BAUD)
        with pytest.raises(PortError, match=rf"in use by \S.*\(process {os.getpid()}\)"):
            open_port(line.a_path, BAUD)
        first.close()
        open_port(line.a_path, BAUD).close()


async def test_a_missing_device_is_answered_with_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mqttlite.serial.ports.ports_there", lambda: ["/dev/serial/by-id/usb-CP2102"])
    with pytest.raises(PortError, match=r"/dev/ttyUSB77 does not exist; there is /dev/serial/by-id/usb-CP2102"):
        open_port("/dev/ttyUSB77")


async def test_a_file_is_no_serial_device(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("")
    with pytest.raises(PortError, match="is no serial device"):
        open_port(str(path))


async def test_permission_denied_says_which_group_to_join(monkeypatch: pytest.MonkeyPatch) -> None:
    async with NoisyLine(BAUD) as line:

        def refuse(*_: object) -> int:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr("mqttlite.serial.ports.os.open", refuse)
        with pytest.raises(PortError, match=r"permission denied; its group is '(\w+)': sudo usermod -aG \1 \$USER"):
            open_port(line.a_path)


async def test_without_pyserial_a_port_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "serial", None)
    with pytest.raises(PortError, match=r"pip install 'mqttlite\[gateway\]'"):
        open_port("/dev/null")  # a device, and no pseudo-terminal
    async with NoisyLine(BAUD) as line:
        open_port(line.a_path, BAUD).close()  # which needs none


async def test_a_device_that_is_no_terminal_is_refused() -> None:
    with pytest.raises(PortError, match="/dev/null is no serial device"):
        open_port("/dev/null", BAUD)


async def test_an_idle_port_is_not_taken_for_an_unplugged_one() -> None:
    async with NoisyLine(BAUD) as line:
        a, b = open_port(line.a_path, BAUD), open_port(line.b_path, BAUD)
        for _ in range(50):
            await a.write(b"ping\0")
            got = b""
            while len(got) < 5:
                got += await b.read()
            assert got == b"ping\0"
        a.close()
        b.close()


async def test_closing_a_port_wakes_its_reader() -> None:
    async with NoisyLine(BAUD) as line:
        port = open_port(line.a_path)
        reader = asyncio.create_task(port.read())
        await asyncio.sleep(0)
        port.close()
        port.close()
        with pytest.raises(PortError, match="gone"):
            await reader


async def test_closing_a_port_wakes_its_writer() -> None:
    async with NoisyLine(300) as line:  # so slow that the buffer is full for ever
        port = open_port(line.a_path, 300)
        writer = asyncio.create_task(port.write(bytes(1_000_000)))
        await asyncio.sleep(0)
        assert not writer.done()
        port.close()
        with pytest.raises(PortError, match="gone"):
            await writer


async def test_a_closed_port_refuses_at_once() -> None:
    async with NoisyLine(BAUD) as line:
        port = open_port(line.a_path)
        port.close()
        for use in (port.read(), port.write(b"x")):
            with pytest.raises(PortError, match="closed by this program") as caught:
                await use
            assert caught.value.errno == errno.EBADF
