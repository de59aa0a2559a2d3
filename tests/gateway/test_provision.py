"""[provision] in gateway.toml: what may stand there, and what a board gets."""

from pathlib import Path
from typing import Any

import pytest

from mqttlite_board.settings import SettingError
from mqttlite_gateway.config import ConfigError, exposed, load
from mqttlite_gateway.lines.provision import check_provision, record_for

SECRET = "s3cret-of-the-boards"


def test_a_board_gets_a_name_of_its_own_and_what_all_get() -> None:
    table = {"name": "hall-{name}-{port}", "watchdog_s": 60, "devices": "/x"}
    assert record_for(table, "board-1", "/dev/serial/by-id/usb-7") == {
        "url": "serial:usb",
        "name": "hall-board-1-usb-7",
        "watchdog_s": 60,
    }
    assert record_for({}, "board-1", "/dev/ttyUSB0") == {"url": "serial:usb", "name": "board-1"}


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"name": "hall"}, "name: must have {name} or {port} in it"),
        ({"name": 5}, "name: must have"),
        ({"name": "{name}{mac}"}, "only {name} and {port}"),
        ({"key": "ab" * 32}, "key: must differ from board to board"),
        ({"topic": "a"}, "topic: must differ"),
        ({"devices": 5}, "devices: must be the path of a file"),
        ({"url": "http://x"}, "url 'http://x'"),
        ({"passwort": SECRET}, "passwort: there is no such setting; is 'password' meant?"),
        ({"password": SECRET}, "username is missing"),
        ([SECRET], "must be a table of settings"),
        ({"name": "{name}" + "x" * 30}, "name: has more than 32 bytes"),
    ],
)
def test_what_no_board_can_be_given_is_refused_without_secrets(table: Any, words: str) -> None:
    with pytest.raises(SettingError) as caught:
        check_provision(table)
    assert words in str(caught.value)
    assert SECRET not in str(caught.value)


def test_it_is_read_from_the_gateways_file(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    serial = '[[serial]]\npath = "/dev/ttyUSB0"\n'
    path.write_text(f'[provision]\nusername = "a"\npassword = "{SECRET}"\n{serial}')
    config = load(path)
    assert config.provision == {"username": "a", "password": SECRET}
    path.chmod(0o640)
    assert "chmod 600" in exposed(path, config)
    assert SECRET not in exposed(path, config)
    path.write_text("[provision]\n" + serial)
    assert load(path).provision == {}
    path.write_text(serial)
    assert load(path).provision is None
    path.write_text("[provision]\nurll = 5\n" + serial)
    with pytest.raises(ConfigError, match=r"gateway.toml: line 2: \[provision\]: urll: there is no such setting"):
        load(path)
