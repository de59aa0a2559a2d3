"""`mqttlite gateway` as a command: what it can be told, how it says what is wrong, what it publishes, how it ends."""

import asyncio
import json
import signal
from inspect import signature
from pathlib import Path

import pytest

from mqttlite.broker import Broker
from mqttlite.cli import parser_of
from mqttlite.cli.demo.pty_line import NoisyLine
from mqttlite.cli.gateway.gateway import configuration
from mqttlite.client import Client
from mqttlite.client.connecting import unreachable
from mqttlite.client.url import Url
from mqttlite.link import Link
from mqttlite.serial.dialer import SerialDialer
from mqttlite.serial.ports import open_port
from mqttlite_gateway.config import DEFAULT_UPSTREAM, Config, ConfigError, SerialPort, exposed, load
from mqttlite_gateway.lines.line import COUNTERS
from mqttlite_gateway.lines.upstream import ANSWER_MAX, READ_SIZE
from tests.gateway.world import BAUD, COMMAND, OPTIONS, Program, gateway, watching
from tests.peers import RUN_TIMEOUT_S, Mosquitto, mosquitto_pub, run
from tests.runtimes import ROOT

FILE = """
upstream = "mqtt://10.0.0.5:1884"
status_topic = "plant/gateway"
status_every_s = 2

[[serial]]
path = "/dev/ttyUSB0"

[[serial]]
path = "/dev/ttyAMA0"
baud = 921600
window = 16
frame_size = 255
rtscts = true
"""
WORDS = [
    "gateway",
    *("--upstream", "mqtt://10.0.0.5:1884"),
    *("--status-topic", "plant/gateway"),
    *("--status-every", "2"),
    *("--serial", "/dev/ttyUSB0"),
    *("--serial", "/dev/ttyAMA0?baud=921600&window=16&frame_size=255&rtscts=1"),
]


def configured(*words: str) -> Config:
    return configuration(parser_of("gateway").parse_args(words[1:]))


def test_a_file_says_the_same_as_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(FILE)
    assert configured("gateway", "--config", str(path)) == configured(*WORDS)


def test_options_win_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(FILE)
    config = configured("gateway", "--config", str(path), "--upstream", "unix:///run/m.sock", "--serial", "/dev/ttyS1")
    assert config.upstream == "unix:///run/m.sock"
    assert config.serial == [SerialPort("/dev/ttyS1")]
    assert config.status_topic == "plant/gateway"


def test_the_example_is_valid_and_shows_the_defaults() -> None:
    text = (ROOT / "gateway/gateway.example.toml").read_text(encoding="utf-8")
    load(ROOT / "gateway/gateway.example.toml").check()
    for number, port in enumerate(("/dev/ttyUSB0", "/dev/ttyAMA0")):
        assert f'path = "{port}"' in text, number
    for line in text.splitlines():
        key, equals, value = line.removeprefix("#").partition(" = ")
        if line.startswith("#") and equals and key in ("baud", "frame_size", "window"):
            assert int(value.split("#")[0]) == getattr(SerialPort("/dev/x"), key)


