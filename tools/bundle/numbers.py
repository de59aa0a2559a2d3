"""Whole numbers in syntax trees: what an expression of constants comes to."""

import ast
import operator
from collections.abc import Callable

OPERATORS: dict[type, Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.LShift: operator.lshift,
    ast.RShift: operator.rshift,
    ast.BitOr: operator.or_,
    ast.BitAnd: operator.and_,
    ast.BitXor: operator.xor,
}


def value_of(node: ast.expr) -> "int | None":
    """The whole number that an expression is, constants in it being numbers already; None: it is none."""
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return node.value
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        left, right = value_of(node.left), value_of(node.right)
        return None if left is None or right is None else OPERATORS[type(node.op)](left, right)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.Invert)):
        inner = value_of(node.operand)
        return None if inner is None else -inner if isinstance(node.op, ast.USub) else ~inner
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id.startswith("const__"):
        return value_of(node.args[0])
    return None


def number(value: int, like: ast.AST) -> ast.expr:
    """`value` as source has it."""
    node: ast.expr = ast.Constant(abs(value))
    if value < 0:
        node = ast.UnaryOp(ast.USub(), node)
    return ast.copy_location(node, like)
