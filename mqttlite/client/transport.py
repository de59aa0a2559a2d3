"""What a client needs of a transport: an interface for the type checker. Never imported at run time."""

from typing import Protocol


class Transport(Protocol):
    """An open byte stream to a broker. Errors are OSError or MQTTError, with words for the user."""

    async def read(self) -> bytes:
        """What has arrived, at least one byte; b"" when the peer has closed."""

    async def write(self, data: bytes | memoryview) -> None:
        """Hand over `data`; waits while too much is waiting to be sent."""

    def close(self) -> None:
        """Close; what was written is still sent where the transport can do that without waiting."""
