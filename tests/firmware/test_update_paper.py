"""What a board makes of manifests and blocks, right and wrong ones: on CPython, with a program that writes down what is
published. Power cuts: test_update_cuts.py; the real thing: test_update.py.
"""

import asyncio
import errno
import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from mqttlite.boards.updating.manifest import Release, Update, Want
from mqttlite_board import blocks
from mqttlite_board.update import Update as BoardUpdate
from tests.firmware.boards import START, fill

KEY = bytes(range(32))
OLD = {"app.py": b"old\n" * 300, "lib/same.py": b"same\n" * 500}
NEW = {"app.py": b"new\n" * 300, "lib/same.py": b"same\n" * 500, "lib/more/a.py": bytes(range(256)) * 5, "none.py": b""}
RELEASE = Release("2.0", NEW)


def update(count: int = 5, *, device: str = "one", key: bytes = KEY, release: Release = RELEASE, **more: int) -> Update:
    return Update(release, device, key, count, **more)


class Receipt:
    """Of a broker that confirms at once."""

    async def completed(self) -> None:
        pass


class Client:
    """Subscribes to everything."""

    async def subscribe(self, topic: str, qos: int) -> None:
        pass


class Paper:
    """A board: its folder, starter, and a program that keeps what is published."""

    is_connected = True
    alone = False
    topic = "boards/one"

    def __init__(self, folder: Path, key: str = KEY.hex()) -> None:
        self.folder = folder
        self.settings = {"name": "one", "key": key}
        self.client = Client()
        self.handlers: dict[str, Any] = {}
        self.said: list[tuple[str, Any, bool]] = []
        self.stopped = ""
        self.begin()

    def begin(self) -> None:
        """A start."""
        spec = importlib.util.spec_from_file_location("start_of_paper", START / "start.py")
        assert spec and spec.loader
        self.start: Any = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.start)
        self.start.ROOT = f"{self.folder}/"
        self.start.HALF, self.start.BOOTS = f"{self.folder}/half.json", f"{self.folder}/boots.txt"
        self.start.use = lambda name: setattr(self.start, "half", name)
        self.adapt(self.start)
        self.start.begin()
        self.update = BoardUpdate(self)

    def adapt(self, start: Any) -> None:
        """The starter is about to begin."""

    async def publish(self, name: str, payload: Any, qos: int, key: None = None, retain: bool = False) -> Receipt:
        self.said.append((name, payload, retain))
        return Receipt()

    def stop(self, why: str) -> None:
        self.stopped = why

    def states(self) -> list[dict[str, Any]]:
        """What was said in update/state since the last time; forgets all."""
        found = [json.loads(payload) for name, payload, _ in self.said if name == "update/state"]
        self.said.clear()
        return found

    def want(self) -> Want:
        """The last one."""
        return Want.parse([payload for name, payload, _ in self.said if name == "update/want"][-1])

    async def feed(self, sent: Update) -> int:
        """Send what is wanted until nothing is; how many blocks that were."""
        number = 0
        made = sent.blocks()
        while not self.stopped and self.update.download:
            want = self.want()
            for item, index in want.blocks:
                block = made.get(item, index)
                assert block is not None
                await self.update.take_block(block)
                number += 1
        return number

    def half(self, name: str) -> dict[str, bytes]:
        """The files of a half."""
        root = self.folder / name
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paper:
    """A board that runs half a."""
    monkeypatch.syspath_prepend(START)  # where the starter finds what lies beside it
    fill(tmp_path / "a", OLD)
    return Paper(tmp_path)


def end(board: Paper) -> None:
    """End the tasks of the update: nobody asks for more."""
    if board.update.task:
        board.update.task.cancel()


async def test_only_what_has_changed_is_sent_and_the_other_half_is_whole(board: Paper) -> None:
    sent = update()
    await board.update.take(sent.manifest)
    number = await board.feed(sent)
    assert number == 1 + 2 + 2  # the list; app.py; lib/more/a.py
    assert board.stopped == "restart"
    assert board.half("b") == {**NEW, "release": b"2.0"}
    assert board.half("a") == OLD
    assert not (board.folder / "update").exists()
    assert [state["state"] for state in board.states()] == ["receiving", "trial"]
    board.begin()
    assert (board.start.half, board.start.is_trial) == ("b", True)
    assert board.start.good()
    await board.update.resume()
    (state,) = board.states()
    assert state == {"state": "good", "count": 5, "release": "2.0", "half": "b", "id": sent.id.hex()}
    board.begin()
    await board.update.resume()
    assert board.states() == []
    end(board)


async def test_a_wake_up_in_which_the_last_block_arrives_at_once_ends_the_update_once(board: Paper) -> None:
    sent = update()
    await board.update.take(sent.manifest)
    made = sent.blocks()
    download = board.update.download
    assert download
    while download.left:
        for item, index in board.want().blocks:
            block = made.get(item, index)
            assert block is not None
            if item == 0:
                await board.update.take_block(block)  # the list, by which the board knows what else it wants
            else:
                download.take(block)
        await board.update._ask()
    await asyncio.gather(board.update._next(), board.update._next())  # of the block, and of going on after the start
    assert board.stopped == "restart"
    assert [state["state"] for state in board.states()] == ["receiving", "trial"]
    end(board)


