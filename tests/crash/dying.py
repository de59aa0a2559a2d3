"""A client that kills its own process at a given point, as SIGKILL from outside would at the worst moment.

The environment variable CRASH says where and when: `POINT:K`, at the K-th time in this life of the process. Points are
those of the consumer's handler (consumer.py) and, here, the instant before an acknowledgement leaves.
"""

import os
import signal

from mqttlite.client import Client
from mqttlite.client.connecting.connector_host import HostConnector
from mqttlite.client.transport import Transport
from mqttlite.core.packet_types import PUBACK, PUBCOMP, PUBREC
from tests.crash.proxy import Packets

VARIABLE = "CRASH"
KEEP_ALIVE = "KEEP_ALIVE"  # this one in seconds: how soon a silent link is given up
ACKNOWLEDGEMENTS = {PUBACK: "puback", PUBREC: "pubrec", PUBCOMP: "pubcomp"}

_point, _, _count = os.environ.get(VARIABLE, "").partition(":")
_left = int(_count or 0)


def reach(point: str) -> None:
    """This process is at `point`: go on, or die."""
    global _left
    if point == _point:
        _left -= 1
        if _left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


class DyingTransport:
    """A transport whose process may die before an acknowledgement leaves; what comes before it has left."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.read = transport.read
        self.close = transport.close
        self._packets = Packets()

    async def write(self, data: bytes) -> None:
        before = b""
        for packet in self._packets.feed(data):
            if point := ACKNOWLEDGEMENTS.get(packet[0]):
                if before and point == _point and _left == 1:
                    await self._transport.write(before)
                reach(point)
            before += packet
        assert not self._packets.rest, "the client writes whole packets"
        await self._transport.write(data)


class DyingConnector(HostConnector):
    """See DyingClient."""

    async def open(self) -> Transport:
        return DyingTransport(await super().open())

    async def pause(self, ms: int) -> None:
        await super().pause(min(ms, 20))


class DyingClient(Client):
    """The client as it is, on such a transport. It does not back off for long: the tests cut often."""

    _connector_type = DyingConnector

    def __init__(self, url: str, client_id: str, store: str) -> None:
        keep_alive_s = int(os.environ.get(KEEP_ALIVE, "60"))
        super().__init__(
            url,
            client_id=client_id,
            store=store,
            keys=True,
            retry_first=True,
            keep_alive_s=keep_alive_s,
            timeout_s=min(keep_alive_s, 10),
        )
