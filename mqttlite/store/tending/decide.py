"""What becomes of a message that was set aside or is in doubt, decided in its store while no client has it open. Host
only.
"""

import asyncio
import os

from ...core.as_new import as_new
from ...core.records import ACCEPTED, DONE, State
from ..base import Store, StoreError
from ..journal import Journal
from ..sqlite import SqliteStore
from . import kinds


def drop(path: str, seq: int) -> None:
    """Forget message `seq`. StoreError when it is neither refused nor in doubt, or the store is in use."""
    asyncio.run(_decide(path, seq, False, _room(path)))


def _room(path: str) -> int:
    """Bytes that a journal may have: who made it may have given it more than is usual."""
    return max(2 * os.path.getsize(path), 65536) if os.path.exists(path) else 0


def retry(path: str, seq: int) -> int:
    """Have message `seq` sent again by the next client that opens the store, as a new message; its number. StoreError
    as `drop`.
    """
    return asyncio.run(_decide(path, seq, True, _room(path)))


async def _decide(path: str, seq: int, again: bool, size_max: int) -> int:
    kind = kinds.kind_of(path)
    if kind == kinds.BROKER:
        raise StoreError(f"{path} is a broker's: the messages that a client is unsure of are in the client's store")
    store: Store = SqliteStore(path)
    if kind == kinds.JOURNAL:
        store = Journal(path, size_max)
    state: State = await store.open()
    try:
        message = state.doubts.get(seq)
        if message is None:
            known = " (it will be sent until it is confirmed)" if seq in state.messages else ""
            raise StoreError(f"{path}: message {seq} is neither refused nor in doubt{known}")
        number = max(state.next, 0)
        store.snapshot = lambda: state
        records = [(DONE, seq, b"", b"", b"")]
        if again:
            records.insert(0, (ACCEPTED, number, *as_new(message, number)))
        for record in records:
            state.apply(*record)
            store.record(*record)
        await store.commit()
    finally:
        await store.close()
    return number
