"""What a broker's start and --test-config call doubtful: a broker that nobody can use."""

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest

from mqttlite.broker.access.passwords import hashed
from mqttlite.broker.config import Mistakes, load
from mqttlite.broker.config.doubts import _OF_NO_USE, doubts
from mqttlite.broker.config.make_access import make_access
from mqttlite.broker.limits import Limits
from tests.broker.five import PUBACK, Five
from tests.broker.world import World
from tests.certificates import Certificates
from tests.cli.commands import inside, running


@pytest.fixture
def said(tmp_path: Path) -> Callable[[str], list[str]]:
    """The doubts about a file; USERS stands for a password file with ann."""
    users = tmp_path / "users"
    users.write_text(f"ann:{hashed(b'ann')}\n")
    users.chmod(0o600)

    def said(text: str) -> list[str]:
        path = tmp_path / "broker.toml"
        path.write_text(text.replace("USERS", f'password_file = "{users}"'))
        path.chmod(0o600)
        settings = load(path)
        return doubts(settings, make_access(settings))

    return said


def test_rules_that_deny_everything_are_doubtful_and_no_others(said: Callable[[str], list[str]]) -> None:
    begin = "[access]\nUSERS\n"
    (one,) = said(f'{begin}[[rule]]\nuser = "ann"\ndeny = ["a/#"]\n')
    assert one.startswith("no rule allows anything, so nobody may publish or subscribe to anything: add a [[rule]]")
    everything = '[[rule]]\nuser = "ann"\nall = ["#"]\n'
    for key, what in (("deny", "publish or subscribe"), ("deny_publish", "publish"), ("deny_subscribe", "subscribe")):
        (one,) = said(f'{begin}{everything}[[rule]]\n{key} = ["#"]\n')
        assert f"denies '#' to everybody, and what denies is stronger than all that allows: nobody may {what}. " in one
    for fine in ('user = "ann"\ndeny = ["#"]', 'deny = ["a/#"]', 'client = "a"\ndeny_publish = ["#"]'):
        assert said(f"{begin}{everything}[[rule]]\n{fine}\n") == []


def test_names_that_nobody_has_are_doubtful(said: Callable[[str], list[str]]) -> None:
    assert said('[[rule]]\nuser = "ann"\nall = ["#"]\n') == [
        "[[rule]]: nobody is user 'ann': neither password_file nor certificate_users says who is one"
    ]
    assert said('[access]\nUSERS\n[groups]\nx = []\n[[rule]]\ngroup = "x"\nall = ["#"]\n') == [
        "[[rule]]: group 'x' has nobody in it: write its users into [groups]"
    ]
    assert said('[[rule]]\nuser = ""\nall = ["#"]\n') == []


def test_a_listener_through_which_nobody_can_come_is_doubtful(said: Callable[[str], list[str]], tmp_path: Path) -> None:
    plain = 'listen = ["mqtt://0.0.0.0:1", "mqtt://127.0.0.1:2", "unix:///tmp/x"]\n'
    no_users = "there are no users; mqttlite passwd makes a password_file"
    assert said(f'{plain}[access]\nanonymous = "loopback"\n') == [
        f"mqtt://0.0.0.0:1: nobody from another machine can connect there: {no_users}"
    ]
    assert said(f'{plain}[access]\nanonymous = "nobody"\n') == [
        f"{url}: nobody can connect there: {no_users}"
        for url in ("mqtt://0.0.0.0:1", "mqtt://127.0.0.1:2", "unix:///tmp/x")
    ]
    assert said(f'{plain}[access]\nanonymous = "anybody-on-the-network"\n') == []
    made = Certificates(tmp_path / "ca")
    server = made.server()
    tls = f'[[listener]]\nurl = "mqtts://0.0.0.0:3"\ncertificate = "{server.certificate}"\nkey_file = "{server.key}"\n'
    asks = f'{tls}client_ca = "{made.ca}"\n'
    names = 'certificates name no user; certificate_users = "common-name" takes their names'
    assert said(f'{asks}[access]\nanonymous = "nobody"\n') == [f"mqtts://0.0.0.0:3: nobody can connect there: {names}"]
    assert said(f'{asks}[access]\nanonymous = "nobody"\ncertificate_users = "common-name"\n') == []
    assert said(f"{asks}[access]\nUSERS\n") == []
    assert said(asks) == [], "whoever has a certificate may everything"
    (one,) = said(f'{asks}{tls.replace(":3", ":4")}[access]\ncertificate_users = "common-name"\n')
    words = "nobody can connect there: users are those of certificates, and it asks for none; client_ca does"
    assert one == f"mqtts://0.0.0.0:4: {words}"


@pytest.mark.parametrize("name", [each.name for each in fields(Limits) if isinstance(each.default, int)])
def test_a_limit_of_0_is_doubtful_where_a_broker_is_of_no_use_with_it(
    name: str, said: Callable[[str], list[str]]
) -> None:
    value = "false" if isinstance(getattr(Limits(), name), bool) else "0"
    try:
        lines = said(f"[limits]\n{name} = {value}\n")
    except Mistakes as mistakes:
        assert "not 0" in str(mistakes)
        assert name not in _OF_NO_USE
        return
    assert bool(lines) == (name in _OF_NO_USE)
    if lines:
        assert lines[0].startswith(f"{name} = 0: {_OF_NO_USE[name]}; 0 is none here, not any number. It is ")
    assert _is_of_use(name) != bool(lines)


def _is_of_use(name: str) -> bool:
    """Whether clients reach each other with this limit at 0, at QoS 1."""
    world = World(**{name: False if isinstance(getattr(Limits(), name), bool) else 0})
    try:
        a, b = Five(world, "a"), Five(world, "b")
    except Exception:  # no CONNACK, or one that may not be
        return False
    a.subscribe("t", 1)
    b.publish("t", b"x", qos=1)
    return [got.reason for got in b.take() if got.kind == PUBACK] == [0] and a.payloads() == [b"x"]


async def test_a_doubt_is_said_by_test_config_and_at_the_start_and_nothing_else_changes(tmp_path: Path) -> None:
    config = tmp_path / "broker.toml"
    config.write_text('listen = ["mqtt://127.0.0.1:0"]\n[limits]\nconnections = 0\n')
    result = await inside("broker", "--config", str(config), "--test-config")
    words = "doubtful: connections = 0: nobody can connect; 0 is none here, not any number. It is 1000 without a word\n"
    assert (result.code, result.stderr) == (0, words)
    async with running("broker", "--config", str(config)) as process:
        assert process.stderr
        lines = []
        while b"listening on" not in (line := await process.stderr.readline()):
            assert line
            lines.append(line.decode())
        assert any(line.endswith(words) for line in lines)
