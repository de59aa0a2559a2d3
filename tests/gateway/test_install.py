"""`mqttlite gateway --install` into an image of a machine: what is there then, what it says, what it leaves alone."""

import json
import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from mqttlite.broker import Broker
from mqttlite.cli import main
from mqttlite.client import Client
from mqttlite_gateway.config import ConfigError, exposed, load
from mqttlite_gateway.operating.install import installing, program, shipped
from mqttlite_gateway.operating.install.system import System
from tests.peers import unavailable
from tests.runtimes import ROOT

PROGRAM = "/usr/local/bin/mqttlite"


class Image(System):
    """A machine of which we see what it is told; its useradd writes one line."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.commands: list[str] = []
        (root / "etc").mkdir()
        (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/bash\n")
        (root / "etc/group").write_text("root:x:0:\n")

    def run(self, *command: str) -> str:
        self.commands.append(" ".join(command))
        if command[0] == "useradd":
            for file in ("passwd", "group"):
                with open(self.root / "etc" / file, "a", encoding="utf-8") as target:
                    target.write(f"{command[-1]}:x:999:999::/:\n")
        return ""


@pytest.fixture
def image(tmp_path: Path) -> Image:
    return Image(tmp_path)


def installed(image: Image, *, is_dry: bool = False) -> list[str]:
    said: list[str] = []
    installing.install(image, PROGRAM, said.append, is_dry=is_dry)
    return said


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_it_makes_user_folders_settings_rules_and_unit_and_says_each(image: Image) -> None:
    said = installed(image)
    assert [line.partition(": ")[2].split(",")[0] for line in said if line.startswith("made")] == [
        "user and group mqttlite",
        "folder /etc/mqttlite",
        "folder /etc/mqttlite/secrets",
        "file /etc/mqttlite/gateway.toml",
        "file /etc/mqttlite/gateway.example.toml",
        "file /etc/udev/rules.d/99-mqttlite.rules",
        "file /etc/systemd/system/mqttlite-gateway.service",
    ]
    settings = image.path("/etc/mqttlite/gateway.toml")
    assert mode(settings) == 0o640
    assert mode(settings.parent) == 0o750
    load(settings).check()
    assert f"ExecStart={PROGRAM} gateway" in image.path(installing.UNIT).read_text()
    assert image.commands[0].startswith(f"useradd --root {image.root} --system")
    if os.geteuid() == 0:
        assert settings.stat().st_gid == 999


def test_twice_it_does_nothing_and_settings_of_the_owner_stay(image: Image) -> None:
    installed(image)
    settings = image.path("/etc/mqttlite/gateway.toml")
    settings.write_text("# mine\n")
    image.path(installing.RULES).write_text("# of an earlier release\n")
    said = installed(image)
    assert [line for line in said if line.startswith("made")] == [f"made: file {installing.RULES}"]
    assert settings.read_text() == "# mine\n"
    assert sum(command.startswith("useradd") for command in image.commands) == 1


def test_a_dry_run_says_all_of_it_and_changes_nothing(image: Image) -> None:
    before = sorted(image.root.rglob("*"))
    said = installed(image, is_dry=True)
    assert sum(line.startswith("would be made") for line in said) == 7
    assert sorted(image.root.rglob("*")) == before
    assert image.commands == []


async def test_uninstalled_the_program_is_gone_and_settings_and_queues_stay(image: Image) -> None:
    installed(image)
    home = image.path(installing.HOME)
    home.mkdir(parents=True)
    async with Broker(["mqtt://127.0.0.1:0"], store=home / "gateway.db") as broker:
        async with Client(broker.addresses[0], client_id="away", clean_session=False) as client:
            await client.subscribe("t", 1)
        async with Client(broker.addresses[0]) as client:
            await (await client.publish("t", "x", 1)).completed()
    os.rename(home / "gateway.db", home / "gateway.db.before-20261130T181500")  # as a restored backup has it
    async with Broker([], store=home / "gateway.db"):
        pass
    said: list[str] = []
    installing.uninstall(image, said.append)
    assert not image.path(installing.UNIT).exists()
    assert not image.path(installing.RULES).exists()
    assert image.path("/etc/mqttlite/gateway.toml").exists()
    assert (home / "gateway.db").exists()
    assert any("the queues hold 1 messages that are not delivered" in line for line in said)
    again: list[str] = []
    installing.uninstall(image, again.append)
    assert again[:2] == [f"not there: file {installing.UNIT}", f"not there: file {installing.RULES}"]


def test_what_the_debian_package_has_installed_is_left_alone(image: Image) -> None:
    unit = image.path(installing.PACKAGED)
    unit.parent.mkdir(parents=True)
    unit.write_text("")
    said: list[str] = []
    installing.install(image, "/usr/bin/mqttlite", said.append)
    assert "the Debian package has installed the gateway already" in said[0]
    assert not image.path(installing.UNIT).exists()


def test_a_program_in_somebodys_home_is_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.prefix", "/home/ann/.local/pipx/venvs/mqttlite")
    monkeypatch.setattr("sys.argv", ["/home/ann/.local/bin/mqttlite"])
    with pytest.raises(ValueError, match=r"/home/ann/.* a service cannot look into.*PIPX_HOME=/opt/pipx") as refused:
        program.program()
    assert f"pipx install '{ROOT}[gateway]'" in str(refused.value)  # which is there, and no index is


@pytest.mark.parametrize("is_there", [True, False])
def test_it_is_installed_again_from_the_wheel_that_it_came_from_where_that_is_still_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    wheel = tmp_path / "of ann" / "mqttlite-0.1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    if is_there:
        wheel.touch()
    said = json.dumps({"url": wheel.as_uri(), "archive_info": {}})
    monkeypatch.setattr("importlib.metadata.PathDistribution.read_text", lambda self, name: said)
    monkeypatch.setattr(shipped, "CLONE", tmp_path / "site-packages/x")
    assert program.source() == (str(wheel) if is_there else "")
    words = f"pip install '{wheel}[gateway]'" if is_there else "pip install '.[gateway]'`, in a clone of mqttlite"
    assert words in program.advice()


def test_a_dry_run_of_a_program_in_a_home_says_what_would_be_done_and_then_what_is_in_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.prefix", "/root/.local/pipx/venvs/mqttlite")
    monkeypatch.setattr("sys.argv", ["/root/.local/bin/mqttlite"])
    assert main(["gateway", "--install", "--dry-run", "--root", str(tmp_path)]) == 1
    said = capsys.readouterr()
    assert said.out.count("would be made: ") == 7
    assert "/root/.local/bin/mqttlite is in a folder that a service cannot look into" in said.err


@pytest.mark.parametrize("name", ["gateway", "broker"])
def test_systemd_finds_the_service_confined_enough(name: str, tmp_path: Path) -> None:
    """Its own measure; 10 is the worst. That the service runs under it, tools/test_deb.sh shows."""
    program = shutil.which("systemd-analyze") or unavailable("systemd-analyze")
    unit = tmp_path / f"mqttlite-{name}.service"
    unit.write_text((ROOT / f"gateway/systemd/{unit.name}").read_text().replace(shipped.OPT, "/bin/true"))
    done = subprocess.run([program, "verify", str(unit)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    words = [program, "security", "--offline=true", "--no-pager", "--threshold=20", str(unit)]
    measured = subprocess.run(words, capture_output=True, text=True, check=False)
    assert measured.returncode == 0, measured.stdout[-300:]


def test_a_store_that_cannot_be_read_is_not_said_to_be_empty(image: Image) -> None:
    installed(image)
    home = image.path(installing.HOME)
    home.mkdir(parents=True)
    (home / "gateway.db").write_bytes(b"no store at all" * 100)
    said: list[str] = []
    installing.uninstall(image, said.append)
    assert any("an unknown number of messages" in line for line in said)


def test_a_group_that_a_broker_was_given_by_hand_is_the_users(image: Image) -> None:
    """useradd --user-group would refuse."""
    with open(image.root / "etc/group", "a", encoding="utf-8") as file:
        file.write("mqttlite:x:998:\n")
    installed(image)
    assert any(command.startswith("useradd") and "--gid mqttlite" in command for command in image.commands)
    assert not any("--user-group" in command for command in image.commands)


@pytest.mark.parametrize("store", ["gateway.db", "gateway.db.before-20261130T181500"])
@pytest.mark.parametrize("is_used_since", [True, False])
def test_a_purge_believes_the_count_of_the_removal_only_while_no_store_is_newer(
    tmp_path: Path, is_used_since: bool, store: str
) -> None:
    text = (ROOT / "gateway/debian/postrm").read_text()
    for name in ("/var/lib/", "/etc/", "/run/", "/usr/share/"):
        text = text.replace(name, f"{tmp_path}{name}")
    script = tmp_path / "postrm"
    script.write_text(text.replace("command -v ", "false "))
    folder = tmp_path / "var/lib/mqttlite"
    folder.mkdir(parents=True)
    (folder / store).write_bytes(b"")
    (folder / ".undelivered").write_text("0\n")
    os.utime(folder / ".undelivered", (1000, 1000))
    os.utime(folder / store, (2000, 2000) if is_used_since else (500, 500))
    subprocess.run(["sh", script, "purge"], check=True, capture_output=True)
    assert (folder / store).exists() == is_used_since


@pytest.mark.parametrize("is_running", [True, False])
def test_a_gateway_that_the_installation_starts_is_not_started_again_one_that_ran_before_is(
    image: Image, monkeypatch: pytest.MonkeyPatch, is_running: bool
) -> None:
    def asks(*command: str) -> bool:
        return is_running or "systemctl start mqttlite-gateway.service" in image.commands

    monkeypatch.setattr(image, "has_systemd", lambda: True)
    monkeypatch.setattr(image, "asks", asks)
    installed(image)
    assert ("systemctl restart mqttlite-gateway.service" in image.commands) == is_running
    assert ("systemctl start mqttlite-gateway.service" in image.commands) != is_running


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_root_is_not_told_to_take_the_settings_from_the_service_that_reads_them_as_its_group(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text('upstream = "mqtt://gateway:5ecret@127.0.0.1:1"\n[[serial]]\npath = "/dev/ttyUSB0"\n')
    os.chown(path, 0, 64999)
    path.chmod(0o640)
    assert exposed(path, load(path)) == ""
    path.chmod(0o644)
    with pytest.raises(ConfigError, match=r"everybody on this machine can read it.*chmod 640"):
        exposed(path, load(path))
