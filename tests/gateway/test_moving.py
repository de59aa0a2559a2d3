"""Backup of a gateway while it runs, and its move to another machine: what arrives, what is refused."""

import asyncio
import json
import stat
import tarfile
from pathlib import Path

import pytest

from mqttlite.broker import Broker
from mqttlite.cli import main
from mqttlite.client import Client
from mqttlite.store.counting import undelivered
from mqttlite_gateway.config import load
from mqttlite_gateway.gateway import Gateway
from mqttlite_gateway.operating.moving import arriving, leaving, lives

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
    with pytest.raises(ValueError, match="two of them send twice what is queued"):
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
        with pytest.raises(ValueError, match="Stop the gateway first"):
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
