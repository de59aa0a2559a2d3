"""tools/lean.py: constants in the place of their names, nothing for the type checker, each line where it was."""

from tests.firmware.boards import PACKAGE
from tools import build_supplies
from tools.lean import lean

SOURCE = '''"""A module."""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

WAIT_S = 60
NAME = "state"
SEEN = 5
TABLE = ("a", "b")


def wait(value: "Any", s: int = WAIT_S) -> str:
    SEEN = value
    return NAME + "é" + str(s * WAIT_S) + str(SEEN)
'''


def test_constants_stand_where_they_are_used_and_lines_keep_their_numbers() -> None:
    found = lean(SOURCE, set())
    assert "WAIT_S" not in found and "NAME" not in found and "typing" not in found and "TYPE_CHECKING" not in found
    assert found.splitlines().index('TABLE = ("a", "b")') == SOURCE.splitlines().index('TABLE = ("a", "b")')
    names: dict[str, object] = {}
    exec(found, names)
    assert names["wait"](3) == "stateé36003"  # type: ignore[operator]
    assert names["SEEN"] == 5  # it is another name inside the function, so it stays


def test_what_another_file_names_stays() -> None:
    assert "WAIT_S = 60" in lean(SOURCE, {"WAIT_S"})


def test_each_module_of_the_program_is_one_still() -> None:
    for path in PACKAGE.rglob("*.py"):
        found = lean(path.read_text(encoding="utf-8"), build_supplies.named_elsewhere(path))
        compile(found, str(path), "exec")
        assert found.count("\n") == path.read_text(encoding="utf-8").count("\n")
