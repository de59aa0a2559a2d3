"""The store of a client that has an inbox: received QoS 2 identifiers live in the application's database.

    HELD          nothing: the inbox has committed the identifier together with what the handler wrote
    FREED         deleted from the application's database by `commit`, hence before PUBCOMP leaves
    LOST          the session number in the database grows, hence before SUBSCRIBE of the new session leaves
    SEEN          nothing: as HELD
    all others    go to the client's own store

`delivery` is what the session calls a message: its packet identifier and, above 16 bits, a digest of its content. A row
has both in `packet_id`, because the peer may use the identifier again for another message.

A row carries the number of the session that it belongs to, because a handler may still be committing while the peer
loses the session: its row then belongs to the past, and the same identifier in the new session is another message.
A row is written only by the owner, the last process that opened the inbox under this client identifier.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from ..core.records import FREED, HELD, LOST, SEEN, State
from ..store.base import Store, StoreError
from .adapter import Database, DatabaseError
from .ownership import is_owner, take_over


class ReceiptStore(Store):
    """Wraps a client's store. `generation`: how many times the peer has lost the session in this process."""

    def __init__(
        self, inner: Store, database: Database, inbox: str, client_id: str, generation: Callable[[], int]
    ) -> None:
        self._inner = inner
        self._database = database
        self._who = (inbox, client_id)
        self._generation = generation
        self._owner = 0
        self._base = 0  # session number in the database of generation 0
        self.committed = 0  # generation that the database knows of
        self._freed: set[tuple[int, int]] = set()  # generation and packet identifier, to be deleted
        self._flushing = asyncio.Lock()
        self._closing = False
        self._error: StoreError | None = None
        self.is_durable = inner.is_durable

    async def open(self) -> State:
        state = await self._inner.open()
        self._closing = False
        database = self._database
        await database.create_tables()
        async with database.transaction() as db:
            self._owner, session = await take_over(database, db, self._who)
            self.committed = self._generation()
            self._base = session - self.committed
            await self._forget_before(db, session)  # of a handler that was committing when the peer lost the session
            for packet_id, digest in state.held.items():  # of a life without an inbox: they move
                await self.add(db, self.committed, digest << 16 | packet_id)
            rows = await database.execute(
                db,
                "SELECT packet_id FROM mqttlite_received WHERE inbox = ? AND client_id = ? AND session = ?",
                *self._who,
                session,
            )
        if state.held:
            self._inner.record(LOST, 0)
        state.held = {delivery & 0xFFFF: delivery >> 16 for (delivery,) in rows}
        return state

    # -- in a transaction of the inbox

    async def has(self, db: Any, generation: int, delivery: int) -> bool:
        """Whether a message is handled already."""
        return bool(
            await self._database.execute(
                db,
                "SELECT 1 FROM mqttlite_received WHERE inbox = ? AND client_id = ? AND session = ? "
                "AND packet_id IN (?, ?)",  # the second: of a release that did not tell contents apart
                *self._who,
                self._base + generation,
                delivery,
                delivery & 0xFFFF,
            )
        )

    async def add(self, db: Any, generation: int, delivery: int) -> bool:
        """Note that a message is handled; False: it was already."""
        return bool(
            await self._database.execute(
                db,
                "INSERT INTO mqttlite_received (inbox, client_id, session, packet_id) VALUES (?, ?, ?, ?) "
                "ON CONFLICT DO NOTHING RETURNING 1",
                *self._who,
                self._base + generation,
                delivery,
            )
        )

    async def check_owner(self, db: Any) -> None:
        """DatabaseError when another process has opened the inbox; until the transaction ends, none can."""
        database = self._database
        if not await is_owner(database, db, self._who, self._owner, database.for_share):
            raise DatabaseError(
                f"another process has opened inbox '{self._who[0]}' as client '{self._who[1]}'; run one of them, or "
                "give each a client_id of its own"
            )

    async def clear(self, db: Any) -> "tuple[int, frozenset[tuple[int, int]]]":
        """Delete what is freed or lost by now; when that is durable, hand the result to `cleared`."""
        execute = self._database.execute
        generation = self._generation()
        freed = frozenset(self._freed)
        if generation != self.committed:
            session = self._base + generation
            await execute(
                db, "UPDATE mqttlite_inbox SET session = ? WHERE inbox = ? AND client_id = ?", session, *self._who
            )
            await self._forget_before(db, session)
        for freed_in, packet_id in freed:
            await execute(
                db,
                "DELETE FROM mqttlite_received WHERE inbox = ? AND client_id = ? AND session = ? "
                "AND packet_id % 65536 = ?",
                *self._who,
                self._base + freed_in,
                packet_id,
            )
        return generation, freed

    async def _forget_before(self, db: Any, session: int) -> None:
        """Delete the receipts of earlier sessions."""
        await self._database.execute(
            db,
            "DELETE FROM mqttlite_received WHERE inbox = ? AND client_id = ? AND session < ?",
            *self._who,
            session,
        )

    def cleared(self, done: "tuple[int, frozenset[tuple[int, int]]]") -> None:
        """What `clear` did is durable."""
        self.committed = done[0]
        self._freed -= done[1]

    @property
    def is_behind(self) -> bool:
        """Whether something is to be deleted."""
        return bool(self._freed) or self._generation() != self.committed

    def is_freed(self, generation: int, delivery: int) -> bool:
        """Whether a row of this identifier is yet to be deleted: flush before the identifier is used again."""
        return (generation, delivery & 0xFFFF) in self._freed

    async def flush(self) -> None:
        """Delete durably what is freed or lost by now."""
        async with self._flushing:  # the second waits until what the first has taken is durable
            if self._error:
                raise self._error
            if not self.is_behind:
                return
            try:
                # A client that is being closed does not wait until the database is back.
                done = await (self._clear() if self._closing else self._database.insist(self._clear))
            except Exception as error:
                self._error = StoreError(f"the application's database could not take a receipt: {error}")
                raise self._error from error
            self.cleared(done)

    async def _clear(self) -> "tuple[int, frozenset[tuple[int, int]]]":
        async with self._database.transaction() as db:
            await self.check_owner(db)
            return await self.clear(db)

    # -- a store

    def record(self, kind: int, number: int, head: bytes = b"", payload: bytes = b"", key: bytes = b"") -> None:
        if kind == FREED:
            self._freed.add((self._generation(), number))
        elif kind not in (HELD, LOST, SEEN):
            self._inner.record(kind, number, head, payload, key)

    async def commit(self) -> None:
        await self._inner.commit()
        if self._error:
            raise self._error
        # A handler that publishes waits for its message only: its own transaction may be what `flush` waits for.
        if self.is_behind and not self._database.is_inside():
            await self.flush()

    @property
    def snapshot(self) -> Callable[[], State]:
        return self._inner.snapshot

    @snapshot.setter
    def snapshot(self, whole: Callable[[], State]) -> None:
        def without_held() -> State:
            state = whole()
            state.held = {}
            return state

        self._inner.snapshot = without_held

    @property
    def on_failure(self) -> Callable[[StoreError], None] | None:
        return self._inner.on_failure

    @on_failure.setter
    def on_failure(self, call: Callable[[StoreError], None] | None) -> None:
        self._inner.on_failure = call

    def fits(self, size: int) -> bool:
        return self._inner.fits(size)

    async def close(self) -> None:
        """Commit and close the client's own store; the connection is the application's."""
        self._closing = True
        try:
            await self.commit()
        finally:
            await self._inner.close()
