"""File systems made here are those of MicroPython: its own VfsLfs2 mounts, reads and writes them."""

import random
from pathlib import Path

import pytest

from mqttlite.boards.images import littlefs_image
from tests.boards.booted import FLASH
from tests.peers import MicroPython

SIZE = 1 << 20
# Files are kept inside their folder's entry up to the size of littlefs's cache: the borders of both, and of blocks.
SIZES = (0, 1, 31, 100, 127, 128, 129, 255, 500, 511, 512, 513, 1023, 1024, 4095, 4096, 4097, 20000)

CHECK = """
import hashlib, os, vfs
vfs.umount("/")
vfs.mount(Flash(b, 0, %d), "/")
for entry in os.ilistdir("/a/lib/mqttlite"):
    with open("/a/lib/mqttlite/" + entry[0], "rb") as file:
        content = file.read()
    assert len(content) == entry[3] == int(entry[0][1:-4]), entry
    print(entry[0], hashlib.sha256(content).digest().hex())
with open("/settings.new", "w") as file:
    file.write("changed")
os.rename("/settings.new", "/settings.json")
os.remove("/a/lib/mqttlite/f20000.mpy")
vfs.umount("/")
"""


def contents() -> dict[str, bytes]:
    noise = random.Random(13)
    files = {f"a/lib/mqttlite/f{size}.mpy": noise.randbytes(size) for size in SIZES}
    return files | {"main.py": b"print(1)\n", "settings.json": b"{}"}


@pytest.mark.parametrize("bits", [32, 64])
async def test_micropython_reads_every_file_and_writes_more(tmp_path: Path, bits: int) -> None:
    import hashlib

    files = contents()
    place = tmp_path / "flash.bin"
    place.write_bytes(littlefs_image.build(files, SIZE))
    script = f'b = open("{place}", "r+b")\n{FLASH}\n{CHECK % SIZE}'
    printed = (await MicroPython(bits).run(script, path=[tmp_path])).stdout
    hashes = dict(line.split() for line in printed.splitlines())
    wanted = {
        name.rpartition("/")[2]: hashlib.sha256(content).hexdigest() for name, content in files.items() if "/" in name
    }
    assert hashes == wanted
    after = littlefs_image.read(place.read_bytes())
    del files["a/lib/mqttlite/f20000.mpy"]
    assert after == files | {"settings.json": b"changed"}


def test_the_same_files_make_the_same_image() -> None:
    assert littlefs_image.build(contents(), SIZE) == littlefs_image.build(contents(), SIZE)


def test_files_that_do_not_fit_are_told_in_kibibytes() -> None:
    with pytest.raises(
        littlefs_image.TooLargeError, match=r"take about 300 KiB, and the file system of the board has 256"
    ):
        littlefs_image.build({"a/big": bytes(300 * 1024)}, 256 * 1024)


def test_what_is_no_file_system_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no littlefs file system"):
        littlefs_image.read(b"\xff" * SIZE)
