"""Who may connect to `mqttlite broker`, and what they may do: its file, and those of Mosquitto."""

import re
import socket
from pathlib import Path
from typing import Any

import pytest

from mqttlite.broker import Identity
from mqttlite.broker.access.acl_file import read_rules
from mqttlite.broker.access.guard import PUBLISH, RECEIVE, SUBSCRIBE
from mqttlite.broker.access.passwords import hashed
from mqttlite.broker.access.rules import Rules
from mqttlite.broker.access.users import ALTERNATIVE_NAME, COMMON_NAME, name_of
from mqttlite.broker.config import Mistakes, load
from mqttlite.broker.config.doubts import doubts
from mqttlite.broker.config.make_access import make_access
from tests.certificates import Certificates
from tests.cli.commands import inside
from tests.peers import Mosquitto, program, run

ANN, BOB = Identity("ann", client_id="a"), Identity("bob", client_id="b")
NOBODY = Identity(client_id="sensor-1")


def secret(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


@pytest.fixture
def users(tmp_path: Path) -> Path:
    return secret(tmp_path / "users", "".join(f"{name}:{hashed(name.encode())}\n" for name in ("ann", "bob")))


def told(tmp_path: Path, text: str) -> Path:
    return secret(tmp_path / "broker.toml", text)


RULES = """
[groups]
family = ["ann"]
[[rule]]
group = "family"
all = ["#"]
deny_publish = ["alarm/#"]
[[rule]]
user = "bob"
subscribe = ["room/+/state"]
publish = ["room/%u/set"]
[[rule]]
user = ""
client = "sensor-*"
publish = ["sensors/%c"]
"""


def test_rules_stand_in_the_file_or_in_one_of_their_own_and_say_the_same(tmp_path: Path, users: Path) -> None:
    rules = secret(tmp_path / "rules.toml", RULES)
    here = told(tmp_path, f'[access]\npassword_file = "{users}"\n{RULES}')
    there = secret(tmp_path / "b.toml", f'[access]\npassword_file = "{users}"\nrule_file = "{rules}"')
    for path in (here, there):
        access = make_access(load(path))
        assert access and access.users is not None
        ann = Identity("ann", access.users.groups_of("ann"), client_id="a")
        may = access.may
        assert may(ann, SUBSCRIBE, b"#") and may(ann, RECEIVE, b"alarm/1") and not may(ann, PUBLISH, b"alarm/1")
        assert may(BOB, SUBSCRIBE, b"room/1/state") and may(BOB, PUBLISH, b"room/bob/set")
        assert not may(BOB, PUBLISH, b"room/ann/set") and not may(BOB, SUBSCRIBE, b"#")
        assert may(NOBODY, PUBLISH, b"sensors/sensor-1") and not may(NOBODY, PUBLISH, b"sensors/sensor-2")
        assert not may(Identity("eve"), PUBLISH, b"x")
        assert access.anonymous is False


def test_without_a_word_about_it_there_is_no_guard_and_with_users_nobody_else_gets_in(
    tmp_path: Path, users: Path
) -> None:
    assert make_access(load(told(tmp_path, ""))) is None
    access = make_access(load(told(tmp_path, f'[access]\npassword_file = "{users}"')))
    assert access and access.rules is None and access.anonymous is False
    for word, meant in (("nobody", False), ("loopback", "local"), ("anybody-on-the-network", True)):
        access = make_access(load(told(tmp_path, f'[access]\nanonymous = "{word}"')))
        assert access and access.anonymous == meant


@pytest.mark.parametrize("text", ["", "# nothing\n", "[groups]\nx = ['ann']\n"])
def test_an_empty_rule_file_denies_everything_and_is_doubtful(text: str, tmp_path: Path) -> None:
    rules = secret(tmp_path / "rules.toml", text)
    settings = load(told(tmp_path, f'[access]\nrule_file = "{rules}"'))
    access = make_access(settings)
    assert access
    assert not any(access.may(ANN, action, b"x") for action in (PUBLISH, SUBSCRIBE, RECEIVE))
    assert doubts(settings, access) == ["there is no rule, so nobody may publish or subscribe to anything"]


def test_rules_that_everybody_on_the_machine_can_change_are_none(tmp_path: Path) -> None:
    rules = secret(tmp_path / "rules.toml", RULES)
    here = told(tmp_path, RULES)
    there = secret(tmp_path / "there.toml", f'[access]\nrule_file = "{rules}"')
    for path in (rules, here):
        path.chmod(0o646)
        with pytest.raises(ValueError, match=rf"{path} has rules, and every user .* change it \(mode 0646\): chmod"):
            make_access(load(here if path == here else there))
        path.chmod(0o644)
    assert make_access(load(here)) and make_access(load(there))


def test_an_empty_file_of_mosquitto_denies_every_message(tmp_path: Path) -> None:
    rules = Rules(read_rules(secret(tmp_path / "acl", "# nothing\n")))
    assert not any(rules.may(ANN, action, b"x") for action in (PUBLISH, RECEIVE))


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            "[access]\npasword_file = 'x'",
            "line 2: [access]: there is no key 'pasword_file'; did you mean password_file?",
        ),
        ("[access]\npassword_file = ''", "line 2: [access]: password_file has to be the path of a file"),
        (
            "[access]\nanonymous = true",
            "line 2: [access]: anonymous has to be one of nobody, loopback, anybody-on-the-",
        ),
        ("[groups]\nx = 'ann'", 'line 2: [groups]: x has to be a list of users, as ["ann", "bob"]'),
        ("[[rule]]\nuser = 'ann'", "line 1: [[rule]] number 1: it has no topics: add one of publish, subscribe, all"),
        ("[[rule]]\nall = ['a/#/b']", "line 2: [[rule]] number 1: 'a/#/b' is no topic filter"),
        ("[[rule]]\nall = 'a'", 'line 2: [[rule]] number 1: all has to be a list of topic filters, as ["home/#"]'),
        ("[[rule]]\nal = ['a']", "line 2: [[rule]] number 1: there is no key 'al'; did you mean all?"),
        ("[groups]\nx=['a']\n[[rule]]\ngroup = 'y'\nall = ['a']", "line 4: [[rule]] number 1: there is no group 'y'"),
        ("[[rule]]\nclient = 1\nall = ['a']", "line 2: [[rule]] number 1: client has to be a name in quotes"),
    ],
)
async def test_a_mistake_is_named_with_its_line_and_the_broker_does_not_start(
    text: str, error: str, tmp_path: Path
) -> None:
    path = told(tmp_path, text)
    with pytest.raises(ValueError, match=re.escape(f"{path}: {error}")):
        load(path)
    if "pasword" in text:
        result = await inside("broker", "--config", str(path))
        assert (result.code, result.stderr.startswith(f"mqttlite broker: {path}: line 2")) == (1, True)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("topic reed a", "line 1: between topic and its filter stands one of read, write, readwrite, deny, not 'reed'"),
        ("user ann\ntopc a", "line 2: a line begins with user, topic or pattern, not 'topc'"),
        ("\nuser", "line 2: a user's name is missing"),
        ("topic read", "line 1: 'read'"),
        ("topic write a/#/b", "line 1: 'a/#/b' is no topic filter"),
    ],
)
def test_a_broken_file_of_mosquitto_is_refused_with_its_line(text: str, error: str, tmp_path: Path) -> None:
    file = secret(tmp_path / "acl", text)
    if text == "topic read":  # as Mosquitto: a filter that is called so
        assert len(read_rules(file)) == 3
        return
    with pytest.raises(ValueError, match=re.escape(f"{file}: {error}")):
        read_rules(file)


