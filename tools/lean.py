"""Makes a module of the board's program lean, line by line as it was: what only the type checker needs is gone, and its
constants stand where they are used.

A name costs a board its text, seven bytes of a table that doubles when it is full, and a place in its module; so a
constant (NAME = 60, a number or a short text) that no other file names is put in its own place. Lines keep their
numbers, so a traceback from a board fits the source.
"""

import ast
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

TEXT_MAX = 12  # characters of a text that is put in the place of its name


def others_use(files: Iterable[Path]) -> "dict[str, set[Path]]":
    """Names in capitals by the files that have them."""
    found: dict[str, set[Path]] = {}
    for path in files:
        for name in set(re.findall(r"\b_?[A-Z][A-Z0-9_]*\b", path.read_text(encoding="utf-8"))):
            found.setdefault(name, set()).add(path)
    return found


def lean(source: str, keep: "set[str]") -> str:
    """The source of a module; `keep`: constants that others name."""
    tree = ast.parse(source)
    lines = source.split("\n")
    stored = Counter(
        node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)
    )
    stored.update(node.arg for node in ast.walk(tree) if isinstance(node, ast.arg))
    values: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING" and not node.orelse:
            _blank(lines, node)
        elif isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            if name == "TYPE_CHECKING":
                _blank(lines, node)
            elif name.isupper() and stored[name] == 1 and name not in keep:
                value = _constant(node.value)
                if value:
                    values[name] = value
                    _blank(lines, node)
    places = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and node.id in values and isinstance(node.ctx, ast.Load)
    ]
    for node in sorted(places, key=lambda node: (node.lineno, node.col_offset), reverse=True):
        line = lines[node.lineno - 1].encode()
        if line[node.col_offset : node.end_col_offset].decode() == node.id:
            new = line[: node.col_offset] + values[node.id].encode() + line[node.end_col_offset :]
            lines[node.lineno - 1] = new.decode()
    return "\n".join(lines)


def _constant(node: ast.expr) -> str:
    """A constant as it may stand anywhere; "": it is none, or too long."""
    try:
        value = ast.literal_eval(node)
    except ValueError:
        return ""
    if type(value) is int and value >= 0:
        return str(value)
    if isinstance(value, (str, bytes)) and len(value) <= TEXT_MAX:
        return repr(value)
    return ""


def _blank(lines: list[str], node: ast.stmt) -> None:
    assert node.end_lineno
    lines[node.lineno - 1 : node.end_lineno] = [""] * (node.end_lineno - node.lineno + 1)
