"""[ledger] in the file of a broker, and --ledger on its command line."""

from pathlib import Path

import pytest

from mqttlite.broker.config import Mistakes, Settings, load
from mqttlite.broker.config.ledger import make_ledger
from mqttlite.cli import main


def settings(tmp_path: Path, text: str) -> Settings:
    path = tmp_path / "broker.toml"
    path.write_text(text)
    return load(path)


def test_a_table_says_where_the_ledger_is_and_how_much_it_keeps(tmp_path: Path) -> None:
    text = '[ledger]\npath = "l.db"\nnode = "site-7"\nentries = 5000\nmax_bytes = "2 MiB"\nmax_age_s = 60\n'
    ledger = make_ledger(settings(tmp_path, text), None)
    assert ledger and ledger.path == "l.db"
    told = ledger.describe()
    assert [told[name] for name in ("node", "entries_max", "bytes_max", "max_age_s")] == ["site-7", 5000, 2 << 20, 60]


def test_an_empty_table_puts_the_ledger_beside_the_store_and_no_table_has_none(tmp_path: Path) -> None:
    ledger = make_ledger(settings(tmp_path, "[ledger]\n"), "/var/lib/x/gateway.db")
    assert ledger and ledger.path == "/var/lib/x/gateway.ledger.db"
    assert make_ledger(settings(tmp_path, ""), "/var/lib/x/gateway.db") is None


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('paht = "x"', "paht"),
        ("path = 7", "path has to be a text in quotes"),
        ('entries = "many"', "entries has to be a whole number, at least 1"),
        ("max_bytes = 10", 'max_bytes has to be a whole number or a size as "64 MiB", at least 1048576'),
        ("max_age_s = -1", "max_age_s has to be a whole number, at least 0"),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, line: str, why: str) -> None:
    with pytest.raises(Mistakes, match=r"line 2") as caught:
        settings(tmp_path, f"[ledger]\n{line}\n")
    assert why in str(caught.value)


def test_a_ledger_without_a_place_is_found_by_the_test_of_the_settings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "broker.toml"
    path.write_text("[ledger]\n")
    assert main(["broker", "--config", str(path), "--test-config"]) == 1
    assert "a path is missing" in capsys.readouterr().err
    assert main(["broker", "--config", str(path), "--ledger", str(tmp_path / "l.db"), "--test-config"]) == 0
