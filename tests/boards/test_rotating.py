"""A rotation of credentials from end to end: the command's functions, a real Mosquitto with a password file, and the
board's program on MicroPython, which is started again whenever it ends.
"""

import asyncio
import contextlib
import json
import os
import signal
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from mqttlite import Client
from mqttlite.boards.updating.broker_passwords import PasswordError, reload, run_command, set_in_file
from mqttlite.boards.updating.devices import Device, Devices
from mqttlite.boards.updating.rotating import RotationError, command, new_password, rotate
from mqttlite.cli import main
from mqttlite_board.settings import read
from tests.firmware.boards import Board
from tests.peers import Mosquitto, MosquittoSub, mosquitto_pub, run

KEY = "7b" * 32
OLD = "old-password-of-one"
ADMIN = "password-of-admin"
QUICKLY = """from mqttlite_board import program, rotation
rotation.TURN_S = 2
rotation.AGAIN_S = 1
program.ENDING_S = 0.2
"""


@pytest.fixture
def passwords(tmp_path: Path) -> Path:
    """A password file of Mosquitto's that knows the board and an administrator."""
    path = tmp_path / "passwd"
    set_in_file(path, "admin", ADMIN)
    set_in_file(path, "one", OLD)
    path.chmod(0o644)  # Mosquitto, started as root, reads it as somebody else
    return path


@pytest.fixture
def broker(tmp_path: Path, passwords: Path) -> "AsyncIterator[Mosquitto]":
    settings = {"allow_anonymous": "false", "password_file": passwords}
    mosquitto = Mosquitto(tmp_path / "mosquitto", settings=settings)
    mosquitto._answers = lambda: b"running" in mosquitto.log.encode()  # type: ignore[method-assign]
    with mosquitto:
        yield mosquitto  # type: ignore[misc]


@pytest.fixture
def devices(tmp_path: Path) -> Devices:
    devices = Devices(tmp_path / "devices.toml")
    devices.put(Device("one", KEY, username="one"))
    return devices


@contextlib.asynccontextmanager
async def power(board: Board) -> AsyncIterator[None]:
    """The board, which starts again whenever its program ends."""

    async def live() -> None:
        while True:
            async with board.running(QUICKLY) as process:
                await process.wait()

    life = asyncio.create_task(live())
    try:
        yield
    finally:
        life.cancel()
        await asyncio.gather(life, return_exceptions=True)


def a_board(tmp_path: Path, broker: Mosquitto, runtime: str = "micropython") -> Board:
    return Board(
        tmp_path / "board",
        broker.url,
        runtime=runtime,
        every_ms=200,
        username="one",
        password=OLD,
        key=KEY,
        counter=5,
    )


@contextlib.asynccontextmanager
async def admin(broker: Mosquitto) -> AsyncIterator[Client]:
    """An administrator, once the board is there."""
    async with Client(broker.url.replace("//", f"//admin:{ADMIN}@"), client_id="admin") as client:
        await client.subscribe("boards/one/online", qos=1)
        async for message in client:
            if message.payload == b"1":
                break
        await client.unsubscribe("boards/one/online")
        yield client


async def settled(board: Board) -> dict[str, Any]:
    """The board's settings when nothing is on trial any more: it writes them when the broker has confirmed its word."""
    async with asyncio.timeout(20):
        while "trial" in (values := read(str(board.folder / "settings.json"))):  # noqa: ASYNC110 - a file has no event
            await asyncio.sleep(0.02)
    return values


def setter(broker: Mosquitto, passwords: Path, password: str) -> Callable[[], Awaitable[None]]:
    async def set_it() -> None:
        set_in_file(passwords, "one", password)
        passwords.chmod(0o644)  # noqa: ASYNC240 (once)
        assert broker._process
        await reload(f"kill -HUP {broker._process.pid}")

    return set_it


async def test_a_board_connects_with_its_new_password_and_forgets_the_old_one(
    tmp_path: Path, broker: Mosquitto, passwords: Path, devices: Devices, runtime: str
) -> None:
    board = a_board(tmp_path, broker, runtime)
    password = new_password()
    said: list[str] = []
    async with power(board), admin(broker) as client:
        new = {"password": password, "key": "cd" * 32}
        await rotate(client, devices, "one", new, at_broker=setter(broker, passwords, password), say=said.append)
        values = await settled(board)
        assert (values["password"], values["key"]) == (password, "cd" * 32)
        device = devices.get("one")
        assert (device.key, device.next_key) == ("cd" * 32, "")
        assert device.counter == values["counter"] > 5
    assert "has forgotten the old ones" in said[-1]
    everything = board.output + "".join(said) + broker.log
    for secret in (OLD, password, KEY, "cd" * 32):
        assert secret not in everything


@pytest.mark.long
async def test_a_broker_that_never_learns_the_new_password_keeps_the_board_on_the_old_one(
    tmp_path: Path, broker: Mosquitto, passwords: Path, devices: Devices
) -> None:
    board = a_board(tmp_path, broker)
    said: list[str] = []

    async def nothing() -> None:
        pass

    quickly = pytest.MonkeyPatch()
    quickly.setattr("tests.boards.test_rotating.QUICKLY", QUICKLY + "rotation.TRIES = 2\n")
    with quickly.context():
        async with power(board), admin(broker) as client:
            with pytest.raises(RotationError, match="keeps its old credentials: there was no connection") as caught:
                new = {"password": "a-new-password"}
                await rotate(client, devices, "one", new, at_broker=nothing, say=said.append)
            assert "a-new-password" not in str(caught.value)
            assert (await settled(board))["password"] == OLD
    quickly.undo()
    assert any("is not let in with the new ones yet" in line for line in said)


