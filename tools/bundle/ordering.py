"""Pass: the names that are used most get the numbers below 128 in the file's table, which take one byte, not two.

MicroPython's compiler numbers the names of a file as it meets them. So the first statement names those, in an
expression that is never evaluated: `print` is never false.
"""

import ast
from collections import Counter

from .merging import Merged
from .scopes import parameters
from .walking import walk

ONE_BYTE = 126  # numbers of one byte, but for the file's name and that of `print`
USES_MIN = 5  # from how many on it pays: to be named here costs two bytes of the file


def frequent(body: list[ast.stmt]) -> list[str]:
    """The names that are used often in the bytecode of these statements, the most frequent first."""
    uses: Counter[str] = Counter()
    for tree in body:
        for node in walk(tree):
            if isinstance(node, ast.Attribute):
                uses[node.attr] += 1
            elif isinstance(node, ast.Name) and node.kind != "local":  # type: ignore[attr-defined]
                uses[node.id] += 1
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
                uses.update(arg.arg for arg in parameters(node))
                uses[getattr(node, "name", "<lambda>")] += 2
    return [name for name, count in uses.most_common(ONE_BYTE) if count >= USES_MIN and name.isidentifier()]


def run(merged: Merged) -> None:
    """Put the names of each part in order."""
    for part in merged.parts.values():
        names = frequent(part.body)
        if len(names) > ONE_BYTE // 2:  # a small part has no more names than there are numbers
            [first] = ast.parse("if not print:\n    " + ".".join(names)).body
            part.body.insert(0, first)
