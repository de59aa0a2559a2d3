"""The steps, in order."""

from collections.abc import Callable, Iterator, Sequence

from . import clock, disk, ports, reach, running, settings, versions, wear
from .finding import Case, Finding

STEPS: dict[str, Callable[[Case], Iterator[Finding]]] = {
    "version": versions.look,
    "gateway": running.look,
    "settings": settings.look,
    "ports": ports.look,
    "clock": clock.look,
    "disk": disk.look,
    "wear": wear.look,
    "brokers": reach.look,
}
NEEDED = ("gateway", "settings")  # by others: taken in any case, and shown when asked for


def examine(case: Case, only: Sequence[str] = ()) -> Iterator[Finding]:
    """Take them all, or those of `only`."""
    for name, step in STEPS.items():
        if only and name not in only and name not in NEEDED:
            continue
        for finding in step(case):
            if not only or name in only:
                yield finding
