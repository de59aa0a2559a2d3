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
NOT_COUNTED = "not counted"
_HITS = 'mqttlite_limit_hits_total{limit="%s"}'
# Where it shows that a limit bites, if it is not counted under its own name
ELSEWHERE = {
    "half_open_ms": (_HITS % "half_open", _HITS % "half_open_per_address"),
    "parked_bytes": ("mqttlite_held_back_connections", 'mqttlite_held_bytes{account="received"}'),
    "close_ms": (),
    "authentications": (),
    "turn_work": ("mqttlite_loop_lag_seconds",),
    "turn_ms": ("mqttlite_loop_lag_seconds",),
    "stall_ms": (_HITS % "min_rate",),
    "store_bytes": (_HITS % "store", 'mqttlite_store_size_bytes{file="tables"}'),
    "rights_bytes": ('mqttlite_held_bytes{account="rights"}',),
    "named_bytes": (_HITS % "named_queue_full", 'mqttlite_held_bytes{account="named"}'),
    "queue_return_ms": (),
    "deduplicate": ("mqttlite_repeats_total",),
    "deduplicate_in_memory": ("mqttlite_repeats_total",),
    "deduplicate_ms": (),
    "log_lines_a_second": (),
}
_MARKS = re.compile(r"(<!-- made by tools/limits_table\.py -->\n).*?(<!-- end -->)", re.DOTALL)


def table() -> str:
    """In Markdown, in the order of the class."""
    lines = ["| limit | default | what it bounds | where it is counted |", "|---|---|---|---|"]
    lines += [f"| `{name}` | {shown(name)} | {text} | {counted(name)} |" for name, text in NAMES.items()]
    return "\n".join(lines) + "\n"


def counted(name: str) -> str:
    """The metrics in which it shows that a limit has bitten."""
    metrics = ELSEWHERE.get(name, (_HITS % name,))
    return ", ".join(f"`{each}`" for each in metrics) or NOT_COUNTED


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
