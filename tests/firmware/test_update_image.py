"""A whole image into the slot that does not run: with a Partition of paper that has the rules of NOR flash and loses
its power at every operation, of the slot and of the files beside it. No ESP32 was at hand.
"""

import importlib
import os
import random
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from mqttlite.boards.updating.manifest import IMAGE, Release, Update, Want
from mqttlite_board import blocks
from tests.firmware.boards import START
from tests.firmware.test_update_paper import KEY, Paper

SECTOR = 4096
SLOT = 4 * SECTOR
OLD_IMAGE = random.Random(1).randbytes(SLOT)
NEW_IMAGE = random.Random(2).randbytes(2 * SECTOR + 700)
RELEASE = Release("image 2", {IMAGE: NEW_IMAGE}, IMAGE)


class PowerCut(BaseException):
    """The power is gone."""


class Reset(BaseException):
    """machine.reset()."""


class Flash:
    """Two slots, and which one the boot loader starts. `cut_at`: the operation in which the power goes; 0: never.
    `rolls_back`: the boot loader goes back when an image was not said to be valid before the next start.
    """

    def __init__(self) -> None:
        self.slots = {"ota_0": bytearray(OLD_IMAGE), "ota_1": bytearray(random.Random(3).randbytes(SLOT))}
        self.boot = self.running = "ota_0"
        self.operations = self.cut_at = 0
        self.rolls_back = False
        self.unproved = ""
        self.tried = ""

    def tick(self) -> bool:
        """Another operation; whether the power goes in it."""
        self.operations += 1
        return self.operations == self.cut_at

    def start(self) -> None:
        """What the boot loader does."""
        if self.rolls_back and self.unproved and self.tried == self.unproved:
            self.boot = "ota_0" if self.unproved == "ota_1" else "ota_1"
            self.unproved = self.tried = ""
        self.running = self.boot
        self.tried = self.running if self.running == self.unproved else ""
        image = bytes(self.slots[self.running])
        assert image == OLD_IMAGE or image.startswith(NEW_IMAGE), "what starts is neither the old image nor the new one"

    def module(self) -> types.ModuleType:
        """The module `esp32`."""
        flash = self

        class Partition:
            RUNNING = 1

            def __init__(self, label: Any) -> None:
                self.label = flash.running if label == self.RUNNING else str(label)

            @staticmethod
            def find(label: str) -> "list[Partition]":
                return [Partition(label)]

            def info(self) -> tuple[int, int, int, int, str, bool]:
                return (0, 16, 0, SLOT, self.label, False)

            def get_next_update(self) -> "Partition":
                return Partition("ota_1" if self.label == "ota_0" else "ota_0")

            def readblocks(self, block: int, buffer: Any, offset: int = 0) -> None:
                at = block * SECTOR + offset
                buffer[:] = flash.slots[self.label][at : at + len(buffer)]

            def writeblocks(self, block: int, data: bytes, offset: int) -> None:
                at = block * SECTOR + offset
                slot = flash.slots[self.label]
                assert self.label != flash.running, "the image that runs is written to"
                assert all(not new & ~old for new, old in zip(data, slot[at:], strict=False)), "not erased"
                if flash.tick():
                    slot[at : at + len(data) // 2] = data[: len(data) // 2]
                    raise PowerCut
                slot[at : at + len(data)] = data

            def ioctl(self, operation: int, block: int) -> None:
                assert operation == 6
                assert self.label != flash.running, "the image that runs is erased"
                slot = flash.slots[self.label]
                size = SECTOR
                if flash.tick():
                    size = SECTOR // 3
                slot[block * SECTOR : block * SECTOR + size] = b"\xff" * size
                if size < SECTOR:
                    raise PowerCut

            def set_boot(self) -> None:
                if flash.tick():
                    raise PowerCut
                flash.boot = self.label
                flash.unproved = self.label if self.label != flash.running else ""

            @staticmethod
            def mark_app_valid_cancel_rollback() -> None:
                flash.unproved = ""

        module = types.ModuleType("esp32")
        module.Partition = Partition  # type: ignore[attr-defined]
        return module


class Board(Paper):
    """With two slots. Its starts follow each other by themselves."""

    flash: Flash

    def begin(self) -> None:
        self.flash.start()
        super().begin()

    async def live(self, sent: Update, is_good: bool) -> bool:
        """One start, to its end; whether all is over."""
        self.said.clear()
        self.stopped = ""
        self.begin()
        start = self.start
        if start.is_trial:
            if not is_good:
                return False
            assert start.good()
        if start.exists(f"{start.ROOT}update/manifest") or start.record.get("tell"):
            await self.update.resume()
        if start.record.get("count") == sent.count:
            return not start.record.get("image")
        if not self.update.download:
            await self.update.take(sent.manifest)
        made = sent.blocks()
        while not self.stopped:
            assert self.update.download, self.said
            for item, index in Want.parse([data for name, data, _ in self.said if name == "update/want"][-1]).blocks:
                await self.update.take_block(made.get(item, index) or b"")
        return False


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "World":
    """Makes boards."""
    monkeypatch.syspath_prepend(START)
    return World(tmp_path, monkeypatch)


class World:
    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.monkeypatch = monkeypatch
        self.number = 0

    def board(self) -> Board:
        """A new one, with an esp32 and a machine of paper."""
        self.number += 1
        folder = self.folder / str(self.number)
        (folder / "a").mkdir(parents=True)
        (folder / "a" / "app.py").write_bytes(b"old")
        flash = Flash()
        self.monkeypatch.setitem(sys.modules, "esp32", flash.module())
        machine = types.ModuleType("machine")

        def reset() -> None:
            raise Reset

        machine.reset = reset  # type: ignore[attr-defined]
        machine.WDT = None  # type: ignore[attr-defined]
        self.monkeypatch.setitem(sys.modules, "machine", machine)

        def opened(path: str, mode: str = "r") -> Any:
            if mode != "rb" and mode != "r" and flash.tick():
                raise PowerCut
            return open(path, mode)

        def rename(old: str, new: str) -> None:
            if flash.tick():
                raise PowerCut
            os.rename(old, new)

        def remove(path: str) -> None:
            if flash.tick():
                raise PowerCut
            os.remove(path)

        files = types.SimpleNamespace(**{**vars(os), "rename": rename, "remove": remove})
        patch = self.monkeypatch.setattr
        for module in (blocks, importlib.import_module("mqttlite_board.image")):
            patch(module, "open", opened, raising=False)
        patch(blocks, "os", files)
        patch(importlib.import_module("mqttlite_board.image"), "esp32", sys.modules["esp32"])
        patch(Board, "flash", flash, raising=False)
        patch(Board, "adapt", lambda board, start: vars(start).update(open=opened, os=files))
        return Board(folder)


async def life(board: Board, sent: Update, is_good: bool) -> int:
    """Starts until all is over; how many."""
    for number in range(1, 12):
        try:
            if await board.live(sent, is_good):
                return number
        except (Reset, PowerCut):
            pass
        finally:
            if board.update.task:
                board.update.task.cancel()
    raise AssertionError("it does not come to an end")


def update(**more: int) -> Update:
    return Update(RELEASE, "one", KEY, 5, starts=2, **more)


@pytest.mark.parametrize("rolls_back", [False, True])
async def test_an_image_that_delivers_stays_and_the_boot_loader_is_told(world: World, rolls_back: bool) -> None:
    board = world.board()
    board.flash.rolls_back = rolls_back
    assert await life(board, update(), True) == 2
    assert (board.flash.boot, board.flash.unproved) == ("ota_1", "")
    assert board.flash.slots["ota_0"] == OLD_IMAGE
    assert board.start.record["told"] == "good"


@pytest.mark.parametrize("rolls_back", [False, True])
async def test_an_image_that_does_not_deliver_makes_room_for_the_old_one(world: World, rolls_back: bool) -> None:
    board = world.board()
    board.flash.rolls_back = rolls_back
    await life(board, update(), False)
    assert (board.flash.running, board.flash.boot) == ("ota_0", "ota_0")
    assert "delivered nothing" in board.start.record["told"]


@pytest.mark.parametrize(("is_good", "step"), [(True, 1), (False, 3)])
async def test_a_power_cut_at_any_operation_leaves_a_board_that_starts_and_goes_on(
    world: World, is_good: bool, step: int
) -> None:
    cut_at = 0
    while True:
        cut_at += step
        board = world.board()
        board.flash.cut_at = cut_at
        await life(board, update(), is_good)
        if board.flash.operations < cut_at:
            break
        assert board.flash.boot == ("ota_1" if is_good else "ota_0"), cut_at
    assert cut_at > 40


async def test_blocks_that_are_there_are_not_sent_again(world: World) -> None:
    board = world.board()
    sent = update()
    made = sent.blocks()
    await board.update.take(sent.manifest)
    for item, index in [(0, 0), (1, 0), (1, 1), (1, 5), (1, 8)]:
        await board.update.take_block(made.get(item, index) or b"")
    board.update.task.cancel()
    board.begin()
    await board.update.resume()
    assert board.update.download is not None
    assert board.update.download.left == 9 - 4
    await board.feed(sent)
    assert board.flash.boot == "ota_1"
    board.update.task.cancel()


async def test_an_image_that_does_not_stay_as_it_was_written_is_sent_again(world: World) -> None:
    board = world.board()
    sent = update()
    made = sent.blocks()
    await board.update.take(sent.manifest)
    await board.update.take_block(made.get(0, 0) or b"")
    for index in range(9):
        if index == 8:
            board.flash.slots["ota_1"][5] ^= 1
        await board.update.take_block(made.get(1, index) or b"")
    assert board.update.download is not None
    assert board.update.download.left == 9
    await board.feed(sent)
    assert board.flash.boot == "ota_1"
    assert board.flash.slots["ota_1"].startswith(NEW_IMAGE)
    board.update.task.cancel()


async def test_an_image_that_is_too_large_is_not_taken(world: World) -> None:
    board = world.board()
    sent = Update(Release("image 3", {IMAGE: bytes(SLOT + 1)}, IMAGE), "one", KEY, 5)
    await board.update.take(sent.manifest)
    await board.feed(sent)
    await board.update.telling
    assert board.states()[-1]["why"] == "the image is larger than its slot"
