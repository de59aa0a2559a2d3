"""Backup of a gateway while it runs, and its move to another machine: what arrives, what is refused."""

import asyncio
import errno
import json
import os
import sqlite3
import stat
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from mqttlite.broker import Broker
from mqttlite.cli import main
from mqttlite.client import Client
from mqttlite.store.tending.counting import undelivered
from mqttlite_gateway import lives
from mqttlite_gateway.config import load
from mqttlite_gateway.gateway import Gateway
from mqttlite_gateway.operating.moving import archive, arriving, leaving

SECRET = "5ecret-of-the-cloud"


class Machine:
    """A gateway's settings, store and keys in a folder; `root`: where another machine's files come."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "other"
        self.root.mkdir()
        self.store = folder / "gateway.db"
        self.users = folder / "users"
        self.users.write_text("ann:$argon2id$…\n")
        self.users.chmod(0o640)
        self.settings = folder / "gateway.toml"
        self.settings.write_text(
            f'mode = "bridge"\nstore = "{self.store}"\nlisten = ["mqtt://127.0.0.1:0"]\nconsole = ""\n'
            f'[control]\nsocket = false\n[[upstream]]\nurl = "mqtt://site:{SECRET}@127.0.0.1:1"\n'
            f'out = [{{ filter = "sensors/#" }}]\n# keys = "{self.users}"\n[devices]\nfile = "{self.users}"\n'
        )
        self.settings.chmod(0o600)

    def there(self, path: Path) -> Path:
        """The same file on the other machine."""
        return self.root / str(path).lstrip("/")

    async def publish(self, count: int) -> None:
        """Messages that wait for the upstream, which is away."""
        async with Gateway(load(self.settings)) as gateway:
            assert gateway.broker
            async with Client(gateway.broker.addresses[0]) as client:
                for number in range(count):
                    await client.publish("sensors/1", str(number), qos=2)
                await client.drain(10)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The numbers of machines: what `machine` says, the last one for good."""
    found = ["here"]
    monkeypatch.setattr(leaving, "machine", lambda: found[-1])
    monkeypatch.setattr(arriving, "machine", lambda: found[-1])
    return found


def silent(_: str) -> None:
    pass


async def test_a_backup_of_a_running_gateway_has_settings_keys_and_what_is_queued(machine: Machine) -> None:
    async with Gateway(load(machine.settings)) as gateway:
        assert gateway.broker
        async with Client(gateway.broker.addresses[0]) as client:
            for number in range(7):
                await client.publish("sensors/1", str(number), qos=2)
            await client.drain(10)
        said: list[str] = []
        to = machine.folder / "pi.tar.gz"
        await asyncio.to_thread(leaving.leave, machine.settings, to, said.append)
    assert "7 messages that are not delivered" in said[0]
    assert stat.S_IMODE(to.stat().st_mode) == 0o600
    with tarfile.open(to) as tar:
        manifest = json.loads(tar.extractfile("manifest.json").read())  # type: ignore[union-attr]
    assert {part["path"]: part["kind"] for part in manifest["parts"]} == {
        str(machine.settings): "settings",
        str(machine.users): "file",
        str(machine.store): "store",
    }
    arriving.arrive(to, said.append, root=machine.root)
    assert undelivered(str(machine.there(machine.store))) == 7
    assert machine.there(machine.settings).read_text() == machine.settings.read_text()
    assert stat.S_IMODE(machine.there(machine.users).stat().st_mode) == 0o640
    assert not any(SECRET in line for line in said)


async def test_a_move_ends_the_gateway_that_is_left_and_the_other_one_goes_on_as_it(
    machine: Machine, names: list[str]
) -> None:
    await machine.publish(3)
    to = machine.folder / "pi.tar.gz"
    leaving.leave(machine.settings, to, silent, is_move=True)
    with pytest.raises(ValueError, match="has moved to another machine"):
        async with Gateway(load(machine.settings)):
            pass
    names.append("there")
    arriving.arrive(to, silent, root=machine.root)
    arrived = machine.there(machine.store)
    assert undelivered(str(arrived)) == 3
    assert lives.life_of(arrived) == lives.life_of(machine.store) == ""  # the session upstream is trusted
    lives.refuse_moved(arrived)


async def test_a_store_that_was_restored_once_keeps_its_life_over_a_move(machine: Machine, names: list[str]) -> None:
    await machine.publish(1)
    lives.begin(machine.store, "second")
    to = machine.folder / "pi.tar.gz"
    leaving.leave(machine.settings, to, silent, is_move=True)
    names.append("there")
    arriving.arrive(to, silent, root=machine.root)
    assert lives.life_of(machine.there(machine.store)) == "second"


