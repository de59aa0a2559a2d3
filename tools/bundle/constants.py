"""Pass: a number that has a name stands wherever the name stood, in all parts, and arithmetic on numbers is done here.

MicroPython's compiler does so for the `const()` of one file. Across files it reads a global instead, which costs a
name, a slot in the module and a look-up. A name is a constant when one statement at the top of a module gives it a
whole number, or what is computed of such, and nothing else ever binds it: then every reader would have found it.
"""

import ast

from .merging import Merged
from .numbers import number, value_of
from .walking import Transformer, walk


class Inliner(Transformer):
    def __init__(self, values: dict[str, int]) -> None:
        self.values = values

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if isinstance(node.ctx, ast.Load) and node.id in self.values:
            return number(self.values[node.id], node)
        return node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> "ast.AST | None":
        node.names = [alias for alias in node.names if alias.name not in self.values]
        return node if node.names else ast.copy_location(ast.Pass(), node)

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        if isinstance(node, (ast.BinOp, ast.UnaryOp, ast.Call)):
            value = value_of(node)
            if value is not None:
                return number(value, node)
        return node


def run(merged: Merged) -> None:
    """Inline all constants of the program."""
    bound: dict[str, int] = {}
    for node in merged.trees():
        for found in walk(node):
            if isinstance(found, ast.Name) and not isinstance(found.ctx, ast.Load):
                bound[found.id] = bound.get(found.id, 0) + 1
            elif isinstance(found, ast.Global):
                bound.update(dict.fromkeys(found.names, 2))
    values: dict[str, int] = {}
    public = set(merged.public.values())
    for part in merged.parts.values():  # what a part needs at its top is in one before it, or in itself
        body = []
        for node in part.body:
            new = Inliner(values).visit(node)
            if isinstance(new, ast.Assign) and len(new.targets) == 1 and isinstance(new.targets[0], ast.Name):
                name = new.targets[0].id
                value = value_of(new.value)
                if value is not None and bound[name] == 1 and name in merged.home:
                    values[name] = value
                    if name not in public:
                        continue
            if not isinstance(new, ast.Pass):
                body.append(new)
        part.body = body
    for part in merged.parts.values():  # constants of parts further down, named inside functions
        part.body = [
            node for node in (Inliner(values).visit(old) for old in part.body) if not isinstance(node, ast.Pass)
        ]
