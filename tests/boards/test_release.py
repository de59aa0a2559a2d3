"""Releases as files: who signed them, what was changed; and in which order a fleet gets them."""

import io
import json
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest

from mqttlite.boards.updating import release as releases
from mqttlite.boards.updating.devices import Device
from mqttlite.boards.updating.manifest import Release, Update, Want
from mqttlite.boards.updating.release import ReleaseError, make_key, pack, unpack
from mqttlite.boards.updating.rollout import Progress, Rollout, Stages
from mqttlite.cli import main

FILES = {"app.mpy": b"application" * 50, "lib/x.mpy": b"\0" * 500}
RELEASE = Release("1.4.2", FILES)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """A maker's private key; the public one is beside it."""
    make_key(tmp_path / "maker.key")
    return tmp_path / "maker.key"


def public(key: Path) -> Path:
    return key.with_name(key.name + ".pub")


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_a_release_comes_back_as_it_was_signed_and_is_the_same_bytes_each_time(key: Path, tmp_path: Path) -> None:
    data = pack(RELEASE, key)
    assert data == pack(RELEASE, key)
    path = written(tmp_path / "a.release", data)
    assert unpack(path, [public(key)]) == RELEASE


def test_a_makers_key_is_its_owners_alone_and_is_never_overwritten(key: Path) -> None:
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert b"PRIVATE" not in public(key).read_bytes()
    with pytest.raises(ReleaseError, match="is there already"):
        make_key(key)


def test_another_makers_release_is_not_taken_but_one_of_several_makers_is_enough(key: Path, tmp_path: Path) -> None:
    path = written(tmp_path / "a.release", pack(RELEASE, key))
    other = make_key(tmp_path / "other.key")
    with pytest.raises(ReleaseError, match=r"its signature is none of other\.key\.pub"):
        unpack(path, [other])
    with pytest.raises(ReleaseError, match="no maker is trusted: give the maker's public key with --maker"):
        unpack(path, [])
    assert unpack(path, [other, public(key)]) == RELEASE


