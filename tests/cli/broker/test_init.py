"""`mqttlite broker --init`: every line that it prints does what it says."""

import asyncio
import grp
import os
import re
import shlex
import shutil
import signal
import stat
import sys
import tempfile
from pathlib import Path

import pytest

from mqttlite import Client, RefusedError
from mqttlite.broker.access.users import read_users
from tests.cli.commands import MQTTLITE, inside, running
from tests.interop.paho_client import PahoClient
from tests.peers import MicroPython, free_port, program, run


class Made:
    """What the command has made, and what it says."""

    def __init__(self, folder: Path, said: str) -> None:
        self.folder = folder
        self.said = said
        found = re.search(r"server (\S+), port (\d+), TLS on, user name (\S+), password (\S+)$", said, re.MULTILINE)
        assert found
        self.host, self.port, self.user, self.password = found[1], int(found[2]), found[3], found[4]

    def lines(self, name: str) -> list[list[str]]:
        """Its lines that begin with a program, in words."""
        return [shlex.split(line) for line in re.findall(rf"^  ({name} .*)$", self.said, re.MULTILINE)]


@pytest.fixture
async def made(tmp_path: Path) -> Made:
    folder = tmp_path / "with a blank"
    words = ("--port", str(free_port()), "--local-port", str(free_port()), "--user", "ann")
    result = await inside("broker", "init", str(folder), *words, check=True)
    return Made(folder, result.stdout)


def ours(words: list[str]) -> tuple[str, ...]:
    return (*MQTTLITE, *words[1:]) if words[0] == "mqttlite" else (program(words[0]), *words[1:])


async def test_its_broker_starts_and_every_line_for_a_client_works(made: Made) -> None:
    (start,) = made.lines("mqttlite broker")
    assert (await inside(*start[1:], "--test-config")).stdout.endswith(
        "in order: 2 listeners, a store, 1 user, 3 rules\n"
    )
    async with running(*start[1:]) as process:
        assert process.stderr
        while b"listening on mqtts://" not in await process.stderr.readline():
            pass
        subscribers = [*made.lines("mosquitto_sub"), *made.lines("mqttlite sub")]
        publishers = [*made.lines("mosquitto_pub"), *made.lines("mqttlite pub")]
        assert (len(subscribers), len(publishers)) == (2, 3)
        for words in publishers:  # retained: nobody has to be there in time
            assert (await run(*ours(words), "-r", folder=made.folder)).code == 0  # where ca.pem is
        for words in subscribers:
            found = await run(*ours(words), "-C", "1", "-W", "30", folder=made.folder)
            assert found.stdout == "home/test pinned\n"
        url = f"mqtts://{made.host}:{made.port}"
        with pytest.raises(RefusedError):
            async with Client(url, ca=made.folder / "ca.pem", username=made.user, password="wrong"):
                pass
        with pytest.raises(RefusedError):
            async with Client(url, ca=made.folder / "ca.pem"):
                pass


async def test_the_settings_for_a_phone_are_those_of_any_client(made: Made) -> None:
    async with running("broker", "--config", str(made.folder / "broker.toml")) as process:
        assert process.stderr
        while b"listening on mqtts://" not in await process.stderr.readline():
            pass
        phone = PahoClient(made.port, "phone")
        phone.paho.tls_set(str(made.folder / "ca.pem"))
        phone.paho.username_pw_set(made.user, made.password)
        async with phone:
            await phone.subscribe("home/#", 1)
            await phone.publish("home/phone", b"here", 1)
            assert (await phone.message()).payload == b"here"


async def test_the_line_for_a_board_connects_one(made: Made, micropython: MicroPython) -> None:
    _, line = re.findall(r"^  (Client\(.*\))$", made.said, re.MULTILINE)
    async with running("broker", "--config", str(made.folder / "broker.toml")) as process:
        assert process.stderr
        while b"listening on mqtts://" not in await process.stderr.readline():
            pass
        line = line.replace('"ca.der"', repr(str(made.folder / "ca.der")))
        source = (
            f"import asyncio\nfrom mqttlite import Client\nclient = {line}\nasync def main():\n    async with client:\n"
            "        await (await client.publish('home/board', 'x', qos=1))\n        print('there')\n"
            "asyncio.run(main())\n"
        )
        assert (await micropython.run(source, heap="512k")).stdout == "there\n"


async def test_the_line_for_python_on_a_computer_connects_one(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    line, _ = re.findall(r"^  (Client\(.*\))$", made.said, re.MULTILINE)
    monkeypatch.chdir(made.folder)
    async with running("broker", "--config", str(made.folder / "broker.toml")) as process:
        assert process.stderr
        while b"listening on mqtts://" not in await process.stderr.readline():
            pass
        async with eval(line, {"Client": Client}) as client:
            await (await client.publish("home/desk", "x", qos=1))


async def test_a_service_in_the_group_may_read_all_but_the_key_of_the_ca_and_write_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "etc"
    group = grp.getgrgid(os.getegid()).gr_name
    await inside("broker", "init", str(folder), "--group", group, check=True)

    def modes() -> dict[str, int]:
        return {path.name: stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.iterdir())}

    before = modes()
    assert before == {
        "etc": 0o750, "broker.toml": 0o640, "users": 0o640, "server.key": 0o640, "server.pem": 0o640,
        "ca.key": 0o600, "ca.pem": 0o644, "ca.der": 0o644,
    }  # fmt: skip
    await inside("passwd", str(folder / "users"), "kitchen", stdin=b"sesame\n", check=True)
    await inside("broker", "init", str(folder), "--renew", check=True)
    assert modes() == before
    store = str(tmp_path / "broker.db")  # as in the unit
    looked = await inside("broker", "--config", str(folder / "broker.toml"), "--store", store, "--test-config")
    assert "in order: 2 listeners, a store, 2 users" in looked.stdout
    assert "no store" in (await inside("broker", "--config", str(folder / "broker.toml"), "--test-config")).stdout
    unknown = await inside("broker", "init", str(tmp_path / "other"), "--group", "no-such-group")
    assert (unknown.code, "groupadd --system no-such-group" in unknown.stderr) == (1, True)
    assert not (tmp_path / "other").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
