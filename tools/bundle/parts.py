"""Pass: objects that are parts of one client become that client: one object with all attributes and methods.

The source has a client as a handful of objects, each with a subject of its own, which know each other. On a board each
is a dictionary more, and each step from one to the other a look-up. A class is a part when it is named in one place of
the program, where the constructor of the whole, or of another part, makes one: then there is one for each whole, from
its beginning to its end, so `self.life.error` is `self.error`, whatever `life` was.

Which objects an expression stands for is known from the source's annotations, which the type checker has checked: of
parameters, attributes and variables. Every name of a part becomes one of its own (`error` of Life: `_Life_error`), but
for what an application may read (`exposed`): what is called alike in two parts stays apart. Where a name cannot be told
apart for lack of a type, the builder stops and says so.
"""

import ast
import re
from collections import Counter

from .merging import Merged
from .program import BundleError, defined
from .reaching import is_self, is_special
from .scopes import parameters
from .walking import Transformer, walk

Function = ast.FunctionDef | ast.AsyncFunctionDef
OTHER = "other"  # the type of what is known to be no part


def short_name(cls: str) -> str:
    """A class's name in its module."""
    return cls.partition("__")[0]


class Parts:
    """The parts of a whole. `stands_for`: names of interfaces in annotations, and the class that they are."""

    def __init__(
        self, merged: Merged, whole: str, foreign: set[str], stands_for: dict[str, str], exposed: dict[str, str]
    ) -> None:
        self.merged = merged
        self.foreign = foreign
        self.whole = whole
        self.exposed = exposed
        self.classes = {node.name: node for node in merged.trees() if isinstance(node, ast.ClassDef)}
        self.kinds = {whole, *self._found()}
        self.by_name = {short_name(name): name for name in self.classes}
        for name, cls in self.classes.items():
            self.by_name.update({short_name(base): name for base in getattr(cls, "also", [])})
        self.by_name.update(merged.became)
        self.returning: set[str] = set()  # functions and methods that return a part
        self.stands_for = stands_for
        self.attributes: dict[tuple[str, str], str] = {}  # type of an attribute, by class and name
        self.members = {name: self._members(self.classes[name]) for name in self.kinds}
        self.elsewhere = {
            member for name, cls in self.classes.items() if name not in self.kinds for member in self._members(cls)
        }

    def _found(self) -> list[str]:
        """The classes that are parts, each after the one that makes it."""
        named: Counter[str] = Counter()
        for tree in self.merged.trees():
            for node in walk(tree):
                if isinstance(node, ast.Name):
                    named[node.id] += 1
                elif isinstance(node, ast.alias):
                    named[node.name] += 2
        found: list[str] = []
        waiting = [self.whole]
        while waiting:
            maker = waiting.pop(0)
            for statement in constructing(self.classes[maker]):
                value = statement.value if isinstance(statement, ast.Assign) else None
                if isinstance(value, ast.Call) and isinstance(value.func, ast.Name):
                    cls = self.classes.get(value.func.id)
                    is_public = maker == self.whole and any(
                        isinstance(target, ast.Attribute) and not target.attr.startswith("_")
                        for target in statement.targets  # type: ignore[union-attr]
                        if isinstance(target, ast.Attribute) and is_self(target.value)
                    )
                    if cls and named[cls.name] == 1 and not cls.bases and not is_public:
                        found.append(cls.name)
                        waiting.append(cls.name)
        return found

    def _members(self, cls: ast.ClassDef) -> set[str]:
        names = {name for member in cls.body for name in defined(member)} | set(getattr(cls, "notes", {}))
        for node in walk(cls):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and is_self(node.value):
                names.add(node.attr)
        return names

    # -- types

    def of_note(self, note: str) -> "str | None":
        """The type that an annotation names."""
        name = note.strip("\"'")
        name = self.stands_for.get(name, name)
        if name in self.by_name:
            return self.by_name[name]
        return None if any(re.search(rf"\b{short_name(part)}\b", name) for part in self.kinds) else OTHER

    def type_of(self, node: ast.expr, types: dict[str, "str | None"]) -> "str | None":
        """The part that an expression is, OTHER, or None where that is not known."""
        if isinstance(node, ast.Name):
            return types.get(node.id) if node.kind == "local" else OTHER  # type: ignore[attr-defined]
        if isinstance(node, ast.Attribute):
            owner = self.type_of(node.value, types)
            if owner in self.classes:
                return self.attributes.get((owner, node.attr), OTHER)  # type: ignore[arg-type]
            held = {kind for (_, attribute), kind in self.attributes.items() if attribute == node.attr}
            return None if held & self.kinds else OTHER
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id in self.classes:
                return node.func.id
            called = node.func.attr if isinstance(node.func, ast.Attribute) else ast.unparse(node.func)
            return None if called in self.returning else OTHER
        if isinstance(node, (ast.BoolOp, ast.IfExp)):
            values = node.values if isinstance(node, ast.BoolOp) else [node.body, node.orelse]
            return OTHER if all(self.type_of(value, types) not in (*self.kinds, None) for value in values) else None
        return OTHER

    def learn(self) -> None:
        """The types of all attributes of parts."""
        for function, _ in functions(self.merged):
            if self.of_note(getattr(function, "returned", "None")) in (*self.kinds, None):
                self.returning.add(function.name)
        for name, cls in self.classes.items():
            for attribute, note in getattr(cls, "notes", {}).items():
                found = self.of_note(note)
                if found in self.classes:
                    self.attributes[name, attribute] = found  # type: ignore[assignment]
        before = -1
        while before != len(self.attributes):
            before = len(self.attributes)
            for function, cls in functions(self.merged):
                types = self.variables(function, cls)
                for node in walk(function):
                    if isinstance(node, ast.Assign):
                        value = self.type_of(node.value, types)
                        for target in node.targets:
                            owner = self.type_of(target.value, types) if isinstance(target, ast.Attribute) else None
                            if owner in self.classes and value in self.classes:
                                self.attributes[owner, target.attr] = value  # type: ignore[index, union-attr, assignment]

    def variables(self, function: Function, cls: "str | None") -> dict[str, "str | None"]:
        """The types of a function's variables."""
        types: dict[str, str | None] = {}
        for arg in parameters(function):
            note = getattr(arg, "note", None)
            types[arg.arg] = self.of_note(note) if note else None
        if cls and function.args.args:
            types[function.args.args[0].arg] = cls
        fixed = set(types)
        for _ in range(3):  # a variable may be set from another one
            found: dict[str, set[str | None]] = {}
            for node in walk(function):
                if isinstance(node, ast.Assign):
                    note = getattr(node, "note", None)
                    value = self.of_note(note) if note else self.type_of(node.value, types)
                    for target in node.targets:
                        for name in walk(target):
                            if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store):
                                found.setdefault(name.id, set()).add(value if name is target else OTHER)
                elif isinstance(node, ast.ExceptHandler) and node.name:
                    found.setdefault(node.name, set()).add(OTHER)
                elif isinstance(node, (ast.For, ast.AsyncFor, ast.comprehension, ast.NamedExpr, ast.withitem)):
                    target = node.optional_vars if isinstance(node, ast.withitem) else node.target
                    for name in walk(target) if target else ():
                        if isinstance(name, ast.Name):
                            found.setdefault(name.id, set()).add(OTHER)
            for name, kinds in found.items():
                if name not in fixed:
                    is_one = len(kinds) == 1
                    types[name] = kinds.pop() if is_one else None if kinds & {None, *self.kinds} else OTHER
        return types

    # -- names

    def exclude(self) -> bool:
        """Take out what is no part after all: what another one is put in the place of, or is made by its type."""
        wrong: set[str] = set()
        for function, cls in functions(self.merged):
            types = self.variables(function, cls)
            for node in walk(function):
                if isinstance(node, ast.Assign):
                    value = self.type_of(node.value, types)
                    held = {self.type_of(target, types) for target in node.targets if isinstance(target, ast.Attribute)}
                    wrong |= {str(kind) for kind in held if kind in self.kinds and kind != value}
                elif isinstance(node, ast.Call) and ast.unparse(node.func) == "type":
                    wrong |= {str(self.type_of(node.args[0], types))} & self.kinds
        self.kinds -= wrong
        return bool(wrong)

    def check(self) -> None:
        """BundleError where it is not known whose an attribute is."""
        doubts = set()
        for function, cls in functions(self.merged):
            types = self.variables(function, cls)
            for node in walk(function):
                if isinstance(node, ast.Attribute):
                    try:
                        self.renamed(self.type_of(node.value, types), node.attr)
                    except BundleError as error:
                        doubts.add(f"{getattr(function, 'origin', '')}:{node.lineno}: {function.name}: {error}")
        if doubts:
            raise BundleError("\n".join(sorted(doubts)))

    def renamed(self, owner: "str | None", attribute: str) -> str:
        """What an attribute is called in the whole; `owner`: the type of the object. BundleError: it is not known."""
        if owner in self.kinds:
            return self.new_name(owner, attribute)  # type: ignore[arg-type]
        if owner is not None or is_special(attribute):
            return attribute
        owners = [kind for kind in self.kinds if attribute in self.members[kind]]
        if not owners:
            return attribute
        if len(owners) == 1 and attribute not in self.elsewhere and attribute not in self.foreign:
            return self.new_name(owners[0], attribute)
        raise BundleError(f"whose '.{attribute}' is it? ({', '.join(sorted(map(short_name, owners)))})")

    def new_name(self, owner: str, attribute: str) -> str:
        """The name in the whole of an attribute of a part."""
        if owner == self.whole or attribute not in self.members[owner]:
            return attribute
        if self.exposed.get(attribute) == short_name(owner):
            return attribute
        if is_special(attribute) and attribute != "__init__" and attribute not in self.members[self.whole]:
            return attribute
        return f"_init_{short_name(owner)}" if attribute == "__init__" else f"_{short_name(owner)}_{attribute}"


