"""What a durable broker keeps, and how sessions tell it: persistent sessions with all that is queued for them, and
retained messages.

A session tells its `SessionStore`; all of them share one `BrokerStore`, hence one commit: what is recorded while a
PUBLISH is processed (its identifier, an entry for every subscriber) becomes durable together. While `wanted` is set,
something has been recorded that packets in the output may tell of: the shell writes them after the next commit.
Imports store, histogram, queue; knows nothing of routing.
"""

import os
from typing import Any

from ...core.records import ACCEPTED
from ...store.base import Store, StoreError
from ...store.sqlite import SqliteWriter
from ...store.tables.batches import NUMBERS, RUN
from ...store.tables.broker_blocks import Blocks
from ...store.tables.broker_tables import (
    BEGUN,
    ENDED,
    EXPIRY,
    HEARD,
    OFFLINE,
    OWNER,
    RETAINED,
    BrokerState,
    BrokerTables,
    Times,
)
from ...store.tables.sqlite_schema import Tables
from ..counting.histogram import Histogram
from .paging import Messages
from .queue import Queue

KEEP = 1000  # messages of a session


def copied(size: int, copies: int) -> int:
    """What to ask the store for `copies` messages of `size` bytes: rows waste some of their pages, as it says itself
    of one.
    """
    return size + (copies - 1) * (size + min(size, 8192) + 128)


class BrokerStore(SqliteWriter):
    """A broker's store in one SQLite file; see SqliteWriter. `open` returns a BrokerState. `keep`: messages of a
    session that are in memory, about, when there are more; 0: all.
    """

    wanted = False
    witness: Any = None  # the delivery ledger (mqttlite/ledger), of a broker that has one

    def __init__(self, path: str | os.PathLike[str], *, keep: int = KEEP, **options: Any) -> None:
        self.keep = keep
        self._blocks = Blocks()
        self._retained = 0  # values that were recorded and are in no commit yet
        self.faces: dict[int, SessionStore] = {}  # by the number of their session
        SqliteWriter.__init__(self, path, **options)
        self.syncs = Histogram()  # how long batches took to be written and synced
        self.on_written = self.syncs.add

    @property
    def pending_bytes(self) -> int:
        """What was recorded and is in no commit yet, about."""
        return self._needed

    @property
    def is_full(self) -> bool:
        """Whether a batch waits for room on the disk."""
        return self._is_stuck

    def _tables(self) -> Tables:
        return BrokerTables(self._blocks, self.keep)

    def _start_soon(self) -> None:
        """At once: the commit gate has waited for others."""
        self._start()

    def _batch_of(self, records: list[Any]) -> list[Any]:
        """Of several values of one topic, the last one."""
        if self.witness is not None:
            self.witness.commit_begins()
        retained, self._retained = self._retained, 0
        if retained < 2:
            return records
        last = {record[3]: number for number, record in enumerate(records) if record[1] == RETAINED}
        return [record for number, record in enumerate(records) if record[1] != RETAINED or last[record[3]] == number]

    def _carried(self) -> None:
        """What lies in a block now need not be in memory."""
        if self.witness is not None:
            self.witness.committed()
        fresh = self._blocks.fresh
        if fresh:
            for number, first, last in fresh if self.keep else ():
                face = self.faces.get(number)
                if face is not None:
                    face.queue.put_out(first, last, self.keep)
            fresh.clear()

    def fetch(self, number: int, first: int, left: int) -> Messages:
        """Messages of a session, in the block that begins with number `first`; those of `left`. StoreError."""
        return self.read(lambda connection: self._blocks.fetch(connection, number, first, left))

    async def open(self) -> BrokerState:
        """What was durable last. StoreError when it cannot be told."""
        state: BrokerState = await SqliteWriter.open(self)
        self._last = max([0, *state.times, *state.wills])
        return state

    def has_room(self, size: int) -> bool:
        """As `fits`; also False where that will never be."""
        try:
            return self.fits(size)
        except StoreError:
            return False

    def new_session(self) -> int:
        """The number of a session that is new. (One that ends may leave its number to another.)"""
        self._last += 1
        return self._last

    def note(
        self,
        session: int,
        kind: int,
        number: int,
        head: bytes = b"",
        payload: bytes = b"",
        extra: bytes = b"",
        waits: bool = True,
    ) -> None:
        """Take a record (broker_tables.py). `waits`: whether a packet may tell of it (Session.must_wait)."""
        if waits:
            self.wanted = True
        self._take((session, kind, number, head, payload, extra), len(head) + len(payload) + len(extra))

    def note_run(self, session: int, first: int, messages: list[tuple[bytes, bytes, bytes]]) -> None:
        """Take messages of a session with one head and nothing else, numbers `first` and above."""
        self.wanted = True
        head, payload, _ = messages[0]
        self._take((session, RUN, first, head, messages, b""), len(head) + len(payload), len(messages))

    def note_numbers(self, session: int, kind: int, numbers: list[int], waits: bool) -> None:
        """As `note`, of records that are numbers alone."""
        if waits:
            self.wanted = True
        self._take((session, NUMBERS, kind, b"", numbers, b""), 0)

    def retain(self, topic: bytes, payload: bytes, qos: int, extra: bytes = b"") -> None:
        """The retained message of a topic; without a payload: there is none any more."""
        self._retained += 1
        self.note(0, RETAINED, qos, topic, payload, extra)


