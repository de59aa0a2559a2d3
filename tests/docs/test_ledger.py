"""docs/ledger.md: its program and its table of settings do what stands there."""

import re
from pathlib import Path

import pytest

from mqttlite.broker.config import load
from mqttlite.broker.config.ledger import make_ledger
from mqttlite.ledger.ledger import ENTRIES, MAX_AGE_S, MAX_BYTES
from mqttlite.ledger.steps import STEPS
from tests.docs.pages import program, text_of

PAGE = "docs/ledger.md"


def test_its_program_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(program(PAGE, "Inbox("), names)
    client, inbox = names["client"], names["inbox"]
    assert client.ledger.node == "billing" and inbox._ledger is client.ledger  # type: ignore[attr-defined]


def test_its_table_is_what_a_broker_has_by_default(tmp_path: Path) -> None:
    found = re.search(r"```toml\n(.*?)```", text_of(PAGE), re.DOTALL)
    assert found
    (tmp_path / "broker.toml").write_text(found[1])
    ledger = make_ledger(load(tmp_path / "broker.toml"), None)
    assert ledger and ledger.path == "/var/lib/mqttlite/gateway.ledger.db" and ledger.node == "site-7"
    told = ledger.describe()
    assert (told["entries_max"], told["bytes_max"], told["max_age_s"]) == (ENTRIES, MAX_BYTES, MAX_AGE_S)


def test_it_names_every_step() -> None:
    assert set(re.findall(r"^\| (\w+) \|", text_of(PAGE), re.MULTILINE)) - {"step"} == set(STEPS)
