"""Small bugs that could be in the real code, each of which a checker of the small worlds has to catch.

    python -m tests.planted                    plants each, and prints docs/mutations.md
    python -m tests.planted --find NAME        which single faults reveal it (for a new hint)

Planting works on Python source, not on a compiled core.

planting  how a bug is planted and found        register  the list        settings, taking  what several bugs need
session_records, session_tables, session_resend, connections, inboxes, brokers, stores, outgrown, memories  the bugs
"""

from . import session_records, session_tables, session_resend, connections, inboxes, brokers  # noqa: F401, I001
from . import stores, outgrown, memories  # noqa: F401
from .register import MUTATIONS

__all__ = ["MUTATIONS"]
