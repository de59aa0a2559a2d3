"""Whatever stands in the gateway's file: it is understood, or a mistake with file and line."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from mqttlite_gateway.config import ConfigError, load
from tests.cli.broker.test_any_value import VALUES, places, written
from tests.docs.test_gateway_settings import whole_example


def whole() -> dict[str, Any]:
    """The example with all that is commented out, but what is of forward mode."""
    return tomllib.loads(whole_example())


EVERY = 4  # tests share the places


@pytest.mark.parametrize("first", range(EVERY))
def test_any_value_at_any_place_is_understood_or_a_mistake_with_its_line(first: int, tmp_path: Path) -> None:
    """Every other one is tried."""
    data = whole()
    path = tmp_path / "gateway.toml"
    for number, (at, value) in enumerate((at, value) for at in places(whole()) for value in VALUES):
        if number % (2 * EVERY) != 2 * first:
            continue
        line = list(data).index(str(at[0])) + 1
        path.write_text(written(data, at, value))
        path.chmod(0o600)
        try:
            load(path).check()
        except ConfigError as error:
            if error.lines != [str(error)] or ": line " in str(error):
                for each in error.lines:
                    assert each.startswith(f"{path}: line {line}: ") or at[0] == "mode", (value, error.lines)