def changed(data: bytes, name: str, content: bytes) -> bytes:
    """An archive with another content of one file."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(stream, "w") as new:
        for entry in old.namelist():
            new.writestr(entry, content if entry == name else old.read(entry))
    return stream.getvalue()


@pytest.mark.parametrize("name", ["files/app.mpy", "release.json", "release.sig"])
def test_whatever_was_changed_behind_the_signature_is_noticed(key: Path, tmp_path: Path, name: str) -> None:
    about = json.dumps({"format": 1, "release": "9", "kind": "files", "files": {}}).encode()
    content = about if name == "release.json" else b"x" * 64
    path = written(tmp_path / "a.release", changed(pack(RELEASE, key), name, content))
    with pytest.raises(ReleaseError, match="changed"):
        unpack(path, [public(key)])


def test_what_is_no_release_or_no_key_is_said(key: Path, tmp_path: Path) -> None:
    data = pack(RELEASE, key)
    for content in (b"", b"nothing", data[: len(data) // 2]):
        with pytest.raises(ReleaseError, match="no release of mqttlite"):
            unpack(written(tmp_path / "b", content), [public(key)])
    with pytest.raises(ReleaseError, match="no public key of a maker"):
        unpack(written(tmp_path / "a.release", data), [written(tmp_path / "no.pub", b"none")])
    with pytest.raises(ReleaseError, match="no private key of a maker"):
        pack(RELEASE, public(key))


def test_a_signed_release_is_made_by_the_command_and_sent_by_nobody_who_does_not_trust_its_maker(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "my-sensor"
    folder.mkdir()
    (folder / "app.py").write_text("print('hello')\n")
    key, output, devices = (str(tmp_path / name) for name in ("k", "o.release", "devices.toml"))
    assert main(["update", "key", key]) == 0
    assert main(["update", "sign", str(folder), "--key", key, "--name", "2", "-o", output]) == 0
    assert "release 2, " in capsys.readouterr().out
    made = unpack(Path(output), [Path(key + ".pub")])
    assert made.name == "2"
    assert "app.mpy" in made.files
    assert any(place.startswith("lib/mqttlite_board/update.") for place in made.files)
    push, to = ["update", "push", output], ["--devices", devices]
    assert main([*push, *to]) == 1
    assert "no device: name some" in capsys.readouterr().err
    assert main([*push, "pump", *to]) == 1
    assert "has no device 'pump'" in capsys.readouterr().err
    Path(devices).write_text('[pump]\nkey = "' + "ab" * 32 + '"\n')
    Path(devices).chmod(0o600)
    other = make_key(tmp_path / "other")
    assert main([*push, "pump", *to, "--maker", str(other)]) == 1
    assert "another maker's, or it was changed" in capsys.readouterr().err


def test_makers_that_are_trusted_lie_in_a_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, key: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    assert releases.makers() == []
    folder = tmp_path / "config" / "mqttlite" / "makers"
    folder.mkdir(parents=True)
    written(folder / "a.pub", public(key).read_bytes())
    assert unpack(written(tmp_path / "a.release", pack(RELEASE, key)), releases.makers()) == RELEASE


@pytest.mark.parametrize(
    ("stages", "count", "sizes"),
    [
        (Stages(1, 100), 5, [1, 4]),
        (Stages(0, 100), 5, [5]),
        (Stages(2, 25), 10, [2, 2, 2, 2, 2]),
        (Stages(1, 10), 4, [1, 1, 1, 1]),
        (Stages(9, 10), 4, [4]),
        (Stages(1, 50), 1, [1]),
    ],
)
def test_stages_take_the_first_few_and_then_a_part_of_the_rest_at_a_time(
    stages: Stages, count: int, sizes: list[int]
) -> None:
    found = stages.of(count)
    assert [len(stage) for stage in found] == sizes
    assert [number for stage in found for number in stage] == list(range(count))


def test_an_update_is_the_same_for_the_same_release_device_and_number_and_another_for_others() -> None:
    key = bytes(32)
    one = Update(RELEASE, "one", key, 5)
    assert one.manifest == Update(Release("1.4.2", dict(FILES)), "one", key, 5).manifest
    others = [
        Update(RELEASE, "two", key, 5),
        Update(RELEASE, "one", b"\1" * 32, 5),
        Update(RELEASE, "one", key, 6),
        Update(Release("1.4.2", {**FILES, "app.mpy": b"other"}), "one", key, 5),
    ]
    assert len({update.id for update in [one, *others]}) == 5
    assert one.blocks().get(9, 0) is None
    assert one.blocks().get(1, 1) is None


@pytest.mark.parametrize("payload", [b"", bytes(11), bytes(14), bytes(12) + b"\0\1\0\0\2\1"])
def test_a_want_that_makes_no_sense_is_refused(payload: bytes) -> None:
    with pytest.raises(ValueError, match="want"):
        Want.parse(payload)


def test_a_file_of_more_blocks_than_can_be_numbered_and_a_trial_without_a_start_are_refused() -> None:
    large = Release("1", {"app.mpy": bytes(65536 * 64)})
    with pytest.raises(ValueError, match=r"'app\.mpy' has 4,194,304 bytes, more than 65,535 blocks of 64"):
        Update(large, "one", bytes(32), 5, block=64)
    assert Update(large, "one", bytes(32), 5).blocks().get(1, 4095)
    for starts, within_s in ((0, 600), (3, 0)):
        with pytest.raises(ValueError, match="at least one start of a second"):
            Update(RELEASE, "one", bytes(32), 5, starts=starts, within_s=within_s)


class Written(Rollout):
    """Sends nothing, and writes down the numbers of what it would send."""

    counts: ClassVar[list[int]] = []

    async def _send(self, progress: Progress, update: Update, queue: object) -> None:
        self.counts.append(update.count)


@pytest.mark.parametrize(
    ("states", "count"),
    [
        ([], 100),
        ([{"count": 1796035927, "id": "other", "state": "good"}], 1796035928),
        ([{"count": 5, "id": "other", "state": "back"}], 100),
        ([{"count": 300, "id": "other", "state": "good"}, {"count": 200, "id": "third", "state": "refused"}], 301),
        ([{"count": 1 << 70}, {"count": "7"}, {"count": -1}, {"count": None}], 100),
    ],
)
async def test_a_computer_whose_clock_is_behind_takes_a_number_that_the_device_has_not_seen(
    states: list[dict[str, object]], count: int
) -> None:
    device = Device("one", "00" * 32)
    rollout = Written(
        cast(Any, None), [device], lambda device, count: Update(RELEASE, device.name, bytes(32), count), max_of(100)
    )
    for state in states:
        rollout._queues["boards/one"].put_nowait(("state", json.dumps(state).encode()))
    Written.counts.clear()
    await rollout._push(rollout.progress[0])
    assert Written.counts == [count]


def max_of(now: int) -> "Callable[[Device, int], int]":
    """As Devices.next_counter, at this time."""
    return lambda device, least: max(now, least)


def test_a_key_is_never_part_of_what_is_printed() -> None:
    assert "ababab" not in repr(Update(RELEASE, "one", bytes.fromhex("ab" * 32), 5))
    assert repr(b"\xab\xab") not in repr(Update(RELEASE, "one", bytes.fromhex("ab" * 32), 5))