async def test_what_everybody_could_change_decides_nothing(tmp_path: Path) -> None:
    file = secret(tmp_path / "acl", "topic read a\n")
    file.chmod(0o644)
    assert read_rules(file)
    file.chmod(0o646)
    with pytest.raises(ValueError, match=r"has rules, and every user of this machine can change it \(mode 0646\)"):
        read_rules(file)


ACL = """\
# of nobody
topic read news/#
user ann
topic readwrite room/#
topic deny room/secret
topic write only/written
topic read only/read
user bob
topic readwrite room/one two/#
pattern write from/%u/%c
pattern read to/%u
"""
TOPICS = ("news/a", "room/1", "room/secret", "only/written", "only/read", "room/one two/x", "to/ann", "to/bob")
TOPICS += ("from/ann/a", "from/ann/b", "from/bob/b", "from//n", "to/")


async def test_rules_of_mosquitto_mean_here_what_they_mean_there(tmp_path: Path) -> None:
    """Each of three clients publishes to each topic, and one who may read everything sees what has come through."""
    acl = secret(tmp_path / "acl", ACL + "user root\ntopic readwrite #\n")
    rules = Rules(read_rules(acl))
    passwords = tmp_path / "passwd"
    for name in ("ann", "bob", "root"):
        await run(program("mosquitto_passwd"), "-b", *(["-c"] if name == "ann" else []), str(passwords), name, "x")
    passwords.chmod(0o600)
    settings = {"acl_file": acl, "password_file": passwords, "allow_anonymous": "true"}
    with Mosquitto(tmp_path, settings=settings) as broker:
        sub, pub = program("mosquitto_sub"), program("mosquitto_pub")
        port = ("-p", str(broker.port))
        for who, client_id in (("ann", "a"), ("bob", "b"), ("", "n")):
            login = ("-i", client_id, *(("-u", who, "-P", "x") if who else ()))
            identity = Identity(who or None, client_id=client_id)
            for topic in TOPICS:  # retained, so that nobody has to be there in time
                await run(pub, *port, *login, "-t", topic, "-m", "x", "-r", "-q", "1")
            root = ("-u", "root", "-P", "x", "-t", "#", "-F", "%t", "--retained-only", "-W", "1")
            came = (await run(sub, *port, *root, check=False)).stdout.split("\n")[:-1]
            assert set(came) == {t for t in TOPICS if rules.may(identity, PUBLISH, t.encode())}, who
            for topic in TOPICS:
                await run(pub, *port, "-u", "root", "-P", "x", "-t", topic, "-m", "x", "-r", "-q", "1")
            words = (*login, "-t", "#", "-F", "%t", "--retained-only", "-W", "1")
            read = (await run(sub, *port, *words, check=False)).stdout.split("\n")[:-1]
            assert set(read) == {t for t in TOPICS if rules.may(identity, RECEIVE, t.encode())}, who
            assert rules.may(identity, SUBSCRIBE, b"#") and rules.may(identity, SUBSCRIBE, b"$SYS/#")
            await run(sub, *port, "-u", "root", "-P", "x", "-t", "#", "--remove-retained", "-W", "1", check=False)