class SessionStore(Store):
    """A persistent session's own face of the broker's store. The session is stored with its first record: until then,
    nobody can miss it.
    """

    is_durable = True

    def __init__(self, store: BrokerStore, client_id: bytes, queue: Queue, number: int = 0) -> None:
        self._store = store
        self._client_id = client_id
        self.queue = self._session = queue
        if number:
            store.faces[number] = self
        self._number = number  # 0: not stored yet
        self._owner = b""
        self._expiry_ms = 0
        self._is_heard = True  # as it is stored

    def load(self, times: Times, owner: bytes) -> None:
        """What the store says of the session. `owner`: b"" when that is not known."""
        self._expiry_ms = times.expiry_ms
        self._is_heard = times.heard == 1
        self._owner = owner

    def begin(self, is_heard: bool = False) -> None:
        """The session is to be remembered, even if it is empty. `is_heard`: its client knows of it; until then it is
        not announced after a restart either, unless something is in it (docs/decisions/0005).
        """
        if not self._number:
            self._number = self._store.new_session()
            self._store.faces[self._number] = self
            self._store.note(self._number, BEGUN, self._session.next, self._client_id)
            if self._owner:
                self._store.note(self._number, OWNER, 0, self._owner)
            if self._expiry_ms:
                self._store.note(self._number, EXPIRY, self._expiry_ms)
            if not is_heard:
                self._store.note(self._number, HEARD, 0)
            self._is_heard = is_heard
        elif is_heard and not self._is_heard:
            self._is_heard = True
            self._store.note(self._number, HEARD, 1)

    def owned(self, owner: bytes) -> None:
        """To whom the session belongs (access/identity.py)."""
        if owner != self._owner:
            self._owner = owner
            if self._number:
                self._store.note(self._number, OWNER, 0, owner)

    def outlives(self, expiry_ms: int) -> None:
        """The session outlives its connection by so much; 0: by what the limits say."""
        if expiry_ms != self._expiry_ms:
            self._expiry_ms = expiry_ms
            if self._number:
                self._store.note(self._number, EXPIRY, expiry_ms)

    def end(self) -> None:
        """The session ends."""
        if self._number:
            self._store.note(self._number, ENDED, 0)
            del self._store.faces[self._number]
            self._number = 0

    def fetch(self, first: int, left: int) -> Messages:
        """As BrokerStore.fetch, for this session."""
        return self._store.fetch(self._number, first, left)

    def offline(self, since: int) -> None:
        """The session has no connection since then (ms, the broker's clock); 0: it has one. If the first gets lost, the
        session lives longer, and nothing else: no packet waits for it. The second says that messages are sent, so these
        wait for it.
        """
        if self._number:
            session = self._session
            sent = b"" if not since else max(session.sent, session.sent_before).to_bytes(8, "big")
            self._store.note(self._number, OFFLINE, since, sent, waits=not since and session.queued > 0)

    def record(self, kind: int, number: int, head: bytes = b"", payload: bytes = b"", key: bytes = b"") -> None:
        """As Store.record."""
        self.begin()
        waits = self._session.must_wait(kind, number)
        self._store.note(self._number, kind, number, head, payload, key, waits=waits)

    def record_messages(self, first: int, messages: list[tuple[bytes, bytes, bytes]], is_even: bool) -> None:
        """Those with numbers `first` and above are ACCEPTED. `is_even`: they have one head, and nothing else."""
        self.begin()
        if is_even:
            self._store.note_run(self._number, first, messages)
            return
        for number, message in enumerate(messages, first):
            self._store.note(self._number, ACCEPTED, number, *message)

    def record_numbers(self, kind: int, numbers: list[int]) -> None:
        """Records of one kind that are numbers and nothing else, the lowest first."""
        self.begin()
        waits = self._session.must_wait(kind, numbers[0])
        self._store.note_numbers(self._number, kind, numbers, waits)
