"""What a file is that is called a store: an SQLite store of a client or of a broker, or a journal. CPython only."""

import os
from binascii import crc32
from typing import Any

from ...core.records import State, decode
from .. import damage
from ..area_file import FileArea
from ..base import StoreError
from ..journal import FORMAT, FRAME, HEADER, Journal
from ..place import demand_file, shown
from ..tables.broker_tables import BrokerTables
from ..tables.sqlite_tables import ClientTables

SQLITE = b"SQLite format 3\0"
CLIENT = "client"
BROKER = "broker"
JOURNAL = "journal"
EMPTY = "empty"

_TABLES: dict[str, Any] = {CLIENT: ClientTables, BROKER: BrokerTables}


def kind_of(path: str) -> str:
    """CLIENT, BROKER, JOURNAL or EMPTY. StoreError when the file is not there, or is none of them."""
    demand_file(path)
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise StoreError(f"{shown(path)}: there is no such file") from None
    try:
        header = os.pread(file, 100, 0)
    finally:
        os.close(file)
    if not header:
        return EMPTY
    if header.startswith(SQLITE):
        application = int.from_bytes(header[68:72], "big")
        for kind, tables in _TABLES.items():
            if application == tables.application_id:
                return kind
        # Written to in its first instants only, all that it says is in its WAL.
        if not any(header[40:44]):
            return _kind_of_wal(path)
        raise StoreError(f"{shown(path)} is an SQLite database of another program: this is no store")
    if is_journal(path):
        return JOURNAL
    raise StoreError(
        f"{shown(path)} cannot be read: file is not a database, and no journal, or its beginning is destroyed"
    )


def tables_of(kind: str) -> Any:
    """The tables of a kind."""
    return _TABLES[kind]()


def _kind_of_wal(path: str) -> str:
    try:
        with open(path + "-wal", "rb") as file:
            wal = file.read(1 << 20)
    except OSError:
        return EMPTY
    for kind, tables in _TABLES.items():
        if tables.application_id.to_bytes(4, "big") in wal:
            return kind
    return EMPTY


class Reading:
    """A journal in a file that is only read. OSError, StoreError.

    `state`: what is whole in it. `problem`: what is wrong with it, in words; "": nothing but, perhaps, a torn end.
    """

    def __init__(self, path: str) -> None:
        area = FileArea(path, 0)
        area.open()
        try:
            self._read(Journal(area))
        finally:
            area.close()

    def _read(self, journal: Journal) -> None:
        area: Any = journal._area
        header = area.read(0, HEADER)
        crc = crc32(header[:8], FORMAT)
        self.problem = ""
        self.is_journal = True
        if header[8:] == crc.to_bytes(4, "big"):
            journal._seed = crc
            journal._count = int.from_bytes(header[:4], "big")
        elif found := damage.header(journal):
            journal._seed = found[0]
            self.problem = "its header is wrong"
        else:
            self.is_journal = False
            self.state = State()
            return
        state = State()
        at = HEADER
        while size := journal._holds(at):
            state.apply(*decode(bytes(area.read(at + 3, size))))
            at += size + FRAME
        self.state = state
        found_damage = None if self.problem else damage._damage(journal, 0, at)
        if found_damage:
            _, _, records, size, what = found_damage
            self.problem = f"{what}, and {records} whole records ({size} bytes) stand behind that"
        if self.problem:
            self.state = damage.salvaged(journal, 0)


def is_journal(path: str) -> bool:
    """Whether a file is a journal, damaged perhaps."""
    return Reading(path).is_journal
