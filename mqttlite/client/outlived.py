"""What outlives a client: its store, and the messages of an earlier life. Loaded only by who has one. Both
runtimes.
"""

import os
import time

from ..core import const
from ..core.records import CLEARING, IDENTITY
from ..store.base import Store, StoreError
from .messages import Receipt

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from ..core.records import State
    from .base import BaseClient


async def load(client: "BaseClient") -> None:
    """Open the client's store and go on where its last life ended. StoreError when that cannot be."""
    store = client.store
    state = client._state = await store.open()
    client._has_store = True
    client_id = client.client_id.encode()
    problem = ""
    if state.client_id and state.client_id != client_id:
        problem = "the store belongs to client_id '%s', not '%s'" % (str(state.client_id, "utf-8"), client.client_id)
    for seq in state.messages:
        if (state.messages[seq][2][:1] or b"\0")[0] & 2 != (client.version == 5) * 2:
            problem = "the store holds messages of the other MQTT version; use that until they are delivered"
    if client.keys and not state.client_id and time.localtime()[0] < 2025:
        # Epochs must grow with each lost store: what is older than the epochs that a receiver knows counts as seen.
        problem = "the clock is not set, and keys without an earlier store need it: set it first (ntptime.settime())"
    if problem:
        client._has_store = False
        await store.close()
        raise StoreError(problem)
    if not state.client_id:
        state.client_id = client_id
        # Grows with time, with each 1/1024 s: there may be many short lives in a second. Differs even without a clock.
        # 48 bits (core/records.py): seconds in the upper 32.
        state.epoch = (time.time_ns() << 10) // 1000000000 << 6 | os.urandom(1)[0] & 63
        store.record(IDENTITY, state.epoch, client_id)
        if store.is_durable:
            state.clearing = 1  # unless the broker says that it has no session
            store.record(CLEARING, 1)
    store.on_failure = client._lose_store
    store.snapshot = lambda: _snapshot(client, state)
    protocol = client._protocol
    if type(store) is not Store:
        protocol.session.store = store
    protocol.session.load(state)
    for topic_filter, qos in state.subscriptions.items():
        protocol.subscriptions[topic_filter] = [qos, 0]
    for seq in state.messages:
        client._receipts[seq] = Receipt(seq)


def _snapshot(client: "BaseClient", state: "State") -> "State":
    """What a store has to keep now."""
    client._protocol.session.save(state)
    wanted = client._protocol.subscriptions
    state.subscriptions = {name: wanted[name][0] for name in wanted if wanted[name][0] >= 0}
    return state
