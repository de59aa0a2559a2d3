"""`mqttlite broker --config FILE` and the options that say the same."""

import re
from pathlib import Path

import pytest

from mqttlite.broker import Listener, Tls
from mqttlite.broker.config import Settings
from mqttlite.broker.limits import NAMES, Limits, QueueRule
from mqttlite.cli.arguments import CommandLine
from mqttlite.cli.broker.broker import add_parser, settings_of
from tests.runtimes import ROOT


def given(*words: str) -> Settings:
    """What the command is told by these words."""
    parser = CommandLine(prog="mqttlite")
    add_parser(parser.add_subparsers(parser_class=CommandLine))
    return settings_of(parser.parse_args(["broker", *words]))


def written(tmp_path: Path, text: str | bytes) -> str:
    path = tmp_path / "broker.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return str(path)


def test_a_file_says_all_that_options_say_and_options_count_more(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """
        listen = ["mqtt://127.0.0.1:1"]
        store = "a.db"
        server_reference = "other:1883"
        [limits]
        retained_bytes = "1 GiB"
        filters = 20_000
        control_characters = true
        packet_bytes = 5000
        [[queue]]
        clients = "pump-*"
        when_full = "refuse"
        max_bytes = "2MiB"
        [[queue]]
        clients = "*"
        """,
    )
    rules = [QueueRule("pump-*", "refuse", 2 << 20), QueueRule("*", "drop-newest", 0)]
    limits = {"retained_bytes": 1 << 30, "filters": 20_000, "control_characters": True, "packet_bytes": 5000}
    assert given("--config", path) == Settings(["mqtt://127.0.0.1:1"], "a.db", limits, rules, "other:1883")
    more = ["--listen", "mqtt://127.0.0.1:2", "--store", "b.db", "--limit", "filters=7", "--max-packet", "6000"]
    told = given("--config", path, *more, "--queue", "pump-1=hold,3MiB", "--queue", "a=b=drop-oldest")
    assert told.listen == ["mqtt://127.0.0.1:2"]
    assert told.store == "b.db"
    assert told.server_reference == "other:1883"
    assert given("--config", path, "--server-reference", "third:1").server_reference == "third:1"
    assert told.limits == limits | {"filters": 7, "packet_bytes": 6000}
    assert told.queues == [QueueRule("pump-1", "hold", 3 << 20), QueueRule("a=b", "drop-oldest", 0), *rules]
    assert told.make_limits().rule_for(b"pump-1").when_full == "hold"


def test_without_anything_the_defaults_hold() -> None:
    assert given().make_limits() == Limits()


