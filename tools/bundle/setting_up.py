"""Pass: the constructor of the client, and what only it needs, is a file that is dropped after use.

A client is made once, at the start, and the code that checks its options and encodes CONNECT would lie in the heap for
ever. So `__init__` loads it, calls it and forgets it; who makes another client loads it again. The options have their
names and defaults there, and Python tells of a wrong one there.
"""

import ast

from .merging import MAIN, Merged, Part, import_from
from .program import defined
from .reaching import public_attributes, used_names
from .scopes import bind
from .walking import walk

PART = "setup"
FUNCTION = "set_up__setup"

STUB = f"""
def __init__(self, url, **options):
    from .{PART} import {FUNCTION}
    {FUNCTION}(self, url, **options)
    sys.modules.pop(__name__ + ".{PART}", None)
    globals().pop("{PART}", None)
"""


def _outlined(merged: Merged, cls: ast.ClassDef, moved: list[ast.stmt]) -> "ast.FunctionDef | None":
    """The constructor of a class as a function that makes one, where that is done once and here alone; the class stays,
    for its objects do.
    """
    calls = [n for tree in moved for n in walk(tree) if isinstance(n, ast.Call) and ast.unparse(n.func) == cls.name]
    named = sum(isinstance(n, ast.Name) and n.id == cls.name for tree in merged.trees() for n in walk(tree))
    named += sum(isinstance(n, ast.Name) and n.id == cls.name for n in walk(moved[-1]))
    init = next((node for node in cls.body if getattr(node, "name", "") == "__init__"), None)
    has_methods = sum(isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) for node in cls.body) > 1
    by_type = any(
        isinstance(n, ast.Call) and ast.unparse(n.func) == "type" for tree in merged.trees() for n in walk(tree)
    )
    if len(calls) != 1 or named != 1 or cls.bases or not isinstance(init, ast.FunctionDef) or cls.name in merged.public:
        return None
    if any(isinstance(node, ast.Return) for node in walk(init)) or (by_type and has_methods):
        return None
    cls.body.remove(init)
    if not cls.body:
        cls.body.append(ast.Pass())
    init.name = f"make__{cls.name}"
    self_name = init.args.args.pop(0).arg
    text = f"{self_name} = {cls.name}()\nreturn {self_name}"
    first, last = ast.parse(text).body
    for node in (*walk(first), *walk(last)):
        if isinstance(node, ast.Name):
            node.kind = "local" if node.id == self_name else "global"  # type: ignore[attr-defined]
    init.body = [first, *init.body, last]
    merged.home[init.name] = PART
    calls[0].func = ast.copy_location(ast.Name(init.name, ast.Load()), calls[0])
    calls[0].func.kind = "global"  # type: ignore[attr-defined]
    return init


def _move_down(
    merged: Merged, cls: ast.ClassDef, kept: list[ast.stmt], moved: list[ast.stmt], elsewhere: set[str]
) -> None:
    """Move the functions of `kept` that nothing but `moved` names any more."""
    names = {id(node): used_names([node]) for node in (cls, *kept, *moved)}
    again = True
    while again:
        again = False
        for node in list(kept):
            if not isinstance(node, ast.FunctionDef) or node.name in merged.public.values() or node.name in elsewhere:
                continue
            is_named = any(node.name in names[id(other)] for other in (cls, *kept) if other is not node)
            if not is_named and any(node.name in names[id(other)] for other in moved):
                kept.remove(node)
                moved.insert(0, node)
                merged.home[node.name] = PART
                again = True


def run(merged: Merged, whole: str) -> None:
    """Move the constructor of the class `whole`, with the functions that nothing else names."""
    merged.exposed |= public_attributes(merged)  # which the constructor sets, of another file now
    main = merged.parts[MAIN]
    [cls] = [node for node in main.body if isinstance(node, ast.ClassDef) and node.name == whole]
    [init] = [node for node in cls.body if isinstance(node, ast.FunctionDef) and node.name == "__init__"]
    stub = ast.parse(STUB)
    bind(stub)
    cls.body[cls.body.index(init)] = stub.body[0]
    init.name = FUNCTION
    merged.home[FUNCTION] = PART
    moved: list[ast.stmt] = [init]
    kept = [node for node in main.body if node is not cls]
    elsewhere = {
        alias.name
        for part in merged.parts.values()
        if part is not main
        for tree in part.body
        for node in walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level
        for alias in node.names
    }
    _move_down(merged, cls, kept, moved, elsewhere)
    for node in list(kept):
        if isinstance(node, ast.ClassDef) and node.name in used_names(moved):
            maker = _outlined(merged, node, moved)
            if maker:
                moved.insert(0, maker)
    _move_down(merged, cls, kept, moved, elsewhere)
    moved.sort(key=lambda node: main.body.index(node) if node in main.body else len(main.body))
    used = used_names(moved)
    imports: list[ast.stmt] = [
        node
        for node in main.body
        if isinstance(node, (ast.Import, ast.ImportFrom))
        and any((alias.asname or alias.name.split(".")[0]) in used for alias in node.names)
    ]
    here = {name for node in moved for name in defined(node)}
    of_main = sorted({name for node in (cls, *kept) for name in defined(node)} & used - here)
    if of_main:
        imports.append(import_from(MAIN, of_main))
    merged.parts[PART] = Part(PART, [], [*imports, *moved])
    gone = set(map(id, moved))
    [system] = ast.parse("import sys").body
    main.body = [system, *[node for node in main.body if id(node) not in gone]]
