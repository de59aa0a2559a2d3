"""What docs/configuration.md and examples/broker.toml say of the broker's file."""

import re
import tomllib
from pathlib import Path

import pytest

from mqttlite.broker.config import TABLES, load
from mqttlite.broker.config.access import _ACTIONS, _CHOICES, _FILES, _WHO
from mqttlite.cli.broker.reload import RESTART
from tests.cli.commands import inside
from tests.docs.pages import text_of
from tests.runtimes import ROOT

PAGE = "docs/configuration.md"
EXAMPLE = ROOT / "examples" / "broker.toml"


def test_its_rules_are_understood(tmp_path: Path) -> None:
    (block,) = re.findall(r"^```toml\n(.*?)^```$", text_of(PAGE), re.MULTILINE | re.DOTALL)
    path = tmp_path / "broker.toml"
    path.write_text(block)
    settings = load(path)
    assert settings.rules and len(settings.rules) == 5
    assert settings.groups == {"family": {"ann", "bob"}}


def test_the_example_is_understood_with_all_that_is_commented_out(tmp_path: Path) -> None:
    text = re.sub(r"^# (?=[\w\[]+ = |\[)", "", EXAMPLE.read_text(), flags=re.MULTILINE)
    path = tmp_path / "broker.toml"
    path.write_text(re.sub(r"^#$", "", text, flags=re.MULTILINE))
    settings = load(path)
    assert set(settings.access) == {*_CHOICES, *_FILES}
    assert settings.tls and settings.rules and len(settings.rules) == 3
    for word in (*_ACTIONS, *_WHO, *(word for words in _CHOICES.values() for word in words)):
        assert word in text


@pytest.mark.parametrize("key", [key for each in TABLES for key in each.KEYS])
def test_the_page_names_every_key_of_the_file(key: str) -> None:
    assert re.search(rf"`\[?\[?{key}\]?\]?`", text_of(PAGE)), key


def test_the_page_names_what_needs_a_restart() -> None:
    (line,) = re.findall(r"^- (.*) need a restart", text_of(PAGE), re.MULTILINE)
    assert set(re.findall(r"`\[?(\w+)\]?`", line)) == {*RESTART, "store_bytes"}


async def test_what_it_shows_of_mistakes_is_what_is_said(tmp_path: Path) -> None:
    (shown,) = re.findall(r"^```text\n(broker\.toml: line.*?)^```$", text_of(PAGE), re.MULTILINE | re.DOTALL)
    path = tmp_path / "broker.toml"
    path.write_text("\n" * 10 + '[limits]\nfilter = 1\n\n[[rule]]\nall = ["home/#/x"]\n')
    result = await inside("broker", "--config", str(path), "--test-config")
    assert result.stderr.replace(str(path), "broker.toml") == shown


async def test_what_it_shows_of_an_import_is_what_is_said(tmp_path: Path) -> None:
    (shown,) = re.findall(r"^```text\n(taken .*?)^```$", text_of(PAGE), re.MULTILINE | re.DOTALL)
    conf = tmp_path / "mosquitto.conf"
    conf.write_text(
        "\n\n\nlistener 8883\ncertfile a\nkeyfile b\n\npersistence_location /var/lib/mosquitto/\npersistence true\n\n\n"
        "max_queued_messages 1000\n"
    )
    result = await inside("broker", "import", str(conf), check=True)
    said = result.stderr.replace(str(conf), "mosquitto.conf")
    assert set(shown.splitlines()) <= set(said.splitlines())
    assert tomllib.loads(result.stdout)["listener"][0]["certificate"] == "a"
