"""Pass: an attribute that is set once, to a method or an attribute of the same object, is that one.

It is what is left of an event, or of what two parts have both been given, when they have become one object (parts.py):
a call goes straight to the method. Only where the constructor sets it, and nothing else but a default; and what it is
set to must not be set otherwise, either.
"""

import ast

from .folding import is_none
from .merging import Merged
from .program import defined
from .reaching import is_self
from .walking import Transformer, walk


class Alias(Transformer):
    def __init__(self, names: dict[str, str], methods: set[str]) -> None:
        self.names = names
        self.methods = methods

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if isinstance(node.ctx, ast.Load) and node.attr in self.names:
            while node.attr in self.names:
                node.attr = self.names[node.attr]
            node.is_true = node.attr in self.methods  # type: ignore[attr-defined]
        return self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        for target in node.targets:
            name = (
                target.attr if isinstance(target, ast.Attribute) else target.id if isinstance(target, ast.Name) else ""
            )
            if name in self.names and (isinstance(target, ast.Attribute) or target.kind == "class"):  # type: ignore[attr-defined]
                return ast.copy_location(ast.Pass(), node)
        return self.generic_visit(node)


def run(merged: Merged, whole: str) -> bool:
    """Put methods in the place of such attributes of the class `whole`; whether there were any."""
    [cls] = [node for node in merged.trees() if isinstance(node, ast.ClassDef) and node.name == whole]
    methods = {node.name for node in cls.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}
    set_to: dict[str, list[str | None]] = {}
    for tree in merged.trees():
        for node in walk(tree):
            if isinstance(node, ast.Assign):
                value = node.value
                is_own = isinstance(value, ast.Attribute) and is_self(value.value)
                for target in node.targets:
                    if isinstance(target, ast.Attribute) and is_none(value) and is_self(target.value):
                        continue  # a default, like one of the class
                    if isinstance(target, ast.Attribute):
                        found = value.attr if is_own and is_self(target.value) and len(node.targets) == 1 else None  # type: ignore[union-attr]
                        set_to.setdefault(target.attr, []).append(found)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Del):
                set_to.setdefault(node.attr, []).append(None)
            elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Attribute):
                set_to.setdefault(node.target.attr, []).append(None)
    inside = {
        id(statement)
        for node in cls.body
        if isinstance(node, ast.FunctionDef) and (node.name.startswith("_init_") or node.name == "__init__")
        for statement in node.body
    }
    in_constructor = {
        target.attr
        for node in walk(cls)
        if isinstance(node, ast.Assign) and id(node) in inside
        for target in node.targets
        if isinstance(target, ast.Attribute) and not is_none(node.value)
    }

    def is_fixed(name: str) -> bool:
        """Whether an attribute is set by the constructor alone, and once."""
        return len(set_to.get(name, ())) == 1 and name in in_constructor

    private = {name for name in set_to if name.startswith("_") and name not in methods}
    chosen: dict[str, str] = {}
    again = True
    while again:
        again = False
        for name in private - set(chosen):
            values = set_to[name]
            is_set_once = len(values) == 1 and name in in_constructor
            if is_set_once and values[0] and (values[0] in methods or values[0] in chosen or is_fixed(values[0])):
                chosen[name] = values[0]
                again = True
    for part in merged.parts.values():
        part.body = [Alias(chosen, methods).visit(node) for node in part.body]
    return bool(chosen) and bool(defined(cls))
