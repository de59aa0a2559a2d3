"""Setting up a board from the computer, on the real interpreter: what is found, what is said, what it ends with."""

import asyncio
import os
import tty
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mqttlite.boards.reaching.improv_client import BoardError, ImprovClient, Network, NotDetectedError, RefusedError
from mqttlite.serial.ports import PortError, open_port
from mqttlite_board import improv
from mqttlite_board.settings import SettingError, decode, encode
from tests.firmware.consoles import RADIO, Console, waiting

RECORD = {
    "name": "pump",
    "url": "mqtt://192.0.2.1",
    "username": "pump",
    "password": "s3cret-of-mqtt",
    "key": "ab" * 32,
    "wifi": {"name": "home", "password": "right-password"},
    "app": {"text": "ü" * 300},
}


@asynccontextmanager
async def client(console: Console, lines: list[str] | None = None) -> AsyncIterator[ImprovClient]:
    async with ImprovClient(open_port(console.path), (lines if lines is not None else []).append) as board:
        yield board


async def test_a_board_is_detected_described_and_told_its_settings(tmp_path: Path) -> None:
    lines: list[str] = []
    async with waiting(tmp_path, RADIO) as console, client(console, lines) as board:
        assert await board.detect() == improv.READY
        info = await board.info()
        assert (info.firmware, info.name, info.is_ours) == ("mqttlite", "board", True)
        assert await board.settings() == {}
        assert await board.scan() == [Network("home", -48, True), Network("café", -80, False)]
        assert await board.put(RECORD) == "192.0.2.7"
        assert board.state == improv.PROVISIONED
        while "settings: saved; the board starts again" not in lines:  # noqa: ASYNC110 (it comes behind the answer)
            await asyncio.sleep(0.01)
    assert decode((tmp_path / "settings.json").read_bytes()) == RECORD
    assert not any(secret in line for line in lines for secret in ("s3cret", "right-password", "abab"))


