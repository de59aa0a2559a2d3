"""A serial line's connections to the broker inside: a pair of sockets in this process, one end of which is the
broker's. So both sides hold each other back as over a network, and forward.py need not know which it is.
"""

import asyncio
import socket
from collections.abc import Callable

from mqttlite.broker import Arriving, Broker, Identity

from ..lines.upstream import READ_SIZE, Streams

Vouch = Callable[[Arriving], Identity | None]


class Joined:
    """In the place of a broker for one line (forward.Broker). `place`: where its device is, for the log; `vouch`: who
    it is (wired.py).
    """

    def __init__(self, broker: Broker, place: str, vouch: Vouch | None = None) -> None:
        self._broker = broker
        self._place = place
        self._vouch = vouch

    async def connect(self) -> Streams:
        """A new connection."""
        ours, theirs = socket.socketpair()
        try:
            for sock in (ours, theirs):
                sock.setblocking(False)
            await self._broker.join(theirs, self._place, self._vouch)
        except BaseException:
            ours.close()
            theirs.close()
            raise
        return await asyncio.open_connection(sock=ours, limit=READ_SIZE)

    async def look(self) -> None:
        """It is there as long as this gateway."""

    def explain(self, error: Exception) -> str:
        """Words for a failure of `connect`."""
        return f"the broker inside this gateway: {error}"

    def explain_first(self, begin: bytes, waited_s: float | None = None) -> str:
        """Never without a reason that is in the log already."""
        return "the broker inside this gateway has ended the connection"
