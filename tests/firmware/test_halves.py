"""The starter and the halves of the flash: which one runs, how a trial ends, and safe mode."""

import json
from pathlib import Path

import pytest

from tests.firmware.boards import PACKAGE, START
from tests.firmware.starts import Folder, Start
from tests.peers import MicroPython

# In the place of the board's program: says which half it is from and what the starter knows, then does as `app` says.
PROGRAM = """
def run(settings, start):
    import app
    print("runs", start.half, app.NAME, "trial" * start.is_trial, "safe" * start.is_safe, start.boots)
    app.run(start)
"""
FINE = "NAME = %r\ndef run(start):\n    start.good()\n"
SILENT = "NAME = %r\ndef run(start):\n    raise OSError(5)\n"
TRIAL = {"good": "a", "trial": "b", "starts": 0}


class Halves(Folder):
    """A board with two halves, of which b is new."""

    def __init__(self, micropython: MicroPython, folder: Path) -> None:
        super().__init__(micropython, folder)
        self.fill("a", FINE % "old")

    def fill(self, half: str, app: str, program: str = PROGRAM) -> None:
        """Put an application and a program into a half."""
        self.write(f"{half}/app.py", app)
        for name in ("__init__", "settings", "settings_rules"):
            source = (PACKAGE / f"{name}.py").read_text(encoding="utf-8")
            self.write(f"{half}/lib/mqttlite_board/{name}.py", source)
        self.write(f"{half}/lib/mqttlite_board/program.py", program)

    def put(self, **record: object) -> None:
        """Write half.json."""
        self.write("half.json", json.dumps(record))

    @property
    def record(self) -> dict[str, object]:
        """What half.json says."""
        read: dict[str, object] = json.loads((self.folder / "half.json").read_text())
        return read

    async def runs(self, prepare: str = "") -> str:
        """Start once; half, application and modes of what runs, in words; "": nothing."""
        start = await self.go(prepare)
        return next((" ".join(line.split()[1:-1]) for line in start.said.splitlines() if line.startswith("runs ")), "")

    async def go(self, prepare: str = "") -> Start:
        """Start once."""
        return await self.start(prepare, path=(START,))


@pytest.fixture
def board(micropython: MicroPython, tmp_path: Path) -> Halves:
    """A board whose half a is good."""
    return Halves(micropython, tmp_path)


async def test_a_fresh_board_runs_its_only_half_and_writes_no_record(board: Halves) -> None:
    assert await board.runs() == "a old"
    assert not (board.folder / "half.json").exists()


async def test_the_good_half_runs_where_there_are_two(board: Halves) -> None:
    board.fill("b", FINE % "new")
    board.put(good="b", trial=None, starts=0)
    assert await board.runs() == "b new"
    board.put(good="a", trial=None, starts=0)
    assert await board.runs() == "a old"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"good": "b", "tri',
        b"\xff\xfe\0\0",
        b"[]",
        b"7",
        b"{}",
        b'{"good": "c", "trial": null}',
        b'{"good": ["a"], "trial": null}',
        b'{"good": "a", "trial": "c", "starts": 0}',
        b'{"good": "a", "trial": "b"}',
        b'{"good": "a", "trial": "b", "starts": "one"}',
        b'{"good": "a", "trial": 3, "starts": 0}',
        b'{"good": "a", "trial": null, "count": "7"}',
        b'{"good": "a", "trial": "b", "starts": 0, "within_s": {}}',
        b'{"good": "a", "trial": "b", "starts": 0, "of": null}',
        b'{"good": "a", "trial": "b", "starts": 0, "image": true}',
    ],
)
@pytest.mark.parametrize("second", [False, True])
async def test_a_record_that_says_nothing_sensible_is_no_reason_not_to_start(
    board: Halves, content: bytes, second: bool
) -> None:
    if second:
        board.fill("b", FINE % "new")
    (board.folder / "half.json").write_bytes(content)
    assert await board.runs() == "a old"


