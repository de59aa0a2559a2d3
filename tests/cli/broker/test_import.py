"""`mqttlite broker import mosquitto.conf`, beside what Mosquitto makes of the same file."""

import asyncio
import gzip
import re
from pathlib import Path

import pytest

from mqttlite import Client, RefusedError
from mqttlite.broker.config import load
from mqttlite.broker.config.make_access import make_access
from mqttlite.cli.broker.importing import bridges
from tests.certificates import Certificates
from tests.cli.commands import inside, running
from tests.peers import free_port, program, run
from tests.runtimes import ROOT


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
        "retain_available": "taken",
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
    assert said.splitlines()[-2] == "taken over: 4, changed: 2, not: 8"
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
    assert "before each acknowledgement, not at intervals" in said  # whichever autosave_interval says
    assert settings.limits == {"packet_bytes": 2000, "session_expiry_ms": 86_400_000, "keep_alive_ms": 600_000}
    assert len(re.findall(r"^NOT .*: bridges are a gateway's, .*$", said, re.MULTILINE)) == 5
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


# Every word of Mosquitto's manual page, and some of later releases
ALL = """\
per_listener_settings false
acl_file AAA/acl
allow_anonymous false
allow_duplicate_messages false
allow_zero_length_clientid true
auto_id_prefix auto-
autosave_interval 1800
autosave_on_changes false
check_retain_source true
clientid_prefixes secure-
connection_messages true
include_dir AAA/conf.d
log_dest stderr
log_facility 5
log_timestamp true
log_timestamp_format %Y-%m-%dT%H:%M:%S
log_type all
websockets_log_level 0
max_inflight_bytes 0
max_inflight_messages 20
max_keepalive 3600
max_packet_size 100000
max_queued_bytes 0
max_queued_messages 1000
memory_limit 0
message_size_limit 0
password_file AAA/passwd
persistence true
persistence_file mosquitto.db
persistence_location AAA/
persistent_client_expiration 14d
pid_file /run/mosquitto.pid
queue_qos0_messages false
retain_available true
retain_expiry_interval 60
set_tcp_nodelay false
sys_interval 10
upgrade_outgoing_qos false
user mosquitto
plugin /usr/lib/x.so
plugin_opt_a b
global_plugin /usr/lib/y.so
plugin_load dyn /usr/lib/z.so
plugin_use dyn
auth_plugin /usr/lib/x.so
auth_plugin_deny_special_chars true
auth_opt_a b
accept_protocol_versions 4,5
allow_duplicate_messages true
enable_control_api true
global_max_clients 100
global_max_connections 100
packet_buffer_size 4096
bind_address 127.0.0.1
port PORT1
max_connections -1
max_qos 2
max_topic_alias 10
mount_point m/
socket_domain ipv4
use_username_as_clientid true
disable_client_cert_date_checks true
listener PORT2 127.0.0.1
protocol websockets
capath AAA/conf.d
http_dir /srv/www
websockets_headers_size 4096
websockets_origin https://a.example
listener_allow_anonymous true
listener_auto_id_prefix x
max_packet_size 1000
allow_zero_length_clientid true
bind_interface lo
listener PORT3 127.0.0.1
cafile CA
certfile CERT
keyfile KEY
ciphers DEFAULT
ciphers_tls1.3 TLS_AES_128_GCM_SHA256
crlfile AAA/crl
dhparamfile AAA/dh
tls_engine x
tls_engine_kpass_sha1 aa
tls_keyform pem
tls_version tlsv1.2
require_certificate true
use_identity_as_username true
use_subject_as_username false
psk_file AAA/psk
psk_hint hint
listener 0 AAA/sock
connection up
address example.org:1883
addresses example.org:1883 b.example:1883
bridge_attempt_unsubscribe true
bridge_bind_address 127.0.0.1
bridge_max_packet_size 0
bridge_max_topic_alias 10
bridge_outgoing_retain true
bridge_protocol_version mqttv50
bridge_receive_maximum 20
bridge_reload_type lazy
bridge_session_expiry_interval 10
bridge_tcp_keepalive 1 2 3
bridge_tcp_user_timeout 1
bridge_alpn x
bridge_cafile AAA/ca
bridge_capath AAA/ca
bridge_certfile AAA/c
bridge_ciphers x
bridge_identity i
bridge_insecure false
bridge_keyfile AAA/k
bridge_psk 00
bridge_require_ocsp true
bridge_tls_use_os_certs true
bridge_tls_version tlsv1.2
bridge_clean_start true
cleansession true
local_cleansession true
local_clientid l
local_password p
local_username u
keepalive_interval 60
idle_timeout 60
notifications true
notifications_local_only true
notification_topic n
remote_clientid r
remote_password p
remote_username r
username r
password p
clientid c
restart_timeout 10
round_robin false
start_type automatic
threshold 10
topic # both 2 a/ b/
try_private true
"""


