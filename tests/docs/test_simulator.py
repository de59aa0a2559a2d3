"""docs/simulator.md: its program runs as it stands."""

from typing import Any

from tests.docs.pages import program


def test_a_world_is_drawn() -> None:
    names: dict[str, Any] = {}
    exec(program("docs/simulator.md", "World(4711)"), names)
    assert "Seed 4711" in names["page"]
