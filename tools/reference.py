"""`make reference`: the API reference, pages made of the docstrings of what is public, in build/reference. pdoc draws.

    python -m tools.reference [FOLDER]

What pdoc does not know is told here: which modules are public, that names of `mqttlite` are loaded when they are asked
for, that a class is shown with what it has from classes that are not public, and that our docstrings are plain text,
in which aligned columns are tables.
"""

import importlib
import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tools.places import ROOT

PUBLIC = ("mqttlite", "mqttlite.blocking", "mqttlite.database", "mqttlite.broker")
FOLDER = ROOT / "build" / "reference"

_ROW = re.compile(r"(\S+(?:,? \S+)*) {2,}(\S.*)")  # a name, or some, and what is said of it


def modules() -> list[str]:
    """Those that are public."""
    return [name for name in PUBLIC if importlib.util.find_spec(name)]


def public_names(module: str) -> Iterator[tuple[str, Any]]:
    """What a module shows, loaded."""
    found = importlib.import_module(module)
    for name in getattr(found, "__all__", [n for n in vars(found) if not n.startswith("_")]):
        yield name, getattr(found, name)


def markdown(docstring: str) -> str:
    """A docstring of ours as Markdown: columns are tables, indented paragraphs are as they stand."""
    return "\n\n".join(
        _table(paragraph) or (f"```text\n{paragraph}\n```" if paragraph.startswith("    ") else paragraph)
        for paragraph in re.split(r"\n{2,}", docstring.strip("\n"))
    )


def _table(paragraph: str) -> str:
    """Of lines that are a row or go on with one; "" where they are not."""
    rows: list[list[str]] = []
    for line in paragraph.splitlines():
        row = _ROW.fullmatch(line)
        if row:
            rows.append([row[1], row[2]])
        elif rows and line.startswith("    "):
            rows[-1][1] += " " + line.strip()
        else:
            return ""
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return "\n".join(["| | |", "|---|---|", *(f"| `{name}` | {text} |" for name, text in escaped)])


def pages() -> dict[str, Any]:
    """What pdoc knows of each public module, by its name."""
    import pdoc.doc

    found = {}
    for name in modules():
        module = importlib.import_module(name)
        for public, value in public_names(name):
            setattr(module, public, value)  # names of mqttlite are loaded when they are asked for
        page = found[name] = pdoc.doc.Module.from_name(name)
        vars(page)["submodules"] = []
        for member in page.members.values():
            if isinstance(member, pdoc.doc.Class):
                _show_all_of(member)
            elif not member.docstring:
                vars(member)["docstring"] = _words_below(name, member)
    return found


def _words_below(package: str, alias: Any) -> str:
    """The text below a type that has a name, in the module of `package` that it comes from; "" where there is none."""
    import pdoc.doc

    for name, module in sys.modules.items():
        if name.startswith(f"{package}.") and getattr(module, alias.name, None) is not None:
            page = pdoc.doc.Module(module)
            if member := page.members.get(alias.name):
                return str(member.docstring)
    return ""


def build(folder: Path) -> list[Path]:
    """Write the pages; their paths."""
    from pdoc import render

    from mqttlite import __version__

    render.configure(docformat="markdown", show_source=False, footer_text=f"mqttlite {__version__}")
    render.env.filters["to_markdown"] = markdown
    found = pages()
    written = []
    for name, page in found.items():
        path = folder / f"{name.replace('.', '/')}.html"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(render.html_module(page, found), encoding="utf-8")
        written.append(path)
    (folder / "index.html").write_text(render.html_index(found), encoding="utf-8")
    (folder / "search.js").write_text(render.search_index(found), encoding="utf-8")
    return written


def _show_all_of(shown: Any) -> None:
    """A class with what it has from our classes, public or not; what it has from Python's is not ours to tell."""
    ours = [member for member in shown.members.values() if member.taken_from[0].startswith("mqttlite")]
    vars(shown)["_members_by_origin"] = {(shown.modulename, shown.qualname): ours}


def main() -> None:
    """Into the folder that was given, or build/reference."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    for path in build(folder):
        print(path)


if __name__ == "__main__":
    main()
