"""The journal on flash, cut at every device operation, and what it wears out: the same scripts on all runtimes."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.peers import MicroPython, WasmMicroPython
from tests.runtimes import ROOT

SCRIPTS = ROOT / "tests" / "micropython"
FILES = [*(ROOT / "mqttlite" / name for name in ("__init__.py", "core", "store")), SCRIPTS / "cut_flash.py"]

# Rounds of the life; torn behind every so many bytes; and in recovery (0: no second cut); after every so many cuts.
RAW = (("10", "1", "0"), ("12", "64", "512"), ("24", "64", "0"))
RAW_MICROPYTHON = (("12", "8", "0"), ("12", "256", "1024"), ("24", "128", "0"))
LITTLEFS = (("12", "32", "0"), ("11", "256", "1024", "17"))


@pytest.mark.parametrize("sizes", RAW, ids=("every byte", "twice", "halves used again"))
def test_on_raw_flash_cpython_recovers_from_every_cut(sizes: tuple[str, ...]) -> None:
    command = [sys.executable, str(SCRIPTS / "journal_cuts.py"), "raw", *sizes]
    result = subprocess.run(command, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert not result.returncode, result.stderr
    assert result.stdout.endswith("all done\n")


@pytest.mark.parametrize("sizes", RAW_MICROPYTHON, ids=("dense", "twice", "halves used again"))
async def test_on_raw_flash_micropython_recovers_from_every_cut(
    micropython: MicroPython, sizes: tuple[str, ...]
) -> None:
    result = await micropython.run(SCRIPTS / "journal_cuts.py", "raw", *sizes, heap="4m")
    assert result.stdout.endswith("all done\n")


async def test_on_raw_flash_micropython_with_32_bits_recovers_from_every_cut(wasm_micropython: WasmMicroPython) -> None:
    result = await wasm_micropython.run(SCRIPTS / "journal_cuts.py", "raw", "12", "64", "0", files=FILES)
    assert result.stdout.endswith("all done\n")


@pytest.mark.parametrize("sizes", LITTLEFS, ids=("dense", "twice"))
async def test_on_littlefs_micropython_recovers_from_every_cut(
    micropython: MicroPython, sizes: tuple[str, ...]
) -> None:
    result = await micropython.run(SCRIPTS / "journal_cuts.py", "littlefs", *sizes, heap="4m")
    assert result.stdout.endswith("all done\n")


@pytest.mark.parametrize(("kind", "group"), [("raw", "10"), ("littlefs", "10"), ("littlefs", "1")])
async def test_flash_wears_no_more_than_promised_and_no_heap_is_lost(
    micropython: MicroPython, kind: str, group: str
) -> None:
    """0.04 and 0.15 erases per message of 80 bytes, groups of ten; alone, on littlefs, 0.3; asserted in the script."""
    result = await micropython.run(SCRIPTS / "journal_wear.py", kind, "5000", group, heap="1m")
    assert result.stdout.endswith("all done\n")


async def test_a_board_goes_on_with_what_is_whole_of_a_damaged_journal(
    micropython: MicroPython, tmp_path: Path
) -> None:
    result = await micropython.run(SCRIPTS / "journal_damage.py", str(tmp_path / "journal"), heap="1m")
    assert result.stdout.endswith("all done\n")
