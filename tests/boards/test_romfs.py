"""ROMFS images made here run on MicroPython's own VfsRom, from where they lie."""

from pathlib import Path

import pytest

from mqttlite.boards.images import board_files, firmware_image, romfs
from mqttlite.boards.images.romfs import NoRomError
from tests.boards import images
from tests.firmware.boards import fill
from tests.peers import MicroPython

MEASURE = """
import gc, sys, vfs
{mount}
import asyncio
gc.collect()
before = gc.mem_alloc()
from mqttlite import Client
gc.collect()
print(gc.mem_alloc() - before)
"""


async def heap_of(folder: Path, mount: str, path: Path) -> int:
    return int((await MicroPython(32).run(MEASURE.format(mount=mount), heap="512k", path=[folder, path])).stdout)


async def test_mqttlite_from_romfs_takes_half_of_the_heap(tmp_path: Path) -> None:
    library = board_files.library("all")
    (tmp_path / "rom.img").write_bytes(romfs.build(library))
    mount = 'vfs.mount(vfs.VfsRom(open("rom.img", "rb").read()), "/rom"); sys.path.append("/rom/lib")'
    fill(tmp_path, library)
    from_files = await heap_of(tmp_path, "", tmp_path / "lib")
    from_rom = await heap_of(tmp_path, mount, tmp_path / "nothing")
    assert from_rom < 0.6 * from_files
    print(f"heap after import: {from_files:,} bytes from files, {from_rom:,} from ROMFS")


async def test_every_file_is_found_in_it(tmp_path: Path) -> None:
    (tmp_path / "rom.img").write_bytes(
        romfs.build({"a.py": b"x = 1", "lib/p/q.py": b"y = 2", "lib/p/__init__.py": b""})
    )
    script = """
import sys, vfs
vfs.mount(vfs.VfsRom(open("rom.img", "rb").read()), "/rom")
sys.path[:] = ["/rom", "/rom/lib"]
import a
from p import q
print(a.x, q.y)
"""
    assert (await MicroPython(32).run(script, path=[tmp_path])).stdout.split() == ["1", "2"]


def test_an_image_without_romfs_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "image.bin"
    path.write_bytes(images.image())
    with pytest.raises(NoRomError, match=r"has no partition 'romfs'.*leave out --romfs"):
        romfs.partition(firmware_image.read(path), 1000)


def test_a_partition_that_is_too_small_is_told(tmp_path: Path) -> None:
    rows = [*images.TABLE[:2], ("factory", 0, 0, 0x10000, 0x1D0000), ("romfs", 1, 0x8F, 0x1E0000, 0x20000)]
    path = tmp_path / "image.bin"
    path.write_bytes(images.image(rows=rows))
    image = firmware_image.read(path)
    assert romfs.partition(image, 0x20000).offset == 0x1E0000
    with pytest.raises(NoRomError, match=r"takes 200,000 bytes of ROMFS, and the partition of image.bin has 131,072"):
        romfs.partition(image, 200000)