def test_a_certificate_names_a_user_by_its_common_name_or_an_alternative_one(tmp_path: Path) -> None:
    import ssl

    pair = Certificates(tmp_path).client("kitchen")
    decoded = ssl._ssl._test_decode_cert(str(pair.certificate))  # type: ignore[attr-defined]
    assert name_of(decoded, COMMON_NAME) == "kitchen"
    assert name_of(decoded, ALTERNATIVE_NAME) is None
    names = (("IP Address", "127.0.0.1"), ("DNS", "pump.local"), ("email", "a@b"))
    assert name_of({"subjectAltName": names}, ALTERNATIVE_NAME) == "pump.local"
    for subject in ((), ((("commonName", "a"),), (("commonName", "b"),)), ((("commonName", "a\0b"),),)):
        assert name_of({"subject": subject}, COMMON_NAME) is None
    assert name_of(None, COMMON_NAME) is None


def test_what_is_more_likely_a_mistake_is_said(tmp_path: Path, users: Path) -> None:
    settings = load(
        told(
            tmp_path,
            f'[access]\npassword_file = "{users}"\n[groups]\nx = ["ann", "bobb"]\n[[rule]]\nuser = "an"\nall = ["#"]',
        )
    )
    assert doubts(settings, make_access(settings)) == [
        "[[rule]]: there is no user 'an'; did you mean ann?",
        "group x: there is no user 'bobb'; did you mean bob?",
    ]
    settings = load(told(tmp_path, '[access]\ncertificate_users = "common-name"'))
    assert doubts(settings, make_access(settings)) == ["certificate_users is of no use: no listener has client_ca"]


