"""`mqttlite broker import mosquitto.conf`, beside what Mosquitto makes of the same file."""

import asyncio
import re
from pathlib import Path

import pytest

from mqttlite import Client, RefusedError
from mqttlite.broker.config import load
from mqttlite.broker.config.make_access import make_access
from tests.certificates import Certificates
from tests.cli.commands import inside, running
from tests.peers import free_port, program, run


def told(stderr: str) -> dict[str, str]:
    """What is said of each word: its kind."""
    found = re.findall(r"^(taken|changed|NOT) +\S+?:\d+: (\S+)", stderr, re.MULTILINE)
    return {word: kind for kind, word in found}


async def imported(tmp_path: Path, text: str) -> tuple[Path, str]:
    conf, new = tmp_path / "mosquitto.conf", tmp_path / "broker.toml"
    conf.write_text(text)
    result = await inside("broker", "import", str(conf), "-o", str(new), check=True)
    lines = [line for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]
    assert len(re.findall(r"^(?:taken  |changed|NOT    ) ", result.stderr, re.MULTILINE)) == len(lines), result.stderr
    return new, result.stderr


async def test_an_imported_broker_lets_in_whom_mosquitto_lets_in(tmp_path: Path) -> None:
    """The same clients against both, at a listener with TLS and certificates, and one without."""
    made = Certificates(tmp_path / "ca")
    server, kitchen = made.server(), made.client("kitchen")
    passwords, acl = tmp_path / "passwd", tmp_path / "acl"
    await run(program("mosquitto_passwd"), "-c", "-b", str(passwords), "ann", "sesame")
    acl.write_text("user ann\ntopic readwrite room/#\nuser kitchen\ntopic write room/kitchen\n")
    for path in (passwords, acl):
        path.chmod(0o600)
    plain, tls = free_port(), free_port()
    text = f"""
        per_listener_settings false
        allow_anonymous false
        password_file {passwords}
        acl_file {acl}
        max_packet_size 20000
        max_queued_bytes 1000000
        persistent_client_expiration 2d
        persistence true
        persistence_location {tmp_path}/
        log_dest stderr
        listener {plain} 127.0.0.1
        listener {tls} 127.0.0.1
        certfile {server.certificate}
        keyfile {server.key}
        cafile {made.ca}
        require_certificate true
        use_identity_as_username true
        """
    new, _ = await imported(tmp_path, "\n".join(line.strip() for line in text.splitlines()))
    settings = load(new)
    assert settings.limits == {
        "packet_bytes": 20_000,
        "queue_bytes": 1_000_000,
        "session_expiry_ms": 2 * 24 * 3600 * 1000,
    }
    assert settings.store == str(tmp_path / "mqttlite.db")
    assert (await inside("broker", "--config", str(new), "--test-config")).code == 0
    answers = []
    conf = tmp_path / "mosquitto.conf"
    conf.write_text("user root\n" + conf.read_text())
    for command in (("broker", "--config", str(new)), None):
        if command:
            async with running(*command) as process:
                assert process.stderr
                for _ in range(2):
                    while b"listening on" not in await process.stderr.readline():
                        pass
                answers.append(await _asked(plain, tls, made.ca, kitchen.certificate, kitchen.key))
        else:
            mosquitto = await asyncio.create_subprocess_exec(
                program("mosquitto"), "-c", str(conf), stderr=asyncio.subprocess.PIPE
            )
            try:
                assert mosquitto.stderr
                while b"running" not in await mosquitto.stderr.readline():
                    pass
                answers.append(await _asked(plain, tls, made.ca, kitchen.certificate, kitchen.key))
            finally:
                mosquitto.terminate()
                await mosquitto.wait()
    assert answers[0] == answers[1] == [True, False, False, True]


async def _asked(plain: int, tls: int, ca: Path, certificate: Path, key: Path) -> list[bool]:
    """Whether each of some clients gets in."""
    url, safe = f"mqtt://127.0.0.1:{plain}", f"mqtts://127.0.0.1:{tls}"
    found = []
    for client in (
        Client(url, username="ann", password="sesame"),
        Client(url, username="ann", password="x"),
        Client(url),
        Client(safe, ca=ca, certificate=certificate, key_file=key),
    ):
        try:
            async with client:
                found.append(True)
        except RefusedError:
            found.append(False)
    return found


async def test_each_line_is_taken_changed_or_not_and_said_so(tmp_path: Path) -> None:
    new, said = await imported(
        tmp_path,
        "pid_file /run/m.pid\nautosave_interval 60\nmax_queued_messages 1000\nmax_keepalive 600\n"
        "retain_available true\n"
        "listener 1884\nprotocol websockets\nmax_connections 50\nmount_point x/\n"
        "connection up\naddress example.org\ntopic # both 2\ncleansession true\nnonsense 1\n",
    )
    assert told(said) == {
        "pid_file": "NOT",
        "autosave_interval": "taken",
        "max_queued_messages": "NOT",
        "max_keepalive": "taken",
        "retain_available": "NOT",
        "listener": "taken",
        "protocol": "changed",
        "max_connections": "changed",
        "mount_point": "NOT",
        "connection": "NOT",
        "address": "NOT",
        "topic": "NOT",
        "cleansession": "NOT",
        "nonsense": "NOT",
    }
    assert "bridges: not yet" in said and said.splitlines()[-2] == "taken over: 3, changed: 2, not: 9"
    settings = load(new)
    assert settings.limits == {"connections": 50, "keep_alive_ms": 600_000}
    assert settings.listen == ["ws://0.0.0.0:1884", "ws://[::]:1884"]


