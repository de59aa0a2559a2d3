"""Pass: a class that has one subclass, and is only ever that subclass, is part of it.

The split is for readers; on a board it is one more class, and its calls to the base are look-ups. A base that is
public, named anywhere else (isinstance, except, a call that makes one), or in another file stays. A method of the base
that the subclass extends stays under another name, and the call to it with it.
"""

import ast
import copy
from collections import Counter

from .merging import Merged
from .program import defined
from .walking import Transformer, walk


def _spell_out(derived: ast.ClassDef, base: ast.ClassDef) -> None:
    """A constructor that hands all other arguments on (`**options`) takes them by name."""
    inits = [node for cls in (derived, base) for node in cls.body if getattr(node, "name", "") == "__init__"]
    if len(inits) != 2 or not all(isinstance(init, ast.FunctionDef) for init in inits):
        return
    outer, inner = inits
    assert isinstance(outer, ast.FunctionDef) and isinstance(inner, ast.FunctionDef)
    options = outer.args.kwarg
    calls = [
        node
        for node in walk(outer)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == f"{base.name}.__init__" and node.keywords
    ]
    uses = sum(isinstance(node, ast.Name) and options is not None and node.id == options.arg for node in walk(outer))
    if options is None or len(calls) != 1 or uses != 1:
        return
    [call] = calls
    given = {keyword.arg for keyword in call.keywords} | {arg.arg for arg in inner.args.args[: len(call.args)]}
    call.keywords = [keyword for keyword in call.keywords if keyword.arg is not None]
    for arg, default in zip(inner.args.kwonlyargs, inner.args.kw_defaults, strict=True):
        if arg.arg not in given:
            outer.args.kwonlyargs.append(ast.copy_location(ast.arg(arg.arg), arg))
            outer.args.kwonlyargs[-1].note = getattr(arg, "note", "")  # type: ignore[attr-defined]
            outer.args.kw_defaults.append(copy.deepcopy(default))
            value = ast.copy_location(ast.Name(arg.arg, ast.Load()), call)
            value.kind = "local"  # type: ignore[attr-defined]
            call.keywords.append(ast.keyword(arg.arg, value))
    outer.args.kwarg = None


class Calls(Transformer):
    """`Base.method(self, ...)` and `super().method(...)` become `self.method__Base(...)`."""

    def __init__(self, base: str, names: set[str]) -> None:
        self.base = base
        self.names = names
        self.used: set[str] = set()

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        function = node.func
        if isinstance(function, ast.Attribute) and function.attr in self.names:
            value = function.value
            receiver: ast.expr | None = None
            if isinstance(value, ast.Name) and value.id == self.base:
                receiver, node.args = node.args[0], node.args[1:]
            elif isinstance(value, ast.Call) and ast.unparse(value) == "super()":
                receiver = ast.copy_location(ast.Name("self", ast.Load()), value)
                receiver.kind = "local"  # type: ignore[attr-defined]
            if receiver:
                self.used.add(function.attr)
                node.func = ast.copy_location(
                    ast.Attribute(receiver, extended(function.attr, self.base), ast.Load()), node
                )
        return node


def extended(name: str, base: str) -> str:
    """What a method of a base is called that its subclass extends."""
    cls = base.partition("__")[0]
    return f"_init_of_{cls}" if name == "__init__" else f"_of_{cls}_{name}"


def run(merged: Merged) -> int:
    """Merge bases into their only subclasses; how many."""
    count = 0
    while _merge_one(merged):
        count += 1
    return count


def _merge_one(merged: Merged) -> bool:
    named: Counter[str] = Counter()
    for tree in merged.trees():
        for node in walk(tree):
            if isinstance(node, ast.Name):
                named[node.id] += 1
            elif isinstance(node, ast.alias):
                named[node.name] += 1
    for part in merged.parts.values():
        known = {node.name: node for node in part.body if isinstance(node, ast.ClassDef)}
        for derived in known.values():
            base = (
                known.get(derived.bases[0].id)
                if len(derived.bases) == 1 and isinstance(derived.bases[0], ast.Name)
                else None
            )
            if base is None or base.name in merged.public.values():
                continue
            explicit = sum(
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id == base.name
                for node in walk(derived)
            )
            if named[base.name] == 1 + explicit:
                _merge(derived, base)
                part.body.remove(base)
                return True
    return False


def _merge(derived: ast.ClassDef, base: ast.ClassDef) -> None:
    own = {name for member in derived.body for name in defined(member)}
    methods = {member.name for member in base.body if isinstance(member, (ast.FunctionDef, ast.AsyncFunctionDef))}
    _spell_out(derived, base)
    calls = Calls(base.name, own & methods)
    derived.body = [calls.visit(member) for member in derived.body]
    explicit = Calls(base.name, methods - own)  # of what it does not extend: a plain call
    for member in derived.body:
        for node in walk(member):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in explicit.names:
                value = node.func.value
                if isinstance(value, ast.Name) and value.id == base.name:
                    node.func.value, node.args = node.args[0], node.args[1:]
    kept = []
    for member in base.body:
        names = defined(member)
        if any(name in own for name in names):
            if not isinstance(member, (ast.FunctionDef, ast.AsyncFunctionDef)) or member.name not in calls.used:
                continue
            member.name = extended(member.name, base.name)
        kept.append(member)
    derived.also = [base.name, *getattr(base, "also", []), *getattr(derived, "also", [])]  # type: ignore[attr-defined]
    derived.notes = {**getattr(base, "notes", {}), **getattr(derived, "notes", {})}  # type: ignore[attr-defined]
    derived.bases = base.bases
    derived.body = [node for node in (*kept, *derived.body) if not isinstance(node, ast.Pass)] or [ast.Pass()]
