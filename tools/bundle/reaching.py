"""Pass: what is not reached from the public names is left out: functions, classes, methods, attributes, imports.

A method counts as reached when a class that has it is, and its name stands behind a dot anywhere in what is reached, or
in a string: so none that could be called is missed. Methods of public classes are reached when they begin without an
underscore, and special ones always. An attribute that nothing reads is not set, where its value comes about without
doing anything; public attributes are always set.
"""

import ast
from collections.abc import Iterable

from .folding import is_pure, tidy
from .merging import Merged
from .program import defined
from .walking import Transformer, bodies_of, walk


def classes(merged: Merged) -> dict[str, ast.ClassDef]:
    """All classes by name."""
    return {node.name: node for node in merged.trees() if isinstance(node, ast.ClassDef)}


def lineage(name: str, known: dict[str, ast.ClassDef]) -> list[ast.ClassDef]:
    """A class and its bases."""
    found = known.get(name)
    if not found:
        return []
    bases = [base.id for base in found.bases if isinstance(base, ast.Name)]
    return [found, *[outer for base in bases for outer in lineage(base, known)]]


def public_attributes(merged: Merged) -> set[str]:
    """What an application may read of the objects that it gets: attributes and methods of public classes, and of their
    bases, that begin without an underscore.
    """
    known = classes(merged)
    names = set(merged.exposed)
    for public in merged.public.values():
        for cls in lineage(public, known):
            for node in walk(cls):
                if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and is_self(node.value):
                    names.add(node.attr)
            for statement in cls.body:
                names |= set(defined(statement))
    return {name for name in names if not name.startswith("_")} - merged.hidden


def is_self(node: ast.expr) -> bool:
    """Whether this is the object that a method belongs to."""
    return isinstance(node, ast.Name) and node.id == "self"


def is_special(name: str) -> bool:
    """Whether MicroPython calls or reads it by itself."""
    return name.startswith("__") and name.endswith("__")


class Reach:
    """Follows names and attributes from the public names on."""

    def __init__(self, merged: Merged, public: set[str]) -> None:
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.methods: dict[str, list[ast.AST]] = {}  # of classes that are reached, not reached themselves
        self.kept: set[int] = set()
        self.units: dict[str, list[ast.stmt]] = {}
        self.public = public
        self.hidden = merged.hidden
        known = classes(merged)
        self.public_classes = {cls.name for name in merged.public.values() for cls in lineage(name, known)}
        loose = []
        for node in merged.trees():
            names = [] if isinstance(node, (ast.Import, ast.ImportFrom)) else defined(node)
            for name in names:
                self.units.setdefault(name, []).append(node)
            if not names and not isinstance(node, (ast.Import, ast.ImportFrom)):
                loose.append(node)
        for name in merged.public.values():
            self.name(name)
        for node in loose:
            for inner in walk(node):  # definitions under `if` or `try` stay
                if isinstance(inner, ast.stmt):
                    self.kept.add(id(inner))
            self.scan(node)

    def name(self, name: str) -> None:
        if name not in self.names:
            self.names.add(name)
            for node in self.units.get(name, ()):
                self.kept.add(id(node))
                if isinstance(node, ast.ClassDef):
                    self.cls(node)
                else:
                    self.scan(node)

    def cls(self, node: ast.ClassDef) -> None:
        for base in node.bases:
            self.scan(base)
        for member in node.body:
            names = defined(member)
            is_public = node.name in self.public_classes and any(
                not name.startswith("_") and name not in self.hidden for name in names
            )
            if not names or is_public or any(self.is_needed(name) for name in names):
                self.kept.add(id(member))
                self.scan(member)
            else:
                for name in names:
                    self.methods.setdefault(name, []).append(member)

    def is_needed(self, name: str) -> bool:
        """Whether a member of a class that is reached is reached with it."""
        return name in self.attributes or (is_special(name) and name not in self.hidden)

    def attribute(self, name: str) -> None:
        if name not in self.attributes:
            self.attributes.add(name)
            for member in self.methods.pop(name, ()):
                if id(member) not in self.kept:
                    self.kept.add(id(member))
                    self.scan(member)

    def scan(self, tree: ast.AST) -> None:
        for node in walk(tree):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                self.name(node.id)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                self.attribute(node.attr)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
                self.attribute(node.value)


