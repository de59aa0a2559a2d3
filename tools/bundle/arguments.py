"""Pass: arguments that a set does not have are their defaults; so are those of private functions that never vary.

An option of a feature that a set leaves out (sets.py) is taken out of the signature, and its default stands in the
body: what the option leads to is then decided and goes. Whoever passes it is told by Python that there is no such
argument.

A parameter of a private function to which every call gives the same constant is that constant, and one that is not used
is not handed over, when what is handed over does nothing. Only where all calls are known: the function has one name,
which stands nowhere but in calls.
"""

import ast
import copy
from collections import Counter

from .folding import is_pure
from .inlining import Function, called_name
from .merging import Merged
from .program import defined
from .reaching import is_special, public_attributes
from .scopes import parameters
from .walking import Transformer, walk


class Silence(Transformer):
    """Takes out calls, by name, of functions that do nothing."""

    def __init__(self, empty: set[str]) -> None:
        self.empty = empty
        self.changed = False

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        call = node.value
        if isinstance(call, ast.Call) and called_name(call) in self.empty:
            arguments = [*call.args, *[keyword.value for keyword in call.keywords]]
            if all(is_pure(argument) for argument in arguments):
                self.changed = True
                return ast.copy_location(ast.Pass(), node)
        return self.generic_visit(node)


class Substitute(Transformer):
    """Puts constants in the place of variables."""

    def __init__(self, values: dict[str, ast.expr]) -> None:
        self.values = values

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if isinstance(node.ctx, ast.Load) and node.kind == "local" and node.id in self.values:  # type: ignore[attr-defined]
            return ast.copy_location(copy.deepcopy(self.values[node.id]), node)
        return node


def defaults(function: Function) -> dict[str, ast.expr]:
    """The default of each parameter that has one."""
    args = function.args
    found = dict(zip([arg.arg for arg in args.args][len(args.args) - len(args.defaults) :], args.defaults, strict=True))
    found.update({arg.arg: value for arg, value in zip(args.kwonlyargs, args.kw_defaults, strict=True) if value})
    return found


def remove(function: Function, name: str) -> None:
    """Take a parameter out of a signature."""
    args = function.args
    names = [arg.arg for arg in args.args]
    if args.kwarg and args.kwarg.arg == name:
        args.kwarg = None
        return
    if name in names:
        at = names.index(name)
        of_default = at - (len(names) - len(args.defaults))
        if of_default >= 0:
            del args.defaults[of_default]
        del args.args[at]
        return
    at = [arg.arg for arg in args.kwonlyargs].index(name)
    del args.kwonlyargs[at], args.kw_defaults[at]


def is_stored(function: Function, name: str) -> bool:
    """Whether a function sets a variable besides its parameter."""
    return any(
        isinstance(node, ast.Name) and node.id == name and not isinstance(node.ctx, ast.Load) for node in walk(function)
    )


def leave_out(merged: Merged, whole: str, methods: set[str], options: set[str]) -> None:
    """Take methods and arguments of the public class `whole` out of it; a method that others need stays for them."""
    [cls] = [node for node in merged.trees() if isinstance(node, ast.ClassDef) and node.name == whole]
    merged.hidden |= methods
    for method in cls.body:
        if not isinstance(method, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if method.name in methods or (method.name.startswith("_") and not is_special(method.name)):
            continue
        given = defaults(method)
        if method.args.kwarg:
            given[method.args.kwarg.arg] = ast.Constant(None)  # all arguments that have no other place
        for name in sorted(options & set(given)):
            substitute(method, name, given[name])
            remove(method, name)


def substitute(function: Function, name: str, value: ast.expr) -> None:
    """Put a constant in the place of a parameter; one that the function sets, too, begins with it."""
    if is_stored(function, name):
        target = ast.Name(name, ast.Store())
        target.kind = "local"  # type: ignore[attr-defined]
        first = ast.copy_location(ast.Assign([target], copy.deepcopy(value)), function.body[0])
        function.body.insert(0, first)
    else:
        transformer = Substitute({name: value})
        function.body = [transformer.visit(node) for node in function.body]


def run(merged: Merged, foreign: set[str]) -> bool:
    """Put constants in the place of parameters that never vary; whether there were any."""
    named: Counter[str] = Counter()
    calls: dict[str, list[ast.Call]] = {}
    found: dict[str, list[tuple[Function, bool]]] = {}
    strings: set[str] = set()
    for tree in merged.trees():
        for node in walk(tree):
            if isinstance(node, ast.Name):
                named[node.id] += isinstance(node.ctx, ast.Load)
            elif isinstance(node, ast.Attribute):
                named["." + node.attr] += 1
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                strings.add("." + node.value)
            if isinstance(node, ast.Call):
                calls.setdefault(called_name(node), []).append(node)
        if isinstance(tree, (ast.FunctionDef, ast.AsyncFunctionDef)):
            found.setdefault(tree.name, []).append((tree, False))
        elif isinstance(tree, ast.ClassDef):
            for member in tree.body:
                for name in defined(member):
                    is_function = isinstance(member, (ast.FunctionDef, ast.AsyncFunctionDef))
                    found.setdefault("." + name, []).append((member, True) if is_function else (None, True))  # type: ignore[arg-type]
    public = {"." + name for name in public_attributes(merged)} | set(merged.public.values())
    empty = {
        name
        for name, functions in found.items()
        if len(functions) == 1 and isinstance(functions[0][0], ast.FunctionDef) and name not in public
        if name.strip(".") not in foreign and ast.unparse(functions[0][0].body) == "pass"  # type: ignore[arg-type]
    }
    silence = Silence(empty)
    for part in merged.parts.values():
        part.body = [silence.visit(node) for node in part.body]
    changed = silence.changed
    for name, functions in found.items():
        function, is_method = functions[0]
        if len(functions) != 1 or function is None or function.decorator_list or name in public or name in strings:
            continue
        if is_special(name.strip(".")) or name.strip(".") in foreign or named[name] != len(calls.get(name, ())):
            continue
        if calls.get(name):
            changed = _fix(function, calls[name], is_method) or changed
    return changed


def _fix(function: Function, calls: list[ast.Call], is_method: bool) -> bool:
    args = function.args
    names = [arg.arg for arg in args.args][is_method:]
    if args.vararg or args.kwarg or any(isinstance(arg, ast.Starred) for call in calls for arg in call.args):
        return False
    if any(keyword.arg is None for call in calls for keyword in call.keywords):
        return False
    given = defaults(function)
    changed = False
    for name in [arg.arg for arg in parameters(function)][is_method:]:
        values = []
        for call in calls:
            at = names.index(name) if name in names else len(call.args)
            by_name = [keyword.value for keyword in call.keywords if keyword.arg == name]
            values.append(call.args[at] if at < len(call.args) else by_name[0] if by_name else given.get(name))
        if None in values:
            continue
        texts = {ast.unparse(value) for value in values if value}
        is_used = any(isinstance(node, ast.Name) and node.id == name for node in walk(function))
        first = values[0]
        if is_used and not (isinstance(first, ast.Constant) and len(texts) == 1):
            continue
        if not all(is_pure(value) for value in values if value):
            continue
        assert first is not None
        if is_used:
            substitute(function, name, first)
        for call in calls:
            at = names.index(name) if name in names else len(call.args)
            if at < len(call.args):
                del call.args[at]
            call.keywords = [keyword for keyword in call.keywords if keyword.arg != name]
        if name in names:
            names.remove(name)
        remove(function, name)
        changed = True
    return changed