async def test_what_a_board_has_is_shown_without_secrets(tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_bytes(encode(RECORD))
    async with waiting(tmp_path, RADIO) as console, client(console) as board:
        assert await board.detect() == improv.PROVISIONED
        shown = await board.settings()
    assert shown == {**RECORD, "password": "***", "key": "***", "wifi": {"name": "home", "password": "***"}}


@pytest.mark.parametrize(
    ("wifi", "words"),
    [
        ({"name": "home", "password": "wrong-password"}, "the network 'home' refuses the password"),
        ({"name": "elsewhere"}, "no network 'elsewhere' is in reach"),
        ({}, "wifi.name is missing: this board reaches its broker over Wi-Fi"),
    ],
)
async def test_a_network_that_does_not_let_the_board_in_is_said_and_nothing_is_kept(
    tmp_path: Path, wifi: dict[str, str], words: str
) -> None:
    async with waiting(tmp_path, RADIO) as console, client(console) as board:
        await board.detect()
        with pytest.raises(RefusedError, match=words) as caught:
            await board.put({**RECORD, "wifi": wifi})
        assert "wrong-password" not in str(caught.value)
        assert not (tmp_path / "settings.json").exists()
        assert await board.put(RECORD) == "192.0.2.7"


async def test_what_cannot_be_right_is_not_sent(tmp_path: Path) -> None:
    async with waiting(tmp_path) as console, client(console) as board:
        await board.detect()
        with pytest.raises(SettingError, match="url"):
            await board.put({**RECORD, "url": "http://x"})
        with pytest.raises(BoardError, match="a board takes 4096"):
            await board.put({**RECORD, "app": {"text": "x" * 5000}})
        with pytest.raises(RefusedError, match="does not know the command"):
            await board._retried(99)


async def test_a_board_with_wifi_alone_waits_for_its_broker(tmp_path: Path) -> None:
    lines: list[str] = []
    async with waiting(tmp_path, RADIO) as console, client(console, lines) as board:
        await board.detect()
        assert await board.set_wifi("home", "right-password") == ""
        assert not (tmp_path / "settings.json").exists()
        assert (await board.settings())["wifi"] == {"name": "home", "password": "***"}
        await board.put(RECORD)
    assert any("the broker is missing" in line for line in lines)


async def test_ctrl_c_leads_to_the_prompt_and_frames_of_a_gateway_do_not(tmp_path: Path) -> None:
    script = (
        "from mqttlite_board import provisioning\ntry:\n    provisioning.run('settings.json', lambda: None)\n"
        "except KeyboardInterrupt as error:\n    print('prompt', error.args)\n    import sys\n    sys.stdin.read(1)\n"
    )
    heard = bytearray()
    for keys, words in ((b"\r\x03\x03", b"prompt ()"), (b"\r\x03\r\x01", b"prompt (1,)")):
        async with Console(tmp_path, script) as console:
            port = open_port(console.path)
            await until(port, heard, b"waiting for settings")
            await port.write(b"\x00\x03\x45\x01\x02\x03\x00")  # as a frame of a link
            await asyncio.sleep(0.3)  # longer than a Ctrl-C takes to count
            await port.write(improv.rpc(improv.INFO))
            await until(port, heard, b"mqttlite\x05")
            await port.write(keys)
            await until(port, heard, words)
            port.close()


async def until(port: object, heard: bytearray, words: bytes) -> None:
    """Read what a board prints until it has printed `words`."""
    heard.clear()
    async with asyncio.timeout(20):
        while words not in heard:
            heard += await port.read()  # type: ignore[attr-defined]


@asynccontextmanager
async def line() -> AsyncIterator[tuple[int, str]]:
    """A line without a board: the other end's descriptor, and this end's path."""
    master, slave = os.openpty()
    tty.setraw(slave)
    try:
        yield master, os.ttyname(slave)
    finally:
        os.close(master)
        os.close(slave)


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        (b"", "silence", "nothing arrives"),
        (b"MicroPython v1.25\r\n>>> ", "micropython prompt", "mqttlite flash"),
        (b"waiting for download\r\n", "waiting for download", "GPIO0"),
    ],
)
async def test_what_is_there_instead_of_a_board_is_said(said: bytes, kind: str, words: str) -> None:
    resets: list[int] = []

    async def reset() -> None:
        resets.append(1)

    async with line() as (master, path), ImprovClient(open_port(path), reset=reset) as board:
        os.write(master, said)
        with pytest.raises(NotDetectedError, match=words) as caught:
            await board.detect(0.3)
    assert caught.value.kind == kind
    assert not resets


async def test_a_board_that_does_not_answer_is_reset_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mqttlite.boards.reaching.improv_client.ASK_AGAIN_S", 0.02)
    monkeypatch.setattr("mqttlite.boards.reaching.improv_client.RESET_S", 0.05)
    async with line() as (master, path):
        resets: list[int] = []

        async def reset() -> None:
            resets.append(1)
            os.write(master, improv.state(improv.READY))

        async with ImprovClient(open_port(path), reset=reset) as board:
            assert await board.detect(10) == improv.READY
    assert resets == [1]


async def test_a_port_that_goes_is_said() -> None:
    async with line() as (_, path):
        port = open_port(path)
        async with ImprovClient(port) as board:
            port.close()
            with pytest.raises(PortError, match="is gone"):
                await board.info()


async def test_a_damaged_piece_is_sent_again(tmp_path: Path) -> None:
    async with waiting(tmp_path) as console, client(console) as board:
        await board.detect()
        port = board._port
        write = port.write
        sent = []

        async def noisy(data: bytes | bytearray) -> None:
            sent.append(bytes(data))
            await write(data[:30] + b"?" + data[31:] if len(sent) == 2 else data)

        port.write = noisy  # type: ignore[method-assign]
        board_answer = "mqttlite.boards.reaching.improv_client.ANSWER_S"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(board_answer, 0.7)
            await board.put(RECORD)
    assert decode((tmp_path / "settings.json").read_bytes()) == RECORD
    assert len(sent) > len(encode(RECORD)) // improv.PIECE + 2
