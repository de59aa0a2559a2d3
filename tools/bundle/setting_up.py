"""Pass: the constructor of the client, and what only it needs, is a file that is dropped after use.

A client is made once, at the start, and the code that checks its options and encodes CONNECT would lie in the heap for
ever. So `__init__` loads it, calls it and forgets it; who makes another client loads it again. The options have their
names and defaults there, and Python tells of a wrong one there.
"""

import ast

from .merging import MAIN, Merged, Part, import_from
from .program import defined
from .reaching import used_names
from .scopes import bind

PART = "setup"
FUNCTION = "set_up__setup"

STUB = f"""
def __init__(self, url, **options):
    from .{PART} import {FUNCTION}
    {FUNCTION}(self, url, **options)
    sys.modules.pop(__name__ + ".{PART}", None)
    globals().pop("{PART}", None)
"""


def run(merged: Merged, whole: str) -> None:
    """Move the constructor of the class `whole`, with the functions that nothing else names."""
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
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level
        for alias in node.names
    }
    again = True
    while again:
        again = False
        for node in list(kept):
            if not isinstance(node, ast.FunctionDef) or node.name in merged.public.values():
                continue
            others = used_names([cls, *[other for other in kept if other is not node]])
            if node.name not in others | elsewhere and node.name in used_names(moved):
                kept.remove(node)
                moved.insert(0, node)
                merged.home[node.name] = PART
                again = True
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
