"""Records, and an SQLite store for as long as a block takes."""

import contextlib
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

from mqttlite.core import records as r
from mqttlite.core.records import State
from mqttlite.store.sqlite import SqliteStore

Record = tuple[int, int, bytes, bytes, bytes]

HEAD = b"\x32\x10\x00\x03a/b"  # QoS 1 on topic a/b


def head(qos: int = 1) -> bytes:
    return bytes((0x30 | qos << 1,)) + HEAD[1:]


def total(records: Iterable[Record]) -> State:
    state = State()
    for record in records:
        state.apply(*record)
    return state


def accepted(seq: int, payload: bytes = b"x", key: bytes = b"", qos: int = 1) -> Record:
    return r.ACCEPTED, seq, head(qos), payload, key


def plain(kind: int, number: int, name: bytes = b"", payload: bytes = b"") -> Record:
    return kind, number, name, payload, b""


@contextlib.asynccontextmanager
async def opened(path: Path, **options: object) -> AsyncIterator[tuple[SqliteStore, State]]:
    store = SqliteStore(path, **options)  # type: ignore[arg-type]
    state = await store.open()
    try:
        yield store, state
    finally:
        await store.close()


async def keep(store: SqliteStore, *records: Record) -> None:
    for record in records:
        store.record(*record)
    await store.commit()
