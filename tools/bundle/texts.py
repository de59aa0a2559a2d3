"""Pass: sentences become numbers: "E17" for one without values, "E17[a|b]" for one with them.

The numbers stand in mqttlite/client/board_errors.json, and `mqttlite explain` and the gateway turn them back. A number
is never given to another text: a board in the field may say it years later. What counts as a sentence is every string
inside a function that has a blank between words; the exceptions are values that an application compares (VALUES). What
is joined of several pieces by `+` is one sentence. Nothing decides by such a text, so only what a person reads is
another.
"""

import ast
import json
import re
from pathlib import Path

from .merging import Merged
from .program import PACKAGE, BundleError
from .walking import Transformer

TABLE = Path("mqttlite/client/board_errors.json")
VALUES = {"in doubt"}  # what `pending` says
SENTENCE = re.compile(r"[A-Za-z'].* |[A-Za-z%] .*[A-Za-z]| [a-z]{2,}")
CONVERSION = re.compile(r"%[-+ #0]*\d*(?:\.\d+)?[a-zA-Z]")


def is_sentence(text: object) -> bool:
    """Whether a constant is a text for people."""
    return isinstance(text, str) and len(text) > 5 and text not in VALUES and bool(SENTENCE.search(text))


class Table:
    """The numbers of texts."""

    def __init__(self, path: Path) -> None:
        self.path = path
        found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        self.numbers: dict[str, int] = {text: int(number) for number, text in found.items()}

    def number(self, text: str) -> int:
        """The number of a text, in which `{}` stands for values; the next one for a text that is new."""
        return self.numbers.setdefault(text, len(self.numbers) + 1)

    def save(self) -> None:
        """Write what was added behind what was there."""
        lines = [f"{json.dumps(str(number))}: {json.dumps(text)}" for text, number in self.numbers.items()]
        written = "{\n" + ",\n".join(lines) + "\n}\n"
        if not self.path.exists() or self.path.read_text(encoding="utf-8") != written:
            self.path.write_text(written, encoding="utf-8")


def pieces(node: ast.expr) -> list[ast.expr]:
    """What is joined by `+`, from left to right."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return [*pieces(node.left), *pieces(node.right)]
    return [node]


class Numberer(Transformer):
    """`rules`: what is said about a broken rule (core/broken_rules.py); the first argument of `broken` names it."""

    def __init__(self, table: Table, rules: dict[str, str]) -> None:
        self.table = table
        self.rules = rules
        self.depth = 0  # functions around

    def _function(self, node: "ast.FunctionDef | ast.AsyncFunctionDef") -> ast.AST:
        self.depth += 1
        self.generic_visit(node)
        self.depth -= 1
        return node

    visit_FunctionDef = visit_AsyncFunctionDef = _function

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        if not self.depth:
            return node
        if isinstance(node.op, ast.Mod) and isinstance(node.left, ast.Constant) and is_sentence(node.left.value):
            text = str(node.left.value)
            conversions = CONVERSION.findall(text.replace("%%", ""))
            new = f"E{self.table.number(plain(text))}[{'|'.join(conversions)}]"
            node.left = ast.copy_location(ast.Constant(new), node.left)
            node.right = self.visit(node.right)
            return node
        if isinstance(node.op, ast.Add):
            parts = pieces(node)
            if any(isinstance(part, ast.Constant) and is_sentence(part.value) for part in parts):
                return self._joined(parts)
        return self.generic_visit(node)

    def _joined(self, parts: list[ast.expr]) -> ast.expr:
        text = ""
        values: list[ast.expr] = []
        for part in parts:
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                text += part.value
            else:
                text += "{}"
                values.append(self.visit(part))
        number = self.table.number(text)
        if not values:
            return ast.Constant(f"E{number}")
        joined: ast.expr = ast.Constant(f"E{number}[")
        for index, value in enumerate(values):
            joined = ast.BinOp(joined, ast.Add(), value)
            joined = ast.BinOp(joined, ast.Add(), ast.Constant("|" if index < len(values) - 1 else "]"))
        return joined

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if isinstance(node.func, ast.Name) and node.func.id.startswith("broken__"):
            about = node.args[0]
            if not isinstance(about, ast.Constant) or about.value not in self.rules:
                raise BundleError(f"{ast.unparse(node)}: no words for this rule in core/broken_rules.py")
            rule = str(about.value).split(" ")[0]
            about.value = self.table.number(f"{plain(self.rules[str(about.value)])} [{rule}]")
        return self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if self.depth and is_sentence(node.value):
            return ast.copy_location(ast.Constant(f"E{self.table.number(str(node.value))}"), node)
        return node


def plain(text: str) -> str:
    """A text for `%`, with `{}` for each value."""
    return CONVERSION.sub("{}", text.replace("%%", "\0")).replace("\0", "%")


def rules_of(source: Path) -> dict[str, str]:
    """The words for broken rules, from the source."""
    path = source / PACKAGE / "core" / "broken_rules.py"
    tree = ast.parse(path.read_text(encoding="utf-8")) if path.exists() else ast.Module([], [])
    values = [
        node.value for node in tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "WORDS"
    ]
    return dict(ast.literal_eval(values[0])) if values else {}


def run(merged: Merged, table: Table, source: Path) -> None:
    """Put numbers in the place of texts."""
    numberer = Numberer(table, rules_of(source))
    for part in merged.parts.values():
        part.body = [numberer.visit(node) for node in part.body]
