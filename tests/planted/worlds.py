"""For bugs that are functions, until they are rows."""

from mqttlite.sim.small.small import Small

from .settings import few_identifiers

__all__ = ["few_identifiers"]

# By QoS and messages
ONE = Small(1, 1, "sqlite")
ONE_JOURNAL = Small(1, 1, "journal")
ONE_TWO = Small(1, 2, "sqlite")
ONE_KEYS = Small(1, 1, "sqlite", True)
ONE_MANY = Small(1, 30, "sqlite")
ONE_MANY_JOURNAL = Small(1, 30, "journal")
TWO = Small(2, 1, "sqlite")
TWO_TWO = Small(2, 2, "sqlite")
TWO_MANY = Small(2, 30, "journal")
TWO_ROLLBACK = Small(2, 1, "sqlite", rollback=True)
POISON = Small(1, 1, "sqlite", poison=True)
LARGE = Small(1, 1, "sqlite", large=True)
REUSE = Small(2, 1, "memory", reuse=True)
LOSE = Small(2, 2, "sqlite", slow=True, few=True, lose=True)
