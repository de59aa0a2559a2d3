"""What is at the path of an SQLite store before it is opened, and names beside it for what is kept. CPython only."""

import contextlib
import logging
import os
import time

from ..folder import sync_folder
from ..place import shown
from ..tables.sqlite_schema import Damaged
from . import sqlite_wal

logger = logging.getLogger("mqttlite.store")


def is_new(path: str, knew_store: bool) -> bool:
    """Whether there is no database yet, for sure. Damaged: there is none, and a store was there."""
    try:
        size = os.stat(path).st_size
    except FileNotFoundError:
        size = -1
    if size > 0:
        return False
    found = "gone" if size < 0 else "empty"
    if sqlite_wal.examine(path).frames:
        raise Damaged(f"the database is {found}, and its -wal is not")
    if knew_store and not size:
        raise Damaged("it is empty, and a store was in it")
    if knew_store:
        logger.warning("%s is gone, and there was a store: a new one begins, which is empty", shown(path))
    elif not size:
        logger.warning("%s is an empty file, as a power cut leaves one: a new store begins in it", shown(path))
    return True


def may_be_ours(path: str, application_id: int) -> bool:
    """Whether a database is a store or empty, as far as its first bytes tell. See SQLite's file format."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        header = os.pread(file, 100, 0)
    finally:
        os.close(file)
    return int.from_bytes(header[68:72], "big") == application_id or not any(header[40:44])  # no schema was ever made


def move_aside(path: str, why: str) -> str:
    """Rename a damaged database and its WAL; the new name. The database first: without it, SQLite drops a WAL that is
    left, but without its WAL a database looks whole and is old.
    """
    aside = beside(path, why)
    with contextlib.suppress(FileNotFoundError):
        os.rename(path, aside)
    with contextlib.suppress(FileNotFoundError):
        os.rename(path + "-wal", aside + "-wal")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path + "-shm")
    sync_folder(path)
    return aside


def beside(path: str, why: str) -> str:
    """A name beside `path` that nobody has."""
    name = stem = path + time.strftime(f".{why}-%Y%m%dT%H%M%S")
    number = 1
    while os.path.lexists(name) or os.path.lexists(name + "-wal"):
        number += 1
        name = f"{stem}-{number}"
    return name
