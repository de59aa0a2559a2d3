"""Whether the broker gets on. Imports the broker for the type checker alone."""

from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..server import Broker

STORE_S = 30.0  # an SD card that has its garbage collected takes seconds; a commit of this time is one that hangs


def trouble(broker: "Broker") -> str:
    """What keeps the broker from its work, in words; "": nothing does. That the disk is full is none: it goes on with
    what is there, and nothing is gained by starting it again.
    """
    if broker.failed.done():
        return f"the store has failed: {broker.failed.result()}"
    gate = broker.commit_gate
    if gate and gate.began_at and not (broker.store and broker.store.is_full):
        took_s = monotonic() - gate.began_at
        if took_s > STORE_S:
            return f"the store has been busy with one commit for {took_s:.0f} s"
    return ""