@pytest.mark.parametrize("name", NAMES)
def test_every_limit_is_an_option_a_line_of_the_file_and_a_line_of_the_help(name: str, tmp_path: Path) -> None:
    is_switch = isinstance(getattr(Limits(), name), bool)
    value = "true" if is_switch else "300000" if name == "store_bytes" else "1234"
    wanted = True if value == "true" else int(value)
    assert getattr(given("--limit", f"{name}={value}").make_limits(), name) == wanted
    path = written(tmp_path, f"[limits]\n{name} = {value}\n")
    assert getattr(given("--config", path).make_limits(), name) == wanted
    parser = CommandLine(prog="mqttlite")
    subparsers = parser.add_subparsers(parser_class=CommandLine)
    add_parser(subparsers)
    assert re.search(rf"^  {name} +\S.* \(.+\)$", subparsers.choices["broker"].format_help(), re.MULTILINE)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("listen = 1", "listen has to be a list of URLs"),
        ("listen = [1]", "listen has to be a list of URLs"),
        ("listen = []", "listen has to be a list of URLs"),
        ("[limits]\ncontrol_characters = 1", "control_characters has to be true or false, not 1"),
        ("[limits]\ninbound = 0", "inbound has to be a whole number from 1 on"),
        ("server_reference = 5", "server_reference has to be HOST:PORT"),
        ("store = 5", "store has to be the path of a file"),
        ("limits = 3", "limits has to be a table"),
        ("[limits]\nfilter = 3", "there is no limit 'filter'; did you mean filters?"),
        ("[limits]\nfilters = -1", "filters has to be a whole number from 0 on, not -1"),
        ("[limits]\nfilters = 1.5", "filters has to be a whole number from 0 on, not 1.5"),
        ("[limits]\nfilters = true", "filters has to be a whole number"),
        ('[limits]\nfilters = "1 MiB"', "filters has to be a whole number"),
        ('[limits]\nqueue_bytes = "8 MB"', 'queue_bytes has to be a whole number (bytes) or a size as "8 MiB" from 0'),
        ("[limits]\npacket_bytes = 1", "from 16 to 268435455, not 1"),
        ('[limits]\nhold_ms = "1 s"', "hold_ms has to be a whole number (ms) from 0 on, not '1 s'"),
        ('[limits]\ncontrol_characters = "yes"', "control_characters has to be true or false"),
        ("queue = 3", "write [[queue]] for each pattern"),
        ("[[queue]]\nwhen_full = 'hold'", "[[queue]] number 1: clients has to be a pattern"),
        ("[[queue]]\nclients = 'a'\n[[queue]]\nclients='b'\nwhen_full = 'wait'", "2: when_full has to be one of"),
        ("[[queue]]\nclients = 'a'\nmax_bytes = 0", "max_bytes has to be a number of bytes from 1 on"),
        ("[[queue]]\nclients = 'a'\npolicy = 0", "there is no key 'policy'; there are clients, when_full, max_bytes"),
        ("lisen = []", "there is no key 'lisen'; did you mean listen?"),
        ("tls = 3", "tls has to be a table: write [tls]"),
        ("[tls]\ncertificat = 'x'", "[tls]: there is no key 'certificat'; did you mean certificate?"),
        ("[tls]\ncertificate = 1", "[tls]: certificate has to be a text in quotes, not 1"),
        ("[tls]\nalpn = 'mqtt'", """[tls]: alpn has to be a list, as ["mqtt"], not 'mqtt'"""),
        ("origins = 'x'", """origins has to be a list, as ["https://example.org"], not 'x'"""),
        ("listener = 3", "write [[listener]] for each address"),
        ("[[listener]]\nport = 1", "[[listener]] number 1: there is no key 'port'; there are url, certificate"),
        ("[limits", "Expected ']'"),
        (b"# \xff", "line 1 is not UTF-8"),
        ("x".encode("utf-16"), "is UTF-16"),
    ],
)
def test_a_mistake_in_the_file_is_named_with_file_key_and_what_is_expected(
    text: str | bytes, error: str, tmp_path: Path
) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ValueError, match=re.escape(error)) as raised:
        given("--config", path)
    assert str(raised.value).startswith(path)


def test_the_file_of_mosquitto_is_told_how_it_becomes_ours(tmp_path: Path) -> None:
    path = tmp_path / "mosquitto.conf"
    path.write_text("# on the Pi\nlistener 1883\n")
    with pytest.raises(ValueError, match=r"line 2: .*; if it is Mosquitto's, mqttlite broker import makes ours of it$"):
        given("--config", str(path))


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--limit", "filters"], "write --limit NAME=VALUE"),
        (["--limit", "nothing=1"], "--limit: there is no limit 'nothing'"),
        (["--limit", "filters=x"], "--limit: filters has to be a whole number"),
        (["--max-packet", "1"], "--max-packet: packet_bytes has to be"),
        (["--queue", "pump"], "write --queue PATTERN=RULE"),
        (["--queue", "pump=no"], "--queue pump=no: RULE has to be one of drop-newest, drop-oldest, refuse, hold"),
        (["--queue", "pump=hold,x"], "BYTES has to be"),
        (["--queue", "pump=hold,"], "BYTES has to be"),
        (["--queue", "=hold"], "PATTERN has to be"),
        (["--limit", "filters=" + "9" * 5000], "--limit: filters has to be a whole number"),
        (["--store", ""], "--store has an empty name"),
        (["--config", ""], "--config has an empty name"),
        (["--cert", ""], "--cert has an empty name"),
        (["--client-ca", ""], "--client-ca has an empty name"),
        (["--config", "/nowhere/broker.toml"], "cannot read /nowhere/broker.toml: No such file"),
    ],
)
def test_a_mistake_in_an_option_names_it(words: list[str], error: str) -> None:
    with pytest.raises(ValueError, match=re.escape(error)):
        given(*words)


