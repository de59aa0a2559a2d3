"""The check of the house finds what it is for, and nothing else."""

from pathlib import Path

import pytest

from tools import check_house

CONST = "from ..core import const\n"


def found(root: Path, **files: str) -> list[str]:
    """What is wrong with a house of these files: `core__session` is mqttlite/core/session.py."""
    for name, text in files.items():
        path = root / "mqttlite" / (name.replace("__", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return [finding.what for finding in check_house.findings(root)]


def test_imports_that_run_downwards_or_within_a_room_are_right(tmp_path: Path) -> None:
    assert not found(
        tmp_path,
        core__text="import struct\n",
        core__session="from . import text\n",
        store__base="from mqttlite.core.session import x\n",
        cli__pub="from ..client import base\nfrom ..core import text\nimport mqttlite.store.base\n",
        client__base="def f():\n    from ..store.base import Store\n",
    )


@pytest.mark.parametrize(
    "text",
    [
        "from ..store.base import Store\n",
        "from ..store import base\n",
        "import mqttlite.store.base\n",
        "from ..core import const\nif const(0):\n    from ..store.base import Store\n",
        "def f():\n    from ..store.base import Store\n",
    ],
    ids=["of a name", "of a module", "absolute", "for the type checker", "inside a function"],
)
def test_an_import_that_runs_upwards_is_found_wherever_it_stands(text: str, tmp_path: Path) -> None:
    assert found(tmp_path, core__session=text, store__base="") == [
        "upwards mqttlite/core/session.py mqttlite.store.base"
    ]


def test_rooms_on_one_floor_do_not_import_each_other(tmp_path: Path) -> None:
    assert found(tmp_path, broker__peer="from ..client.url import Url\n", client__url="") == [
        "upwards mqttlite/broker/peer.py mqttlite.client.url"
    ]


def test_a_room_that_no_floor_is_known_of_is_found(tmp_path: Path) -> None:
    assert found(tmp_path, cellar__wine="") == ["room mqttlite/cellar/wine.py"]


def test_circles_are_found_also_those_for_the_type_checker(tmp_path: Path) -> None:
    files = {
        "broker__a": "from .b import B\n",
        "broker__b": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .c import C\n",
        "broker__c": "from . import a\n",
    }
    assert found(tmp_path, **files) == ["circle in broker"]


def test_folders_of_a_room_that_need_each_other_are_found_though_no_files_do(tmp_path: Path) -> None:
    files = {
        "broker__low__a": "",
        "broker__low__b": "from ..high.a import A\n",
        "broker__high__a": "from ..low import a\n",
        "broker__high__b": "def f():\n    from ..low.b import B\n",
    }
    assert found(tmp_path, **files) == ["circle of folders in broker"]
    assert not found(tmp_path, broker__low__b="from .a import A\n")


def test_a_module_that_the_map_of_its_folder_does_not_name_is_found(tmp_path: Path) -> None:
    files = {"broker__low__peer": "", "broker__low__que": ""}
    assert not found(tmp_path, **files)  # there is no map
    (tmp_path / "mqttlite/broker/low/__init__.py").write_text('"""Low: peer and queue."""\n')
    assert found(tmp_path, **files) == ["unnamed mqttlite/broker/low/que.py"]


def test_what_is_loaded_when_needed_may_know_what_it_is_a_part_of(tmp_path: Path) -> None:
    assert not found(
        tmp_path, client__base="def f():\n    from .rare import g\n", client__rare="from .base import Base\n"
    )


def test_nor_does_the_declaration_of_what_is_loaded_so_close_a_circle(tmp_path: Path) -> None:
    base = "TYPE_CHECKING = 0\nif TYPE_CHECKING:\n    from .rare import Rare\n"
    files = {"client__base": base, "client__rare": "from .base import Base\n"}
    assert found(tmp_path, **files) == ["circle in client"]
    files["client__base"] = base + "def f():\n    from .rare import g\n"
    assert not found(tmp_path, **files)


def test_files_of_more_than_500_lines_and_functions_of_80_are_found(tmp_path: Path) -> None:
    assert not found(tmp_path, core__a="x = 1\n" * 500, core__b="def f():\n" + "    x = 1\n" * 78)
    assert found(tmp_path, core__a="x = 1\n" * 501, core__b="def f():\n" + "    x = 1\n" * 79) == [
        "large mqttlite/core/a.py",
        "long mqttlite/core/b.py f",
    ]


def test_a_constant_that_stands_in_two_files_is_found_under_a_private_name_too(tmp_path: Path) -> None:
    files = {"core__a": CONST + "PUBACK = const(0x40)\n", "core__b": CONST + "_PUBACK = const(64)\n"}
    assert found(tmp_path, **files) == ["copied PUBACK"]
    files["core__b"] = CONST + "_PUBACK = const(4)\nTYPE_CHECKING = const(0)\n"
    assert not found(tmp_path, **files)


def test_the_list_of_what_is_tolerated_can_only_shrink(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(check_house, "findings", lambda root: [check_house.Finding("large a.py", "501 lines")])
    monkeypatch.setattr(check_house, "TOLERATED", {"large a.py"})
    assert check_house.main() == 0
    monkeypatch.setattr(check_house, "TOLERATED", {"large a.py", "large b.py"})
    assert check_house.main() == 1
    assert "large b.py: not found any more" in capsys.readouterr().out
    monkeypatch.setattr(check_house, "TOLERATED", set())
    assert check_house.main() == 1
    assert "large a.py: 501 lines" in capsys.readouterr().out
