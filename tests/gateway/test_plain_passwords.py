"""Passwords that cross a network as anybody there can read them are said, and no others."""

from pathlib import Path

import pytest

from mqttlite.cli import main
from mqttlite_gateway.config import load
from mqttlite_gateway.config.plain import plain_passwords
from mqttlite_gateway.operating.doctor import settings
from mqttlite_gateway.operating.doctor.finding import DOUBTFUL, Case

UPSTREAM = '[[upstream]]\nname = "cloud"\nout = [{ filter = "#" }]\n'
PAGE = '[page]\nlisten = "http://0.0.0.0:8080"\n'
USERS = '[access]\npassword_file = "users"'


def told(folder: Path, text: str) -> Path:
    path = folder / "gateway.toml"
    path.write_text('mode = "bridge"\nstore = "memory"\n' * ("[[upstream]]" in text) + text)
    path.chmod(0o600)
    return path


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (UPSTREAM + 'url = "mqtt://u:secret@broker.example"', "upstream cloud: its password crosses"),
        (
            UPSTREAM + 'url = "mqtt://192.0.2.7"\nusername = "u"\npassword = "secret"',
            "mqtts:// hides it, where 192.0.2.7",
        ),
        (UPSTREAM + 'url = "amqp://u:secret@rabbit.example"', "amqps:// hides it, where rabbit.example"),
        (UPSTREAM + 'url = "mqtts://u:secret@broker.example"', ""),
        (UPSTREAM + 'url = "mqtt://u:secret@localhost"', ""),
        (UPSTREAM + 'url = "mqtt://u:secret@127.0.0.2"', ""),
        (UPSTREAM + 'url = "mqtt://broker.example"', ""),
        (UPSTREAM + 'url = "postgresql://u:secret@one.example:5432,two.example:5432/plant"', ""),
        (UPSTREAM + 'url = "amqp://u:50%secret@rabbit.example"', ""),
        ('upstream = "ws://u:secret@broker.example"', "wss:// hides it"),
        ('upstream = "unix:///run/broker.sock"', ""),
        (PAGE + USERS, "the page at http://0.0.0.0:8080: passwords of its users"),
        (PAGE + '[access]\nanonymous = "anybody-on-the-network"', ""),
        ('[page]\nlisten = "http://127.0.0.1:8080"', ""),
    ],
)
def test_a_password_that_crosses_a_network_in_the_open_is_said(tmp_path: Path, text: str, words: str) -> None:
    said = list(plain_passwords(load(told(tmp_path, text))))
    assert len(said) == bool(words)
    assert words in "".join(said) and "secret" not in "".join(said)


def test_the_check_and_the_doctor_tell_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = told(tmp_path, UPSTREAM + 'url = "mqtt://u:secret@broker.example"')
    assert main(["gateway", "--config", str(path), "--test-config"]) == 0
    assert "doubtful: upstream cloud: its password crosses the network" in capsys.readouterr().err
    (finding,) = settings.look(Case(path))
    assert finding.state == DOUBTFUL and "its password crosses" in finding.text


def test_the_doctor_tells_of_what_is_doubtful_about_the_broker_inside_too(tmp_path: Path) -> None:
    users = tmp_path / "users"
    assert main(["passwd", "-b", str(users), "ann", "secret"]) == 0
    text = (
        f'listen = ["mqtt://0.0.0.0:1883"]\n{UPSTREAM}url = "mqtt://localhost"\n[access]\npassword_file = "{users}"\n'
    )
    path = tmp_path / "gateway.toml"
    path.write_text(f'mode = "bridge"\n{text}')
    path.chmod(0o600)
    (finding,) = settings.look(Case(path))
    assert finding.state == DOUBTFUL and finding.text.startswith("mqtt://0.0.0.0:1883: passwords cross the network")
    users.unlink()
    (finding,) = settings.look(Case(path))
    assert finding.state != DOUBTFUL and str(users) in finding.text
