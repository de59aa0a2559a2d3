"""Whatever stands in the file of `mqttlite broker`: it is understood, or a mistake with file and line."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mqttlite.broker.config import load
from mqttlite.cli.broker.check import check
from mqttlite.settings.toml_file import toml_value
from tests.runtimes import ROOT

VALUES = (
    "1",
    "-1",
    "1.5",
    "nan",
    "true",
    '""',
    '"x"',
    '"/"',
    "[]",
    "[1]",
    '[""]',
    '["a\\u0000"]',
    "{}",
    "{ a = 1 }",
    "[{}]",
    "[[]]",
)
VALUES += (
    "1979-05-27",
    '"mqtt://127.0.0.1:0"',
    '["mqtt://127.0.0.1:0"]',
    '"99999999999999999999"',
    "9223372036854775807",
)


def whole() -> dict[str, Any]:
    """The example with all that is commented out."""
    text = (ROOT / "examples" / "broker.toml").read_text()
    text = re.sub(r"^# (?=[\w\[]+ = |\[)", "", text, flags=re.MULTILINE)
    return tomllib.loads(re.sub(r"^#$", "", text, flags=re.MULTILINE))


def places(data: Any, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every key, and every table of a list."""
    for key, value in data.items() if isinstance(data, dict) else enumerate(data):
        yield (*at, key)
        if isinstance(value, dict) or (isinstance(value, list) and value and isinstance(value[0], dict)):
            yield from places(value, (*at, key))


def written(data: dict[str, Any], at: tuple[str | int, ...], value: str) -> str:
    """The same as TOML, a line for each key at the top, with `value` at one place."""
    mark = "the value is put in here"
    holder: Any = data
    for key in at[:-1]:
        holder = holder[key]
    before, holder[at[-1]] = holder[at[-1]], mark
    text = "".join(f"{key} = {toml_value(each)}\n" for key, each in data.items())
    holder[at[-1]] = before
    return text.replace(f'"{mark}"', value)


@pytest.mark.parametrize("at", list(places(whole())), ids=lambda at: ".".join(map(str, at)))
def test_any_value_at_any_place_is_understood_or_a_mistake_with_its_line(
    at: tuple[str | int, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = whole()
    path = tmp_path / "broker.toml"
    line = list(data).index(str(at[0])) + 1
    for value in VALUES:
        path.write_text(written(data, at, value))
        path.chmod(0o600)
        try:
            load(path)
        except ValueError as error:
            lines = (line, line + 1) if at[0] == "groups" else (line,)  # a rule of the next line may miss its group
            assert str(error).startswith(tuple(f"{path}: line {each}: " for each in lines)), (value, str(error))
        else:
            assert check(lambda: load(path), "broker.toml") in (0, 1)  # no other exception, whatever it finds
    capsys.readouterr()
