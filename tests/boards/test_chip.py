"""esptool against a simulated chip: what is found out, written and verified, and the words for what goes wrong."""

import json
import random
from io import StringIO
from pathlib import Path

import pytest

from mqttlite.boards.reaching import chip
from mqttlite.boards.reaching.chip import FlashError, Part
from mqttlite.boards.report import Report
from tests.boards.rom_loader import Faults, RomLoader

DATA = bytes(range(256)) * 200
NOISE = random.Random(1).randbytes(40000)


def quiet() -> Report:
    return Report(stream=StringIO())


@pytest.mark.parametrize("kind", ["ESP32", "ESP32-C3", "ESP32-S3"])
@pytest.mark.parametrize("stub", [False, True], ids=["rom", "stub"])
def test_a_chip_is_recognised_written_and_verified(kind: str, stub: bool) -> None:
    with RomLoader(kind, flash_bytes=8 << 20, mac="34:85:18:aa:bb:cc") as board:
        with chip.connected(board.path, quiet(), stub=stub, attempts=1) as found:
            assert (found.name, found.mac, found.flash_bytes) == (kind, "34:85:18:aa:bb:cc", 8 << 20)
            assert not found.has_lines
            found.write(Part("files", 0x200000, DATA))
            found.write(Part("noise", 0x10000, NOISE))
        assert board.is_stub == stub
        assert board.flash[0x200000:].startswith(DATA)
        assert board.flash[0x10000:].startswith(NOISE)


def test_a_chip_without_reset_lines_is_started_by_its_rom() -> None:
    with RomLoader() as board:
        with chip.connected(board.path, quiet(), attempts=1) as found:
            assert not board.is_stub  # chosen by itself: the stub could not be left again
            assert found.start()
        assert board.started.wait(5)


@pytest.mark.parametrize("stub", [False, True], ids=["rom", "stub"])
def test_erasing_leaves_nothing(stub: bool) -> None:
    with (
        RomLoader(flash=bytearray(b"old!" * (1 << 18))) as board,
        chip.connected(board.path, quiet(), stub=stub, attempts=1) as found,
    ):
        found.erase()
        assert board.flash == b"\xff" * (1 << 20)


def test_progress_comes_in_json_lines_for_programs() -> None:
    said = StringIO()
    report = Report(as_json=True, stream=said)
    with RomLoader() as board, chip.connected(board.path, report, attempts=1) as found:
        found.write(Part("noise", 0, NOISE))
    lines = [json.loads(line) for line in said.getvalue().splitlines()]
    assert {line["event"] for line in lines} == {"progress"}
    assert lines[-1]["done"] == lines[-1]["total"] > 0
    assert lines[-1]["text"] == "writing noise"


def test_lost_bytes_are_sent_again_without_a_word() -> None:
    with RomLoader(faults=Faults(loses_bytes_at=3)) as board:
        with chip.connected(board.path, quiet(), stub=True, attempts=1) as found:
            found.write(Part("noise", 0, NOISE))
        assert board.flash.startswith(NOISE)


@pytest.mark.parametrize(
    ("faults", "words", "is_line"),
    [
        (Faults(is_silent=True), r"hold the button Boot .*, press and release Reset.* only charges", False),
        (
            Faults(damages_at=1, damages_again=True),
            r"not what was written: a bad line, or a worn or missing flash",
            True,
        ),
        (Faults(vanishes_at=2), r"the port has gone: the cable was pulled.* run the same command again", False),
    ],
    ids=["no answer", "another MD5", "unplugged"],
)
def test_what_goes_wrong_is_said_with_what_to_do(faults: Faults, words: str, is_line: bool) -> None:
    with RomLoader(faults=faults) as board:
        with (
            pytest.raises(FlashError, match=words) as failure,
            chip.connected(board.path, quiet(), attempts=1) as found,
        ):
            found.write(Part("noise", 0, NOISE))
        assert failure.value.is_line == is_line


def test_a_port_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    with (
        pytest.raises(FlashError, match=r"ttyUSB7 does not exist; there is "),
        chip.connected(str(tmp_path / "ttyUSB7"), quiet()),
    ):
        pass


def test_a_port_that_another_program_has_is_named_with_the_program() -> None:
    import fcntl
    import os

    with RomLoader() as board:
        other = os.open(board.path, os.O_RDWR | os.O_NOCTTY)
        try:
            fcntl.flock(other, fcntl.LOCK_EX)
            with (
                pytest.raises(FlashError, match=rf"is in use by .*\(process {os.getpid()}\)"),
                chip.connected(board.path, quiet()),
            ):
                pass
        finally:
            os.close(other)