@pytest.mark.parametrize(
    ("text", "listen", "anonymous"),
    [
        ("", ["mqtt://127.0.0.1:1883"], None),
        ("port 1885", ["mqtt://0.0.0.0:1885", "mqtt://[::]:1885"], False),
        ("port 1885\nallow_anonymous true", ["mqtt://0.0.0.0:1885", "mqtt://[::]:1885"], True),
        ("listener 1883 127.0.0.1\nallow_anonymous true", ["mqtt://127.0.0.1:1883"], None),
        ("listener 0 /run/m.sock\nallow_anonymous true", ["unix:///run/m.sock"], None),
        ("listener 1883\nsocket_domain ipv4", ["mqtt://0.0.0.0:1883"], False),
        (
            "per_listener_settings true\nlistener 1 127.0.0.1\nallow_anonymous true\nlistener 2 127.0.0.1",
            ["mqtt://127.0.0.1:1", "mqtt://127.0.0.1:2"],
            False,
        ),
    ],
)
async def test_who_may_connect_without_a_name_is_what_mosquitto_2_says(
    text: str, listen: list[str], anonymous: bool | None, tmp_path: Path
) -> None:
    new, _ = await imported(tmp_path, text)
    settings = load(new)
    assert settings.listen == listen
    access = make_access(settings)
    assert (access and access.anonymous) == anonymous


async def test_different_users_at_two_listeners_are_said_and_the_stricter_holds(tmp_path: Path) -> None:
    new, said = await imported(
        tmp_path,
        "per_listener_settings true\nlistener 1 127.0.0.1\npassword_file /a\nlistener 2 127.0.0.1\npassword_file /b\n",
    )
    assert "NOT     " in said and "password_file /b: users and rules are the same at all listeners here" in said
    assert load(new).access == {"password_file": "/a", "anonymous": "nobody"}


async def test_files_of_a_folder_are_read_in_their_order_and_the_last_word_counts(tmp_path: Path) -> None:
    folder = tmp_path / "conf.d"
    folder.mkdir()
    (folder / "b.conf").write_text("max_packet_size 2000\n")
    (folder / "a.conf").write_text("max_packet_size 1000\n")
    (folder / "c.txt").write_text("nonsense\n")
    (tmp_path / "mosquitto.conf").write_text(f"include_dir {folder}\n")
    result = await inside("broker", "import", str(tmp_path / "mosquitto.conf"), check=True)
    assert "packet_bytes = 2000" in result.stdout
    assert "its 2 files are read in their order" in result.stderr
    assert "a later line of the same listener says something else, and counts" in result.stderr


async def test_what_stands_behind_a_bridge_and_is_not_of_it_counts_as_mosquitto_counts_it(tmp_path: Path) -> None:
    folder = tmp_path / "conf.d"
    folder.mkdir()
    (folder / "a.conf").write_text("max_keepalive 600\n")
    new, said = tmp_path / "broker.toml", ""
    (tmp_path / "mosquitto.conf").write_text(
        f"listener 1884 127.0.0.1\nconnection up\naddress example.org\ntopic home/# out 1\ntopic cmd/# in 1\n"
        f"bridge_cafile /ca\npersistence true\npersistence_location {tmp_path}/\nmax_packet_size 2000\n"
        f"persistent_client_expiration 1d\ninclude_dir {folder}\n"
    )
    said = (await inside("broker", "import", str(tmp_path / "mosquitto.conf"), "-o", str(new), check=True)).stderr
    settings = load(new)
    assert settings.store == f"{tmp_path}/mqttlite.db"
    assert settings.limits == {"packet_bytes": 2000, "session_expiry_ms": 86_400_000, "keep_alive_ms": 600_000}
    assert len(re.findall(r"^NOT .*: bridges: not yet$", said, re.MULTILINE)) == 5
    assert said.splitlines()[-2].endswith("not: 5")


async def test_what_is_no_value_is_not_taken_and_a_file_that_all_can_read_needs_a_step(tmp_path: Path) -> None:
    passwords = tmp_path / "passwd"
    passwords.write_text("")
    passwords.chmod(0o644)
    new, said = await imported(
        tmp_path,
        f"max_keepalive abc\nlistener abc\nprotocol mqtt\nlistener 99999\nlistener 1884 127.0.0.1\n"
        f"password_file {passwords}\n",
    )
    assert load(new).listen == ["mqtt://127.0.0.1:1884"]
    kinds = re.findall(r"^(taken|changed|NOT) +\S+:\d+: ", said, re.MULTILINE)
    assert kinds == ["NOT", "NOT", "NOT", "NOT", "taken", "changed"]
    assert f"first chmod o-rwx {passwords}" in said


async def test_nothing_is_overwritten_and_what_is_not_there_is_one_line(tmp_path: Path) -> None:
    there = tmp_path / "broker.toml"
    there.write_text("")
    (tmp_path / "mosquitto.conf").write_text("")
    result = await inside("broker", "import", str(tmp_path / "mosquitto.conf"), "-o", str(there))
    assert (result.code, "is there already" in result.stderr) == (1, True)
    result = await inside("broker", "import", "/nowhere.conf")
    assert (result.code, result.stderr.count("\n"), "cannot read /nowhere.conf" in result.stderr) == (1, 1, True)


async def test_the_configuration_that_debian_ships_is_imported_as_it_is() -> None:
    conf = Path("/etc/mosquitto/mosquitto.conf")
    if not conf.exists():  # noqa: ASYNC240
        pytest.skip("Debian's Mosquitto is not installed")
    result = await inside("broker", "import", str(conf), check=True)
    assert 'store = "/var/lib/mosquitto/mqttlite.db"' in result.stdout
