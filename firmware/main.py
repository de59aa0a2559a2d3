"""Runs after boot.py: connect as settings.py says, run the application, start again if it fails."""

import asyncio
import gc

import boot
import settings
from examples import readings
from mqttlite.client import Client

try:
    import machine
except ImportError:  # not a microcontroller: the same program runs on the Unix interpreter and on CPython
    machine = None


def client() -> Client:
    """The client that the settings describe."""
    url = settings.URL
    if url.startswith("serial:"):
        url += ("&" if "?" in url else "?") + "boot=" + str(boot.boot_count)
    return Client(
        url,
        client_id=settings.DEVICE_ID,
        username=settings.USERNAME,
        password=settings.PASSWORD,
        will=(settings.TOPIC + "/online", "0", 1, True),
        keep_alive_s=30,
        retry_first=True,  # the gateway or the access point may come up after the board
        on_connection=lambda up, reason: print("connected" if up else "disconnected: " + reason),
    )


async def feed_watchdog() -> None:
    """As long as the event loop turns, the board is not restarted."""
    watchdog = machine.WDT(timeout=settings.WATCHDOG_S * 1000)
    while True:
        watchdog.feed()
        await asyncio.sleep(settings.WATCHDOG_S / 4)


async def main() -> None:
    """The whole program."""
    if machine and settings.WATCHDOG_S:
        feeding = asyncio.create_task(feed_watchdog())  # noqa: F841: a task lives as long as somebody holds it
    if settings.WIFI_NAME:
        import wifi

        await wifi.connect(settings.WIFI_NAME, settings.WIFI_PASSWORD)
    async with client() as mqtt:
        await mqtt.publish(settings.TOPIC + "/online", "1", qos=1, retain=True)
        await readings.run(mqtt, settings)


if __name__ == "__main__":
    gc.collect()
    asyncio.run(main())