PORT = '\n[[serial]]\npath = "/dev/a"'
BAD_FILES = {
    "nonsense": ("upstream = \nx", r"gateway.toml: line 1: Invalid value"),
    "a path without quotes": (
        "[[serial]]\npath = /dev/ttyUSB0",
        r'gateway.toml: line 2: Invalid value: a text stands in quotes, as in path = "\.\.\."$',
    ),
    "a switch as another language writes it": (
        "console = True",
        r"gateway.toml: line 1: Invalid value: it is true or false, in small letters, or a text in quotes, as in "
        r"console = true$",
    ),
    "binary": ("upstream = ''\n\udc80", r"gateway.toml: line 2 is not UTF-8; save"),
    "unknown key": (
        'upsteam = "x"',
        r"gateway.toml: line 1: there is no key 'upsteam'; did you mean upstream\?",
    ),
    "wrong type": (
        "upstream = 5",
        r'gateway.toml: line 1: upstream must be a text in quotes, as in upstream = "mqtt://.*, and is a whole number',
    ),
    "truth for a number": (
        "status_every_s = true",
        r"status_every_s must be a number, as in status_every_s = 5.0, and is true or false",
    ),
    "serial as a text": (
        'serial = "/dev/ttyUSB0"',
        r"toml: line 1: serial: write \[\[serial\]\] for each port",
    ),
    "serial as texts": (
        'serial = ["/dev/ttyUSB0"]',
        r"toml: line 1: serial: write \[\[serial\]\] for each port",
    ),
    "no port": ('upstream = "mqtt://x"', r"gateway.toml: no serial port; give at least one"),
    "no path": ("[[serial]]\nbaud = 9600", r"gateway.toml: line 1: \[\[serial\]\] number 1: path is missing"),
    "path that is none": ('[[serial]]\npath = "COM3"', r"\[\[serial\]\] number 1: path 'COM3': must be a device"),
    "baud": ('[[serial]]\npath = "/dev/a"\nbaud = 0', r"\[\[serial\]\] number 1: baud 0: must be 300 to 4000000"),
    "frame size": (
        '[[serial]]\npath = "/dev/a"\n[[serial]]\npath = "/dev/b"\nframe_size = 256',
        r"\[\[serial\]\] number 2: frame_size 256: must be 32 to 255",
    ),
    "window": ('[[serial]]\npath = "/dev/a"\nwindow = 17', r"window 17: must be 1 to 16"),
    "type in a port": (
        '[[serial]]\npath = "/dev/a"\nbaud = "9600"',
        r"number 1: baud must be a whole number, as in baud = 115200, and is a text",
    ),
    "key in a port": (
        '[[serial]]\npath = "/dev/a"\nparity = "N"',
        r"line 3: .* there is no key 'parity'",
    ),
    "twice": ('[[serial]]\npath = "/dev/a"\n[[serial]]\npath = "/dev/a"', r"/dev/a is named twice"),
    "scheme": (
        'upstream = "http://x"\n[[serial]]\npath = "/dev/a"',
        r"upstream: 'http' is not supported: MQTT over WebSockets is ws://",
    ),
    "no URL": ('upstream = "localhost"\n[[serial]]\npath = "/dev/a"', r"upstream: not a URL: 'localhost'"),
    "port": (
        'upstream = "mqtt://x:70000"\n[[serial]]\npath = "/dev/a"',
        r"upstream: the port behind 'x' is not between 1 and 65535",
    ),
    "host": ('upstream = "mqtt://a..b"\n[[serial]]\npath = "/dev/a"', r"upstream: 'a..b' is no possible host name"),
    "blank behind the host": (
        'upstream = "mqtt://10.0.0.5 "' + PORT,
        r"upstream: a blank is in the URL 'mqtt://10.0.0.5 '; remove it",
    ),
    "blank before the port": ('upstream = "mqtt://h: 1883"' + PORT, r"upstream: a blank is in the URL"),
    "tab": ('upstream = "mqtt://h\\t"' + PORT, r"upstream: a blank is in the URL 'mqtt://h\\t'; remove it"),
    "sign in the host": ('upstream = "mqtt://a,b"' + PORT, r"upstream: 'a,b' is no host name"),
    "path": ('upstream = "mqtt://h:1883/room"' + PORT, r"what stands behind host and port means nothing"),
    "option": (
        'upstream = "mqtt://h?tls=1"' + PORT,
        r"upstream: unknown option 'tls' in 'mqtt://h\?tls=1': an mqtt:// URL has none",
    ),
    "TLS without TLS": (
        'upstream = "mqtt://h"' + PORT + '\n[tls]\nca = "/x"',
        r"ca= is about TLS, and mqtt:// goes without",
    ),
    "key of TLS": (
        'upstream = "mqtts://h"' + PORT + '\n[tls]\ncafile = "/x"',
        r"line 5: \[tls\]: there is no key 'cafile'; there are",
    ),
    "type in TLS": (
        'upstream = "mqtts://h"' + PORT + "\n[tls]\ncertificate = 1",
        r"\[tls\]: certificate must be the path",
    ),
    "TLS that is no table": ('upstream = "mqtts://h"\ntls = true' + PORT, r"tls has to be a table: write \[tls\]"),
    "host of a socket": ('upstream = "unix://run/x"' + PORT, r"upstream: a third slash is missing in 'unix://run/x'"),
    "a port's key above": ("baud = 9600", r"line 1: there is no key 'baud' here; it belongs below a \[\[serial\]\]"),
    "slip in a port": (
        '[[serial]]\npath = "/dev/a"\nbaudrate = 1',
        r"line 3: .* 'baudrate'; did you mean baud\?",
    ),
    "blank behind a path": ('[[serial]]\npath = "/dev/a "', r"path '/dev/a ': a blank at its end"),
    "one port, two names": (
        '[[serial]]\npath = "/dev/null"\n[[serial]]\npath = "/dev/../dev/null"',
        r"serial: /dev/../dev/null and /dev/null are one port",
    ),
    "a list of brokers": ('upstream = ["mqtt://a:secret@b"]', r"upstream must be a text in quotes.*, and is a list"),
    "switch": (
        '[[serial]]\npath = "/dev/a"\nrtscts = 1',
        r"rtscts must be true or false, as in rtscts = false, and is",
    ),
    "topic of the broker": ('status_topic = "$SYS/x"' + PORT, r"status_topic '\$SYS/x': topics with \$"),
    "topic with a line break": ('status_topic = "a\\n"' + PORT, r"status_topic 'a\\n': "),
    "socket": ('upstream = "unix://"\n[[serial]]\npath = "/dev/a"', r"upstream: the path of the socket is missing"),
    "topic": ('status_topic = "a/#"\n[[serial]]\npath = "/dev/a"', r"status_topic 'a/#': .*wildcard"),
    "often": ('status_every_s = 0\n[[serial]]\npath = "/dev/a"', r"status_every_s 0: must be 0.1 to 86400 seconds"),
    "never": ('status_every_s = nan\n[[serial]]\npath = "/dev/a"', r"status_every_s nan: must be"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_refused_with_file_key_and_cause(tmp_path: Path, name: str) -> None:
    text, said = BAD_FILES[name]
    path = tmp_path / "gateway.toml"
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(ConfigError, match=said) as error:
        configured("gateway", "--config", str(path))
    assert str(path) in str(error.value)


def test_all_mistakes_of_a_file_are_told_with_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text('status_every_s = 0\nconsole = "x"\n[[serial]]\npath = "/dev/a"\nbaud = "9600"\nparity = "N"\n')
    with pytest.raises(ConfigError, match=r"line 1: .* \(and 3 more; --test-config shows all\)") as error:
        load(path)
    assert [line.partition(": line ")[2].partition(" must")[0].partition(" 0")[0] for line in error.value.lines] == [
        "1: status_every_s",
        "2: console 'x':",
        "5: [[serial]] number 1: baud",
        "6: [[serial]] number 1: there is no key 'parity'; did you mean path?",
    ]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-8"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_file_from_a_windows_editor_is_read(tmp_path: Path, encoding: str, end: str) -> None:
    path = tmp_path / "gateway.toml"
    path.write_bytes(FILE.replace("\n", end).encode(encoding))
    assert configured("gateway", "--config", str(path)) == configured(*WORDS)


def test_a_file_in_utf_16_is_named_as_such(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(FILE, encoding="utf-16")
    with pytest.raises(ConfigError, match=r"gateway.toml: is UTF-16 .*; save it as UTF-8"):
        configured("gateway", "--config", str(path))


SECRETS = [
    "mqtt://u:{}@h:99999",
    "mqtt://u:{}@h:port",
    "mqtt://u:{}@[::1",
    "mqtt://u:{}@h x",
    "mqtt://u:{} x@h",
    "mqtt://u:{}%zz@h",
    "mqtt://u:{}/x@h",
    "mqtt://u:1/{}@h",
    "mqtt://u:{}?x@h",
    "mqtt://u:x?{}@h",
    "mqtt://u:x?y={}@h",
    "mqtt://u:{}@h/path",
    "mqtt://u:{}@h?option",
    "mqtt:/u:{}@h",
    "u:{}@h",
    "http://u:{}@h",
    "unix://u:{}@h/x",
    "mqtt://{}@a..b",
]


@pytest.mark.parametrize("url", SECRETS)
@pytest.mark.parametrize("where", ["file", "words"])
def test_a_password_stands_in_no_error(tmp_path: Path, url: str, where: str) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(f'upstream = "{url.format("5ecret")}"{PORT}')
    words = ["--config", str(path)] if where == "file" else ["--serial", "/dev/a", "--upstream", url.format("5ecret")]
    with pytest.raises(ConfigError, match="upstream") as error:
        configured("gateway", *words)
    assert "5ecret" not in str(error.value)


async def test_a_file_with_a_password_that_everybody_can_read_is_refused_and_one_for_its_group_gives_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(f'upstream = "mqtt://gateway:5ecret@127.0.0.1:1"{PORT}')
    path.chmod(0o600)
    config = load(path)
    assert not exposed(path, config)
    path.chmod(0o640)
    said = exposed(path, config)
    assert f"{path} contains a password, and its group on this machine can read it (mode 640): chmod 600" in said
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="contains a password, and everybody on this machine can read it") as error:
        configured("gateway", "--config", str(path))
    assert "5ecret" not in str(error.value)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))  # where systemd puts it
    assert not exposed(path, config)
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    assert not exposed(path, Config(upstream="mqtt://gateway@127.0.0.1"))
    path.chmod(0o640)
    async with Program(*COMMAND, "gateway", "--config", str(path), "--status-topic", "gw") as box:
        assert "WARNING" in await box.says("contains a password")
        await box.says("devices cannot be connected")
        await box.says("trying again")
        assert await box.stop() == 0
        assert not [text for text in box.lines if "5ecret" in text]


