"""Pass: a private function or method that is called in one place stands there itself.

A function costs a board an object, a slot, its names and the call; what is called once buys nothing for that. Only
where the order of what happens stays: arguments are evaluated first, as they were; early returns become branches; its
variables get names of their own. Left alone: what is called from another file of the bundle, what is not known by one
name, generators, functions in functions, and returns out of loops and `try`.
"""

import ast
import copy
from collections import Counter
from dataclasses import dataclass

from .merging import Merged
from .program import defined
from .reaching import is_special, public_attributes
from .scopes import parameters
from .walking import Transformer, walk

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass
class Candidate:
    """A function that one call is all that names it."""

    node: Function
    owner: "ast.ClassDef | None"
    part: str


class NotInlined(Exception):
    """This function, or this call of it, has to stay."""


def candidates(merged: Merged, foreign: set[str]) -> dict[str, Candidate]:
    """Functions by name that are called once, by a name that means nothing else."""
    named: Counter[str] = Counter()
    called: Counter[str] = Counter()
    defined_as: Counter[str] = Counter()
    for tree in merged.trees():
        for node in walk(tree):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                named[node.id] += 1
            elif isinstance(node, ast.Attribute):
                named["." + node.attr] += 1
            elif isinstance(node, ast.alias):
                named[node.name] += 1
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                named["." + node.value] += 1
            elif isinstance(node, ast.ClassDef):
                for member in node.body:
                    defined_as.update("." + name for name in defined(member))
            if isinstance(node, ast.Call):
                called[called_name(node)] += 1
    public = public_attributes(merged)
    found = {}
    for part in merged.parts.values():
        for node in part.body:
            for owner, member in [
                (None, node),
                *[(node, m) for m in getattr(node, "body", []) if isinstance(node, ast.ClassDef)],
            ]:
                if not isinstance(member, (ast.FunctionDef, ast.AsyncFunctionDef)) or member.decorator_list:
                    continue
                name = "." + member.name if owner else member.name
                if owner and (is_special(member.name) or member.name in public or member.name in foreign):
                    continue
                if name in merged.public.values() or named[name] != 1 or called[name] != 1:
                    continue
                if not owner or defined_as[name] == 1:
                    found[name] = Candidate(member, owner, part.name)
    return found


def called_name(call: ast.Call) -> str:
    """What a call names: a function, or "." and a method."""
    if isinstance(call.func, ast.Attribute):
        return "." + call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else ""


def bindings(call: ast.Call, function: Function, is_method: bool) -> list[tuple[str, ast.expr]]:
    """What each parameter is in this call, in the order in which it is evaluated."""
    args = function.args
    if args.vararg or args.kwarg or any(isinstance(arg, ast.Starred) for arg in call.args):
        raise NotInlined
    values = list(call.args)
    if is_method:
        receiver = call.func.value  # type: ignore[attr-defined]
        if isinstance(receiver, ast.Name) and receiver.kind != "local":  # type: ignore[attr-defined]
            raise NotInlined  # a class
        values.insert(0, call.func.value)  # type: ignore[attr-defined]
    names = [arg.arg for arg in args.args]
    if len(values) > len(names):
        raise NotInlined
    found = list(zip(names, values, strict=False))
    given = {name for name, _ in found}
    for keyword in call.keywords:
        if keyword.arg is None:
            raise NotInlined
        found.append((keyword.arg, keyword.value))
        given.add(keyword.arg)
    defaults = dict(zip(names[len(names) - len(args.defaults) :], args.defaults, strict=True))
    defaults.update({arg.arg: value for arg, value in zip(args.kwonlyargs, args.kw_defaults, strict=True) if value})
    for arg in parameters(function):
        if arg.arg not in given:
            found.append((arg.arg, copy.deepcopy(defaults[arg.arg])))
    return found


class Rename(Transformer):
    """Puts values in the place of a function's names, and renames the others."""

    def __init__(self, values: dict[str, ast.expr], suffix: str) -> None:
        self.values = values
        self.suffix = suffix

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node.kind != "local" or "__" in node.id:  # type: ignore[attr-defined]
            return node
        if node.id in self.values:
            return copy.deepcopy(self.values[node.id])
        node.id += self.suffix
        return node

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        if node.name:
            node.name += self.suffix
        return self.generic_visit(node)


def prepared(candidate: Candidate, call: ast.Call) -> list[ast.stmt]:
    """The body of a function for the place of this call: parameters set first where they have to be."""
    function = copy.deepcopy(candidate.node)
    inner = [node for statement in function.body for node in walk(statement)]
    if any(
        isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.Yield, ast.YieldFrom, ast.Global))
        for node in inner
    ):
        raise NotInlined
    changed = {node.id for node in inner if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)}
    uses = Counter(node.id for node in inner if isinstance(node, ast.Name))
    suffix = "_" + candidate.node.name.strip("_").partition("__")[0]
    values: dict[str, ast.expr] = {}
    first: list[ast.stmt] = []
    for name, value in bindings(call, function, candidate.owner is not None):
        is_simple = isinstance(value, ast.Constant) or (isinstance(value, ast.Name) and value.kind == "local")  # type: ignore[attr-defined]
        if name not in changed and is_simple:
            values[name] = value
        elif uses[name] or not is_simple:
            target = ast.Name(name + suffix, ast.Store())
            target.kind = "local"  # type: ignore[attr-defined]
            first.append(ast.copy_location(ast.Assign([target], value), call))
    renamer = Rename(values, suffix)
    return first + [renamer.visit(statement) for statement in function.body]


