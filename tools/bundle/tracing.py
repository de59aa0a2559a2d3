"""Source text of a bundle's parts, and the map that turns a traceback of it back: where each line is from, and what a
short name stands for.
"""

import ast

from .merging import MAIN, Merged
from .naming import Names
from .program import PACKAGE
from .walking import walk


def _statements(tree: ast.AST) -> list[ast.stmt]:
    return [node for node in walk(tree) if isinstance(node, ast.stmt)]


def written(merged: Merged, names: Names) -> tuple[dict[str, str], dict[str, object]]:
    """Text by part, and the map: {"lines": {part: [[line, file, line there], ...]}, "names": {short: [long, ...]}}."""
    texts = {}
    lines: dict[str, list[list[object]]] = {}
    for part in merged.parts.values():
        tree = ast.Module(part.body, [])
        ast.fix_missing_locations(tree)
        text = texts[part.name] = ast.unparse(tree) + "\n"
        label = PACKAGE if part.name == MAIN else part.name
        found = lines[label] = []
        for new, old in zip(_statements(ast.parse(text)), _statements(tree), strict=True):
            if getattr(old, "origin", ""):
                found.append([new.lineno, old.origin, old.lineno])  # type: ignore[attr-defined]
        found.sort(key=lambda entry: entry[0])  # type: ignore[arg-type, return-value]
    meanings: dict[str, list[str]] = {}
    for kind in (names.globals, names.attributes):
        for long, short in kind.items():
            meanings.setdefault(short, []).append(readable(long, merged))
    for short, found in meanings.items():
        if short in names.unchanged and short not in found:
            found.insert(0, short)
    return texts, {"lines": lines, "names": meanings}


def readable(name: str, merged: Merged) -> str:
    """A name as the source has it: `words` for `words__core_oserror`, `Life.end` for `_Life_end`."""
    for cls in merged.became:
        if name.startswith(f"_{cls}_"):
            return f"{cls}.{name.removeprefix(f'_{cls}_')}"
        if name == f"_init_{cls}":
            return f"{cls}.__init__"
    return name.partition("__")[0] if name in merged.home else name
