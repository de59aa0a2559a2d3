"""What a store keeps for a full disk is enough to carry over its WAL: half a checkpoint frees nothing."""

import contextlib
import os
from pathlib import Path

import pytest

from mqttlite.core import records as r
from mqttlite.store.in_sqlite.sqlite_reading import reading
from mqttlite.store.sqlite import SqliteStore
from mqttlite.store.tables.sqlite_schema import row

RESERVE = 1 << 20  # bytes
MESSAGE = 20_000


def growth(path: Path) -> int:
    """By how many bytes a checkpoint would make the database larger."""
    with contextlib.closing(reading(path)) as connection:
        pages, page = row(connection, "PRAGMA page_count")[0], row(connection, "PRAGMA page_size")[0]
    return int(pages * page) - os.stat(path).st_size


@pytest.mark.parametrize("reserve", [RESERVE, 0])
async def test_the_database_never_has_to_grow_by_more_than_the_reserve(reserve: int, tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    store = SqliteStore(path, reserve=reserve)
    await store.open()
    most = 0
    for seq in range(1, 61):
        store.record(r.ACCEPTED, seq, b"\x32\x00\x01t", bytes(MESSAGE))
        await store.commit()
        most = max(most, growth(path))
    await store.close()
    assert (most <= RESERVE) == bool(reserve)
