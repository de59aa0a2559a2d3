"""Why no gateway answers on a serial line, from the counters of its link. Both runtimes; loaded when none does."""

from ..core import const

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from ..link.stats import Stats


def why_silent(where: str, stats: "Stats", received: int, damaged: int) -> str:
    """Words about the line `where`; `received` and `damaged`: the counters of `stats` when the waiting began."""
    if stats.received > received:
        return (
            "frames arrive on " + where + ", ours get no answer: does TX go to the gateway's RX, and to nothing else?"
        )
    if stats.damaged > damaged:
        return "nothing that arrives on " + where + " makes sense; do both ends have the same baud rate?"
    return "no gateway answers on " + where + "; does it run, and is this its line?"
