"""Small bugs that could be in the real code, each of which a checker of the small worlds has to catch.

    python -m tests.planted                    plants each, and writes docs/mutations.md anew
    python -m tests.planted --find NAME        which single faults reveal it

A new bug is a row in docs/mutations.md and a change here. Planting works on Python source, not on a compiled core.

planting  how a bug is planted and found        page  the register        settings  what several bugs need
session_records, session_tables, session_resend, connections, inboxes, brokers, stores, outgrown, memories,
features, rights, named, bridges, budgets, pieces  the bugs

rooms     those of rooms without a world, and their tests
"""

from . import (
    bridges,
    brokers,
    budgets,
    connections,
    features,
    inboxes,
    memories,
    named,
    outgrown,
    pieces,
    rights,
    session_records,
    session_resend,
    session_tables,
    stores,
)
from .page import read

_MODULES = (
    session_records,
    session_tables,
    session_resend,
    connections,
    inboxes,
    brokers,
    budgets,
    stores,
    outgrown,
    memories,
    features,
    rights,
    named,
    bridges,
    pieces,
)

BUGS = read({name: change for module in _MODULES for name, change in module.CHANGES.items()})

__all__ = ["BUGS"]
