"""Pass: private names become short ones, which MicroPython's firmware has already where possible; frequent ones first.

A name costs its text in the file and, where the firmware does not have it, in the heap. What is renamed: names of the
modules (functions, classes, tables), attributes and methods, and parameters. What is not: public names, what begins and
ends with two underscores, every attribute that an object of the firmware may have, too (firmware_names.txt), names that
stand in a string, and parameters that somebody passes by name, or may pass: those of public functions.

Each attribute is renamed alike wherever it stands behind a dot, so it does not matter what the object is. The new name
of an attribute is none that objects of ours keep, nor one that the interpreter looks for by itself.
"""

import ast
import keyword
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from .merging import Merged
from .reaching import classes, is_special, lineage, public_attributes
from .scopes import parameters
from .walking import Transformer, walk

# Looked up by the interpreter on objects of any class: by `await`, by streams, on exceptions.
LOOKED_UP = {"send", "throw", "close", "args", "value", "errno", "ioctl", "write", "read", "readinto", "__call__"}
NEVER = ("self", "const", "super", "_")
# What they are called, in turn; names that every .mpy file has for nothing.
PARAMETERS = (
    *("value", "key", "index", "start", "end", "step", "count", "find", "items", "copy", "sep"),
    *("stop", "format", "update", "replace", "split", "insert", "sort"),
)


