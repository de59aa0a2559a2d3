"""Pass: a variable that only holds what another one, a constant or an attribute is, is that.

Inlining leaves such variables behind: what was an argument. Left alone is whatever may change in between: only a
constant or a parameter that is never set is put in many places; an attribute only in one, with nothing in front of it
that could call anything or set it.
"""

import ast
import copy
from collections import Counter

from .inlining import Function
from .merging import Merged
from .parts import functions
from .scopes import parameters
from .walking import Transformer, walk

NESTED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


class Put(Transformer):
    def __init__(self, name: str, value: ast.expr) -> None:
        self.name = name
        self.value = value

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node.id == self.name and isinstance(node.ctx, ast.Load):
            return ast.copy_location(copy.deepcopy(self.value), node)
        return node


def is_chain(node: ast.expr) -> bool:
    """Whether this is an attribute of attributes of a variable."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return isinstance(node, ast.Name)


def is_quiet(node: ast.stmt, value: ast.expr) -> bool:
    """Whether a statement is a plain assignment that cannot change `value`."""
    if not isinstance(node, ast.Assign):
        return False
    inside = {part.attr for part in walk(value) if isinstance(part, ast.Attribute)}
    for part in walk(node):
        if isinstance(part, (ast.Call, ast.Await, ast.Subscript, *NESTED)):
            return False
        if isinstance(part, ast.Attribute) and isinstance(part.ctx, ast.Store) and part.attr in inside:
            return False
    return True


def first_use(node: ast.stmt, name: str, value: ast.expr) -> bool:
    """Whether `value` may stand in this statement, where `name` is used once: evaluated before anything is called."""
    for part in walk(node):
        if isinstance(part, (*NESTED, ast.For, ast.While, ast.AsyncFor, ast.Try, ast.With, ast.AsyncWith)):
            return False
    if isinstance(node, (ast.Assign, ast.Expr, ast.Return)):
        return not any(isinstance(part, (ast.Call, ast.Await)) for part in walk(node.value or node))
    return False


def run(merged: Merged) -> bool:
    """Put in what variables hold; whether there were any."""
    changed = False
    for function, _ in functions(merged):
        while _one(function):
            changed = True
    return changed


def _one(function: Function) -> bool:
    stores: Counter[str] = Counter()
    uses: Counter[str] = Counter()
    for node in walk(function):
        if isinstance(node, ast.Name):
            (uses if isinstance(node.ctx, ast.Load) else stores)[node.id] += 1
        elif isinstance(node, ast.ExceptHandler) and node.name:
            stores[node.name] += 2
        elif isinstance(node, (ast.Global, ast.Nonlocal)):
            stores.update(dict.fromkeys(node.names, 2))
        elif isinstance(node, ast.alias):
            stores[node.asname or node.name] += 2
    given = {arg.arg for arg in parameters(function)}
    for body in bodies(function):
        for at, node in enumerate(body):
            if not isinstance(node, ast.Assign) or len(node.targets) != 1 or not isinstance(node.targets[0], ast.Name):
                continue
            name = node.targets[0].id
            if stores[name] != 1 or name in given or node.targets[0].kind != "local":  # type: ignore[attr-defined]
                continue
            value = node.value
            is_everywhere = (isinstance(value, ast.Constant) and isinstance(value.value, (int, type(None)))) or (
                isinstance(value, ast.Name) and value.id in given and not stores[value.id]
            )
            if is_everywhere and body is function.body:
                del body[at]
                for statement in function.body:
                    Put(name, value).visit(statement)
                if not function.body:
                    function.body.append(ast.Pass())
                return True
            if uses[name] == 1 and is_chain(value) and isinstance(value, ast.Attribute):
                for later in range(at + 1, len(body)):
                    if any(isinstance(n, ast.Name) and n.id == name for n in walk(body[later])):
                        if first_use(body[later], name, value):
                            body[later] = Put(name, value).visit(body[later])
                            del body[at]
                            return True
                        break
                    if not is_quiet(body[later], value):
                        break
    return False


def bodies(function: Function) -> list[list[ast.stmt]]:
    """All lists of statements in a function."""
    found = []
    for node in walk(function):
        for name in ("body", "orelse", "finalbody"):
            body = getattr(node, name, None)
            if isinstance(body, list) and body:
                found.append(body)
    return found
