"""The program that a bundle is made of, as syntax trees: the modules that its public names load, and what they import.

Imports are followed where they stand. One at the top of a module is needed with it; one inside a function is a module
that is loaded when it is needed, and starts a part of its own (merging.py). What no board runs is gone when this is
done: docstrings, annotations, code for the type checker and for CPython. None of that can be told from outside, but for
docstrings, which `help` on a board does not show either.
"""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .folding import Folder
from .walking import Transformer, walk

PACKAGE = "mqttlite"


class BundleError(Exception):
    """The source does something that the builder does not know how to carry over; the text says what, and where."""


@dataclass
class Module:
    """One file of the source. `hints`: names that only the type checker is told of, for errors that are loaded when
    they are asked for (core/errors.py). `defines` and `imports`: what other modules can import from it.
    """

    name: str
    path: Path
    tree: ast.Module
    is_package: bool
    hints: dict[str, tuple[str, str]] = field(default_factory=dict)
    defines: set[str] = field(default_factory=set)
    imports: dict[str, tuple[str, str]] = field(default_factory=dict)

    def absolute(self, node: ast.ImportFrom) -> str:
        """The full name of the module that `from ... import` names."""
        if not node.level:
            return node.module or ""
        parts = self.name.split(".")
        parts = parts[: len(parts) - node.level + self.is_package]
        return ".".join([*parts, *([node.module] if node.module else [])])


class Program:
    """All modules that were followed, by name; `flags`: values of the constants in core/features.py."""

    def __init__(self, source: Path, flags: dict[str, int]) -> None:
        self.source = source
        self.flags = flags
        self.modules: dict[str, Module] = {}
        self._loaded: dict[str, Module] = {}
        self._imports: dict[str, list[tuple[str, bool]]] = {}

    def follow(self, roots: Iterable[str]) -> None:
        """Take in what is reached from `roots`."""
        waiting = sorted(roots)
        while waiting:
            name = waiting.pop()
            if name not in self.modules:
                module = self.modules[name] = self._load(name)
                waiting += [found for found, _ in self.imports(module)]

    def _load(self, name: str) -> Module:
        if name not in self._loaded:
            self._loaded[name] = self._read(name)
        return self._loaded[name]

    def _read(self, name: str) -> Module:
        path = self.source.joinpath(*name.split("."))
        is_package = path.is_dir()
        path = path / "__init__.py" if is_package else path.with_suffix(".py")
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
        for node in walk(tree):
            node.origin = path.relative_to(self.source).as_posix()  # type: ignore[attr-defined]
        module = Module(name, path, tree, is_package)
        for node in walk(tree):
            if isinstance(node, ast.If) and _names_type_checking(node.test):
                for statement in node.body:
                    if isinstance(statement, ast.ImportFrom):
                        for alias in statement.names:
                            module.hints[alias.asname or alias.name] = (module.absolute(statement), alias.name)
        module.tree = Stripper(self._flags_in(module)).visit(tree)
        module.tree = Folder().visit(module.tree)
        for node in statements(module.tree.body):
            module.defines.update(defined(node))
            if isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    module.imports[alias.asname or alias.name] = (module.absolute(node), alias.name)
        return module

    def _flags_in(self, module: Module) -> dict[str, int]:
        """The flags that a module knows, by the names that they have there."""
        found = {}
        for node in module.tree.body:
            if isinstance(node, ast.ImportFrom) and module.absolute(node) == f"{PACKAGE}.core.features":
                found.update({alias.asname or alias.name: self.flags[alias.name] for alias in node.names})
        return found

    def is_module(self, name: str) -> bool:
        """Whether this is the name of a module of ours."""
        path = self.source.joinpath(*name.split("."))
        return name.split(".")[0] == PACKAGE and (path.is_dir() or path.with_suffix(".py").exists())

    def imports(self, module: Module) -> list[tuple[str, bool]]:
        """(module of ours that this one imports, whether it is at its top)."""
        if module.name not in self._imports:
            self._imports[module.name] = list(self._imported(module))
        return self._imports[module.name]

    def _imported(self, module: Module) -> Iterator[tuple[str, bool]]:
        at_top = set(map(id, statements(module.tree.body)))
        for node in walk(module.tree):
            if isinstance(node, ast.ImportFrom):
                name = module.absolute(node)
                if not self.is_module(name):
                    continue
                for alias in node.names:
                    inner = f"{name}.{alias.name}"
                    yield inner if self.is_module(inner) else self.home(name, alias.name)[0], id(node) in at_top
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    if self.is_module(alias.name):
                        raise BundleError(
                            f"{module.name}:{node.lineno}: 'import {alias.name}': name what is wanted of it"
                        )

    def home(self, module: str, name: str) -> tuple[str, str]:
        """Where what `module` offers as `name` is defined: (module, name there)."""
        seen = set()
        while (module, name) not in seen:
            seen.add((module, name))
            found = self._load(module)
            if name in found.defines:
                return module, name
            offered = found.imports.get(name) or found.hints.get(name)
            if not offered or not self.is_module(offered[0]):
                raise BundleError(f"{module} has no '{name}'")
            module, name = offered
        raise BundleError(f"{module}: '{name}' is imported in a circle")


def statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements that a module runs when it is loaded, those under `if` and `try` included."""
    for node in body:
        yield node
        for inner in ("body", "orelse", "finalbody"):
            if isinstance(node, (ast.If, ast.Try)):
                yield from statements(getattr(node, inner, []))
        if isinstance(node, ast.Try):
            for handler in node.handlers:
                yield from statements(handler.body)


def defined(node: ast.stmt) -> list[str]:
    """The names that a statement defines, imports aside."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [node.name]
    if isinstance(node, ast.Assign):
        return [name.id for target in node.targets for name in walk(target) if isinstance(name, ast.Name)]
    if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
        return [node.target.id]
    return []


def _names_type_checking(test: ast.expr) -> bool:
    return isinstance(test, ast.Name) and test.id == "TYPE_CHECKING"


class Stripper(Transformer):
    """Takes out what no board runs, and sets the flags of core/features.py."""

    def __init__(self, flags: dict[str, int]) -> None:
        self.flags = flags

    def visit_If(self, node: ast.If) -> "ast.AST | list[ast.stmt]":
        if _names_type_checking(node.test):
            return [statement for old in node.orelse for statement in _listed(self.visit(old))]
        runs = _runs_on_micropython(node.test)
        if runs is not None:
            return [statement for old in (node.body if runs else node.orelse) for statement in _listed(self.visit(old))]
        return self._filled(self.generic_visit(node))

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        runs = _runs_on_micropython(node.test)
        if runs is not None:
            return self.visit(node.body if runs else node.orelse)
        return self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> "ast.AST | None":
        if isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            if name in ("TYPE_CHECKING", "__all__"):
                return None
        return self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if isinstance(node.ctx, ast.Load) and node.id in self.flags:
            return ast.copy_location(ast.Constant(self.flags[node.id]), node)
        return node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> "ast.AST | None":
        node.names = [alias for alias in node.names if (alias.asname or alias.name) not in self.flags]
        return node if node.names else None

    def visit_AnnAssign(self, node: ast.AnnAssign) -> "ast.AST | None":
        if node.value is None:
            return None
        new = ast.copy_location(ast.Assign([node.target], node.value), node)
        new.note = _note(node.annotation)  # type: ignore[attr-defined]
        new.origin = node.origin  # type: ignore[attr-defined]
        return self.visit(new)

    def visit_Expr(self, node: ast.Expr) -> "ast.AST | None":
        return None if isinstance(node.value, ast.Constant) else self.generic_visit(node)

    def visit_Assert(self, node: ast.Assert) -> None:
        return None  # as -O1 of mpy-cross has it

    def visit_arg(self, node: ast.arg) -> ast.arg:
        if node.annotation:
            node.note = _note(node.annotation)  # type: ignore[attr-defined]
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returned = _note(node.returns) if node.returns else "None"  # type: ignore[attr-defined]
        node.returns = None
        return self._filled(self.generic_visit(node))

    visit_AsyncFunctionDef = visit_FunctionDef  # type: ignore[assignment]

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.notes = {  # type: ignore[attr-defined]
            found.target.id: _note(found.annotation)
            for found in statements(node.body)
            if isinstance(found, ast.AnnAssign) and isinstance(found.target, ast.Name)
        }
        return self._filled(self.generic_visit(node))

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        if isinstance(node, (ast.For, ast.While, ast.With, ast.AsyncWith, ast.AsyncFor, ast.Try, ast.ExceptHandler)):
            return self._filled(node)
        return node

    def _filled(self, node: ast.AST) -> ast.AST:
        if not node.body:  # type: ignore[attr-defined]
            node.body = [ast.Pass()]  # type: ignore[attr-defined]
            node.body[0].origin = getattr(node, "origin", "")  # type: ignore[attr-defined]
        return node


def _note(annotation: ast.expr) -> str:
    """An annotation's text, for parts.py."""
    return ast.unparse(annotation).strip("\"'")


def _listed(node: "ast.AST | list[ast.stmt] | None") -> list[ast.stmt]:
    return node if isinstance(node, list) else [] if node is None else [node]  # type: ignore[list-item]


def _runs_on_micropython(test: ast.expr) -> "bool | None":
    """What a test is on a board that asks where it runs, if this is one; None: it is not. `_LAX`: of core/text.py."""
    text = ast.unparse(test)
    if text in ("hasattr(time, 'ticks_ms')", "_LAX"):
        return True
    for operator, value in (("==", True), ("!=", False)):
        if text == f"sys.implementation.name {operator} 'micropython'":
            return value
    return None
