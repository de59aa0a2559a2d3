"""Small bugs that could be in the real code, each of which a checker of the small worlds has to catch.

    python -m tests.planted                    plants each, and writes docs/mutations.md anew
    python -m tests.planted --find NAME        which single faults reveal it

A new bug is a row in docs/mutations.md and a change here. Planting works on Python source, not on a compiled core.

planting  how a bug is planted and found        page  the register        settings  what several bugs need
session_records, session_tables, session_resend, connections, inboxes, brokers, stores, outgrown, memories  the bugs
"""

from . import brokers, connections, inboxes, memories, outgrown, session_records, session_resend, session_tables, stores  # noqa: F401
from .page import read
from .register import CHANGES

BUGS = read(
    {
        **CHANGES,
        **session_records.CHANGES,
        **session_tables.CHANGES,
        **session_resend.CHANGES,
        **inboxes.CHANGES,
        **brokers.CHANGES,
        **stores.CHANGES,
        **memories.CHANGES,
    }
)

__all__ = ["BUGS"]
