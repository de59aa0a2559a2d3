"""Pass: an attribute that only ever holds one constant is that constant wherever it is read.

It is what is left of an option that a set does not have: `self._store = None` is all that sets it, so `if self._store`
is decided. Only for attributes of our own (a name with an underscore in front), all of whose assignments give the
same number, truth value, None, bytes, or class; `+=` or `del` of it rule it out.
"""

import ast
import copy

from .merging import Merged
from .reaching import is_self
from .walking import Transformer, walk


def _constant(node: ast.expr, classes: set[str]) -> "tuple[bool, object]":
    if isinstance(node, ast.Name) and node.id in classes:
        return True, node
    if isinstance(node, ast.Constant) and (node.value is None or isinstance(node.value, (bool, int, bytes))):
        return True, node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
        return True, -node.operand.value  # type: ignore[operator]
    return False, None


class Settle(Transformer):
    def __init__(self, values: dict[str, object]) -> None:
        self.values = values

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.ctx, ast.Load) and node.attr in self.values:
            value = self.values[node.attr]
            return copy.copy(value) if isinstance(value, ast.Name) else ast.copy_location(ast.Constant(value), node)
        return node


def overwritten(merged: Merged) -> set[int]:
    """Assignments of attributes that a later statement of the same constructor repeats before anything reads them, and
    defaults of the class that the constructor always repeats.
    """
    found: set[int] = set()
    for tree in merged.trees():
        if not isinstance(tree, ast.ClassDef):
            continue
        init = next((node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "__init__"), None)
        if not init:
            continue
        read = {n.attr for n in walk(init) if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Load)}
        last: dict[str, ast.Assign] = {}
        for statement in [*tree.body, *init.body]:
            if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
                target = statement.targets[0]
                name = target.id if isinstance(target, ast.Name) and statement in tree.body else ""
                if isinstance(target, ast.Attribute) and is_self(target.value):
                    name = target.attr
                if name and name not in read:
                    if name in last:
                        found.add(id(last[name]))
                    last[name] = statement
    return found


def run(merged: Merged, foreign: set[str]) -> bool:
    """Put constants in; whether there were any."""
    values: dict[str, object] = {}
    several: set[str] = set()
    classes = {node.name for node in merged.trees() if isinstance(node, ast.ClassDef)}

    def store(name: str, value: "ast.expr | None") -> None:
        is_constant, found = _constant(value, classes) if value is not None else (False, None)
        if not is_constant or (name in values and (values[name], type(values[name])) != (found, type(found))):
            several.add(name)
        values[name] = found

    repeated = overwritten(merged)
    for tree in merged.trees():
        handled: set[int] = set()
        for node in walk(tree):
            if id(node) in repeated:
                handled.update(map(id, node.targets))  # type: ignore[attr-defined]
            elif isinstance(node, ast.Assign):
                for target in node.targets:
                    if isinstance(target, ast.Attribute):
                        handled.add(id(target))
                        store(target.attr, node.value)
            elif isinstance(node, ast.ClassDef):
                for member in node.body:
                    if isinstance(member, ast.Assign) and id(member) not in repeated:
                        for target in member.targets:
                            if isinstance(target, ast.Name):
                                store(target.id, member.value)
                    elif isinstance(member, (ast.FunctionDef, ast.AsyncFunctionDef)):
                        several.add(member.name)
            elif isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load) and id(node) not in handled:
                several.add(node.attr)
    chosen = {
        name: value
        for name, value in values.items()
        if name not in several and name not in foreign and name.startswith("_")
    }
    read = {
        n.attr for t in merged.trees() for n in walk(t) if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Load)
    }
    chosen = {name: value for name, value in chosen.items() if name in read}
    for part in merged.parts.values():
        part.body = [Settle(chosen).visit(node) for node in part.body]
    return bool(chosen)
