"""A board whose broker has several addresses tries the next one at each attempt, and stays with what has answered."""

from mqttlite.broker import Broker
from tests.broker.raw import port_of
from tests.peers import MicroPython

SCRIPT = """
import asyncio, socket, sys

real = socket
asked = []

class Names:  # in the place of the module: a name with three addresses, two of which refuse
    SOCK_STREAM = socket.SOCK_STREAM
    socket = socket.socket

    @staticmethod
    def getaddrinfo(host, port, *options):
        asked.append(host)
        if host != "broker.home":
            return real.getaddrinfo(host, port, *options)
        if len(asked) == 1:  # asyncio's own, which takes the first
            return real.getaddrinfo("127.0.0.8", port, *options)
        return [(2, 1, 6, "", (ip, port)) for ip in ("127.0.0.8", "127.0.0.9", "127.0.0.1")]

sys.modules["socket"] = Names

from mqttlite.client import Client

async def main():
    client = Client("mqtt://broker.home:" + sys.argv[1], client_id="b", retry_first=True)
    await client.start()
    await (await client.publish("a", b"1", 1)).completed()
    print(" ".join(name for name in asked if name != "broker.home"))
    asked[1:] = []
    client._life.fail(OSError(104))
    while client.is_connected:
        await asyncio.sleep(0.01)
    await (await client.publish("a", b"2", 1)).completed()
    print(" ".join(name for name in asked if name != "broker.home"))
    await client.close()

asyncio.run(main())
"""


async def test_the_next_address_at_the_next_attempt_and_the_one_that_answered_again(micropython: MicroPython) -> None:
    async with Broker(["mqtt://127.0.0.1:0"]) as broker:
        result = await micropython.run(SCRIPT, str(port_of(broker.addresses[0])), heap="512k")
    lines = [line for line in result.stdout.splitlines() if not line.startswith("mqttlite:")]
    assert lines == ["127.0.0.9 127.0.0.1", "127.0.0.1"], result.stdout