async def test_without_a_record_a_half_that_is_being_written_is_not_chosen(board: Halves) -> None:
    board.fill("b", FINE % "new")
    board.write("a/part", "")
    assert await board.runs() == "b new"


async def test_a_record_that_names_a_half_that_is_not_whole_does_not_count(board: Halves) -> None:
    board.fill("b", FINE % "new")
    board.write("b/part", "")
    board.put(**TRIAL)
    assert await board.runs() == "a old"


async def test_a_half_wins_over_what_lies_at_the_root(board: Halves) -> None:
    board.write("app.py", FINE % "root")
    board.write("mqttlite_board/__init__.py", "1 / 0")
    assert await board.runs() == "a old"


async def test_a_trial_that_delivers_becomes_the_good_half(board: Halves) -> None:
    board.fill("b", FINE % "new")
    board.put(**TRIAL)
    assert await board.runs() == "b new trial"
    assert (board.record["good"], board.record["trial"], board.record["tell"]) == ("b", None, "good")
    assert await board.runs() == "b new"


async def test_each_start_of_a_trial_is_counted_before_anything_of_it_is_imported(board: Halves) -> None:
    board.fill("b", FINE % "new")
    board.write("b/lib/mqttlite_board/__init__.py", "print(open('half.json').read())\n")
    board.put(**TRIAL)
    start = await board.go()
    assert '"starts": 1' in start.said.replace("'", '"')


BAD_APPLICATIONS = {
    "it cannot be imported": "1 / 0\n",
    "it is no Python": "def run(:\n",
    "it ends in an exception": SILENT % "new",
    "it delivers nothing in its time": (
        "NAME = 'new'\ndef run(start):\n    for _ in range(601):\n"
        "        start.time.sleep(1)\n        start.feed()\n    print('ran on')\n"
    ),
}


@pytest.mark.parametrize("what", BAD_APPLICATIONS)
async def test_a_trial_that_does_not_deliver_goes_back_after_three_starts(board: Halves, what: str) -> None:
    board.fill("b", BAD_APPLICATIONS[what])
    board.put(**TRIAL)
    for started in (1, 2, 3):
        start = await board.go()
        assert start.reset
        assert "runs a" not in start.said
        assert "ran on" not in start.said
        assert board.record["starts"] == started
    assert await board.runs() == "a old"
    assert board.record["trial"] is None
    assert board.record["tell"] == "it was started 3 times, and delivered nothing"
    assert await board.runs() == "a old"


async def test_a_trial_whose_program_cannot_be_imported_goes_back_too(board: Halves) -> None:
    board.fill("b", FINE % "new", program="import no_such_module\n")
    board.put(**TRIAL)
    starts = [await board.go() for _ in range(3)]
    assert all(start.reset and start.slept == 10 for start in starts)
    assert await board.runs() == "a old"


async def test_a_trial_that_hangs_is_ended_by_a_timer_though_no_watchdog_was_asked_for(board: Halves) -> None:
    board.fill("b", FINE % "new")
    board.put(**TRIAL, within_s=100)
    hangs = "class Ends(Timer):\n    def init(self, period, callback, mode):\n"
    hangs += "        print('restart after', period)\n        callback(self)\nmachine.Timer = Ends\n"
    start = await board.go(hangs)
    assert "restart after 160000" in start.said  # a minute behind the one that the program is told of
    assert start.reset


async def test_how_often_and_how_long_a_trial_may_try_is_in_the_record(board: Halves) -> None:
    board.fill("b", BAD_APPLICATIONS["it delivers nothing in its time"])
    board.put(**TRIAL, of=1, within_s=30)
    start = await board.go()
    assert start.slept == 31 + 10  # a reset of paper is an exception: behind it comes the pause before the next one
    assert await board.runs() == "a old"


