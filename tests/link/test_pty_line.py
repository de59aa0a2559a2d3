"""The noisy line of pseudo-terminals: what a program writes at one end, another reads at the other."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mqttlite.cli.demo.pty_line import NoisyLine

BAUD = 921600


async def read(fd: int, size: int) -> bytes:
    """Exactly `size` bytes from a pty."""
    got = b""
    while len(got) < size:
        got += await asyncio.to_thread(os.read, fd, size - len(got))
    return got


async def carried(condition: Callable[[], bool]) -> None:
    """Waits until the line has carried enough for `condition`; it has no event for that, since nobody else asks."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0)


async def test_bytes_cross_raw_in_both_directions_and_are_not_echoed() -> None:
    every_byte = bytes(range(256))
    async with NoisyLine(BAUD) as line:
        a = os.open(line.a_path, os.O_RDWR | os.O_NOCTTY)
        b = os.open(line.b_path, os.O_RDWR | os.O_NOCTTY)
        os.write(a, every_byte)
        os.write(b, every_byte[::-1])
        assert await read(b, 256) == every_byte
        assert await read(a, 256) == every_byte[::-1]
        assert (line.bytes_ab, line.bytes_ba, line.overflowed) == (256, 256, 0)
        os.close(a)
        os.close(b)


async def test_noise_is_counted() -> None:
    async with NoisyLine(BAUD, dropped=0.05, seed=3) as line:
        a = os.open(line.a_path, os.O_RDWR | os.O_NOCTTY)
        b = os.open(line.b_path, os.O_RDWR | os.O_NOCTTY)
        os.write(a, bytes(2000))
        await carried(lambda: line.bytes_ab == 2000)
        assert line.noise_ab.dropped > 0
        assert await read(b, 2000 - line.noise_ab.dropped) == bytes(2000 - line.noise_ab.dropped)
        os.close(a)
        os.close(b)


async def test_unplugging_takes_the_path_and_ends_who_has_it_open() -> None:
    async with NoisyLine(BAUD) as line:
        a = os.open(line.a_path, os.O_RDWR | os.O_NOCTTY)
        b = os.open(line.b_path, os.O_RDWR | os.O_NOCTTY)
        line.unplug("b")
        assert not Path(line.b_path).is_symlink()  # noqa: ASYNC240
        with pytest.raises(OSError, match="Input/output error"):
            os.write(b, b"x")
        os.close(b)
        os.write(a, b"lost")
        await carried(lambda: line.overflowed == 4)
        line.replug("b")
        b = os.open(line.b_path, os.O_RDWR | os.O_NOCTTY)
        os.write(a, b"back")
        assert await read(b, 4) == b"back"
        os.close(a)
        os.close(b)


async def test_nothing_is_left_behind() -> None:
    before = set(os.listdir("/proc/self/fd"))
    async with NoisyLine(BAUD) as line:
        folder = Path(line.a_path).parent
    assert not folder.exists()
    assert set(os.listdir("/proc/self/fd")) <= before