def test_the_password_of_the_gateways_key_is_a_secret_as_well(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    key = 'certificate = "/a.pem"\nkey_file = "/a.key"\nkey_password = "5ecret"\n'
    path.write_text(f'upstream = "mqtts://127.0.0.1"\n[tls]\n{key}[[serial]]\npath = "/dev/ttyUSB0"\n')
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="contains a password, and everybody on this machine can read it"):
        exposed(path, load(path))


async def test_sighup_reads_the_settings_again_and_ends_nothing(mosquitto: Mosquitto) -> None:
    async with NoisyLine(BAUD) as line, gateway(mosquitto.url, line.a_path) as box:
        await box.says("open at")
        assert box.process
        box.process.send_signal(signal.SIGHUP)
        await box.says("SIGHUP: all files are read again: nothing has changed")
        async with Client(f"serial://{line.b_path}{OPTIONS}", client_id="device", retry_first=True) as client:
            await (await client.publish("t/up", "1", qos=1)).completed()
        assert await box.stop() == 0


async def test_another_broker_is_taken_up_at_sighup(mosquitto: Mosquitto, tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    async with NoisyLine(BAUD) as line, Broker(["mqtt://127.0.0.1:0"]) as other:
        serial = f'[[serial]]\npath = "{line.a_path}"\nbaud = {BAUD}\nwindow = 16\n'
        serial = f'status_topic = "gw"\nstatus_every_s = 0.1\n{serial}'
        path.write_text(f'upstream = "{mosquitto.url}"\n{serial}')
        async with Program(*COMMAND, "gateway", "--config", str(path)) as box:
            async with Client(f"serial://{line.b_path}{OPTIONS}", client_id="device", retry_first=True) as client:
                await (await client.publish("t", "1", qos=1)).completed()
                path.write_text(f'upstream = "{other.addresses[0]}"\n{serial}')
                assert box.process
                box.process.send_signal(signal.SIGHUP)
                await box.says("SIGHUP: all files are read again: 1 change")
                await (await client.publish("t", "2", qos=1, retain=True)).completed()
                assert other.engine.router.retained.get(b"t")
            async with watching(other.addresses[0], "gw/#") as watcher:  # the gateway's own messages go there, too
                await watcher.count("gw/online", 1)
            assert await box.stop() == 0


def test_what_client_and_gateway_assume_of_a_line_is_the_same() -> None:
    """The link takes the smaller of both ends' frames, and waits as the slower baud rate wants it."""
    port = SerialPort("/dev/x")
    link = signature(Link).parameters
    dialer = SerialDialer(Url("serial:///dev/x"), "device", lambda baud: open_port("/dev/x", baud), print, print)
    assert port.baud == link["baud"].default == dialer._baud == signature(open_port).parameters["baud"].default
    assert port.frame_size == link["frame_size"].default == dialer.link._frame_size
    assert port.window == link["window"].default == dialer.link._sender._window
    assert Config().upstream == DEFAULT_UPSTREAM == f"mqtt://localhost:{unreachable.PORTS['mqtt']}"
    assert set(COUNTERS) <= set(vars(Link(1).stats))
    assert ANSWER_MAX <= READ_SIZE


BAD_WORDS = {
    "--serial /dev/a?baud=1&baud=2": "baud is given twice",
    "--serial ttyUSB0": "ttyUSB0: path 'ttyUSB0': must be a device",
    "--serial /dev/a?speed=1": "unknown option 'speed'; there are baud, frame_size, window, rtscts",
    "--serial /dev/a?baud=fast": "/dev/a\\?baud=fast: baud is not a number",
    "--serial /dev/a?rtscts=perhaps": "rtscts is 0 or 1",
    "--serial /dev/a?window=0": "/dev/a\\?window=0: window 0: must be 1 to 16",
    "--upstream mqtt://x": "no serial port; give at least one with --serial",
    "--serial /dev/a --upstream=": "upstream: not a URL: ''",
    "--config /nowhere/gateway.toml": "cannot read /nowhere/gateway.toml: No such file",
    "--config /dev": "cannot read /dev: Is a directory",
}


@pytest.mark.parametrize("words", BAD_WORDS)
def test_a_bad_command_line_is_refused_with_its_cause(words: str) -> None:
    with pytest.raises(ConfigError, match=BAD_WORDS[words]):
        configured("gateway", *words.split())


async def test_a_bad_configuration_is_one_line_and_exit_code_1() -> None:
    result = await run(*COMMAND, "gateway", "--serial", "ttyUSB0", check=False)
    assert result.code == 1
    assert result.stderr == "mqttlite gateway: ttyUSB0: path 'ttyUSB0': must be a device such as /dev/ttyUSB0\n"


async def test_help_shows_how_it_is_used() -> None:
    result = await run(*COMMAND, "gateway", "--help")
    for word in ("--serial", "--upstream", "--config", "--status-topic", "mqttlite gateway --serial /dev/ttyUSB0"):
        assert word in result.stdout


async def test_a_configuration_file_runs_the_gateway(mosquitto: Mosquitto, tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    async with NoisyLine(BAUD) as line:
        path.write_text(
            f'upstream = "{mosquitto.url}"\n[[serial]]\npath = "{line.a_path}"\nbaud = {BAUD}\nwindow = 16\n'
        )
        async with (
            Program(*COMMAND, "gateway", "--config", str(path)),
            Client(f"serial://{line.b_path}{OPTIONS}", client_id="device", retry_first=True) as client,
        ):
            await (await client.publish("t/up", "1", qos=2)).completed()


async def test_the_state_of_each_line_is_published_as_json(mosquitto: Mosquitto) -> None:
    options = ["--status-topic", "gw", "--status-every", "0.1"]
    async with NoisyLine(BAUD) as line, watching(mosquitto.url, "gw/#") as watcher:
        box = gateway(mosquitto.url, line.a_path, options=options)
        async with box:
            await watcher.until("gw/online", b"1")
            async with Client(f"serial://{line.b_path}{OPTIONS}", client_id="a/b#c", retry_first=True) as client:
                await (await client.publish("t/up", "1", qos=2)).completed()
                state = json.loads((await watcher.count("gw/a%2Fb%23c", 1))[0])
                while not state["up_bytes"]:
                    state = json.loads(
                        (await watcher.count("gw/a%2Fb%23c", len(set(watcher.got["gw/a%2Fb%23c"])) + 1))[-1]
                    )
            assert (state["port"], state["device"]) == (line.a_path, "a/b#c")
            assert state["link"] is state["broker"] is True
            assert (state["connections"], state["refused"]) == (1, 0)
            assert state["down_bytes"] > 0
            docs = (ROOT / "docs/pi.md").read_text(encoding="utf-8").split("## How is the line?")[1].split("\n## ")[0]
            for field in (*state, *state["frames"]):
                assert f"`{field}`" in docs or f".{field}`" in docs or field == "frames", field
            assert set(state["frames"]) >= {"sent", "resent", "received", "repaired", "damaged", "foreign", "resets"}
            await mosquitto_pub(mosquitto.port, "-t", "gw/online", "-m", "0", "-r", "-q", "1")
            await watcher.until("gw/online", b"0")
            mosquitto.restart()  # said again after each connection
            await watcher.until("gw/online", b"1")
            assert await box.stop() == 0
            await watcher.until("gw/online", b"0")


@pytest.mark.parametrize("busy", [False, True])
async def test_sigterm_ends_it_with_0_and_frees_the_port(mosquitto: Mosquitto, busy: bool) -> None:
    async with NoisyLine(BAUD) as line, gateway(mosquitto.url, line.a_path) as box:
        await box.says("open at")
        client = Client(f"serial://{line.b_path}{OPTIONS}", client_id="device", retry_first=True)
        if busy:
            await client.start()
        assert await box.stop() == 0
        assert not [text for text in box.lines if "Traceback" in text]
        await box.start()
        await box.says("open at", 2)
        await client.close()


async def test_a_port_in_use_is_said_once_and_by_whom(mosquitto: Mosquitto) -> None:
    async with NoisyLine(BAUD) as line, gateway(mosquitto.url, line.a_path) as first:
        await first.says("open at")
        async with gateway(mosquitto.url, line.a_path) as second:
            assert first.process
            assert f"(process {first.process.pid})" in await second.says("is in use by")
            assert await asyncio.wait_for(second.stop(), RUN_TIMEOUT_S) == 0