async def test_a_trial_start_that_cannot_be_counted_is_not_made(board: Halves) -> None:
    board.fill("b", FINE % "new")
    board.put(**TRIAL)
    (board.folder / "half.json.new").mkdir()  # stands for a full flash
    assert await board.runs() == "a old"
    (board.folder / "half.json.new").rmdir()
    assert await board.runs() == "b new trial"


async def test_a_good_half_that_cannot_be_imported_leaves_the_field_to_the_other_one(board: Halves) -> None:
    board.fill("b", FINE % "new", program="raise ValueError('incompatible .mpy file')\n")
    board.put(good="b", trial=None, starts=0)
    start = await board.go()
    assert "half b cannot be imported: ValueError('incompatible .mpy file',)" in start.said
    assert "runs a old" in start.said


async def test_where_neither_can_be_imported_it_is_said_and_the_next_try_is_an_hour_away(board: Halves) -> None:
    for half in "ab":
        board.fill(half, FINE % half, program="import no_such_module\n")
    start = await board.go()
    assert "there is no program that can be imported: copy it to the board again" in start.said
    assert (start.reset, start.slept) == (True, 60)
    board.write("boots.txt", "10 10")
    start = await board.go()
    assert (start.reset, start.slept) == (True, 3600)


async def test_ten_bad_starts_in_a_row_lead_to_safe_mode_and_a_good_one_out_of_it(board: Halves) -> None:
    board.fill("a", SILENT % "old")
    for _ in range(10):
        assert await board.runs() == "a old"
    assert await board.runs() == "a old safe"
    board.fill("a", FINE % "old")
    assert await board.runs() == "a old safe"
    assert await board.runs() == "a old"
    assert (board.folder / "boots.txt").read_text() == "13 0"


async def test_a_restart_that_was_asked_for_ends_safe_mode(board: Halves) -> None:
    board.write("boots.txt", "20 11")
    board.fill(
        "a", "NAME = 'old'\ndef run(start):\n    if start.is_safe:\n        start.restart(True)\n    start.good()\n"
    )
    start = await board.go()
    assert start.reset
    assert await board.runs() == "a old"


async def test_a_trial_is_made_in_spite_of_safe_mode(board: Halves) -> None:
    board.write("boots.txt", "20 11")
    board.fill("b", FINE % "new")
    board.put(**TRIAL)
    assert await board.runs() == "b new trial"
    assert await board.runs() == "b new"


@pytest.mark.parametrize(
    ("prepare", "app"),
    [
        ("machine.reset_cause = lambda: machine.DEEPSLEEP_RESET\n", "NAME = 'old'\ndef run(start):\n    pass\n"),
        ("", "NAME = 'old'\ndef run(start):\n    raise KeyboardInterrupt\n"),
        ("", "NAME = 'old'\ndef run(start):\n    start.time.sleep(601)\n    start.feed()\n"),
    ],
    ids=["a wake-up", "Ctrl-C", "ten minutes of work"],
)
async def test_what_is_no_bad_start(board: Halves, prepare: str, app: str) -> None:
    board.fill("a", app)
    board.write("boots.txt", "20 0")
    await board.go(prepare)
    # A wake-up writes nothing: it is counted elsewhere (sleeping.py).
    assert (board.folder / "boots.txt").read_text() == ("20 0" if "DEEPSLEEP" in prepare else "21 0")


async def test_ctrl_c_in_the_first_two_seconds_leads_to_the_prompt_with_nothing_started(board: Halves) -> None:
    start = await board.go("interrupted_at = 0\n")
    assert "starting in 2 s; Ctrl-C prevents it" in start.said
    assert "prompt" in start.said
    assert "runs" not in start.said
    assert not (board.folder / "boots.txt").exists()


async def test_a_board_that_wakes_from_deep_sleep_starts_at_once(board: Halves) -> None:
    start = await board.go("machine.reset_cause = lambda: machine.DEEPSLEEP_RESET\n")
    assert "starting in" not in start.said
