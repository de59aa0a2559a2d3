"""Devices added to a broker that runs: they get in, with the rights of their template, and no further."""

import asyncio
import contextlib
import os
import re
import stat
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import zxingcpp
from PIL import Image

from mqttlite import Client, MQTTError, RefusedError, SubscribeError
from mqttlite.broker import Broker
from mqttlite.broker.config import load
from mqttlite.broker.config.make_access import make_access
from mqttlite.broker.operating.control import Control
from mqttlite.cli import main
from mqttlite.cli.broker.reload import Reloader
from mqttlite_gateway.config import load as load_gateway
from mqttlite_gateway.gateway import Gateway
from mqttlite_gateway.radio import devices
from tests.certificates import Certificates
from tests.firmware.boards import Board
from tests.gateway.radio.test_discovery import ASKS_HERE, announced
from tests.peers import free_port

CONFIG = """
listen = ["mqtts://127.0.0.1:{port}", "mqtt://127.0.0.1:0"]
{store}
[access]
password_file = "{folder}/users"
anonymous = "nobody"
[tls]
certificate = "{certificate}"
key_file = "{key}"
[control]
socket = "{folder}/s"
[devices]
url = "mqtts://discover"
ca = "{ca}"
[devices.templates.pump]
publish = ["pumps/%u/state"]
subscribe = ["pumps/%u/command"]
topic = "pumps/%u"
[[rule]]
user = "see"
all = ["#"]
"""


def write_config(folder: Path, store: str = "") -> Path:
    made = Certificates(folder / "tls")
    pair = made.server("localhost", "home.local")
    path = folder / "broker.toml"
    text = CONFIG.format(
        port=free_port(), folder=folder, certificate=pair.certificate, key=pair.key, ca=made.ca, store=store
    )
    path.write_text(text)
    assert main(["passwd", "-b", str(folder / "users"), "see", "see"]) == 0
    return path


@contextlib.asynccontextmanager
async def running(path: Path) -> AsyncIterator[Broker]:
    settings = load(path)
    broker = Broker(settings.make_listeners(), access=make_access(settings))
    reloader = Reloader(broker, settings, lambda: load(path))
    async with broker, Control(broker, str(settings.control), reloader.reload):
        yield broker


async def device(path: Path, *words: str) -> int:
    return await asyncio.to_thread(
        main,
        ["device", words[0], "--config", str(path), *words[1:]],  # whose broker is found by what the file says
    )


def client(broker: Broker, name: str, password: str, **options: Any) -> Client:
    return Client(broker.addresses[1], version="5.0", client_id=name, username=name, password=password, **options)


async def added(path: Path, name: str, *words: str) -> dict[str, Any]:
    file = path.with_name(f"{name}.toml")
    keys = str(path.with_name("keys.toml"))
    assert await device(path, "add", name, "-o", str(file), "--devices", keys, *words) == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    return tomllib.loads(file.read_text())


async def test_a_device_that_is_added_gets_into_a_broker_that_runs_and_has_the_rights_of_its_template(
    tmp_path: Path,
) -> None:
    path = write_config(tmp_path)
    async with running(path) as broker:
        plain = await added(path, "greenhouse-7")
        pump = await added(path, "pump-1", "--template", "pump", "--url", "serial:usb", "--no-key")
        assert (plain["topic"], pump["topic"]) == ("devices/greenhouse-7", "pumps/pump-1")
        assert plain["url"] == "mqtts://discover" and plain["ca"] and len(plain["key"]) == 64
        assert "ca" not in pump and "key" not in pump
        async with (
            client(broker, "see", "see") as see,
            client(broker, "greenhouse-7", plain["password"]) as one,
            client(broker, "pump-1", pump["password"]) as two,
        ):
            await see.subscribe("#", 1)
            for name, each in (("greenhouse-7", one), ("pump-1", two)):
                for topic in ("devices/greenhouse-7/t", "devices/pump-1/t", "pumps/pump-1/state", "pumps/pump-1/x"):
                    receipt = await each.publish(topic, name, 1)
                    with contextlib.suppress(MQTTError):
                        await receipt.completed()
            got = {(message.topic, message.payload) for message in [await anext(see), await anext(see)]}
            assert got == {("devices/greenhouse-7/t", b"greenhouse-7"), ("pumps/pump-1/state", b"pump-1")}
            assert await two.subscribe("pumps/pump-1/command", 1) == 1
            with pytest.raises(SubscribeError):
                await two.subscribe("devices/greenhouse-7/#", 1)


async def test_adding_twice_changes_nothing_and_shows_no_secret_and_renewing_ends_the_old_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_config(tmp_path)
    async with running(path) as broker:
        first = await added(path, "g", "--no-key")
        before = (tmp_path / "users").read_bytes(), (tmp_path / "devices.toml").read_bytes()
        capsys.readouterr()
        assert await device(path, "add", "g", "--no-key") == 0
        said = "".join(capsys.readouterr())
        assert "is there already" in said and "password =" not in said
        assert before == ((tmp_path / "users").read_bytes(), (tmp_path / "devices.toml").read_bytes())
        assert first["password"] not in (tmp_path / "users").read_text()
        lost = asyncio.Event()
        async with client(broker, "g", first["password"], on_connection=lambda there, _: there or lost.set()):
            assert await device(path, "renew", "g", "--no-key") == 0
            second = tomllib.loads(capsys.readouterr().out)
            await asyncio.wait_for(lost.wait(), 20)
        with pytest.raises(RefusedError):
            async with client(broker, "g", first["password"]):
                pass
        async with client(broker, "g", second["password"]):
            pass