def returns(body: list[ast.stmt]) -> int:
    """How many `return` there are."""
    return sum(isinstance(node, ast.Return) for statement in body for node in walk(statement))


def ends(body: list[ast.stmt]) -> bool:
    """Whether nothing behind these statements is reached."""
    last = body[-1]
    if isinstance(last, ast.If):
        return bool(last.orelse) and ends(last.body) and ends(last.orelse)
    return isinstance(last, (ast.Return, ast.Raise, ast.Continue, ast.Break))


def without_returns(body: list[ast.stmt], target: "ast.expr | None") -> list[ast.stmt]:
    """The same without `return`: its value goes to `target`, and what would not be reached into the other branch."""
    done: list[ast.stmt] = []
    for index, node in enumerate(body):
        rest = body[index + 1 :]
        if isinstance(node, ast.Return):
            return [*done, *_set(target, node.value, node)]
        if isinstance(node, ast.If) and returns([node]):
            if ends(node.body) and not isinstance(node.body[-1], ast.Raise):
                node.orelse = without_returns([*node.orelse, *rest], target)
                node.body = without_returns(node.body, target) or [ast.Pass()]
                return [*done, node]
            if node.orelse and ends(node.orelse):
                node.body = without_returns([*node.body, *rest], target) or [ast.Pass()]
                node.orelse = without_returns(node.orelse, target)
                return [*done, node]
            raise NotInlined
        if returns([node]):
            raise NotInlined
        done.append(node)
    if target is not None and not (done and ends(done)):
        done += _set(target, None, body[-1])
    return done


def _set(target: "ast.expr | None", value: "ast.expr | None", like: ast.AST) -> list[ast.stmt]:
    if target is None:
        if value is None or isinstance(value, (ast.Constant, ast.Name)):
            return []
        return [ast.copy_location(ast.Expr(value), like)]
    return [ast.copy_location(ast.Assign([copy.deepcopy(target)], value or ast.Constant(None)), like)]


def in_place(candidate: Candidate, statement: ast.stmt, call: ast.Call) -> list[ast.stmt]:
    """What stands instead of `statement`, which is `call`, an assignment of it, or its return."""
    body = prepared(candidate, call)
    if isinstance(statement, ast.Return):
        return body if ends(body) else [*body, ast.copy_location(ast.Return(None), statement)]
    target = statement.targets[0] if isinstance(statement, ast.Assign) else None
    return without_returns(body, target) or [ast.Pass()]


def expression(candidate: Candidate, call: ast.Call) -> ast.expr:
    """What stands instead of `call` when all that the function does is to return one expression."""
    body = prepared(candidate, call)
    if len(body) != 1 or not isinstance(body[0], ast.Return) or body[0].value is None:
        raise NotInlined
    return body[0].value


class Inliner(Transformer):
    """Inlines the calls in one part."""

    def __init__(self, found: dict[str, Candidate], part: str, public: set[str]) -> None:
        self.found = found
        self.public = public
        self.part = part
        self.inside: list[ast.AST] = []
        self.done: list[Candidate] = []

    def _candidate(self, node: "ast.expr | None") -> "tuple[Candidate, ast.Call] | None":
        is_awaited = isinstance(node, ast.Await)
        call = node.value if isinstance(node, ast.Await) else node
        if not isinstance(call, ast.Call) or not self.inside:
            return None
        candidate = self.found.get(called_name(call))
        if not candidate or candidate.part != self.part or candidate.node in self.inside:
            return None
        if any(done.node is node for done in self.done for node in self.inside):  # copied already, with this call
            return None
        if isinstance(candidate.node, ast.AsyncFunctionDef) != is_awaited:
            return None
        if isinstance(self.inside[-1], ast.AsyncFunctionDef) and self.inside[-1].name in self.public and not is_awaited:
            return None  # a coroutine for each message: its variables lie in the heap, those of a function do not
        return candidate, call

    def _function(self, node: Function) -> ast.AST:
        self.inside.append(node)
        self.generic_visit(node)
        self.inside.pop()
        return node

    visit_FunctionDef = visit_AsyncFunctionDef = _function

    def _statement(self, node: "ast.Expr | ast.Assign | ast.Return") -> "ast.AST | list[ast.stmt]":
        match = self._candidate(node.value)
        if match and (
            not isinstance(node, ast.Assign) or (len(node.targets) == 1 and isinstance(node.targets[0], ast.Name))
        ):
            try:
                new = in_place(match[0], node, match[1])
            except NotInlined:
                return self.generic_visit(node)
            self.done.append(match[0])
            return new
        return self.generic_visit(node)

    visit_Expr = visit_Assign = visit_Return = _statement

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        match = self._candidate(node)
        if match:
            try:
                new = expression(match[0], node)
            except NotInlined:
                return node
            self.done.append(match[0])
            return new
        return node


def run(merged: Merged, foreign: set[str]) -> int:
    """Inline until there is nothing to inline; how many functions were."""
    count = 0
    while True:
        found = candidates(merged, foreign)
        public = public_attributes(merged)
        done: list[Candidate] = []
        for part in merged.parts.values():
            inliner = Inliner(found, part.name, public)
            part.body = [inliner.visit(node) for node in part.body]
            for candidate in inliner.done:
                body = candidate.owner.body if candidate.owner else part.body
                body.remove(candidate.node)
                if candidate.owner and not body:
                    body.append(ast.Pass())
            done += inliner.done
        if not done:
            return count
        count += len(done)
