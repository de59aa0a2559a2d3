"""Modules merged into parts: one file with all that the public names load, and one for each thing loaded when needed.

Every name of a module gets one of its own in the whole program (`packet` of core/codec.py: `packet__core_codec`), and
imports between modules of one part disappear. An import inside a function stays where it stands when what it names is
in another part. Nothing that a program can see depends on which module a function stands in: nobody rebinds names of
another module, and modules are run in the order in which they were imported.
"""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from .program import PACKAGE, Module, Program, defined, statements
from .scopes import bind
from .walking import Transformer, walk

MAIN = "__init__"


NAMESPACE = "module"  # name of the class that stands for a module which is used as a value


def unique(module: str, name: str) -> str:
    """What `name` of `module` is called in the merged program."""
    return f"{name}__{module.removeprefix(PACKAGE + '.').replace('.', '_')}"


@dataclass
class Part:
    """One file of a bundle: its modules, in the order in which they run, and their statements."""

    name: str
    modules: list[str]
    body: list[ast.stmt] = field(default_factory=list)


@dataclass
class Merged:
    """A program in parts. `public`: by public name, what it is called in the program; `home`: part of each name;
    `exposed`: attributes that an application may read, besides those of public classes; `hidden`: methods of those that
    it may not call; `became`: classes that are part of another one now, by their names in the source (parts.py).
    """

    parts: dict[str, Part]
    public: dict[str, str]
    home: dict[str, str]
    exposed: set[str] = field(default_factory=set)
    hidden: set[str] = field(default_factory=set)
    became: dict[str, str] = field(default_factory=dict)
    size: int = 0

    def trees(self) -> Iterator[ast.stmt]:
        """Every statement at the top of a part."""
        for part in self.parts.values():
            yield from part.body


def merge(
    program: Program,
    public: dict[str, tuple[str, str]],
    only: "dict[str, str] | None" = None,
    whole: str = "",
) -> Merged:
    """`public`: where each public name is defined, as (module, name). The main part is the module of `whole` and what
    it imports; without a whole, all that is not only loaded when needed. `only`: variables and attributes that hold a
    module, which is always this one.
    """
    eager = {name: [m for m, top in program.imports(module) if top] for name, module in program.modules.items()}
    lazy = {m for module in program.modules.values() for m, top in program.imports(module) if not top}
    first = [public[whole][0]] if whole in public else [module for module, _ in public.values() if module not in lazy]
    main = _closure(first, eager)
    lazy |= {module for module, _ in public.values()}
    reached: dict[str, set[str]] = {}
    for root in sorted(lazy - set(main)):
        for name in _closure([root], eager):
            if name not in main:
                reached.setdefault(name, set()).add(root)
    parts = {MAIN: Part(MAIN, main)}
    groups: dict[frozenset[str], list[str]] = {}
    for name in _closure(sorted(reached), eager):
        if name in reached:
            groups.setdefault(frozenset(reached[name]), []).append(name)
    for roots, names in groups.items():
        named = next((name for name in names if name in roots), names[-1])
        label = named.rpartition(".")[2]
        if label in parts:
            label = named.removeprefix(f"{PACKAGE}.").replace(".", "_")
        parts[label] = Part(label, names)
    where = {module: part.name for part in parts.values() for module in part.modules}
    merged = Merged(parts, {}, {})
    for part in parts.values():
        linker = Linker(program, part, where, only or {})
        for name in part.modules:
            linker.add(program.modules[name])
        part.body = linker.finished()
        merged.home.update(dict.fromkeys(linker.names, part.name))
    for name, (module, inner) in public.items():
        merged.public[name] = unique(*program.home(module, inner))
    return merged


def _closure(roots: Iterable[str], edges: dict[str, list[str]]) -> list[str]:
    """`roots` and all that they lead to, each after what it leads to."""
    found: list[str] = []
    seen: set[str] = set()

    def visit(name: str) -> None:
        if name not in seen:
            seen.add(name)
            for other in edges.get(name, ()):
                visit(other)
            found.append(name)

    for root in roots:
        visit(root)
    return found


