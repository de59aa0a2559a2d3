"""The table of all limits in docs/limits.md, made of `mqttlite.broker.limits.Limits`.

python -m tools.limits_table            writes it
python -m tools.limits_table --check    exit code 1 where it is stale
"""

import argparse
import re
import sys

from mqttlite.broker.limits import NAMES
from mqttlite.cli.broker.broker import _shown as shown
from tools.places import ROOT

PAGE = ROOT / "docs" / "limits.md"
_MARKS = re.compile(r"(<!-- made by tools/limits_table\.py -->\n).*?(<!-- end -->)", re.DOTALL)


def table() -> str:
    """In Markdown, in the order of the class."""
    lines = ["| limit | default | what it bounds |", "|---|---|---|"]
    lines += [f"| `{name}` | {shown(name)} | {text} |" for name, text in NAMES.items()]
    return "\n".join(lines) + "\n"


def made(text: str) -> str:
    """A page with the table in it."""
    return _MARKS.sub(lambda found: found.group(1) + table() + found.group(2), text)


def main() -> int:
    """Run the program; its exit code."""
    parser = argparse.ArgumentParser(description="The table of all limits in docs/limits.md.")
    parser.add_argument("--check", action="store_true", help="say whether it is stale, and write nothing")
    args = parser.parse_args()
    text = PAGE.read_text(encoding="utf-8")
    if made(text) == text:
        return 0
    if not args.check:
        PAGE.write_text(made(text), encoding="utf-8")
    print(f"{PAGE}: {'stale: python -m tools.limits_table' if args.check else 'written'}")
    return 1 if args.check else 0


if __name__ == "__main__":
    sys.exit(main())