async def test_blocks_in_any_order_twice_and_of_the_wrong_size_make_the_same_files(board: Paper) -> None:
    sent = update(block=100)
    made = sent.blocks()
    await board.update.take(sent.manifest)
    pieces = [(item, index) for item, data in enumerate(sent.items()) for index in range(len(data) // 100 + 1)]
    while not board.stopped:
        for item, index in reversed(pieces):
            block = made.get(item, index)
            if block and board.update.download:
                await board.update.take_block(block[:-1])
                await board.update.take_block(block)
                await board.update.take_block(block)
    assert board.half("b") == {**NEW, "release": b"2.0"}
    end(board)


async def test_a_start_in_between_goes_on_with_what_is_there(board: Paper) -> None:
    sent = update(block=64)
    await board.update.take(sent.manifest)
    made = sent.blocks()
    taken = 0
    while not board.stopped and taken < 200:
        for item, index in board.want().blocks[:3]:  # not all of what was asked for
            await board.update.take_block(made.get(item, index) or b"")
            taken += 1
            if board.stopped:
                break
        else:
            end(board)
            board.begin()
            await board.update.resume()
    blocks_of = [len(data) for data in sent.items()]
    assert taken == sum((size + 63) // 64 for size in blocks_of) - (2500 + 63) // 64
    assert board.half("b") == {**NEW, "release": b"2.0"}
    end(board)


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (update(key=bytes(32)), "the signature is wrong"),
        (update(device="two"), "it is for another device"),
        (update(count=4), "it is not newer than the last one"),
        (update(count=4, starts=9), "it is not newer than the last one"),
    ],
)
async def test_what_is_not_for_this_board_and_newer_is_refused_and_touches_nothing(
    board: Paper, sent: Update, why: str
) -> None:
    (board.folder / "half.json").write_text('{"good": "a", "trial": null, "count": 4}')
    board.begin()
    before = sorted(board.folder.rglob("*"))
    await board.update.take(sent.manifest)
    (name, payload, retain), *_ = board.said
    assert (name, retain) == ("update/state", False)
    state = json.loads(payload)
    assert (state["state"], state["why"], state["id"]) == ("refused", why, sent.id.hex())
    assert sorted(board.folder.rglob("*")) == before


@pytest.mark.parametrize("payload", [b"", b"x", bytes(32), bytes(400), update().manifest[:-1]])
async def test_what_is_no_manifest_is_refused(board: Paper, payload: bytes) -> None:
    await board.update.take(payload)
    assert [state["why"] for state in board.states()] == ["the signature is wrong"]


async def test_a_board_without_a_key_takes_nothing(board: Paper) -> None:
    without = Paper(board.folder, key="")
    await without.update.take(update().manifest)
    assert [state["why"] for state in without.states()] == ["this board has no key: set one up"]


async def test_the_last_manifest_once_more_is_answered_with_what_came_of_it(board: Paper) -> None:
    sent = update()
    await board.update.take(sent.manifest)
    await board.feed(sent)
    end(board)
    board.begin()
    await board.update.take(sent.manifest)
    assert board.states()[-1]["state"] == "trial"
    board.start.good()
    await board.update.take(sent.manifest)
    assert board.states()[-1]["state"] == "good"
    await board.update.take(update(6).manifest)
    assert board.states()[-1]["state"] == "receiving"
    end(board)


async def test_a_newer_manifest_takes_the_place_of_one_that_is_not_finished(board: Paper) -> None:
    first, second = update(), update(6, release=Release("3.0", {"app.py": b"newest"}))
    await board.update.take(first.manifest)
    made = first.blocks()
    for item, index in board.want().blocks:
        await board.update.take_block(made.get(item, index) or b"")
    await board.update.take(second.manifest)
    await board.update.take(first.manifest)
    assert board.states()[-1]["why"] == "it is not newer than the last one"
    await board.update.take(second.manifest)
    await board.feed(second)
    assert board.half("b") == {"app.py": b"newest", "release": b"3.0"}
    end(board)


async def test_blocks_that_are_damaged_forged_or_of_another_update_are_not_taken(board: Paper) -> None:
    sent, other = update(), update(6)
    await board.update.take(sent.manifest)
    whole = sent.blocks().get(0, 0)
    assert whole
    left = board.want().left
    for at in range(0, len(whole), 7):
        await board.update.take_block(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    await board.update.take_block(other.blocks().get(0, 0) or b"")
    await board.update.take_block(update(key=bytes(32)).blocks().get(0, 0) or b"")
    await board.update.take_block(b"")
    await board.update.take_block(whole + b"x")
    assert board.update.download is not None
    assert board.update.download.left == left
    assert await board.feed(sent) == 5
    end(board)


async def test_a_block_that_is_damaged_on_the_flash_is_asked_for_again(board: Paper) -> None:
    sent = update(block=512)
    made = sent.blocks()
    await board.update.take(sent.manifest)
    await board.update.take_block(made.get(0, 0) or b"")
    number = sorted(NEW).index("app.py") + 1
    await board.update.take_block(made.get(number, 0) or b"")
    await board.update.take_block(made.get(number, 1) or b"")
    log = board.folder / "update" / f"{number}.0"
    data = bytearray(log.read_bytes())
    data[600] ^= 0xFF
    log.write_bytes(data)
    end(board)
    board.begin()
    await board.update.resume()
    assert (number, 0) not in board.want().blocks
    assert (number, 1) in board.want().blocks
    await board.feed(sent)
    assert board.half("b") == {**NEW, "release": b"2.0"}
    end(board)


async def test_a_torn_end_is_left_behind(board: Paper) -> None:
    sent = update(block=512)
    made = sent.blocks()
    await board.update.take(sent.manifest)
    number = sorted(NEW).index("app.py") + 1
    for block in (made.get(0, 0), made.get(number, 0)):
        await board.update.take_block(block or b"")
    log = board.folder / "update" / f"{number}.0"
    for size in (1, 7, 8, 100):
        whole = log.read_bytes()[:520]
        log.write_bytes(whole + whole[:size])
        end(board)
        board.begin()
        await board.update.resume()
        assert (number, 0) not in board.want().blocks
    await board.feed(sent)
    assert board.half("b") == {**NEW, "release": b"2.0"}
    end(board)


async def test_a_file_that_does_not_stay_as_it_was_written_is_sent_again_and_in_the_end_given_up(
    board: Paper, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = blocks.digest
    monkeypatch.setattr(blocks, "digest", lambda path: b"" if path.endswith("app.py.part") else plain(path))
    sent = update()
    await board.update.take(sent.manifest)
    await board.feed(sent)
    await board.update.telling
    last = board.states()[-1]
    assert (last["state"], last["why"]) == ("back", "what arrives is not what the manifest says")
    assert not (board.folder / "b").exists()
    end(board)


@pytest.mark.parametrize("when", range(1, 40, 3))
async def test_a_full_flash_ends_an_update_and_leaves_the_board_as_it_was(
    board: Paper, monkeypatch: pytest.MonkeyPatch, when: int
) -> None:
    """At the `when`-th time that a file is opened for writing; then there is room, since something was removed."""
    opened = 0

    def limited(path: str, mode: str = "r") -> Any:
        nonlocal opened
        if mode in ("wb", "ab"):
            opened += 1
            if opened == when:
                raise OSError(errno.ENOSPC, "No space left on device")
        return open(path, mode)

    for module in (blocks, board.start):
        monkeypatch.setattr(module, "open", limited, raising=False)
    sent = update(block=256)
    await board.update.take(sent.manifest)
    await board.feed(sent)
    if board.update.telling:
        await board.update.telling
    last = board.states()[-1]
    if opened < when:
        assert last["state"] == "trial"
    elif last["state"] == "refused":  # not even the manifest has room
        assert "28" in last["why"]
    else:
        assert (last["state"], last["why"]) == ("back", "the flash is full")
        assert board.half("b") == {}
        assert not (board.folder / "update").exists()
    end(board)
    monkeypatch.undo()
    board.stopped = ""
    board.begin()
    assert board.start.half == ("b" if last["state"] == "trial" else "a")
    if last["state"] != "trial":
        again = update(7)
        await board.update.take(again.manifest)
        await board.feed(again)
        assert board.half("b") == {**NEW, "release": b"2.0"}
    end(board)


async def test_an_update_for_which_there_is_no_memory_right_after_a_start_is_given_up_and_not_tried_for_ever(
    board: Paper, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = update()
    await board.update.take(sent.manifest)
    await board.update.take_block(sent.blocks().get(0, 0) or b"")
    end(board)
    board.begin()
    monkeypatch.setattr(blocks.Download, "prepare", lambda *_: bytes(1 << 62))  # MemoryError
    await board.update.resume()
    assert board.update.telling
    await board.update.telling
    last = board.states()[-1]
    assert (last["state"], last["why"]) == ("back", "there is not enough memory for it")
    assert not (board.folder / "update").exists()
    board.begin()
    await board.update.resume()
    assert board.states() == []
    monkeypatch.undo()
    newer = update(6)
    await board.update.take(newer.manifest)
    await board.feed(newer)
    assert board.stopped == "restart"
    end(board)


@pytest.mark.parametrize("place", ["../app.py", "/app.py", "lib//x", "part", "x" * 101, "release"])
async def test_a_list_that_names_a_file_elsewhere_is_not_followed(board: Paper, place: str) -> None:
    with pytest.raises(ValueError, match="cannot be a file of a board"):
        Release("2.0", {place: b""})
    bad = Release("2.0", {"app.py": b"x"})
    bad.files[place] = b"y"  # as somebody with the key might, and another program
    sent = update(release=bad)
    await board.update.take(sent.manifest)
    await board.feed(sent)
    await board.update.telling
    assert board.states()[-1]["why"].startswith("it names a file")
    end(board)
