"""What an earlier process has left beside an SQLite database, made durable before anybody builds on it. CPython only.

A process may die before its sync, or because of it. What a sync has failed to write, the kernel takes for written: it
can still be read, no later sync writes it, and the next power cut takes it away. SQLite, opened again, finds whole
transactions in such a WAL. It would put commits behind them, which go when they go, or carry some of their pages over
into the database, where a power cut brings back the older pages that are left of the WAL, and not the rest. A rollback
journal that was ended, and is there again, takes back a commit, or half of it.
"""

import os

PIECE = 1 << 20  # bytes
JOURNAL_HEADER = 28  # bytes that are zero when the journal has ended (journal_mode = PERSIST)


def settle_wal(path: str) -> None:
    """Write the WAL of the database `path` once more, and sync it. OSError of the disk.

    Nobody else may write to it meanwhile: it is not open, or the caller is in a transaction (BEGIN IMMEDIATE).
    """
    try:
        wal = os.open(path + "-wal", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return  # it was closed in order, or has another journal mode, and what is committed is in the database
    try:
        at = 0
        while piece := os.pread(wal, PIECE, at):
            at += os.pwrite(wal, piece, at)
        if at:
            os.fsync(wal)
    finally:
        os.close(wal)


def end_journal(path: str) -> None:
    """The rollback journal of the database `path` has ended: make that durable. OSError of the disk.

    The caller is in a transaction (BEGIN IMMEDIATE) that has written nothing yet: the journal is of an earlier one, and
    SQLite has rolled that back if it had to.
    """
    if not os.path.getsize(path):
        return  # SQLite has already begun to write, with a journal that is needed
    try:
        journal = os.open(path + "-journal", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        os.pwrite(journal, bytes(JOURNAL_HEADER), 0)
        os.fsync(journal)
    finally:
        os.close(journal)
