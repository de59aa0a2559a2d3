"""Loads asyncio without TLS. This program speaks none yet, and OpenSSL is a tenth of what it takes to start."""

import sys
from typing import Any


def load_asyncio() -> None:
    """Import asyncio as on a Python that was built without `ssl`, unless it is there already; the module itself can be
    imported afterwards.
    """
    modules: dict[str, Any] = sys.modules
    if "asyncio" not in modules and "ssl" not in modules:
        modules["ssl"] = None  # its import fails, which asyncio expects
        try:
            import asyncio  # noqa: F401
        finally:
            del modules["ssl"]
