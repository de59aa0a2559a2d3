"""How many messages a store holds that have not reached those they are for, without bringing them into memory: a queue
may be larger than that. CPython only.
"""

import contextlib
import os
import re
import sqlite3

from ..base import StoreError
from ..in_sqlite import sqlite_reading
from ..place import shown
from ..tables.broker_blocks import Blocks
from ..tables.sqlite_schema import Damaged, row
from . import kinds

_STORE = re.compile(r".+\.db(\.[a-z]+-\d{8}T\d{6}(-\d+)?)?")


def undelivered(path: str) -> int:
    """Messages queued for sessions of a broker, in its named queues and for later, or not finished by a client. Works
    while somebody has the store open. StoreError: it cannot be told.
    """
    kind = kinds.kind_of(path)
    if kind == kinds.EMPTY:
        return 0
    if kind == kinds.JOURNAL:
        state = kinds.Reading(path).state
        return len(state.messages) + len(state.doubts)
    if kind == kinds.BROKER:
        found = _in_blocks(path)
        if found >= 0:
            return found
    state = sqlite_reading.read(path, kinds.tables_of(kind))
    if state is None:
        return 0
    if kind == kinds.CLIENT:
        return len(state.messages) + len(state.doubts)
    named = sum(len(each.messages) for each in state.queues.collectors.values()) + len(state.queues.delayed)
    return named + sum(len(session.messages) for _, session in state.sessions.values())


def stores_in(folder: str) -> list[str]:
    """The databases in a folder, with those that were moved aside (sqlite_found.beside), and without their logs."""
    with os.scandir(folder) as found:
        return sorted(each.path for each in found if _STORE.fullmatch(each.name) and each.is_file())


def is_store(path: str) -> bool:
    """Whether it may be one: False for a database of another program, such as a ledger."""
    with open(path, "rb") as file:
        header = file.read(100)
    application = int.from_bytes(header[68:72], "big")
    known = [kinds.tables_of(kind).application_id for kind in (kinds.CLIENT, kinds.BROKER)]
    return not header.startswith(kinds.SQLITE) or not application or application in known


def _in_blocks(path: str) -> int:
    """Of a broker's store, when all is where it belongs; -1: its log has yet to be carried over."""
    try:
        with contextlib.closing(sqlite_reading.reading(path, at_rest=True)) as connection:
            connection.execute("BEGIN")  # one moment for all tables
            if row(connection, "SELECT count(*) FROM log")[0] or row(connection, "SELECT count(*) FROM outbound")[0]:
                return -1
            (collected,) = row(connection, "SELECT count(*) FROM collected")
            (delayed,) = row(connection, "SELECT count(*) FROM delayed")
            return int(collected) + int(delayed) + Blocks().count(connection)
    except sqlite3.OperationalError:  # an earlier schema
        return -1
    except (sqlite3.Error, Damaged) as error:
        raise StoreError(f"{shown(path)} cannot be read: {error}") from error
