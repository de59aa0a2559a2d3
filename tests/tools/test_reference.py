"""`make reference`: the pages are made, and nothing public is without words."""

from pathlib import Path
from typing import Any

import pdoc.doc
import pytest

from tools.reference import build, markdown, modules, pages, public_names


def undocumented() -> list[str]:
    return [
        f"{page.modulename}.{member.qualname}"
        for page in pages().values()
        for member in page.members.values()
        for member in [member, *parts(member)]
        if not member.docstring and member.name != "__init__"
    ]


def parts(member: Any) -> list[Any]:
    """The methods and properties of a class that are public."""
    if not isinstance(member, pdoc.doc.Class):
        return []
    return [
        part
        for part in member.own_members
        if not part.name.startswith("_")
        and (isinstance(part, pdoc.doc.Function) or isinstance(getattr(member.obj, part.name, None), property))
    ]


def test_everything_public_is_told_of() -> None:
    assert undocumented() == []


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_pages_are_made_and_show_all_public_names(tmp_path: Path) -> None:
    paths = build(tmp_path)
    assert len(paths) == len(modules())
    for path, module in zip(paths, modules(), strict=True):
        text = path.read_text(encoding="utf-8")
        for name, _ in public_names(module):
            assert f'id="{name}"' in text, (module, name)
    client = (tmp_path / "mqttlite.html").read_text(encoding="utf-8")
    assert 'id="Client.publish"' in client and 'id="Client.heard"' in client  # its own, and what it has from a base
    assert 'id="ConnectError.with_traceback"' not in client
    assert all((tmp_path / name).exists() for name in ("index.html", "search.js"))


def test_columns_are_tables_and_indented_lines_stay_as_they_are() -> None:
    assert markdown("A b.\n\nurl   where|to\n      connect\nqos   0 to 2") == (
        "A b.\n\n| | |\n|---|---|\n| `url` | where\\|to connect |\n| `qos` | 0 to 2 |"
    )
    assert markdown("    x = 1\n    y = 2") == "```text\n    x = 1\n    y = 2\n```"
    assert markdown("Two  spaces in\nthe middle of a text.") == "Two  spaces in\nthe middle of a text."
