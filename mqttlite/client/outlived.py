"""What outlives a client: its store, and the messages of an earlier life. Loaded only by who has one. Both
runtimes.
"""

import os
import time

from ..core import const
from ..core.client import Subscription
from ..core.errors import StoreError
from ..core.features import STREAM, V5
from ..core.records import CLEARING, IDENTITY, is_streamed
from ..store.base import Store
from .messages import Receipt

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from ..core.records import State
    from .incoming import Incoming
    from .life import Life
    from .outgoing import Outgoing


async def load(life: "Life", outgoing: "Outgoing", incoming: "Incoming") -> None:
    """Open the client's store and go on where its last life ended. StoreError when that cannot be."""
    store = life.store
    state = outgoing.state = await store.open()
    life.has_store = True
    problem = _problem(state, life.client_id, outgoing.flags)
    if problem:
        life.has_store = False
        await store.close()
        raise StoreError(problem)
    if not state.client_id:
        state.client_id = life.client_id.encode()
        # Grows with time, with each 1/1024 s: there may be many short lives in a second. Differs even without a clock.
        # 48 bits (core/records.py): seconds in the upper 32.
        state.epoch = (time.time_ns() << 10) // 1000000000 << 6 | os.urandom(1)[0] & 63
        store.record(IDENTITY, state.epoch, state.client_id)
        if store.is_durable:
            state.clearing = 1  # unless the broker says that it has no session
            store.record(CLEARING, 1)
    if STREAM:
        _end_streams(life, state)
    store.on_failure = life.lose_store
    store.snapshot = lambda: _snapshot(life, state)
    if type(store) is not Store:
        life.session.store = store
    life.session.load(state)
    for topic_filter, qos in state.subscriptions.items():
        life.protocol.subscriptions[topic_filter] = Subscription(qos if outgoing.flags & 2 else qos & 3, 0)
    for seq in state.messages:
        outgoing.receipts[seq] = Receipt(seq)
    if V5 and outgoing.flags & 2 and state.messages:
        from .expiring import load as load_expiring

        load_expiring(life)
    if outgoing.flags & 1:
        incoming.keys = outgoing.load_keys()


def _end_streams(life: "Life", state: "State") -> None:
    """Streams of an earlier life have no payload any more."""
    for seq in state.messages:
        if is_streamed(state.messages[seq][2]):
            from ..core.streamed import end_earlier

            count = end_earlier(life.store, state.messages)
            life.log("%d streams that were not confirmed when the program ended are not sent again" % count)
            return


def _problem(state: "State", client_id: str, flags: int) -> str:
    """Why this client cannot go on with what the store has kept."""
    if state.client_id and state.client_id != client_id.encode():
        return "the store belongs to client_id '%s', not '%s'" % (str(state.client_id, "utf-8"), client_id)
    for seq in state.messages:
        if (state.messages[seq][2][:1] or b"\0")[0] & 2 != flags & 2:
            return "the store holds messages of the other MQTT version; use that until they are delivered"
    if flags & 1 and not state.client_id and time.localtime()[0] < 2025:
        # Epochs must grow with each lost store: what is older than the epochs that a receiver knows counts as seen.
        return "the clock is not set, and keys without an earlier store need it: set it first (ntptime.settime())"
    return ""


def _snapshot(life: "Life", state: "State") -> "State":
    """What a store has to keep now."""
    life.session.save(state)
    if STREAM:
        for seq in state.messages:
            if is_streamed(state.messages[seq][2]):
                from ..core.streamed import without_streams

                state.messages = without_streams(state.messages)
                break
    wanted = life.protocol.subscriptions
    state.subscriptions = {name: wanted[name].qos for name in wanted if wanted[name].qos >= 0}
    return state