async def test_a_store_is_marked_before_there_is_an_archive_that_could_be_restored_and_not_when_there_is_none(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await machine.publish(1)
    to = machine.folder / "pi.tar.gz"

    def full(*_: object) -> int:
        with pytest.raises(ValueError, match="has moved"):
            lives.refuse_moved(machine.store)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(archive, "write", full)
    with pytest.raises(OSError, match="No space left"):
        leaving.leave(machine.settings, to, silent, is_move=True)
    lives.refuse_moved(machine.store)


async def test_an_archive_may_be_on_a_disk_without_links_and_takes_no_others_place(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a USB stick with FAT."""
    await machine.publish(1)
    to = machine.folder / "pi.tar.gz"

    def link(source: Path, target: Path) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    leaving.leave(machine.settings, to, silent)
    with archive.reading(to) as (manifest, _):
        assert len(manifest.parts) == 3
    before = to.read_bytes()
    with pytest.raises(FileExistsError):
        archive.write(to, replace(manifest, parts=[]), {})
    assert to.read_bytes() == before


async def test_the_ledger_comes_along_where_no_setting_says_its_path_and_is_the_services(
    machine: Machine, names: list[str]
) -> None:
    machine.settings.write_text(machine.settings.read_text() + "[ledger]\n")
    await machine.publish(1)
    to = machine.folder / "pi.tar.gz"
    leaving.leave(machine.settings, to, silent, is_move=True)
    folder = machine.there(machine.store).parent
    folder.mkdir(parents=True)
    if not os.geteuid():
        os.chown(folder, 64999, 64999)
    (folder / "gateway.ledger.db-wal").write_bytes(b"of another ledger")
    arriving.arrive(to, silent, root=machine.root)
    for name in ("gateway.db", "gateway.ledger.db"):
        assert (folder / name).stat().st_uid == folder.stat().st_uid
    assert not (folder / "gateway.ledger.db-wal").exists()
    with sqlite3.connect(folder / "gateway.ledger.db") as ledger:
        assert ledger.execute("PRAGMA integrity_check").fetchone() == ("ok",)


async def test_a_restore_for_which_there_is_no_room_changes_nothing(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await machine.publish(2)
    to = machine.folder / "pi.tar.gz"
    leaving.leave(machine.settings, to, silent)
    machine.settings.write_text("# later\n")
    before = {path.name for path in machine.folder.iterdir()}
    unpack = archive.unpack

    def full(tar: tarfile.TarFile, part: archive.Part, place: Path) -> None:
        unpack(tar, part, place)
        if part.kind == "file":
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(archive, "unpack", full)
    with pytest.raises(OSError, match="No space left"):
        arriving.arrive(to, silent)
    assert {path.name for path in machine.folder.iterdir()} == before
    assert machine.settings.read_text() == "# later\n"
    assert undelivered(str(machine.store)) == 2


async def test_a_gateway_that_runs_is_not_moved(machine: Machine) -> None:
    async with Gateway(load(machine.settings)):
        with pytest.raises(ValueError, match=r"is open in this process.*For a move the gateway ends first"):
            leaving.leave(machine.settings, machine.folder / "x", silent, is_move=True)
    assert not (machine.folder / "x").exists()


async def test_a_copy_of_a_gateway_that_may_still_run_elsewhere_is_refused_until_somebody_says_that_it_does_not(
    machine: Machine, names: list[str]
) -> None:
    await machine.publish(1)
    to = machine.folder / "pi.tar.gz"
    leaving.leave(machine.settings, to, silent)
    names.append("there")
    with pytest.raises(ValueError, match=r"^this is a copy of .*two of them send twice what is queued"):
        arriving.arrive(to, silent, root=machine.root)
    assert list(machine.root.iterdir()) == []
    arriving.arrive(to, silent, is_old_gone=True, root=machine.root)
    assert (
        lives.life_of(machine.there(machine.store)) != ""
    )  # what the upstream holds of the life before is not trusted


async def test_what_is_in_the_way_of_a_restore_is_kept(machine: Machine) -> None:
    await machine.publish(2)
    to = machine.folder / "pi.tar.gz"
    leaving.leave(machine.settings, to, silent)
    await machine.publish(3)
    machine.settings.write_text("# later\n")
    said: list[str] = []
    arriving.arrive(to, said.append)
    assert undelivered(str(machine.store)) == 2
    [kept] = machine.folder.glob("gateway.db.before-*")
    assert undelivered(str(kept)) == 5
    assert next(machine.folder.glob("gateway.toml.before-*")).read_text() == "# later\n"
    assert not list(machine.folder.glob("users.before-*"))  # it was the same
    async with Gateway(load(machine.settings)):
        pass


async def test_a_restore_over_a_gateway_that_runs_is_refused(machine: Machine) -> None:
    await machine.publish(1)
    to = machine.folder / "pi.tar.gz"
    leaving.leave(machine.settings, to, silent)
    async with Broker([], store=machine.store):
        with pytest.raises(ValueError, match=r"^(?!.*no whole backup).*Stop the gateway first"):
            arriving.arrive(to, silent)


@pytest.mark.parametrize("at", [0.3, 0.6, 0.9])
async def test_a_damaged_or_torn_archive_changes_nothing(machine: Machine, at: float) -> None:
    await machine.publish(1)
    to = machine.folder / "pi.tar.gz"
    leaving.leave(machine.settings, to, silent)
    data = to.read_bytes()
    cut = int(len(data) * at)
    for damaged in (data[:cut], data[:cut] + bytes([data[cut] ^ 0x55]) + data[cut + 1 :]):
        to.write_bytes(damaged)
        with pytest.raises((ValueError, OSError)):
            arriving.arrive(to, silent, root=machine.root)
        assert [path for path in machine.root.rglob("*") if path.is_file()] == []


def test_options_that_belong_to_another_wish_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gateway", "--move"]) == 1
    assert "--move goes with --backup" in capsys.readouterr().err
    assert main(["gateway", "--backup", "x", "--restore", "y"]) == 1
    assert "--backup and --restore: one of them" in capsys.readouterr().err