def test_what_a_file_says_of_tls_holds_for_all_listeners_but_where_one_has_its_own(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """
        listen = ["mqtt://127.0.0.1:1", "mqtts://127.0.0.1:2"]
        origins = ["https://a.example"]

        [tls]
        certificate = "a.pem"
        key_file = "a.key"

        [[listener]]
        url = "mqtts://127.0.0.1:3"
        client_ca = "ca.pem"
        client_certificates = "optional"
        alpn = ["mqtt", "x-amzn-mqtt-ca"]

        [[listener]]
        url = "wss://127.0.0.1:4/mqtt"
        certificate = "b.pem"
        origins = ["*"]
        """,
    )
    tls = Tls("a.pem", "a.key")
    origins = ("https://a.example",)
    own = Tls("a.pem", "a.key", None, "ca.pem", "optional", ["mqtt", "x-amzn-mqtt-ca"])
    assert given("--config", path).make_listeners() == [
        Listener("mqtt://127.0.0.1:1", tls, origins),
        Listener("mqtts://127.0.0.1:2", tls, origins),
        Listener("mqtts://127.0.0.1:3", own, origins),
        Listener("wss://127.0.0.1:4/mqtt", Tls("b.pem"), ("*",)),
    ]
    url = "mqtts://[::1]:5"
    options = ("--listen", url, "--cert", "c.pem", "--client-ca", "d.pem", "--origin", "null", "--origin", "http://b")
    assert given("--config", path, *options).make_listeners() == [
        Listener(url, Tls("c.pem", client_ca="d.pem"), ("null", "http://b"))
    ]


def test_without_listen_there_is_one_for_this_machine_unless_the_file_has_others(tmp_path: Path) -> None:
    assert given().make_listeners() == [Listener("mqtt://127.0.0.1:1883")]
    only = written(tmp_path, '[[listener]]\nurl = "ws://127.0.0.1:1"')
    assert given("--config", only).make_listeners() == [Listener("ws://127.0.0.1:1")]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("[[listener]]\nkey_file = 'x'", "[[listener]] number 1: url is missing"),
        ("[tls]\nkey_file = 'x'", "for mqtt://127.0.0.1:1883: key_file without a certificate: add certificate"),
        ("[tls]\ncertificate = 'x'\nclient_certificates = 'y'", "client_certificates must be required or optional"),
        ("[tls]\ncertificate = 'x'\nalpn = ['']", "a protocol for ALPN is a name of 1 to 255 ASCII characters"),
    ],
)
def test_what_does_not_go_together_is_named(text: str, error: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=re.escape(error)):
        given("--config", written(tmp_path, text)).make_listeners()


def test_a_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    assert given("--config", written(tmp_path, b"\xef\xbb\xbfstore = 'x'")).store == "x"


def test_the_example_says_the_defaults_but_for_its_queues() -> None:
    told = given("--config", str(ROOT / "examples" / "broker.toml"))
    assert Limits(**told.limits) == Limits()
    assert len(told.queues) == 2


def test_a_file_with_the_password_of_a_key_is_a_secret(tmp_path: Path) -> None:
    path = written(tmp_path, "[tls]\ncertificate = 'x'\nkey_password = 'sesame'")
    Path(path).chmod(0o644)
    with pytest.raises(
        ValueError, match="has the password of a key, and every user of this machine can read"
    ) as raised:
        given("--config", path)
    assert "sesame" not in str(raised.value)
    Path(path).chmod(0o600)
    assert given("--config", path).tls["key_password"] == "sesame"


def test_two_listeners_at_one_port_are_a_mistake_and_any_free_port_is_not(tmp_path: Path) -> None:
    both = 'listen = ["mqtt://127.0.0.1:1990"]\n[[listener]]\nurl = "ws://127.0.0.1:1990/mqtt"\n'
    with pytest.raises(
        ValueError, match=r"ws://127\.0\.0\.1:1990/mqtt: mqtt://127\.0\.0\.1:1990 listens there already"
    ):
        given("--config", written(tmp_path, both)).make_listeners()
    assert len(given("--listen", "mqtt://127.0.0.1:0", "--listen", "mqtt://127.0.0.1:0").make_listeners()) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("-c", "mosquitto.conf"),
            "no -c here: --config FILE reads ours; mqttlite broker import MOSQUITTO.CONF makes it",
        ),
        (("-p", "1883"), "no -p here: --listen mqtt://127.0.0.1:PORT"),
        (("--port", "1883"), "no --port here: --listen mqtt://127.0.0.1:PORT"),
    ],
)
def test_options_of_mosquitto_are_told_what_they_are_here(
    words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        given(*words)
    assert said in capsys.readouterr().err