def firmware_names() -> dict[str, list[str]]:
    """The names in firmware_names.txt, by section."""
    sections: dict[str, list[str]] = {}
    for line in (Path(__file__).parent / "firmware_names.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            current = sections.setdefault(line.strip("[]"), [])
        elif not line.startswith("#"):
            current += line.split()
    return sections


def candidates() -> Iterator[str]:
    """Short names, the cheapest first."""
    sections = firmware_names()
    for name in (*sections["static"], *sorted(sections["common"], key=lambda name: (len(name), name))):
        if not is_special(name) and name not in NEVER and not keyword.iskeyword(name) and len(name) < 16:
            yield name
    for number in range(26 * 26):
        yield "z" + chr(97 + number // 26) + chr(97 + number % 26)


class Names:
    """What is renamed to what. `globals`, `attributes`: by the name in the program."""

    def __init__(self, merged: Merged) -> None:
        self.merged = merged
        self.public = public_attributes(merged)
        self.known = classes(merged)
        self.public_classes = {cls.name for name in merged.public.values() for cls in lineage(name, self.known)}
        sections = firmware_names()
        self.foreign = {name for names in sections.values() for name in names}
        self.keywords: set[str] = set()  # passed by name somewhere
        self.spread: set[str] = set()  # called with `**`: functions, methods and classes
        self.strings: set[str] = set()
        self.builtin: set[str] = set()  # names that are read and not ours: built in, or external
        self.globals: dict[str, str] = {}
        self.attributes: dict[str, str] = {}
        self.unchanged: set[str] = set()  # names that stand for themselves, whatever else they stand for
        self._collect()

    def _collect(self) -> None:
        uses: Counter[str] = Counter()
        attributes: Counter[str] = Counter()
        own: set[str] = set()  # attributes that our objects have
        for tree in self.merged.trees():
            for node in walk(tree):
                if isinstance(node, ast.Name):
                    if node.id in self.merged.home:
                        uses[node.id] += 1
                    elif node.kind == "global":  # type: ignore[attr-defined]
                        self.builtin.add(node.id)
                elif isinstance(node, ast.Attribute):
                    attributes[node.attr] += 1
                    if isinstance(node.ctx, ast.Store):
                        own.add(node.attr)
                elif isinstance(node, ast.keyword) and node.arg:
                    self.keywords.add(node.arg)
                elif isinstance(node, ast.Call) and any(keyword.arg is None for keyword in node.keywords):
                    self.spread.add(node.func.attr if isinstance(node.func, ast.Attribute) else ast.unparse(node.func))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    self.strings.add(node.value)
                elif isinstance(node, ast.alias):
                    uses[node.name] += node.name in self.merged.home
                    if node.name not in self.merged.home:
                        self.builtin.add(node.asname or node.name)
                elif isinstance(node, ast.ClassDef):
                    for member in node.body:
                        for name in members(member):
                            own.add(name)
                            attributes[name] += 1
                if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                    uses[node.name] += node.name in self.merged.home
        renamed = {name for name in own if not self._keeps_attribute(name)}
        self.unchanged = (set(attributes) - renamed) | self.builtin | set(self.merged.public)
        taken = (own - renamed) | LOOKED_UP | self.public
        self._choose(self.attributes, [n for n, _ in attributes.most_common() if n in renamed], taken)
        public = set(self.merged.public.values())
        taken = self.builtin | set(self.merged.public) | self._kept_parameters() | {"print"}
        self._choose(self.globals, [n for n, count in uses.most_common() if count and n not in public], taken)
        for name, found in self.merged.public.items():
            self.globals[found] = name

    def _keeps_attribute(self, name: str) -> bool:
        return is_special(name) or name in self.public or name in self.foreign or name in self.strings

    def _kept_parameters(self) -> set[str]:
        """Names of parameters that stay: of public functions and methods, or passed by name."""
        kept = set(self.keywords)
        for tree in self.merged.trees():
            for node in walk(tree):
                if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
                    kept |= {arg.arg for arg in parameters(node) if self.keeps_parameter(node, arg, None)}
        return kept

    def keeps_parameter(self, node: ast.AST, arg: ast.arg, cls: "str | None") -> bool:
        """Whether a parameter's name may be used from outside, or is `self`."""
        name = getattr(node, "name", "")
        if arg.arg in self.keywords or arg.arg == "self" or name in self.spread:
            return True
        if name == "__init__" and cls in self.spread:
            return True
        is_public = name in self.merged.public.values() or name in self.public or is_special(name)
        return is_public and (cls is None or cls in self.public_classes)

    def _choose(self, into: dict[str, str], names: list[str], taken: set[str]) -> None:
        found = (name for name in candidates() if name not in taken)
        for name in names:
            into[name] = next(found)


def members(node: ast.stmt) -> list[str]:
    """The attributes that a statement in a class body makes."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return [node.name]
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    return []


def read_first(body: list[ast.stmt]) -> list[ast.stmt]:
    """A class body in which `a = b` stands before `b = ...`: behind it, b would be the class's, and no longer the
    module's. Only bodies of nothing else are put in order, which stand for modules (merging.NAMESPACE).
    """
    left = [node for node in body if isinstance(node, ast.Assign) and isinstance(node.value, ast.Name | ast.Constant)]
    if len(left) < len(body):
        return body
    ordered: list[ast.stmt] = []
    while left:
        read = Counter(node.value.id for node in left if isinstance(node.value, ast.Name))
        for node in left:
            names = members(node)
            own = node.value.id if isinstance(node.value, ast.Name) else ""
            if all(read[name] == (name == own) for name in names):
                break
        else:
            raise ValueError("a module stands for values that are named after each other in a ring")
        left.remove(node)
        ordered.append(node)
    return ordered


class Renamer(Transformer):
    def __init__(self, names: Names, short: bool) -> None:
        self.names = names
        self.short = short
        self.shorts = set(names.globals.values())
        self.locals: list[dict[str, str]] = []
        self.cls: str | None = None

    def visit_Name(self, node: ast.Name) -> ast.AST:
        kind = node.kind  # type: ignore[attr-defined]
        if node.id in self.names.globals:
            node.id = self.names.globals[node.id]
        elif kind == "class":
            node.id = self.names.attributes.get(node.id, node.id)
        elif kind == "local" and self.locals:
            node.id = self.locals[-1].get(node.id, node.id)
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        node.attr = self.names.attributes.get(node.attr, node.attr)
        return self.generic_visit(node)

    def visit_alias(self, node: ast.alias) -> ast.AST:
        node.name = self.names.globals.get(node.name, node.name)
        return node

    def visit_Global(self, node: ast.Global) -> ast.AST:
        node.names = [self.names.globals.get(name, name) for name in node.names]
        return node

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        if node.name and self.locals:
            node.name = self.locals[-1].get(node.name, node.name)
        return self.generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        outer, self.cls = self.cls, node.name
        node.name = self.names.globals.get(node.name, node.name)
        self.generic_visit(node)
        self.cls = outer
        node.body = read_first(node.body)
        return node

    def _function(self, node: "ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda") -> ast.AST:
        """Outside functions, all local names of one are chosen at once, with those of functions inside it."""
        outermost = not self.locals
        if outermost:
            self.locals.append(self._locals(node))
        for arg in parameters(node):
            arg.arg = self.locals[-1].get(arg.arg, arg.arg)
        if not isinstance(node, ast.Lambda):
            if outermost:
                if node.name in self.names.globals:
                    node.name = self.names.globals[node.name]
                else:
                    node.name = self.names.attributes.get(node.name, node.name)
            else:
                node.name = self.locals[-1].get(node.name, node.name)
        self.generic_visit(node)
        if outermost:
            self.locals.pop()
        return node

    visit_FunctionDef = visit_AsyncFunctionDef = visit_Lambda = _function

    def _locals(self, node: "ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda") -> dict[str, str]:
        found: set[str] = set()
        used: set[str] = set()  # names that a parameter may not be called
        kept: set[str] = set()
        inner: Counter[str] = Counter()  # how many functions bind a name: only in one may it be chosen freely
        for part in walk(node):
            if isinstance(part, ast.Name):
                if part.kind == "local" and part.id not in self.names.globals:  # type: ignore[attr-defined]
                    found.add(part.id)
                else:
                    used.add(self.names.globals.get(part.id, part.id))
            elif isinstance(part, ast.alias):
                local = part.asname or part.name
                used.add(self.names.globals.get(local, local))
                kept.add(local)
            elif isinstance(part, ast.ExceptHandler) and part.name:
                found.add(part.name)
            elif isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
                if part is not node and not isinstance(part, ast.Lambda):
                    found.add(part.name)
                for arg in parameters(part):
                    inner[arg.arg] += 1
                    found.add(arg.arg)
                    if self.names.keeps_parameter(part, arg, self.cls) or part is not node:
                        kept.add(arg.arg)
        renamed: dict[str, str] = {}
        own = (
            []
            if not self.short
            else [arg.arg for arg in parameters(node) if arg.arg not in kept and inner[arg.arg] == 1]
        )
        others = found - set(own) - kept
        for name in others:  # not in the way of a short name of the module
            new = name
            while new in self.shorts or new in PARAMETERS:
                new += "_"
            if new != name:
                renamed[name] = new
        free = (name for name in PARAMETERS if name not in used and name not in kept)
        for name in own:
            renamed[name] = next(free, name + "_")
        return renamed


def run(merged: Merged, short: bool = True) -> Names:
    """Rename; what was renamed to what. Not `short`: nothing but the public names, for a reader."""
    names = Names(merged)
    if not short:
        names.attributes = {}
        names.globals = {found: name for name, found in merged.public.items()}
    renamer = Renamer(names, short)
    for part in merged.parts.values():
        part.body = [renamer.visit(node) for node in part.body]
    return names
