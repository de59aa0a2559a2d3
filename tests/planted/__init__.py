"""Small bugs that could be in the real code, each of which a checker of the small worlds has to catch.

    python -m tests.planted                    plants each, and prints docs/mutations.md
    python -m tests.planted --find NAME        which single faults reveal it (for a new hint)

Planting works on Python source, not on a compiled core.

planting  how a bug is planted and found        worlds  where bugs show, and what has to be so there
session_records, session_tables, session_resend, connections, inboxes, brokers, stores, outgrown, memories  the bugs
"""

from . import brokers, connections, inboxes, memories, outgrown, session_records, session_resend, session_tables, stores
from .planting import Bug
from .register import BUGS as _LATER

BUGS: dict[str, Bug] = {}  # by name
for _module in (
    session_records,
    session_tables,
    session_resend,
    connections,
    inboxes,
    brokers,
    stores,
    outgrown,
    memories,
):
    for _bug in getattr(_module, "BUGS", None) or _LATER[_module.__name__.rpartition(".")[2]]:
        assert _bug.name not in BUGS
        BUGS[_bug.name] = _bug

__all__ = ["BUGS"]