async def test_a_file_with_all_that_mosquitto_has_is_told_line_by_line_and_what_comes_of_it_is_in_order(
    tmp_path: Path,
) -> None:
    made = Certificates(tmp_path / "ca-of-tests")
    server = made.server()
    (tmp_path / "conf.d").mkdir()
    for name in ("acl", "passwd"):
        (tmp_path / name).write_text("")
        (tmp_path / name).chmod(0o600)
    text = ALL.replace("AAA", str(tmp_path)).replace("cafile CA\n", f"cafile {made.ca}\n")
    text = text.replace("CERT", str(server.certificate)).replace("KEY", str(server.key))
    for number in (1, 2, 3):
        text = text.replace(f"PORT{number}", str(free_port()))
    new, said = await imported(tmp_path, text)
    numbers = [int(number) for number in re.findall(r"^(?:taken  |changed|NOT    ) \S+?:(\d+): ", said, re.MULTILINE)]
    assert numbers == list(range(1, text.count("\n") + 1)), "no line is passed over"
    assert "known here" not in said
    assert not [line for line in said.splitlines() if line.endswith((":", ": "))], "each has its reason"
    result = await inside("broker", "--config", str(new), "--test-config")
    assert result.code == 0, result.stderr


def test_that_file_has_each_word_of_the_manual_page_that_is_installed() -> None:
    page = Path("/usr/share/man/man5/mosquitto.conf.5.gz")
    if not page.exists():
        pytest.skip("Mosquitto's manual page is not installed")
    text = gzip.decompress(page.read_bytes()).decode()
    words = {word for word in re.findall(r"^\\fB([a-z_0-9.]+)\\fR", text, re.MULTILINE) if "_" in word}
    assert len(words) > 80
    assert words - {line.split()[0] for line in ALL.splitlines()} <= {"mosquitto_passwd"}


async def test_a_word_that_is_none_is_told_with_the_one_that_may_be_meant(tmp_path: Path) -> None:
    _, said = await imported(tmp_path, "max_inflight_mesages 5\nmax_keepalives 1\nxyz 1\n")
    unknown = "no word of Mosquitto's that is known here"
    assert f"max_inflight_mesages 5: {unknown}; did you mean max_inflight_messages?\n" in said
    assert f"max_keepalives 1: {unknown}; did you mean max_keepalive?\n" in said
    assert f"xyz 1: {unknown}\n" in said


async def test_the_smallest_number_of_connections_counts_and_of_two_names_for_a_ca_one(tmp_path: Path) -> None:
    for number, least in ((100, 40), (30, 30)):
        text = f"global_max_connections {number}\nlistener 1884 127.0.0.1\nmax_connections 40\n"
        new, _ = await imported(tmp_path, text)
        assert load(new).limits == {"connections": least}
        new.unlink()
    tls = "certfile /c\nkeyfile /k\ncafile /a\ncapath /b\nrequire_certificate true\n"
    new, said = await imported(tmp_path, f"listener 1884 127.0.0.1\n{tls}")
    assert 'client_ca = "/b"' in new.read_text()
    assert "cafile /a: client_ca is one file or folder: capath counts" in said


def test_the_key_that_a_line_of_a_bridge_is_told_is_one_of_a_gateway() -> None:
    page = (ROOT / "docs" / "bridge.md").read_text(encoding="utf-8").partition("## What comes along")[0]
    keys = {"name", *re.findall(r"(\w+)", "".join(re.findall(r"`[^`]*`", page)))}
    for word, text in bridges._KEYS.items():
        if not text.startswith("no key"):
            named = set(re.findall(r"\w+", text)) - {"and", "in", "with", "of", "one", "address"}
            assert named <= keys, (word, named - keys)


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("require_certificate maybe", "true or false is expected"),
        ("persistence yes", "true or false is expected"),
        ("autosave_interval x", "a number is expected"),
        ("max_packet_size 1k", "a number is expected"),
    ],
)
async def test_a_value_that_mosquitto_would_refuse_makes_no_file(tmp_path: Path, setting: str, expected: str) -> None:
    """Not even one without certificates: what was meant is not known."""
    conf, new = tmp_path / "mosquitto.conf", tmp_path / "broker.toml"
    conf.write_text(f"listener 1883\n{setting}\n")
    result = await inside("broker", "import", str(conf), "-o", str(new))
    assert f"{conf}:2: {setting}: {expected}" in result.stderr
    assert f"mend the value at {conf}:2" in result.stderr
    assert result.code and not new.exists()