def test_a_placeholder_that_there_is_not_and_half_a_pattern_are_doubtful(tmp_path: Path) -> None:
    config = tmp_path / "broker.toml"
    config.write_text(
        '[[rule]]\nall = ["home/%x/#", "%u/#"]\n[[rule]]\nclient = "["\nsubscribe = ["a"]\n'
        '[[rule]]\nclient = "[ab]*"\nsubscribe = ["a"]\n'
    )
    settings = load(config)
    first, second = doubts(settings, make_access(settings))
    assert first == "'home/%x/#': %x stands for nothing; there are %u, %c, %g"
    assert second.startswith("client = '[': ")


def test_a_listener_where_anybody_on_the_network_can_read_passwords_is_doubtful(tmp_path: Path, users: Path) -> None:
    def said(listen: str, access: str) -> list[str]:
        settings = load(told(tmp_path, f"listen = {listen}\n[access]\n{access}\n"))
        return doubts(settings, make_access(settings))

    known = f'password_file = "{users}"'
    (one,) = said('["mqtt://0.0.0.0:1", "mqtt://127.0.0.1:2", "unix:///tmp/x"]', known)
    assert one.startswith("mqtt://0.0.0.0:1: passwords cross the network there as anybody can read them")
    assert said('["mqtt://127.0.0.1:2"]', known) == []
    assert said('["mqtt://0.0.0.0:1"]', 'anonymous = "anybody-on-the-network"') == []


def test_what_is_doubtful_is_said_where_a_listener_has_no_name_now(
    tmp_path: Path, users: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reload asks when all of it has been taken, and a broker listens on although its name is not found any more."""
    listen = 'listen = ["mqtt://broker.example:1", "mqtt://0.0.0.0:2"]'
    settings = load(told(tmp_path, f'{listen}\n[access]\npassword_file = "{users}"\n'))
    found = socket.getaddrinfo

    def forgetful(host: str, *args: Any, **options: Any) -> Any:
        if host == "broker.example":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return found(host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", forgetful)
    (one,) = doubts(settings, make_access(settings))
    assert one.startswith("mqtt://0.0.0.0:2: passwords cross the network")


def test_what_is_there_twice_is_shown(tmp_path: Path) -> None:
    config = tmp_path / "broker.toml"
    config.write_text('listener = 1883\n[[listener]]\nurl = "mqtt://127.0.0.1:1"\n')
    with pytest.raises(ValueError, match=r"line 2: Cannot overwrite a value: \[\[listener\]\] is there twice"):
        load(config)


def test_all_files_that_are_named_are_looked_at_before_anything_is_said(tmp_path: Path) -> None:
    config = tmp_path / "broker.toml"
    secret(tmp_path / "acl", "topic readwrit a\n")
    config.write_text(f'[access]\nrule_file = "/nowhere"\nacl_file = "{tmp_path}/acl"\npassword_file = "/nowhere"\n')
    with pytest.raises(Mistakes) as found:
        make_access(load(config))
    assert [re.findall("rule_file|acl_file|password_file", line)[0] for line in found.value.lines] == [
        "rule_file", "acl_file", "password_file"
    ]  # fmt: skip
