"""What `mqttlite broker` is told, in a TOML file (`--config`) and on the command line, which counts more.

A module for each table, or for what belongs together: `KEYS`, the names at the top of the file that it takes, and
`read(found, settings)`, which takes them over and says of every mistake where it is and what is expected. Who adds one
adds a module, a field of Settings, and the module to TABLES.

general          listen, store, server_reference      limits   [limits], --limit
listener_tables  [tls], origins, [[listener]]         queues   [[queue]], --queue
operating        [metrics], [control], [log]          named    [[named_queue]], [[stream]]
access           [access], [groups], [[rule]]         devices  [devices]
ledger           [ledger]
settings         what all of them fill                listeners       listeners, of what was read
make_access      users and rules, of what was read     doubts          what is more likely a mistake
(what a file holds, and in which line: settings/found.py)
"""

from pathlib import Path

from ...settings.found import Found, Mistakes
from . import access, devices, general, ledger, limits, listener_tables, named, operating, queues
from .limits import option
from .queues import queue_option
from .settings import Settings

__all__ = ["Mistakes", "Settings", "load", "option", "queue_option"]

TABLES = (general, listener_tables, access, devices, limits, queues, named, operating, ledger)


def load(path: Path) -> Settings:
    """Read a TOML file. Mistakes: what is wrong with it, all of it; ValueError: it cannot be read."""
    found = Found(path)
    settings = Settings(found=found)
    known = [key for each in TABLES for key in each.KEYS]
    for name in found.data:
        with found.gathering():
            found.name((), name, known)
    for each in TABLES:
        with found.gathering():
            each.read(found, settings)
    found.finish()
    return settings