class Linker(Transformer):
    """Puts the modules of one part together."""

    def __init__(self, program: Program, part: Part, where: dict[str, str], only: dict[str, str]) -> None:
        self.program = program
        self.only = only
        self.part = part
        self.where = where
        self.body: list[ast.stmt] = []
        self.names: list[str] = []
        self.outside: dict[str, ast.stmt] = {}  # imports of what is not ours, by the name that they bind
        self.needed: dict[str, set[str]] = {}  # names of other parts that are needed at the top, by part

    def add(self, module: Module) -> None:
        """The next module."""
        bind(module.tree)
        self.module = module
        self.globals: dict[str, tuple[str, str]] = {}  # name: (module, name there); ("", name): external
        self.modules: dict[str, str] = {}  # names that stand for a module of ours
        self.in_function: list[dict[str, str]] = []
        body = []
        for node in module.tree.body:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                self._import(node)
            elif not (isinstance(node, ast.FunctionDef) and node.name == "__getattr__"):
                body.append(node)
        for node in statements(body):
            for name in defined(node):
                self.globals[name] = (module.name, name)
                self.names.append(unique(module.name, name))
        for node in body:
            new = self.visit(node)
            if new is not None:
                self.body.append(new)
        self._namespace(module)

    def _namespace(self, module: Module) -> None:
        """A class with all that the module defines, for who takes the module as a value; left out where nobody does."""
        name = unique(module.name, NAMESPACE)
        lines = "".join(
            f"    {inner} = {self._outer(*found)}\n" for inner, found in sorted(self.globals.items()) if found[0]
        )
        [found] = ast.parse(f"class {name}:\n{lines or '    pass'}").body
        for node in walk(found):
            if isinstance(node, ast.Name):
                node.kind = "class" if isinstance(node.ctx, ast.Store) else "global"  # type: ignore[attr-defined]
        self.names.append(name)
        self.body.append(found)

    def finished(self) -> list[ast.stmt]:
        """All statements of the part, its imports first."""
        imports: list[ast.stmt] = list(self.outside.values())
        for part, names in sorted(self.needed.items()):
            imports.append(import_from(part, sorted(names)))
        return [*imports, *self.body]

    def _import(self, node: "ast.Import | ast.ImportFrom") -> None:
        """An import at the top of a module."""
        if isinstance(node, ast.ImportFrom) and self.program.is_module(self.module.absolute(node)):
            source = self.module.absolute(node)
            for alias in node.names:
                local = alias.asname or alias.name
                if self.program.is_module(f"{source}.{alias.name}"):
                    self.modules[local] = f"{source}.{alias.name}"
                else:
                    self.globals[local] = self.program.home(source, alias.name)
            return
        for alias in node.names:
            local = alias.asname or alias.name.split(".")[0]
            new = ast.copy_location(type(node)(**{**vars_of(node), "names": [alias]}), node)
            self.outside[local] = new
            self.globals[local] = ("", local)

    def _outer(self, module: str, name: str) -> str:
        """The name in the program of what a module of ours defines; noted when it is in another part."""
        found = unique(module, name)
        part = self.where[module]
        if part != self.part.name:
            self.needed.setdefault(part, set()).add(found)
        return found

    # -- nodes

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node.kind == "local":  # type: ignore[attr-defined]
            for names in reversed(self.in_function):
                if node.id in names:
                    module = names[node.id].removeprefix("module ")
                    if module != names[node.id]:
                        self.used_of_modules[node.id].add((module, NAMESPACE))
                        names = {node.id: unique(module, NAMESPACE)}
                    node.id = names[node.id]
                    node.kind = "global"  # type: ignore[attr-defined]
                    break
        elif node.kind == "global":  # type: ignore[attr-defined]
            if node.id in self.globals:
                module, name = self.globals[node.id]
                node.id = self._outer(module, name) if module else name
            elif node.id in self.modules:
                module = self.modules[node.id]
                if module in self.only.values():
                    return ast.copy_location(ast.Constant(None), node)
                node.id = self._outer(module, NAMESPACE)
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        value = node.value
        held = value.attr if isinstance(value, ast.Attribute) else value.id if isinstance(value, ast.Name) else ""
        if held in self.only and (not isinstance(value, ast.Name) or value.kind == "local"):  # type: ignore[attr-defined]
            new = ast.copy_location(
                ast.Name(self._outer(*self.program.home(self.only[held], node.attr)), node.ctx), node
            )
            new.kind = "global"  # type: ignore[attr-defined]
            return new
        if isinstance(value, ast.Name):
            module = None
            if value.kind == "global":  # type: ignore[attr-defined]
                module = self.modules.get(value.id)
            else:
                for names in reversed(self.in_function):
                    if names.get(value.id, "").startswith("module "):
                        module = names[value.id].removeprefix("module ")
                        break
            if module:
                home, name = self.program.home(module, node.attr)
                new = ast.copy_location(ast.Name(unique(home, name), node.ctx), node)
                new.kind = "global"  # type: ignore[attr-defined]
                if value.kind == "global":  # type: ignore[attr-defined]
                    self._outer(home, name)
                else:
                    self.used_of_modules[value.id].add((home, name))
                return new
        return self.generic_visit(node)

    def visit_Global(self, node: ast.Global) -> ast.AST:
        node.names = [unique(*self.globals[name]) for name in node.names]
        return node

    def _function(self, node: "ast.FunctionDef | ast.AsyncFunctionDef") -> ast.AST:
        if not self.in_function and node.name in self.globals and node in self.module.tree.body:
            node.name = unique(*self.globals[node.name])
        names: dict[str, str] = {}
        if not self.in_function:
            self.used_of_modules: dict[str, set[tuple[str, str]]] = {}
        imports = [n for n in walk(node) if isinstance(n, ast.ImportFrom)]
        self.assigned = {n.id for n in walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        for found in imports:
            source = self.module.absolute(found)
            if self.program.is_module(source):
                for alias in found.names:
                    local = alias.asname or alias.name
                    if self.program.is_module(f"{source}.{alias.name}"):
                        self.used_of_modules.setdefault(local, set())
                        if local not in self.assigned:
                            names[local] = f"module {source}.{alias.name}"
                    elif local not in self.assigned:
                        names[local] = unique(*self.program.home(source, alias.name))
        self.in_function.append(names)
        new = self.generic_visit(node)
        self.in_function.pop()
        for found in imports:
            self._replace_import(new, found)
        return new

    visit_FunctionDef = visit_AsyncFunctionDef = _function

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        if not self.in_function:
            node.name = unique(*self.globals[node.name])
        return self.generic_visit(node)

    def _replace_import(self, function: ast.AST, node: ast.ImportFrom) -> None:
        """An import inside a function: gone, or of the names in the other part."""
        source = self.module.absolute(node)
        if not self.program.is_module(source):
            return
        wanted: dict[str, list[str]] = {}
        new: list[ast.stmt] = []
        for alias in node.names:
            if self.program.is_module(f"{source}.{alias.name}"):
                homes = sorted(self.used_of_modules.get(alias.asname or alias.name, ()))
                if (alias.asname or alias.name) in self.assigned:
                    homes = [(f"{source}.{alias.name}", NAMESPACE)]
            else:
                homes = [self.program.home(source, alias.name)]
            for home, name in homes:
                part = self.where[home]
                if part != self.part.name:
                    wanted.setdefault(part, []).append(unique(home, name))
                local = alias.asname or alias.name
                if local in self.assigned:  # a variable that holds one thing or another
                    value = ast.Name(unique(home, name), ast.Load())
                    value.kind = "global"  # type: ignore[attr-defined]
                    new.append(ast.copy_location(ast.Assign([ast.Name(local, ast.Store())], value), node))
                    new[-1].targets[0].kind = "local"  # type: ignore[attr-defined]
        new[:0] = [import_from(part, names, node) for part, names in wanted.items()]
        replace_statement(function, node, new)


def vars_of(node: "ast.Import | ast.ImportFrom") -> dict[str, object]:
    """The fields of an import."""
    return {name: getattr(node, name) for name in node._fields}


def import_from(part: str, names: list[str], like: "ast.AST | None" = None) -> ast.ImportFrom:
    """`from .part import names`."""
    node = ast.ImportFrom(None if part == MAIN else part, [ast.alias(name) for name in names], 1)
    node.origin = getattr(like, "origin", "")  # type: ignore[attr-defined]
    node.lineno = getattr(like, "lineno", 0)
    return node


def replace_statement(tree: ast.AST, old: ast.stmt, new: list[ast.stmt]) -> None:
    """Put `new` in the place of the statement `old` somewhere in `tree`."""
    for node in walk(tree):
        for _, body in ast.iter_fields(node):
            if isinstance(body, list) and any(item is old for item in body):
                at = next(index for index, item in enumerate(body) if item is old)
                body[at : at + 1] = new or ([] if len(body) > 1 else [ast.copy_location(ast.Pass(), old)])
                return


def _attribute_of(part: str) -> str:
    # MicroPython's `from . import x` asks the package for `x` first, which is to ask this function again, for ever.
    return f"getattr(__import__('{PACKAGE}.{part}', None, None, True), name)"


def offer(merged: Merged) -> None:
    """Let the main part have public names that are in others: they are loaded when they are asked for."""
    by_part: dict[str, list[str]] = {}
    for name, found in merged.public.items():
        part = merged.home.get(found)
        if part in merged.parts and part != MAIN:
            by_part.setdefault(part, []).append(name)
    if not by_part:
        return
    *some, (rest, _) = sorted(by_part.items(), key=lambda item: len(item[1]))
    lines = ["def __getattr__(name):"]
    for part, names in some:
        lines += [f"    if name in {tuple(names)!r}:", f"        return {_attribute_of(part)}"]
    lines += [f"    return {_attribute_of(rest)}"]
    tree = ast.parse("\n".join(lines))
    bind(tree)
    merged.parts[MAIN].body += tree.body