class Unread(Transformer):
    """Takes out what sets attributes that nothing reads, and `pass` where it is not needed."""

    def __init__(self, read: set[str]) -> None:
        self.read = read
        self.changed = False

    def _is_unread(self, target: ast.expr) -> bool:
        return isinstance(target, ast.Attribute) and target.attr not in self.read and is_pure(target.value)

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        targets = [target for target in node.targets if not self._is_unread(target)]
        if len(targets) < len(node.targets):
            self.changed = True
            if targets:
                node.targets = targets
            elif is_harmless(node.value):
                return ast.copy_location(ast.Pass(), node)
            else:
                return self.generic_visit(ast.copy_location(ast.Expr(node.value), node))
        return self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST:
        if self._is_unread(node.target):
            self.changed = True
            if is_pure(node.value):
                return ast.copy_location(ast.Pass(), node)
            return self.generic_visit(ast.copy_location(ast.Expr(node.value), node))
        return self.generic_visit(node)

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        for name in bodies_of[type(node)]:
            body = getattr(node, name)
            if isinstance(body, list):
                setattr(node, name, tidy(body, needed=name == "body"))
        return node


def is_harmless(node: ast.expr) -> bool:
    """As is_pure; also an empty container."""
    return is_pure(node) or (isinstance(node, (ast.Dict, ast.List)) and not ast.unparse(node).strip("{}[]"))


def _filter(body: Iterable[ast.stmt], kept: set[int]) -> list[ast.stmt]:
    return [
        node for node in body if id(node) in kept or isinstance(node, (ast.Import, ast.ImportFrom)) or not defined(node)
    ]


def used_names(body: Iterable[ast.AST]) -> set[str]:
    """Names that are loaded somewhere."""
    return {
        node.id for tree in body for node in walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }


class Imports(Transformer):
    """Leaves out imports of what a part does not use, or what is not defined any more."""

    def __init__(self, used: set[str], known: set[str]) -> None:
        self.used = used
        self.known = known

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
        node.names = [
            alias
            for alias in node.names
            if (alias.asname or alias.name) in self.used and (not node.level or alias.name in self.known)
        ]
        return node if node.names else ast.copy_location(ast.Pass(), node)

    def visit_Import(self, node: ast.Import) -> ast.AST:
        node.names = [alias for alias in node.names if (alias.asname or alias.name.split(".")[0]) in self.used]
        return node if node.names else ast.copy_location(ast.Pass(), node)


def run(merged: Merged) -> bool:
    """Leave out what is not reached; whether there was anything."""
    public = public_attributes(merged)
    reach = Reach(merged, public)
    before = merged.size or size(merged)
    for part in merged.parts.values():
        part.body = _filter(part.body, reach.kept)
        for node in part.body:
            if isinstance(node, ast.ClassDef):
                node.body = _filter(node.body, reach.kept) or [ast.Pass()]
    read = reach.attributes | public
    known = {name for node in merged.trees() for name in defined(node)}
    for part in merged.parts.values():
        unread = Unread(read)
        body = [unread.visit(node) for node in part.body]
        imports = Imports(used_names(body) | set(merged.public.values()), known)
        part.body = [node for node in (imports.visit(node) for node in body) if not isinstance(node, ast.Pass)]
        part.body = [node for node in (unread.visit(node) for node in part.body) if not isinstance(node, ast.Pass)]
    for name in [name for name, part in merged.parts.items() if name != "__init__" and not has_content(part.body)]:
        del merged.parts[name]
    merged.size = size(merged)
    return merged.size != before


def has_content(body: list[ast.stmt]) -> bool:
    """Whether a part holds more than imports."""
    return any(not isinstance(node, (ast.Import, ast.ImportFrom)) for node in body)


def size(merged: Merged) -> int:
    """How many nodes the program has."""
    return sum(1 for tree in merged.trees() for _ in walk(tree))
