"""Runs after boot.py: connect as settings.py says, run the application; after a failure restart the board.

Also runs on MicroPython's Unix port and on CPython, where a failure ends the program.
"""

import asyncio
import gc
import sys
import time

import boots
import settings
from examples import readings
from together import together

from mqttlite.client import Client

try:
    from machine import WDT, reset

    IS_BOARD = True
except ImportError:
    IS_BOARD = False

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

ONLINE = settings.TOPIC + "/online"  # retained: "1", or "0" when the board is gone
RESTART_S = 10


def make_client(on_connection: "Callable[[bool, str], None]") -> Client:
    """The client that the settings describe."""
    url = settings.URL
    if url.startswith("serial:"):
        url += ("&" if "?" in url else "?") + "boot=" + str(boots.count)
    return Client(
        url,
        client_id=settings.DEVICE_ID,
        username=settings.USERNAME,
        password=settings.PASSWORD,
        will=(ONLINE, "0", 1, True),
        keep_alive_s=30,
        retry_first=True,  # the gateway or the access point may come up after the board
        on_connection=on_connection,
    )


async def announce(client: Client, connected: asyncio.Event) -> None:
    """Say after each connection that the board is there: the broker published the will when the last one was lost."""
    while True:
        await connected.wait()
        connected.clear()
        receipt = await client.publish(ONLINE, "1", qos=1, retain=True)
        await receipt.completed()


async def application(network: "asyncio.Event | None") -> None:
    """Connect as soon as there is a `network`, and do what the board is for until that ends."""
    if network:
        await network.wait()
    connected = asyncio.Event()

    def on_connection(is_connected: bool, reason: str) -> None:
        print("connected" if is_connected else "disconnected: " + reason)
        if is_connected:
            connected.set()

    async with make_client(on_connection) as client:
        try:
            await together(announce(client, connected), readings.run(client, settings))
        finally:
            await client.drain(5)  # after a failure, too: what was accepted lives in memory alone
            # The client says goodbye, so there will be no will. At QoS 0 because it must not wait: without a connection
            # it is dropped, and the will comes.
            await client.publish(ONLINE, "0", qos=0, retain=True)


async def feed_watchdog() -> None:
    """As long as the event loop turns, the board is not restarted."""
    watchdog = WDT(timeout=settings.WATCHDOG_S * 1000)
    while True:
        watchdog.feed()
        await asyncio.sleep(settings.WATCHDOG_S / 4)


async def main() -> None:
    """The whole program. Ends when the application ends, or with the first exception of any part."""
    if settings.WIFI_NAME:
        import wifi  # a board without Wi-Fi, and a computer, have no module `network`

        network = asyncio.Event()
        parts = [application(network), wifi.keep_connected(settings.WIFI_NAME, settings.WIFI_PASSWORD, network)]
    else:
        parts = [application(None)]
    if IS_BOARD and settings.WATCHDOG_S:
        parts.append(feed_watchdog())
    await together(*parts)


def run() -> None:
    """Run the program. A board must come back from whatever went wrong, and must say what it was."""
    gc.collect()
    try:
        asyncio.run(main())
    except Exception as error:
        if not IS_BOARD:
            raise
        sys.print_exception(error)
        print("restarting in", RESTART_S, "s; Ctrl-C prevents it")
        time.sleep(RESTART_S)
        reset()


if __name__ == "__main__":
    run()
