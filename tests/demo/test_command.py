"""`mqttlite demo` as a process: what it prints, how it ends, and that nothing is left of it."""

import asyncio
import contextlib
import os
import pty
import re
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from mqttlite.client import Client
from tests.gateway.world import COMMAND, Program
from tests.peers import Mosquitto, MosquittoSub, run
from tests.runtimes import ROOT

QUICK = ("--seconds", "2", "--every", "100")
SUMMARY = re.compile(r"^QoS (\d)  .*: +sent (\d+), received (\d+), lost (\d+), twice (\d+)$")


def running(folder: Path) -> dict[int, str]:
    """The processes that were started with `folder` for temporary files, and their command lines."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"TMPDIR={folder}".encode() in (process / "environ").read_bytes().split(b"\0"):
                found[int(process.name)] = (process / "cmdline").read_text().replace("\0", " ")
    return found


async def happens(condition: Callable[[], bool]) -> None:
    """Wait for what no event tells."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.01)


def environment(folder: Path, **more: str) -> dict[str, str]:
    env = {key: value for key, value in os.environ.items() if key not in ("BROKER", "DEMO_SECONDS")}
    return {**env, "TMPDIR": str(folder), **more}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Where the demo has its temporary files, and where nothing of it may be left."""
    path = tmp_path / "tmp"
    path.mkdir()
    yield path
    assert running(path) == {}
    assert list(path.iterdir()) == []


@contextlib.asynccontextmanager
async def demo(folder: Path, *words: str, **more: str) -> AsyncIterator[Program]:
    """The demo, until it has ended by itself."""
    program = Program(*COMMAND, "demo", *words, env=environment(folder, **more))
    async with program:
        yield program
        await program.ended()


def totals(lines: list[str]) -> dict[int, tuple[int, ...]]:
    """The summary lines: sent, received, lost, twice by QoS."""
    found = [match for line in lines if (match := SUMMARY.match(line))]
    assert [match[1] for match in found] == ["0", "1", "2"]
    return {int(match[1]): tuple(map(int, match.groups()[1:])) for match in found}


async def test_it_ends_with_a_line_for_each_qos_and_plain_lines_where_there_is_no_terminal(folder: Path) -> None:
    async with demo(folder, *QUICK) as program:
        assert await program.ended() == 0
    for qos, (sent, received, lost, twice) in totals(program.lines).items():
        assert sent > 0
        assert qos == 0 or (received, lost) == (sent, 0)
        assert qos < 2 or twice == 0
    assert "\x1b" not in "\n".join(program.lines)
    assert program.lines[0].startswith("3 boards, each a process: ")
    repaired = next(line for line in program.lines if line.startswith("The lines damaged or lost"))
    assert not repaired.startswith("The lines damaged or lost 0 bytes")


async def test_in_a_terminal_the_table_lives(folder: Path) -> None:
    master, slave = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(*COMMAND, "demo", *QUICK),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=environment(folder, COLUMNS="100", LINES="40", TERM="xterm"),
    )
    os.close(slave)
    shown = bytearray()

    def read() -> None:
        with contextlib.suppress(OSError):  # the end, on Linux
            while data := os.read(master, 65536):
                shown.extend(data)

    await asyncio.to_thread(read)
    os.close(master)
    assert await process.wait() == 0
    text = shown.decode()
    assert re.search(r"\x1b\[\d+A", text)
    assert "of 2 s" in text
    # In a terminal of 100 columns no line may wrap.
    assert max(len(re.sub(r"\x1b\[\d*[A-Za-z]", "", line)) for line in text.split("\r\n")) <= 100
    totals([re.sub(r"\x1b\[\d*[A-Za-z]", "", line) for line in text.split("\r\n")])


async def test_a_broker_that_is_given_is_used_and_left_as_it_was(mosquitto: Mosquitto, folder: Path) -> None:
    async with demo(folder, *QUICK, BROKER=mosquitto.url) as program:
        assert await program.ended() == 0
    assert f"broker  {mosquitto.url} (yours)" in program.lines
    ids = set(re.findall(r" as (demo-\S+-(?:board-\d|subscriber)) ", mosquitto.log))
    assert len(ids) == 4
    for client_id in ids:
        async with Client(mosquitto.url, client_id=client_id, clean_session=False) as client:
            assert not client.session_present
    async with Client(mosquitto.url) as client:
        await client.publish("last", "", retain=True)
        await client.publish("last", "x", retain=True)
    async with MosquittoSub(mosquitto.port, "-t", "#", "-q", "1") as sub:
        assert (await sub.get()).topic == "last"  # the only one that is retained


async def test_without_micropython_boards_run_on_cpython_and_it_says_so(folder: Path) -> None:
    async with demo(folder, *QUICK, MICROPYTHON="/nowhere/micropython") as program:
        assert await program.ended() == 0
    assert "CPython" in program.lines[0]
    assert "no MicroPython interpreter was found" in program.lines[0]
    assert totals(program.lines)[2][0] > 0


async def test_an_installed_package_says_first_that_it_needs_a_checkout(folder: Path, tmp_path: Path) -> None:
    installed = tmp_path / "site-packages"
    shutil.copytree(ROOT / "mqttlite", installed / "mqttlite", ignore=shutil.ignore_patterns("__pycache__"))
    command = (sys.executable, "-P", "-m", "mqttlite", "demo")
    result = await run(*command, env=environment(folder, PYTHONPATH=str(installed)), folder=tmp_path, check=False)
    assert (result.code, result.stdout) == (1, "")
    assert "clone the project and run `make demo` there" in result.stderr


async def test_ctrl_c_ends_it_early_with_the_summary(folder: Path) -> None:
    async with demo(folder, "--seconds", "600") as program:
        await program.says("received QoS 0")
        assert program.process
        program.process.send_signal(signal.SIGINT)
        assert await program.ended() == 0
    assert totals(program.lines)[2][0] > 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("moment", ["at the start", "while boards run"])
async def test_a_signal_ends_it_with_everything_that_it_started(
    folder: Path, number: signal.Signals, code: int, moment: str
) -> None:
    async with demo(folder, "--seconds", "600") as program:
        await program.says("Each board publishes" if moment == "at the start" else "received QoS 0")
        assert program.process
        program.process.send_signal(number)
        if number == signal.SIGINT and moment != "at the start":
            program.process.send_signal(number)  # in good order at the first, at once at the second
            assert await program.ended() in (0, code)
        else:
            assert await program.ended() == code
    assert not [line for line in program.lines if "Traceback" in line]


async def test_even_killed_it_leaves_no_process(tmp_path: Path) -> None:
    async with Program(*COMMAND, "demo", "--seconds", "600", env=environment(tmp_path)) as program:
        await program.says("received QoS 0")
        assert len(running(tmp_path)) == 6  # the demo, a broker, a gateway, three boards
        await program.kill()
        await happens(lambda: running(tmp_path) == {})


async def test_a_program_that_ends_on_the_way_is_named_with_its_last_words(folder: Path) -> None:
    async with demo(folder, "--seconds", "600") as program:
        await program.says("received QoS 0")
        board = next(pid for pid, command in running(folder).items() if "start.run" in command)
        os.kill(board, signal.SIGKILL)
        assert await program.ended() == 1
    assert [line for line in program.lines if re.match(r"mqttlite demo: board-\d ended with exit code -9", line)]


async def test_a_broker_that_is_not_there_is_one_line(folder: Path) -> None:
    async with demo(folder, "--broker", "mqtt://127.0.0.1:1") as program:
        assert await program.ended() == 1
    assert program.lines == [
        "mqttlite demo: nothing listens at 127.0.0.1:1; is the broker running, and is this its port?"
    ]


@pytest.mark.parametrize("words", [("--boards", "0"), ("--seconds", "0"), ("--every", "0")])
async def test_what_makes_no_sense_is_refused(folder: Path, words: tuple[str, ...]) -> None:
    async with demo(folder, *words) as program:
        assert await program.ended() == 1
    assert program.lines == ["mqttlite demo: --boards, --every and --seconds must be more than 0"]
