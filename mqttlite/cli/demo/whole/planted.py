"""A planted loss: a message that waits for the second broker disappears from the gateway's store, as if a fault of the
gateway had taken it for delivered.
"""

from pathlib import Path

from ....broker.clients.broker_store import BrokerStore
from ....core.codec import topic_of
from ....core.keys import to_text, unwrap
from ....core.records import DONE


async def plant(path: Path, client_id: str) -> str:
    """Lose one message of QoS 2, the middle one; its key, "" where none waits. The gateway does not run."""
    store = BrokerStore(path)
    kept = await store.open()
    try:
        number, state = kept.sessions[client_id.encode()]
        waiting = []
        for seq in sorted(state.messages):
            head, payload, _ = state.messages[seq]
            opened = unwrap(payload)
            if head[0] & 6 == 4 and topic_of(head).endswith(b"/count") and opened:
                waiting.append((seq, opened[0]))
        if not waiting:
            return ""
        seq, key = waiting[len(waiting) // 2]
        store.note(number, DONE, seq)
        await store.commit()
        return to_text(key).decode()
    finally:
        await store.close()
