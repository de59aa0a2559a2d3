"""Loads what a command needs in less time: without TLS, which this program does not speak yet (OpenSSL is a tenth of
what it takes to start), and without a look for garbage, of which there is none.
"""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def loading() -> Iterator[None]:
    """While the block imports the parts of a command. asyncio comes as on a Python that was built without `ssl`, unless
    it is there already; the module itself can be imported afterwards.
    """
    modules: dict[str, Any] = sys.modules
    without_tls = "asyncio" not in modules and "ssl" not in modules
    if without_tls:
        modules["ssl"] = None  # its import fails, which asyncio expects
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()
        if without_tls:
            del modules["ssl"]
