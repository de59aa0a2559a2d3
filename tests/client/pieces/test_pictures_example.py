"""examples/pictures: camera and album are killed again and again, and each picture is in the album, whole."""

import asyncio
import contextlib
import random
import sys
from collections.abc import AsyncIterator
from hashlib import shake_128
from pathlib import Path

from mqttlite.broker import Broker
from tests.peers import RUN_TIMEOUT_S, end, free_port
from tests.runtimes import ROOT

EXAMPLE = ROOT / "examples" / "pictures"
PICTURES = {f"{number}.jpg": shake_128(b"%d" % number).digest(200_000 + number) for number in range(1, 6)}


@contextlib.asynccontextmanager
async def running(name: str, folder: Path, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """One of the programs; killed at the end."""
    command = [sys.executable, str(EXAMPLE / name), *arguments]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, cwd=folder)
    try:
        if name == "album.py":
            assert process.stdout
            assert await process.stdout.readline() == b"ready\n"
        yield process
    finally:
        if process.returncode is None:
            await end(process)


def album_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "album").glob("*.jpg")}


async def test_each_picture_arrives_whole_though_both_programs_are_killed(tmp_path: Path) -> None:
    url = f"mqtt://127.0.0.1:{free_port()}"
    for name, data in PICTURES.items():
        (tmp_path / name).write_bytes(data)
    camera = ("camera.py", tmp_path, *PICTURES, "--broker", url)
    album = ("album.py", tmp_path, "album", "--broker", url)
    pauses = random.Random(14)
    async with Broker([url]), asyncio.timeout(RUN_TIMEOUT_S):
        for lines in (0, 1, 2):
            async with running(*album), running(*camera) as sending:
                assert sending.stdout
                for _ in range(lines):
                    await sending.stdout.readline()
                await asyncio.sleep(pauses.random() / 10)
        async with running(*album), running(*camera) as sending:
            assert await sending.wait() == 0
            while len(album_of(tmp_path)) < len(PICTURES):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    assert album_of(tmp_path) == PICTURES
