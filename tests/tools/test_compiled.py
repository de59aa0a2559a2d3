"""What the compiled build makes of the source before mypyc gets it; the build itself: `make compiled`."""

import ast

import pytest

from tests.runtimes import ROOT
from tools import compiled

PATHS = compiled.compiled_paths(ROOT)


@pytest.mark.parametrize("path", PATHS)
def test_lines_keep_their_numbers_so_that_a_traceback_shows_the_source(path: str) -> None:
    source = (ROOT / path).read_text(encoding="utf-8")
    made = compiled.prepared(source)
    assert made.count("\n") == source.count("\n")
    places = [
        [(node.lineno, node.name) for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
        for text in (source, made)
    ]
    assert places[0] == places[1]


@pytest.mark.parametrize("path", PATHS)
def test_no_text_has_what_mypyc_cannot_write_into_c(path: str) -> None:
    """A surrogate."""
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value.encode()


def test_a_constant_is_final_unless_somebody_replaces_it() -> None:
    made = compiled.prepared('"""Doc."""\n\nfrom . import const\n\nA = const(1 << 4)  # it\nSPAN = const(9)\n')
    assert made.splitlines()[4:] == ["A: _Final = 1 << 4  # it", "SPAN = const(9)"]


def test_what_hardly_runs_stays_interpreted_and_each_has_its_reason() -> None:
    assert "mqttlite/core/session.py" in PATHS
    assert "mqttlite/core/errors.py" not in PATHS
    assert all(compiled.INTERPRETED.values())
