"""`mqttlite demo --whole`, short: the whole way under faults, what `verify` says of it, and the planted loss."""

import re
import signal
from pathlib import Path

import pytest

from mqttlite.cli.demo.whole.schedule import faults
from tests.demo.test_command import demo, folder  # noqa: F401 (a fixture)

BOARDS = ["board-1", "board-2"]


@pytest.mark.long
@pytest.mark.timeout(120)
async def test_all_arrives_once_under_faults_and_a_planted_loss_is_named(folder: Path) -> None:  # noqa: F811
    words = ("--whole", "--seconds", "8", "--boards", "1", "--every", "50", "--far-broker", "mqttlite")
    async with demo(folder, *words) as program:
        code = await program.ended()
    said = "\n".join(program.lines)
    assert code == 0, said
    assert "connected and mute: the second broker" in said
    assert said.count("✂ kill -9: the gateway") == 2 and "✂ kill -9: board-1" in said
    arrived = re.search(r"Each of (\d+) keys has arrived, once\.", said)
    assert arrived and int(arrived[1]) > 50
    planted = re.search(r"and (board-1/0/\d+) is taken out of its store", said)
    assert planted
    named = said[said.index("MISSING  1 key") :]
    assert planted[1] in named and "gateway: stored for cloud, never sent to it" in named
    assert said.endswith("The planted loss is named.")


async def test_ctrl_c_ends_it_with_everything_that_it_started(folder: Path) -> None:  # noqa: F811
    async with demo(folder, "--whole", "--boards", "1", "--far-broker", "mqttlite") as program:
        await program.says("page ")
        assert program.process
        program.process.send_signal(signal.SIGINT)
        assert await program.ended() == 130
    assert not any("Traceback" in line for line in program.lines)


@pytest.mark.parametrize("seed", range(20))
def test_every_program_is_killed_and_the_last_one_is_back_in_time(seed: int) -> None:
    found = faults(seed, 36, BOARDS, True)
    assert {fault.who for fault in found} == {"cloud", "gateway", "far end", *BOARDS}
    assert found == sorted(found, key=lambda fault: fault.at_s) == faults(seed, 36, BOARDS, True)
    assert all(fault.at_s > 0 and fault.at_s + fault.for_s <= 35 for fault in found)
    assert [fault.who for fault in found if fault.is_frozen] == ["cloud"]
    away = max(found, key=lambda fault: fault.for_s)
    assert away.who == "cloud" and away.for_s > 10


def test_a_broker_that_saves_later_than_it_acknowledges_is_not_killed() -> None:
    of_cloud = [fault for fault in faults(1, 36, BOARDS, False) if fault.who == "cloud"]
    assert all(fault.is_kind or fault.is_frozen for fault in of_cloud)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--whole", "--broker", "mqtt://x"), "--whole brings its own brokers"),
        (("--far-broker", "mqttlite"), "--far-broker belongs to --whole"),
    ],
)
async def test_what_does_not_go_together_is_said(folder: Path, words: tuple[str, ...], why: str) -> None:  # noqa: F811
    async with demo(folder, *words) as program:
        assert await program.ended() == 1
    assert why in "\n".join(program.lines)
