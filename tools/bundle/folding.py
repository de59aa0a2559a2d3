"""Pass: code that can never run is left out: `if` on what is a number by now, as the flags of core/features.py are.

Only what is decided by constants goes, and no expression that could do something is dropped with it.
"""

import ast

from .numbers import number, value_of
from .walking import Transformer, bodies_of, walk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .merging import Merged

PURE = (ast.Name, ast.Constant, ast.Attribute)


def truth(node: ast.expr) -> "bool | None":
    """Whether an expression is true, as far as that is known without running it."""
    if isinstance(node, ast.Constant):
        return bool(node.value)
    if getattr(node, "is_true", False):  # a method (aliases.py)
        return True
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        inner = truth(node.operand)
        return None if inner is None else not inner
    if isinstance(node, (ast.Tuple, ast.List)) and not node.elts:
        return False
    return None


def is_none(node: ast.expr) -> bool:
    """Whether this is None, written out."""
    return isinstance(node, ast.Constant) and node.value is None


def is_pure(node: ast.expr) -> bool:
    """Whether it does not matter if this is evaluated: names, attributes, and what is computed of them by operators."""
    return all(
        isinstance(
            part,
            (*PURE, ast.expr_context, ast.BoolOp, ast.UnaryOp, ast.Compare, ast.boolop, ast.unaryop, ast.cmpop,
             ast.BinOp, ast.operator, ast.Subscript, ast.Tuple),
        )
        for part in walk(node)
    )  # fmt: skip