async def test_a_device_that_is_removed_is_disconnected_and_its_session_ends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_config(tmp_path)
    async with running(path) as broker:
        made = await added(path, "g", "--no-key")
        async with client(broker, "g", made["password"]):
            assert "g" in {name.decode() for name in broker.engine.sessions}
            assert await device(path, "remove", "g") == 0
        assert b"g" not in broker.engine.sessions
        with pytest.raises(RefusedError):
            async with client(broker, "g", made["password"]):
                pass
        assert await device(path, "list") == 0
        assert "no device yet" in capsys.readouterr().err
        assert await device(path, "remove", "g") == 1
        assert "there is no device 'g'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("see",), "there is a user 'see', who is no device"),
        (("a/b",), "no topic level may have"),
        (("%c",), "means something else in topics"),
        (("g", "--template", "pomp"), "there is no template 'pomp'; there are device, sensor, application, pump"),
        (("g", "--url", "mqtt://discover"), "the password would go to whoever answers"),
    ],
)
def test_what_cannot_be_a_device_is_refused_and_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    path = write_config(tmp_path)
    before = (tmp_path / "users").read_bytes()
    assert main(["device", "add", "--config", str(path), "--no-key", *words]) == 1
    assert said in capsys.readouterr().err
    assert (tmp_path / "users").read_bytes() == before
    assert not (tmp_path / "devices.toml").exists()


def test_a_device_whose_adding_was_cut_off_is_completed_by_adding_it_again(tmp_path: Path) -> None:
    path = write_config(tmp_path)
    settings = load(path)
    assert settings.device_file
    users = (tmp_path / "users").read_bytes()
    devices.add(settings, "g", key="")
    (tmp_path / "users").write_bytes(users)  # power was cut between the two files
    assert "g" not in make_access(settings).users  # type: ignore[union-attr,operator]
    found = devices.add(settings, "g")
    assert found.is_new and found.settings
    assert make_access(settings).users.check("g", found.settings["password"].encode())  # type: ignore[union-attr]


def test_new_files_have_the_mode_of_the_file_of_users(tmp_path: Path) -> None:
    path = write_config(tmp_path)
    os.chmod(tmp_path / "users", 0o640)
    devices.add(load(path), "g")
    assert {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("users", "devices.toml")} == {0o640}


@pytest.mark.parametrize("kind", ["svg", "png", "terminal"])
def test_the_qr_code_says_the_url_with_user_name_and_password(tmp_path: Path, kind: str) -> None:
    found = devices.add(load(write_config(tmp_path)), "ä-7", url="mqtts://pi.local:8884")
    assert found.settings
    parts = urlsplit(found.qr)
    assert (unquote(parts.username or ""), parts.hostname, parts.port) == ("ä-7", "pi.local", 8884)
    assert unquote(parts.password or "") == found.settings["password"]
    path = tmp_path / f"code.{kind}"
    if kind == "terminal":
        rows = [row for line in devices.terminal_qr(found.qr).splitlines() for row in _halves(line)]
        picture: Any = memoryview(b"".join(rows)).cast("B", (len(rows), len(rows[0])))
    else:
        devices.write_qr(found.qr, path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    if kind == "svg":
        assert path.read_text().count("<path") == 2  # light ground and dark modules: to be seen on a dark page, too
        return
    if kind == "png":
        picture = Image.open(path)
    [code] = zxingcpp.read_barcodes(picture)
    assert code.text == found.qr


def _halves(line: str) -> list[bytes]:
    """The pixels of a line of a terminal, each sign four wide and twice four high."""
    return [b"".join(4 * (b"\xff" if sign in light else b"\0") for sign in line) for light in 4 * ["▀█"] + 4 * ["▄█"]]


async def test_a_board_with_the_printed_settings_finds_its_broker_and_gets_in(tmp_path: Path) -> None:
    path = write_config(tmp_path)
    async with running(path) as broker:
        made = await added(path, "one")
        others = {key: value for key, value in made.items() if key not in ("name", "url")}
        board = Board(tmp_path / "board", made["url"], **others)
        port = re.sub(r".*:", "", broker.addresses[0])
        async with (
            announced("home", f"mqtts://0.0.0.0:{port}"),
            client(broker, "see", "see") as see,
            board.running(ASKS_HERE),
        ):
            await see.subscribe("devices/one/online", 1)
            async for message in see:
                if message.payload == b"1":
                    break


async def test_the_page_of_a_gateway_adds_renews_lists_and_removes_devices(tmp_path: Path) -> None:
    path = write_config(tmp_path, 'mode = "bridge"\nstore = "memory"\nconsole = ""')
    async with Gateway(load_gateway(path), path=path) as gateway:
        assert gateway.broker
        made = await devices.add_device(gateway, "g")
        assert made["is_new"] and made["words"] and made["qr"].startswith("mqtts://g:")
        record = tomllib.loads(made["settings"])
        async with client(gateway.broker, "g", record["password"]):
            [entry] = await devices.list_devices(gateway)
            assert (entry["name"], entry["template"], entry["connected"]) == ("g", "device", True)
        again = await devices.add_device(gateway, "g")
        assert not again["is_new"] and not again["settings"]
        renewed = tomllib.loads((await devices.renew_device(gateway, "g"))["settings"])
        with pytest.raises(RefusedError):
            async with client(gateway.broker, "g", record["password"]):
                pass
        async with client(gateway.broker, "g", renewed["password"]):
            await devices.remove_device(gateway, "g")
        assert b"g" not in gateway.broker.engine.sessions
        assert await devices.list_devices(gateway) == []
