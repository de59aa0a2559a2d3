"""No number stands in two places without being compared: constants that have the same name, or that a list here calls
the same; and numbers that a page promises. (That a constant of the protocol has one home, tools/check_house.py sees.)
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("mqttlite", "gateway/mqttlite_gateway", "firmware")

# Constants that are another thing than others of their name, with their module; everything else of one name is equal.
DIFFERENT = {
    "APPLICATION_ID": {"store/tables/broker_tables", "store/tables/sqlite_tables"},
    "AT_ONCE": {"gateway/lines/console"},
    "BAD_CREDENTIALS": {"core/greeting"},  # a return code of 3.1.1
    "BAR": {"cli/showing/progress"},
    "BLOCK": {"firmware/mqttlite_board/signing"},
    "BURST": {"sim/lines/noise", "sim/small/placing", "gateway/lines/saying"},
    "DATA": {"core/auth"},  # a property
    "DOUBT": {"store/tables/sqlite_tables"},  # a bit of a state
    "EPOCHS": {"serial/diagnosis"},
    "FRAME": {"store/in_sqlite/sqlite_wal", "gateway/lines/console"},
    "HEAD": {"serial/diagnosis", "sim/chart/chart", "store/area_file", "firmware/mqttlite_board/settings"},
    "HEADER": {"store/in_sqlite/sqlite_wal", "boards/images/firmware_image", "firmware/mqttlite_board/improv"},
    "HELD": {"core/session:HELD"},  # a state, not a record
    "IN_DISCONNECT": {"core/wire5_server"},  # what a client may send, not a server
    "IN_PUBLISH": {"core/wire5_server"},
    "LEAST": {"store/in_sqlite/sqlite_reserve", "gateway/lines/separator"},
    "LEAVE": {"cli/showing/terminal"},  # a key
    "LEFT": {"cli/demo/table"},
    "LONGEST": {"gateway/lines/separator"},
    "MAGIC": {"core/keys", "store/in_sqlite/sqlite_wal"},
    "MARK": {"store/area_host", "store/damage"},
    "MASK": {"core/keys", "store/in_sqlite/sqlite_wal"},
    "NEVER": {"sim/chart/layout"},
    "NOT_AUTHORISED": {"core/greeting"},
    "OPEN": {"link/stream:OPEN", "link/stream:_OPEN"},
    "PACKET_ID": {"planning/sizes", "store/tables/broker_tables"},  # bytes, and bits
    "PIECE": {
        "sim/small/pieces",
        "broker/packets/long_requests",
        "client/connector",
        "store/area_file",
        "store/in_sqlite/sqlite_leftovers",
        "firmware/mqttlite_board/heap",
        "firmware/mqttlite_board/improv",
    },
    "PINGREQ": {"client/connecting/watchdog"},  # the whole packet
    "PUBLISH": {"planning/flow"},
    "PUBREL": {"planning/flow"},
    "QUIET_MS": {
        "serial/usb_port",
        "firmware/mqttlite_board/provisioning",
        "firmware/mqttlite_board/sleeping",
        "firmware/mqttlite_board/start/window",
    },
    "READ": {"boards/images/littlefs_image", "cli/showing/terminal", "serial/usb_port"},
    "QOS": {"broker/operating/view"},  # bits of a head, not the options of a subscription
    "RELEASED": {"core/session:RELEASED", "store/tables/sqlite_tables"},  # a state, and a bit of one
    "SAID": {"cli/examining/simulate", "serial/diagnosis", "gateway/lines/upstream"},
    "SHARE": {"broker/connections/commit_gate", "planning/saturation", "store/in_sqlite/sqlite_reserve"},
    "SILENT_S": {"cli/boards/console"},
    "SIZE": {"broker/packets/answers", "firmware/mqttlite_board/improv"},
    "SIZE_MAX": {"sim/small/pieces", "core/properties", "store/sqlite", "sim/net/packets"},
    "SPAN": {"core/keys", "core/session"},
    "TAIL": {"gateway/lines/separator"},
    "TRIES": {"store/pace"},
    "VERSION": {"database/schema"},
    "WAIT_S": {"gateway/lines/console", "cli/boards/board/setup"},
    "WEIGHT": {"store/pace"},
    "WINDOW": {"cli/examining/bench", "store/damage"},
}

# Copies under another name
SAME = (
    ("sim/net/packets:SIZE_MAX", "core/codec:REMAINING_MAX"),
    ("core/properties:SIZE_MAX", "core/codec:REMAINING_MAX", 5),  # with the fixed header
    ("core/packet_types:PUBLISH", "core/session:PUBLISH1", -2),
    ("core/packet_types:PUBLISH", "core/session:PUBLISH2", -4),
    ("core/session:PUBLISH1_DUP", "core/session:PUBLISH1", 8),
    ("core/session:PUBLISH2_DUP", "core/session:PUBLISH2", 8),
    ("core/session:STALE1", "core/session:TAKEN1", 4),
    ("core/session:STALE2", "core/session:TAKEN2", 4),
)

# What a page says, and where the number is from
PAGES = (
    ("docs/guarantees.md", r"A receiver tells ([\d,]+) numbers", "core/keys:SPAN"),
    ("docs/guarantees.md", r"do not leap by more than ([\d,]+) while", "client/face:KEYS_SPAN"),
    ("docs/guarantees.md", r"Of each producer, ([\d,]+) epochs", "core/keys:EPOCHS"),
    ("docs/guarantees.md", r"Up to ([\d,]+) messages in doubt", "client/unconfirmed:DOUBTS_MAX"),
    ("docs/guarantees.md", r"of its earlier life: ([\d,]+) PUBREL", "core/session:SPAN"),
    (
        "docs/decisions/0015-identifiers-are-cleared-beside-the-traffic.md",
        r"up to ([\d,]+) iden",
        "core/earlier_life:STORED",
    ),
    ("docs/decisions/0004-inbound-limit-of-3-1-1.md", r"accepts up to ([\d,]+) of", "core/session:SPAN"),
)


class Constant(NamedTuple):
    module: str  # below FOLDERS, without .py
    name: str
    value: float | bytes


def fold(node: ast.expr, known: dict[str, float | bytes]) -> float | bytes | None:
    """What an expression of constants is worth; None: it is something else."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "const":
        return fold(node.args[0], known)
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float | bytes):
        return node.value
    if isinstance(node, ast.Name):
        return known.get(node.id)
    if isinstance(node, ast.UnaryOp | ast.BinOp):
        parts = (node.operand,) if isinstance(node, ast.UnaryOp) else (node.left, node.right)
        if all(fold(part, known) is not None for part in parts):
            value = eval(ast.unparse(node), {"const": lambda number: number}, dict(known))
            return value if isinstance(value, int | float | bytes) else None
    return None


