"""Which scope a name belongs to. Afterwards each Name node has `kind`: "local" to a function, an attribute of the class
whose body it stands in ("class"), or "global": of the module or built in.
"""

import ast
from collections.abc import Iterator

from .walking import walk

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def in_scope(body: "list[ast.AST]") -> Iterator[ast.AST]:
    """All nodes of `body` that belong to its own scope; of inner functions and classes the definition alone."""
    waiting = list(body)
    while waiting:
        found = waiting.pop(0)
        yield found
        waiting = [*_inside(found), *waiting]


def _inside(node: ast.AST) -> "list[ast.AST]":
    """What stands in `node` and is evaluated in the scope that it stands in."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return [*node.decorator_list, *node.args.defaults, *_kw_defaults(node.args)]
    if isinstance(node, ast.Lambda):
        return [*node.args.defaults, *_kw_defaults(node.args)]
    if isinstance(node, ast.ClassDef):
        return [*node.decorator_list, *node.bases]
    if isinstance(node, COMPREHENSIONS):
        return [node.generators[0].iter]
    return list(ast.iter_child_nodes(node))


def _kw_defaults(args: ast.arguments) -> list[ast.expr]:
    return [value for value in args.kw_defaults if value]


def parameters(function: Function) -> list[ast.arg]:
    """All parameters, in order."""
    args = function.args
    found = [*args.posonlyargs, *args.args, *args.kwonlyargs]
    return found + [arg for arg in (args.vararg, args.kwarg) if arg]


def bound(node: ast.AST) -> set[str]:
    """The names that the scope of a function, class or comprehension binds."""
    names: set[str] = set()
    outside: set[str] = set()
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
        names |= {arg.arg for arg in parameters(node)}
        body: list[ast.AST] = [node.body] if isinstance(node, ast.Lambda) else list(node.body)
    elif isinstance(node, COMPREHENSIONS):
        return {n.id for part in node.generators for n in walk(part.target) if isinstance(n, ast.Name)}
    else:
        body = list(node.body)  # type: ignore[attr-defined]
    for found in in_scope(body):
        if isinstance(found, ast.Name) and not isinstance(found.ctx, ast.Load):
            names.add(found.id)
        elif isinstance(found, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(found.name)
        elif isinstance(found, (ast.Import, ast.ImportFrom)):
            names |= {alias.asname or alias.name.split(".")[0] for alias in found.names}
        elif isinstance(found, ast.ExceptHandler) and found.name:
            names.add(found.name)
        elif isinstance(found, (ast.Global, ast.Nonlocal)):
            outside |= set(found.names)
        elif isinstance(found, COMPREHENSIONS):
            names |= {n.target.id for n in walk(found) if isinstance(n, ast.NamedExpr)}
    return names - outside


class Binder(ast.NodeVisitor):
    """Sets `kind` of each Name below the module that it visits; a function's node gets `locals`, its bound names."""

    def __init__(self) -> None:
        self.stack: list[tuple[str, set[str]]] = []

    def visit_Name(self, node: ast.Name) -> None:
        node.kind = "global"  # type: ignore[attr-defined]
        for depth, (kind, names) in enumerate(reversed(self.stack)):
            if node.id in names and (kind == "local" or depth == 0):
                node.kind = kind  # type: ignore[attr-defined]
                break

    def _function(self, node: Function) -> None:
        for outer in (*node.args.defaults, *_kw_defaults(node.args)):
            self.visit(outer)
        for decorator in getattr(node, "decorator_list", []):
            self.visit(decorator)
        names = node.locals = bound(node)  # type: ignore[union-attr]
        self.stack.append(("local", names))
        for statement in [node.body] if isinstance(node, ast.Lambda) else node.body:
            self.visit(statement)
        self.stack.pop()

    visit_FunctionDef = visit_AsyncFunctionDef = visit_Lambda = _function

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for outer in (*node.bases, *node.decorator_list):
            self.visit(outer)
        self.stack.append(("class", bound(node)))
        for statement in node.body:
            self.visit(statement)
        self.stack.pop()

    def _comprehension(self, node: ast.AST) -> None:
        self.visit(node.generators[0].iter)  # type: ignore[attr-defined]
        self.stack.append(("local", bound(node)))
        for index, part in enumerate(node.generators):  # type: ignore[attr-defined]
            self.visit(part.target)
            if index:
                self.visit(part.iter)
            for test in part.ifs:
                self.visit(test)
        for name in ("elt", "key", "value"):
            if hasattr(node, name):
                self.visit(getattr(node, name))
        self.stack.pop()

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension


def bind(tree: ast.Module) -> None:
    """Say of each name in `tree` where it belongs to."""
    Binder().visit(tree)
