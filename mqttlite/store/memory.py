"""The store that is none: state lives as long as the process. Both runtimes."""

from .base import Store


class MemoryStore(Store):
    """Not durable: everything is forgotten when the process ends."""