async def test_a_repeated_or_forged_command_is_answered_with_an_error(
    tmp_path: Path, broker: Mosquitto, devices: Devices
) -> None:
    board = a_board(tmp_path, broker)
    before = (board.folder / "settings.json").read_bytes()
    account = ("-u", "admin", "-P", ADMIN)
    async with (
        MosquittoSub(broker.port, "-t", "boards/one/answer", "-q", "2", *account) as answers,
        power(board),
        admin(broker),
    ):
        device = devices.get("one")
        for sent, words in (
            (command(device, 5, {"password": "x"}), "counter 5 has been used"),
            (command(Device("one", "ee" * 32), 6, {"password": "x"}), "not signed with this device's key"),
            (command(Device("two", KEY), 6, {"password": "x"}), "not signed with this device's key"),
        ):
            text = json.dumps(sent)
            await mosquitto_pub(broker.port, "-t", "boards/one/command", "-q", "2", "-m", text, *account)
            answer = json.loads((await answers.get()).payload)
            assert words in answer["error"]
            assert answer["id"] == sent["id"]
        await mosquitto_pub(broker.port, "-t", "boards/one/command", "-m", '{"do": "settings", "id": 1}', *account)
        shown = json.loads((await answers.get()).payload)["settings"]
    assert (shown["password"], shown["key"], shown["username"]) == ("***", "***", "one")
    assert (board.folder / "settings.json").read_bytes() == before


async def test_a_board_that_does_not_answer_is_said_and_nothing_changes_at_the_broker(
    broker: Mosquitto, devices: Devices
) -> None:
    async def never() -> None:
        raise AssertionError

    async with Client(broker.url.replace("//", f"//admin:{ADMIN}@"), client_id="admin") as client:
        with pytest.raises(RotationError, match="does not answer within"):
            await rotate(client, devices, "one", {"password": "x"}, at_broker=never, say=print, stored_s=0.2)


async def test_mosquitto_takes_the_passwords_that_are_written(broker: Mosquitto, passwords: Path) -> None:
    good = await mosquitto_pub(broker.port, "-t", "a", "-m", "b", "-u", "one", "-P", OLD, check=False)
    bad = await mosquitto_pub(broker.port, "-t", "a", "-m", "b", "-u", "one", "-P", "other", check=False)
    assert (good.code, bad.code) == (0, 5)


def test_a_password_file_keeps_its_other_lines_and_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "passwd"
    path.write_text("a:$7$101$aa$bb\nb:$7$101$cc$dd\n")
    path.chmod(0o640)
    set_in_file(path, "a", "secret")
    set_in_file(path, "c", "secret")
    lines = path.read_text().splitlines()
    assert [line.partition(":")[0] for line in lines] == ["a", "b", "c"]
    assert lines[1] == "b:$7$101$cc$dd"
    assert "secret" not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    for name in ("", "a:b", "a\nb"):
        with pytest.raises(PasswordError, match="user name"):
            set_in_file(path, name, "secret")


async def test_a_command_gets_the_password_on_its_input_and_what_it_says_is_not_shown(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    await run_command(f"cat > {out}; cat {out}; cat {out} >&2", "one", "the-secret")
    assert out.read_text() == "one\nthe-secret\n"
    with pytest.raises(PasswordError, match="has ended with 3") as caught:
        await run_command("cat >&2; exit 3", "one", "the-secret")
    assert "the-secret" not in str(caught.value) + "".join(capfd.readouterr())


async def test_a_command_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mqttlite.boards.updating.broker_passwords.COMMAND_S", 0.2)
    with pytest.raises(PasswordError, match="takes longer than"):
        await run_command("exec sleep 60", "one", "the-secret")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "nothing is new"),
        (["--password-command", "x", "--new-password-file", "y"], "one of --password-file"),
        (["--key", "--reload", "x"], "--reload goes with --password-file"),
        (["--new-password-file", "{exposed}"], "others can read it (mode 644)"),
        (["--new-password-file", "{empty}"], "is empty"),
    ],
)
def test_what_makes_no_sense_is_said_before_anything_is_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], devices: Devices, words: list[str], said: str
) -> None:
    exposed, empty = tmp_path / "exposed", tmp_path / "empty"
    exposed.write_text("secret\n")
    exposed.chmod(0o644)
    empty.touch(0o600)
    words = [word.format(exposed=exposed, empty=empty) for word in words]
    assert main(["board", "rotate", "one", "--devices", str(devices.path), *words]) == 1
    assert said in capsys.readouterr().err


async def test_the_command_does_it_all(tmp_path: Path, broker: Mosquitto, passwords: Path, devices: Devices) -> None:
    board = a_board(tmp_path, broker)
    assert broker._process
    async with power(board), admin(broker):
        argv = [
            *(os.sys.executable, "-m", "mqttlite", "board", "rotate", "one", "--devices", str(devices.path)),  # type: ignore[attr-defined]
            *("--url", broker.url.replace("//", "//admin@"), "--password-file", str(passwords)),
            *("--reload", f"chmod 644 {passwords}; kill -{signal.SIGHUP} {broker._process.pid}"),
        ]
        result = await run(*argv, env={**os.environ, "MQTTLITE_PASSWORD": ADMIN})
        password = (await settled(board))["password"]
    assert password != OLD
    assert "has forgotten the old ones" in result.stderr
    assert password not in result.stdout + result.stderr
