"""Tables of plain text, with sizes and times as people read them. Imports streams."""

from collections.abc import Iterable, Sequence

from ..streams import one_line

_WIDEST = 48


def table(head: Sequence[str], rows: Iterable[Sequence[object]], widest: int = _WIDEST) -> str:
    """Columns as wide as what is in them: numbers to the right, texts, without what a terminal would obey, to the left.
    The last column is as long as it is.
    """
    found = [list(row) for row in rows]
    numbers = [all(isinstance(row[at], int) for row in found) for at in range(len(head))]
    last = len(head) - 1
    lines = [list(head)] + [
        [_cut(str(each), 0 if at == last else widest) for at, each in enumerate(row)] for row in found
    ]
    widths = [max(len(line[at]) for line in lines) for at in range(len(head))]
    return "\n".join(
        "  ".join(
            each.rjust(width) if is_number else each.ljust(width)
            for each, width, is_number in zip(line, widths, numbers, strict=True)
        ).rstrip()
        for line in lines
    )


def _cut(text: str, widest: int) -> str:
    shown = one_line(text)
    return shown if not widest or len(shown) <= widest else shown[: widest - 1] + "…"


def size(count: float) -> str:
    """Bytes."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            break
        count /= 1024
    return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"


def span(seconds: int) -> str:
    """How long."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"
