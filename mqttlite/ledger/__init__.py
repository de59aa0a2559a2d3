"""The delivery ledger: for each idempotency key what has happened to its message at this place, and when. Host only.

    ledger = Ledger("gateway.ledger.db", node="gateway")
    Broker(ledger=ledger)     Client(..., ledger=ledger)     `mqttlite verify`, the page of the gateway

It is evidence and decides nothing: nobody waits for it, a file that fails is said in the log and the messages go on,
and what was noted in the last second before a power cut (or a `kill -9`) may be missing from it. Its entries, bytes
and age are bounded: the oldest go first, and are counted.

steps     what can happen; the key, the trace context and the size of a message, read cheaply    no I/O
notes     what has happened since the last batch, and when that has to be written                 no I/O, no clock
tables    the SQLite tables, and the statements that write them
file      one file of one place: batches in, the oldest out
way       one message's way, from the rows of one or more places                                  no I/O
ledger    the shell: a batch a second at most, written by a thread; none when nothing happens
keyset    keys as bits, a few bytes for each: a million of them fit anywhere                      no I/O
reading   what a file has, without changing it
compare   two ends: what is missing, what came more than once                                     no I/O

Imports: downwards in this list, and mqttlite.core.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .ledger import Ledger as Ledger

__all__ = ["Ledger"]


def __getattr__(name: str) -> Any:
    if name != "Ledger":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .ledger import Ledger

    return Ledger