def constants() -> Iterator[Constant]:
    """Every constant of a module that is a number, or bytes."""
    for folder in FOLDERS:
        for file in sorted((ROOT / folder).rglob("*.py")):
            module = file.relative_to(ROOT).with_suffix("").as_posix()
            module = module.replace("gateway/mqttlite_gateway", "gateway").removeprefix("mqttlite/")
            text = file.read_text(encoding="utf-8")
            known: dict[str, float | bytes] = {}
            for node in ast.parse(text).body:
                if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Name):
                    continue
                name = node.targets[0].id
                value = fold(node.value, known) if re.fullmatch(r"_?[A-Z][A-Z0-9_]*", name) else None
                if value is None or name == "TYPE_CHECKING":
                    continue
                known[name] = value
                yield Constant(module, name, value)


@pytest.fixture(scope="module")
def found() -> list[Constant]:
    """All of them: read by whoever runs these tests, and not by all workers when they collect."""
    return list(constants())


@pytest.fixture(scope="module")
def by_name(found: list[Constant]) -> dict[str, list[Constant]]:
    names: dict[str, list[Constant]] = defaultdict(list)
    for constant in found:
        names[constant.name.lstrip("_")].append(constant)
    return names


@pytest.fixture(scope="module")
def by_place(found: list[Constant]) -> dict[str, float | bytes]:
    return {f"{constant.module}:{constant.name}": constant.value for constant in found}


def test_the_constants_are_found(found: list[Constant], by_place: dict[str, float | bytes]) -> None:
    assert len(found) > 400
    assert by_place["core/records:LOST"] == 7
    assert by_place["core/session:SPAN"] == 65535
    assert {constant.name for constant in found if constant.module == "link/frames"} >= {"ACK", "NAK", "OVERHEAD"}


def may_be_copies(found: list[Constant]) -> bool:
    """A private constant may be a copy of whatever has its name; a public one, in the rooms that share their names."""
    shared = [constant for constant in found if constant.module.startswith(("core/", "link/", "store/"))]
    return len(found) > 1 and (any(constant.name.startswith("_") for constant in found) or len(shared) > 1)


def test_constants_of_one_name_are_equal_or_said_to_be_different_things(by_name: dict[str, list[Constant]]) -> None:
    names = [name for name, found in by_name.items() if may_be_copies(found)]
    assert len(names) > 30
    unequal = []
    for name in names:
        different = DIFFERENT.get(name, set())
        same = {}
        for module, own_name, value in by_name[name]:
            if module not in different and f"{module}:{own_name}" not in different:
                same[f"{module}:{own_name}"] = value
        if len(set(same.values())) > 1:
            unequal.append(same)
    assert not unequal, "make them equal, or enter what is another thing into DIFFERENT"


def test_nothing_is_said_to_be_different_that_is_not_there(by_name: dict[str, list[Constant]]) -> None:
    for name, places in DIFFERENT.items():
        there = {constant.module for constant in by_name[name]}
        assert {place.partition(":")[0] for place in places} <= there, name


@pytest.mark.parametrize("pair", SAME, ids=str)
def test_copies_under_another_name_are_equal(
    pair: tuple[str, str] | tuple[str, str, int], by_place: dict[str, float | bytes]
) -> None:
    one, other, *more = pair
    by = more[0] if more else 0
    original = by_place[other]
    assert isinstance(original, int)
    assert by_place[one] == original + by


@pytest.mark.parametrize(("page", "pattern", "place"), PAGES)
def test_what_a_page_promises_is_what_the_code_has(
    page: str, pattern: str, place: str, by_place: dict[str, float | bytes]
) -> None:
    text = " ".join((ROOT / page).read_text(encoding="utf-8").split())
    (said,) = re.findall(pattern, text)
    assert int(said.replace(",", "")) == by_place[place]