class Folder(Transformer):
    def __init__(self) -> None:
        self.changed = False

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        self.generic_visit(node)
        stops = isinstance(node.op, ast.Or)  # the truth with which the expression ends early
        kept: list[ast.expr] = []
        for index, value in enumerate(node.values):
            known = truth(value)
            if known is None or index == len(node.values) - 1:
                kept.append(value)
            elif known is stops:
                kept.append(value)
                break
        if len(kept) == len(node.values):
            return node
        self.changed = True
        return kept[0] if len(kept) == 1 else ast.copy_location(ast.BoolOp(node.op, kept), node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        self.generic_visit(node)
        known = truth(node) if isinstance(node.op, ast.Not) else None
        return node if known is None else ast.copy_location(ast.Constant(known), node)

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        node.test = condition(node.test)
        self.generic_visit(node)
        known = truth(node.test)
        if known is None:
            return node
        self.changed = True
        return node.body if known else node.orelse

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        if len(node.ops) == 1:
            left, right = node.left, node.comparators[0]
            found: bool | None = None
            if isinstance(left, ast.Constant) and isinstance(right, ast.Constant):
                if isinstance(node.ops[0], (ast.Is, ast.IsNot)) and (left.value is None or right.value is None):
                    found = (left.value is right.value) == isinstance(node.ops[0], ast.Is)
                elif isinstance(node.ops[0], (ast.Eq, ast.NotEq)):
                    found = (left.value == right.value) == isinstance(node.ops[0], ast.Eq)
            if isinstance(left, ast.Constant) and isinstance(node.ops[0], (ast.In, ast.NotIn)):
                found = self._is_in(left, right, isinstance(node.ops[0], ast.In))
            if found is not None:
                self.changed = True
                return ast.copy_location(ast.Constant(found), node)
        return node

    def _is_in(self, left: ast.Constant, right: ast.expr, expected: bool) -> "bool | None":
        if not isinstance(right, ast.Tuple) or not all(isinstance(value, ast.Constant) for value in right.elts):
            return None
        return any(left.value == value.value for value in right.elts) == expected  # type: ignore[attr-defined]

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        value = value_of(node)
        if value is None:
            return node
        self.changed = True
        return number(value, node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id == "isinstance" and is_none(node.args[0]):
            self.changed = True
            return ast.copy_location(ast.Constant(False), node)
        return node

    def visit_If(self, node: ast.If) -> "ast.AST | list[ast.stmt]":
        node.test = condition(node.test)
        self.generic_visit(node)
        known = truth(node.test)
        if known is None:
            if all(isinstance(statement, ast.Pass) for statement in (*node.body, *node.orelse)) and is_pure(node.test):
                self.changed = True
                return ast.copy_location(ast.Pass(), node)
            return self._turned(node)
        self.changed = True
        return (node.body if known else node.orelse) or ast.copy_location(ast.Pass(), node)

    def _turned(self, node: ast.If) -> ast.If:
        """`if x: pass; else: ...` the other way round."""
        if node.orelse and all(isinstance(statement, ast.Pass) for statement in node.body):
            node.test = ast.copy_location(ast.UnaryOp(ast.Not(), node.test), node.test)
            node.body, node.orelse = node.orelse, []
            self.changed = True
        return node

    def visit_Try(self, node: ast.Try) -> "ast.AST | list[ast.stmt]":
        self.generic_visit(node)
        if all(isinstance(statement, ast.Pass) for statement in node.body):  # nothing can be raised
            self.changed = True
            return [*node.orelse, *node.finalbody] or ast.copy_location(ast.Pass(), node)
        if len(node.handlers) == 1 and _raises_again(node.handlers[0].body[0]) and not node.finalbody:
            self.changed = True
            return [*node.body, *node.orelse]
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        self.generic_visit(node)
        if all(is_pure(part) or _is_length(part) for part in _operands(node.value)):
            self.changed = True
            return ast.copy_location(ast.Pass(), node)
        return node

    def visit_While(self, node: ast.While) -> ast.AST:
        node.test = condition(node.test)
        self.generic_visit(node)
        if truth(node.test) is False:
            self.changed = True
            return ast.copy_location(ast.Pass(), node)
        return node

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        for name in bodies_of[type(node)]:
            body = getattr(node, name)
            if isinstance(body, list):
                setattr(node, name, tidy(body, needed=name == "body" and not isinstance(node, ast.Module)))
        return node


def _raises_again(node: ast.stmt) -> bool:
    return isinstance(node, ast.Raise) and node.exc is None


def _is_length(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "len"


def _operands(node: ast.expr) -> list[ast.expr]:
    """What a comparison or computation is made of; of anything else, itself."""
    if isinstance(node, ast.Compare):
        return [part for value in (node.left, *node.comparators) for part in _operands(value)]
    if isinstance(node, ast.BinOp):
        return [*_operands(node.left), *_operands(node.right)]
    return [node]


def condition(test: ast.expr) -> ast.expr:
    """A test, without operands that cannot change whether it holds: `x and 0` is 0 where x does nothing."""
    if isinstance(test, ast.BoolOp):
        stops = isinstance(test.op, ast.Or)
        values = [condition(value) for value in test.values]
        if truth(values[-1]) is stops and all(is_pure(value) for value in values[:-1]):
            return values[-1]
        kept = [value for value in values if truth(value) is not (not stops)]
        if not kept:
            return values[-1]
        test = kept[0] if len(kept) == 1 else ast.copy_location(ast.BoolOp(test.op, kept), test)
    return test


def tidy(body: list[ast.stmt], needed: bool) -> list[ast.stmt]:
    """Statements without `pass` among others, and without what follows return, raise, break or continue."""
    kept: list[ast.stmt] = []
    for node in body:
        if not isinstance(node, ast.Pass):
            kept.append(node)
        if isinstance(node, (ast.Return, ast.Raise, ast.Break, ast.Continue)):
            break
    if not kept and needed and body:
        return [body[0]]
    return kept


def run(merged: "Merged") -> None:
    """Fold until nothing changes."""
    changed = True
    while changed:
        changed = False
        for part in merged.parts.values():
            folder = Folder()
            tree = folder.visit(ast.Module(part.body, []))
            part.body = [node for node in tree.body if not isinstance(node, ast.Pass)]
            changed = changed or folder.changed