async def test_another_user_in_the_group_starts_with_it_as_systemd_does(tmp_path: Path) -> None:
    public = Path(tempfile.mkdtemp(dir="/var/tmp"))  # pytest's own folders are closed to others
    try:
        os.chmod(public, 0o755)
        folder = public / "etc"
        await inside("broker", "init", str(folder), "--group", "nogroup", check=True)
        words = ("--config", str(folder / "broker.toml"), "--test-config")
        source = (
            "import os, sys; from mqttlite.cli import main\n"
            "main(['broker', *sys.argv[2:]])\n"  # all modules are there: Python itself may be closed to others
            "os.setgroups([]); os.setgid(65534 if int(sys.argv[1]) else 65533); os.setuid(65533)\n"
            "sys.exit(main(['broker', *sys.argv[2:]]))"
        )
        assert (await run(sys.executable, "-c", source, "1", *words)).stdout.endswith("1 user, 3 rules\n")
        other = await run(sys.executable, "-c", source, "0", *words, check=False)
        assert (other.code, "Permission denied" in other.stderr) == (1, True)
    finally:
        shutil.rmtree(public)


async def test_a_device_gets_a_user_of_its_own_with_its_own_topics(made: Made) -> None:
    (add,) = made.lines("mqttlite passwd")
    await inside(*add[1:], stdin=b"sesame\n", check=True)
    async with running("broker", "--config", str(made.folder / "broker.toml")) as process:
        assert process.stderr
        while b"listening on mqtts://" not in await process.stderr.readline():
            pass
        url, ca = f"mqtts://{made.host}:{made.port}", made.folder / "ca.pem"
        async with (
            Client(url, ca=ca, username=made.user, password=made.password) as ann,
            Client(url, ca=ca, username="kitchen", password="sesame") as kitchen,
        ):
            await ann.subscribe("#", 1)
            for topic in ("devices/cellar/t", "home/x", "devices/kitchen/t"):
                await (await kitchen.publish(topic, "21.5", 1))
            assert (await asyncio.wait_for(anext(aiter(ann)), 60)).topic == "devices/kitchen/t"


async def test_secrets_are_for_their_owner_and_nothing_is_overwritten(made: Made) -> None:
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in made.folder.iterdir()}
    assert {name for name, mode in modes.items() if mode != 0o600} == {"ca.pem", "ca.der"}
    assert stat.S_IMODE(made.folder.stat().st_mode) == 0o700
    users = read_users(made.folder / "users")
    assert list(users) == ["ann"] and users.check("ann", made.password.encode())
    assert made.password not in "".join(path.read_text(errors="replace") for path in made.folder.iterdir())
    again = await inside("broker", "--init", str(made.folder))
    assert again.code == 1 and "is there, and not empty" in again.stderr


async def test_a_renewed_certificate_is_signed_by_the_same_ca_and_taken_at_sighup(made: Made) -> None:
    ca = made.folder / "ca.pem"
    before = (ca.read_bytes(), (made.folder / "users").read_bytes(), (made.folder / "server.pem").read_bytes())
    async with running("broker", "--config", str(made.folder / "broker.toml")) as process:
        assert process.stderr
        while b"listening on mqtts://" not in await process.stderr.readline():
            pass
        said = (
            await inside("broker", "init", "--renew", "--name", "broker.example", str(made.folder), check=True)
        ).stdout
        assert "for broker.example, " in said
        assert (ca.read_bytes(), (made.folder / "users").read_bytes()) == before[:2]
        assert (made.folder / "server.pem").read_bytes() != before[2]
        process.send_signal(signal.SIGHUP)
        while b"audit: SIGHUP: another certificate" not in await process.stderr.readline():
            pass
        fingerprint = re.search(r"^  ([0-9A-F:]{95})$", said, re.MULTILINE)
        assert fingerprint
        url = f"mqtts://{made.host}:{made.port}"
        async with Client(url, ca=ca, fingerprint=fingerprint[1], username=made.user, password=made.password) as client:
            await (await client.publish("x", "y", 1))


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--name", "a b"], "--name 'a b': neither a host's name nor an address"),
        (["--port", "0"], "a port is a number from 1 to 65535, not 0"),
        (["--user", "a:b"], "a user's name has no colon"),
        (["--renew"], "there is no f"),
    ],
)
async def test_what_cannot_be_is_one_line(words: list[str], error: str, tmp_path: Path) -> None:
    result = await inside("broker", "init", str(tmp_path / "new"), *words)
    assert result.code == 1 and error in result.stderr and result.stderr.count("\n") == 1
    assert not (tmp_path / "new").exists()


async def test_a_folder_with_nothing_but_the_settings_of_a_gateway_is_taken_and_they_stay(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "gateway.toml").write_text("# of the gateway\n")
    done = await inside("broker", "init", str(tmp_path))
    assert done.code == 0, done.stderr
    assert (tmp_path / "gateway.toml").read_text() == "# of the gateway\n"
    assert (tmp_path / "broker.toml").is_file()