def constructor(cls: ast.ClassDef) -> "ast.FunctionDef | None":
    """The `__init__` of a class."""
    return next((node for node in cls.body if isinstance(node, ast.FunctionDef) and node.name == "__init__"), None)


def constructing(cls: ast.ClassDef) -> list[ast.stmt]:
    """The statements of a constructor, with those of the bases that became part of the class (bases.py)."""
    methods = {node.name: node for node in cls.body if isinstance(node, ast.FunctionDef)}
    found: list[ast.stmt] = []

    def add(name: str) -> None:
        for statement in methods[name].body if name in methods else ():
            called = (
                statement.value.func
                if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call)
                else None
            )
            if isinstance(called, ast.Attribute) and is_self(called.value) and called.attr.startswith("_init_of_"):
                add(called.attr)
            found.append(statement)

    add("__init__")
    return found


def functions(merged: Merged) -> list[tuple[Function, "str | None"]]:
    """All functions and methods with their class."""
    found: list[tuple[Function, str | None]] = []
    for node in merged.trees():
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            found.append((node, None))
        elif isinstance(node, ast.ClassDef):
            found += [(m, node.name) for m in node.body if isinstance(m, (ast.FunctionDef, ast.AsyncFunctionDef))]
    return found


class Rewriter(Transformer):
    """Rewrites one function."""

    def __init__(self, parts: Parts, function: Function, cls: "str | None") -> None:
        self.parts = parts
        self.cls = cls
        self.types = parts.variables(function, cls)
        self.in_whole = cls in parts.kinds
        self.parameters = {arg.arg for arg in parameters(function)}

    def _self(self, like: ast.AST) -> ast.Name:
        node = ast.copy_location(ast.Name("self", ast.Load()), like)
        node.kind = "local"  # type: ignore[attr-defined]
        return node

    def _is_part(self, node: ast.expr) -> bool:
        return self.parts.type_of(node, self.types) in self.parts.kinds

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if self.in_whole and isinstance(node.ctx, ast.Load) and node.kind == "local" and self._is_part(node):  # type: ignore[attr-defined]
            return self._self(node)
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if self._is_part(node) and self._is_part(node.value):  # one part knows another
            return self.visit(node.value)
        node.attr = self.parts.renamed(self.parts.type_of(node.value, self.types), node.attr)
        return self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        value = self.parts.type_of(node.value, self.types)
        if value not in self.parts.kinds:
            return self.generic_visit(node)
        kept = [
            t for t in node.targets if isinstance(t, ast.Name) and not self.in_whole
        ]  # parts are all the same there
        others = [
            t
            for t in node.targets
            if not isinstance(t, ast.Name) and not (isinstance(t, ast.Attribute) and self._is_part(t.value))
        ]
        if isinstance(node.value, ast.Call):
            if not self.in_whole:
                raise BundleError(f"line {node.lineno}: makes a part")
            call = self.generic_visit(node.value)
            assert isinstance(call, ast.Call)
            if constructor(self.parts.classes[value]) is None:  # type: ignore[index]
                return ast.copy_location(ast.Pass(), node)
            name = self.parts.new_name(value, "__init__")  # type: ignore[arg-type]
            call.func = ast.copy_location(ast.Attribute(self._self(node), name, ast.Load()), node)
            return ast.copy_location(ast.Expr(call), node)
        if not kept and not others:
            return ast.copy_location(ast.Pass(), node)
        node.targets = [*kept, *[self.visit(t) for t in others]]
        node.value = self.visit(node.value)
        return node


