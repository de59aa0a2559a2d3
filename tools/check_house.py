"""Checks the house: imports run downwards, no circle of files or of folders, no large file or function, one home for a
constant.

    python -m tools.check_house     part of `make lint`; exit code 1 where something is found

Rooms are the folders of mqttlite/, gateway/, and, as `board`, firmware/mqttlite_board/. What is found and
tolerated stands in TOLERATED; what stands there and is not found any more is an error, too, so that the list can only
shrink.

Within a room, folders and the modules beside them stand above each other, too: none needs what needs it. The docstring
of a folder's `__init__` is a map: it names each module (MAPPED).

An import inside a function loads a part when it is needed: it must not run upwards either, but the part may well know
what it is a part of, so it closes no circle, nor does the declaration for the type checker of what is loaded so. Any
other import for the type checker does.
"""

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]

# From the ground up. Rooms on one floor do not import each other.
FLOORS = (
    ("core",),
    ("link",),
    ("store",),
    ("serial", "net", "ledger", "settings"),
    ("client", "broker"),
    ("database", "board"),
    ("gateway",),
    ("sim", "planning", "boards", "testing"),
    ("cli",),
    ("__main__",),
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
FACES = ("__init__", "version", "blocking")  # modules of mqttlite/ itself that name what the rooms have
PACKAGES = {  # folder of each
    "mqttlite": "mqttlite",
    "mqttlite_gateway": "gateway/mqttlite_gateway",
    "mqttlite_board": "firmware/mqttlite_board",
}
OTHERS = ("tests", "benchmarks", "examples", "fuzz", "hardware", "tools")  # whose files have sizes, too
MAPPED = ("broker", "store", "gateway", "sim", "boards", "cli")  # rooms whose folders have maps that name each module
LINES_MAX = 500
FUNCTION_MAX = 79

# Such as "large mqttlite/a/b.py": a finding up to its colon
TOLERATED: frozenset[str] = frozenset(
    {
        "circle of folders in client",
    }
)


class Finding(NamedTuple):
    what: str  # as in TOLERATED
    why: str = ""


class Import(NamedTuple):
    module: str
    is_deferred: bool  # inside a function, and elsewhere for the type checker only


class Module(NamedTuple):
    name: str
    path: str  # below the project's root
    room: str
    tree: ast.Module

    @property
    def parts(self) -> list[str]:
        """Its package's name, in parts."""
        parts = self.name.split(".")
        return parts if self.path.endswith("__init__.py") else parts[:-1]


def modules(root: Path) -> dict[str, Module]:
    """The modules of all rooms, by name."""
    found = {}
    for package, folder in PACKAGES.items():
        for path in sorted((root / folder).rglob("*.py")):
            parts = [package, *path.relative_to(root / folder).with_suffix("").parts]
            room = parts[1] if package == "mqttlite" else package.removeprefix("mqttlite_")
            name = ".".join(parts).removesuffix(".__init__")
            tree = ast.parse(path.read_text(encoding="utf-8"))
            found[name] = Module(name, path.relative_to(root).as_posix(), room, tree)
    return found


def imports(module: Module, known: dict[str, Module]) -> list[Import]:
    """What it imports of `known`."""
    inside, at_once, declared = (list(_names(module, nodes, known)) for nodes in _by_time(module.tree))
    deferred = {*inside, *(name for name in declared if name in inside)} - {*at_once}
    return [Import(name, name in deferred) for name in dict.fromkeys([*at_once, *declared, *inside])]


def _by_time(tree: ast.Module) -> tuple[list[ast.AST], list[ast.AST], list[ast.AST]]:
    """All nodes: inside functions, at the top, for the type checker."""
    nodes: tuple[list[ast.AST], list[ast.AST], list[ast.AST]] = ([], [], [])
    waiting: list[tuple[ast.AST, int]] = [(tree, 1)]
    while waiting:
        node, when = waiting.pop(0)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            when = 0
        nodes[when].append(node)
        is_checked = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for name, part in ast.iter_fields(node):
            parts = part if isinstance(part, list) else [part]
            inner = 2 if is_checked and name == "body" and when else when
            waiting += [(each, inner) for each in parts if isinstance(each, ast.AST)]
    return nodes


def _names(module: Module, nodes: list[ast.AST], known: dict[str, Module]) -> Iterator[str]:
    for node in nodes:
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = module.parts[: len(module.parts) - node.level + 1] if node.level else []
            stem = ".".join([*above, *([node.module] if node.module else [])])
            names = [part if (part := f"{stem}.{alias.name}") in known else stem for alias in node.names]
        yield from (name for name in names if name in known)


def upwards(module: Module, other: Module) -> bool:
    """Whether `module` must not import `other`."""
    if other.room == module.room or module.room in FACES or other.room in FACES:
        return False
    return FLOOR.get(other.room, 0) >= FLOOR.get(module.room, len(FLOORS))


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Sets of more than one module each of which can be reached from each other one (Tarjan)."""
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(name: str) -> None:
        order[name] = lowest[name] = len(order)
        stack.append(name)
        for other in graph[name]:
            if other not in order:
                visit(other)
            if other in stack:
                lowest[name] = min(lowest[name], lowest[other])
        if lowest[name] == order[name]:
            circle = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(circle) > 1:
                found.append(sorted(circle))

    for name in graph:
        if name not in order:
            visit(name)
    return found


def sizes(root: Path) -> Iterator[Finding]:
    """Files and functions that are too large."""
    for folder in (*PACKAGES.values(), *OTHERS):
        for path in sorted((root / folder).rglob("*.py")):
            if "node_modules" in path.parts:
                continue
            text = path.read_text(encoding="utf-8")
            place = path.relative_to(root).as_posix()
            lines = text.count("\n")
            if lines > LINES_MAX:
                yield Finding(f"large {place}", f"{lines} lines, {LINES_MAX} at most")
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    lines = (node.end_lineno or node.lineno) - node.lineno + 1
                    if lines > FUNCTION_MAX:
                        yield Finding(f"long {place} {node.name}", f"{lines} lines, {FUNCTION_MAX} at most")


def folders(graph: dict[str, set[str]], known: dict[str, Module]) -> Iterator[Finding]:
    """Folders of a room that need each other, or modules beside them. `graph`: what each module needs at once."""
    place = {name: ".".join(name.split(".")[: 3 if name.startswith("mqttlite.") else 2]) for name in graph}
    room = {place[name]: known[name].room for name in graph}
    needs: dict[str, set[str]] = {each: set() for each in room}
    for name, others in graph.items():
        needs[place[name]] |= {place[other] for other in others if known[other].room == known[name].room}
    for circle in circles({each: others - {each} for each, others in needs.items()}):
        if any(place[name] in circle and place[name] != name for name in graph):  # else it is one of files
            yield Finding(f"circle of folders in {room[circle[0]]}", ", ".join(circle))


def unnamed(known: dict[str, Module]) -> Iterator[Finding]:
    """Modules that the map of their folder, the docstring of its `__init__`, does not name."""
    for module in known.values():
        folder = known.get(".".join(module.parts))
        if module.room in MAPPED and folder and folder is not module:
            name = module.name.rpartition(".")[2]
            if not re.search(rf"\b{name}\b", ast.get_docstring(folder.tree) or ""):
                yield Finding(f"unnamed {module.path}", f"{folder.path} is a map, and does not name it")


def copies(known: dict[str, Module]) -> Iterator[Finding]:
    """Constants, `NAME = const(value)`, that stand in two modules; _NAME is NAME."""
    homes: dict[tuple[str, str], list[str]] = defaultdict(list)
    for module in known.values():
        for node in module.tree.body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                name, value = node.targets[0].id.lstrip("_"), ast.unparse(node.value)
                if value.startswith("const(") and name != "TYPE_CHECKING":
                    homes[name, value].append(module.path)
    for (name, value), places in homes.items():
        if len(places) > 1:
            yield Finding(f"copied {name}", f"{value} stands in {', '.join(places)}")


def findings(root: Path) -> Iterator[Finding]:
    """All that is wrong."""
    known = modules(root)
    graph: dict[str, set[str]] = {name: set() for name in known}
    for module in known.values():
        if module.room not in FLOOR and module.room not in FACES:
            yield Finding(f"room {module.path}", f"FLOORS does not say where {module.room} is")
        for name, is_deferred in imports(module, known):
            if upwards(module, known[name]):
                yield Finding(f"upwards {module.path} {name}")
            if not is_deferred and known[name].room not in FACES and module.room not in FACES:
                graph[module.name].add(name)
    for circle in circles(graph):
        yield Finding(f"circle in {known[circle[0]].room}", ", ".join(circle))
    yield from folders(graph, known)
    yield from unnamed(known)
    yield from sizes(root)
    yield from copies(known)


def main() -> int:
    """Command line; the exit code."""
    found = {finding.what: finding for finding in findings(ROOT)}
    wrong = [f"{what}: {why}" if why else what for what, why in found.values() if what not in TOLERATED]
    wrong += [f"{what}: not found any more; take it out of TOLERATED" for what in sorted(TOLERATED - set(found))]
    print("\n".join(wrong) or "the house is in order" + ", but for: " * bool(TOLERATED) + ", ".join(sorted(TOLERATED)))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
