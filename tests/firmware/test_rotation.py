"""New credentials for a board: who may bring them, whose turn it is, what is reported; power cuts."""

import json
from binascii import b2a_base64
from pathlib import Path
from typing import Any

import pytest

from mqttlite_board import rotation, settings
from mqttlite_board.sealing import seal, unseal
from tests.firmware.boards import FIRMWARE, run
from tests.peers import MicroPython
from tests.runtimes import ROOT

SCRIPTS = ROOT / "tests" / "micropython"
KEY = "a7" * 32
OLD: dict[str, Any] = {
    "name": "pump",
    "url": "mqtt://b",
    "username": "pump",
    "password": "old-password",
    "key": KEY,
    "counter": 100,
}
NONCE = bytes(range(16))


def command(new: object, *, counter: int = 101, name: str = "pump", key: str = KEY, **others: object) -> dict[str, Any]:
    text = json.dumps(new).encode()
    sealed = seal(bytes.fromhex(key), rotation.PURPOSE, rotation.about(name, counter), text, NONCE)
    sent = {"do": "rotate", "id": "r1", "counter": counter, "sealed": b2a_base64(sealed, newline=False).decode()}
    return {**sent, **others}


@pytest.fixture
def path(tmp_path: Path) -> str:
    path = str(tmp_path / "settings.json")
    settings.save(path, OLD)
    return path


NEW = {"password": "new-password"}


def test_new_credentials_are_tried_and_replace_the_old_ones_when_confirmed(path: str) -> None:
    rotation.accept(path, command({**NEW, "key": "bb" * 32, "wifi": {"name": "hall", "password": "of the hall"}}))
    values = settings.read(path)
    assert (values["password"], values["counter"]) == ("old-password", 101)
    assert rotation.uses_new(values)
    chosen = rotation.chosen(values)
    assert (chosen["password"], chosen["wifi"]["name"], chosen["username"]) == ("new-password", "hall", "pump")
    assert rotation.report(values) == {"id": "r1", "rotate": "done", "counter": 101}
    rotation.confirmed(path)
    assert settings.read(path) == {
        **OLD,
        "password": "new-password",
        "key": "bb" * 32,
        "wifi": {"name": "hall", "password": "of the hall"},
        "counter": 101,
    }


def test_refused_ones_take_turns_with_the_old_ones_and_are_given_up(path: str) -> None:
    rotation.accept(path, command(NEW))
    tried = []
    goes_on = True
    while goes_on:
        values = settings.read(path)
        tried.append(rotation.chosen(values)["password"])
        is_old = tried[-1] == "old-password"
        if is_old:
            assert rotation.report(values)["rotate"] == "waiting"
        goes_on = rotation.turn(path, is_old)
    assert tried == ["new-password", "old-password"] * rotation.TRIES
    values = settings.read(path)
    assert "new-password" not in json.dumps(values)
    assert rotation.chosen(values)["password"] == "old-password"
    assert not rotation.is_on_trial(values)
    told = {"id": "r1", "rotate": "failed", "counter": 101, "error": "there was no connection with the new ones"}
    assert rotation.report(values) == told
    rotation.reported(path)
    assert settings.read(path) == {**OLD, "counter": 101}


def test_a_broker_that_answers_nobody_decides_nothing(path: str) -> None:
    rotation.accept(path, command(NEW))
    for turn in range(100):
        assert rotation.chosen(settings.read(path))["password"] == ("old-password" if turn % 2 else "new-password")
        assert rotation.turn(path, False)


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (command(NEW, counter=100), "counter 100 has been used"),
        (command(NEW, counter=0), "no counter"),
        (command(NEW, key="a8" * 32), "not signed with this device's key"),
        (command(NEW, name="other"), "not signed with this device's key"),
        ({**command(NEW), "counter": 102}, "not signed with this device's key"),
        ({**command(NEW), "counter": True}, "no counter"),
        ({**command(NEW), "counter": "101"}, "no counter"),
        ({**command(NEW), "sealed": 5}, "nothing is sealed"),
        ({**command(NEW), "sealed": ""}, "not signed"),
        ({"do": "rotate"}, "no counter"),
        (command({"name": "other"}), "name cannot be changed so"),
        (command({"url": "mqtt://elsewhere"}), "url cannot be changed so"),
        (command({"password": 5}), "password: must be a text"),
        (command({"key": "short"}), "key: must be 64"),
    ],
)
def test_what_cannot_be_right_changes_nothing(path: str, sent: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        rotation.accept(path, sent)
    assert "new-password" not in str(caught.value)
    assert settings.read(path) == OLD


def test_a_command_is_taken_once(path: str) -> None:
    sent = command(NEW)
    rotation.accept(path, sent)
    with pytest.raises(ValueError, match="has been used"):
        rotation.accept(path, sent)
    rotation.confirmed(path)
    with pytest.raises(ValueError, match="has been used"):
        rotation.accept(path, sent)


def test_a_board_without_a_key_takes_none(path: str) -> None:
    settings.save(path, {"name": "pump", "url": "mqtt://b"})
    with pytest.raises(ValueError, match="has no key"):
        rotation.accept(path, command(NEW))


def test_every_changed_bit_is_noticed_and_nothing_can_be_read_in_it() -> None:
    key = bytes.fromhex(KEY)
    text = b"a text that is longer than one block of thirty-two bytes"
    sealed = seal(key, b"purpose", b"about", text, NONCE)
    assert unseal(key, b"purpose", b"about", sealed) == text
    assert text[:8] not in sealed
    for bit in range(0, 8 * len(sealed), 3):
        broken = bytearray(sealed)
        broken[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ValueError, match="not signed"):
            unseal(key, b"purpose", b"about", bytes(broken))
    for purpose, about in ((b"other", b"about"), (b"purpose", b"abou")):
        with pytest.raises(ValueError, match="not signed"):
            unseal(key, purpose, about, sealed)
    assert seal(key, b"purpose", b"about", text, bytes(16)) != sealed


async def test_a_board_unseals_what_a_computer_has_sealed(tmp_path: Path, runtime: str) -> None:
    settings.save(str(tmp_path / "settings.json"), OLD)
    (tmp_path / "command.json").write_text(json.dumps(command(NEW)))
    script = (
        "import json\nfrom mqttlite_board import rotation, settings\n"
        "rotation.accept('settings.json', json.load(open('command.json')))\n"
        "print(rotation.chosen(settings.read('settings.json'))['password'])\n"
        "rotation.turn('settings.json', False)\n"
        "print(rotation.chosen(settings.read('settings.json'))['password'])\n"
    )
    assert (await run(runtime, tmp_path, script)).split() == ["new-password", "old-password"]


@pytest.mark.parametrize("bits", [32, 64])
async def test_a_power_cut_at_any_operation_leaves_credentials_that_work(bits: int) -> None:
    result = await MicroPython(bits).run(SCRIPTS / "rotation_cuts.py", heap="2m", path=[SCRIPTS, FIRMWARE])
    assert result.stdout.splitlines()[-1] == "all done"