def run(
    merged: Merged, whole: str, foreign: set[str], stands_for: dict[str, str], exposed: dict[str, str]
) -> list[str]:
    """Merge the parts of the class `whole`; their names. BundleError where an attribute cannot be told apart."""
    parts = Parts(merged, whole, foreign, stands_for, exposed)
    if len(parts.kinds) == 1:
        return []
    parts.learn()
    while parts.exclude():
        parts.learn()
    parts.check()
    for function, cls in functions(merged):
        rewriter = Rewriter(parts, function, cls)
        function.body = [rewriter.visit(statement) for statement in function.body]
    target = parts.classes[whole]
    own = {name for member in target.body for name in defined(member)}
    for name in sorted(parts.kinds - {whole}):
        cls = parts.classes[name]
        for member in cls.body:
            for old in defined(member):
                new = parts.new_name(name, old)
                if isinstance(member, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    member.name = new
                    if is_special(old) and old in own and forwards(target, old, new):
                        member.name = old
                        target.body = [m for m in target.body if getattr(m, "name", "") != old]
                elif isinstance(member, ast.Assign):
                    for written in member.targets:
                        if isinstance(written, ast.Name) and written.id == old:
                            written.id = new
            if not isinstance(member, ast.Pass):
                target.body.append(member)
    target.body = [m for m in target.body if getattr(m, "name", "") != "__getattr__"]
    for part in merged.parts.values():
        part.body = [node for node in part.body if getattr(node, "name", "") not in parts.kinds - {whole}]
    for name in parts.kinds:
        for old in (name, *getattr(parts.classes[name], "also", [])):
            merged.became[short_name(old)] = whole
    return sorted(parts.kinds - {whole})


def forwards(cls: ast.ClassDef, name: str, new: str) -> bool:
    """Whether a method does nothing but to call `new`."""
    [method] = [m for m in cls.body if isinstance(m, (ast.FunctionDef, ast.AsyncFunctionDef)) and m.name == name]
    return ast.unparse(method.body[-1]) == f"return self.{new}()" and len(method.body) == 1
