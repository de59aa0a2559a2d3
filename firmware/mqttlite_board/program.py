"""The program of a board: connect as settings.py says, and run the application. main.py starts it, again and again."""

import asyncio
import gc
import json

from mqttlite import Client, MQTTError, SettingError, StoreError

from . import boots, readings
from .together import together

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

TELLING_S = 60  # how long a board tries to say that its store cannot be used

# What a setting may be, and in words. LED_PIN may be many things.
_TEXT = ((str,), "a text")
_SECRET = ((str, bytes, type(None)), "a text, or None")
_NUMBER = ((int,), "a whole number")
_KINDS = {
    "DEVICE_ID": _TEXT,
    "URL": _TEXT,
    "WIFI_NAME": _TEXT,
    "WIFI_PASSWORD": _TEXT,
    "USERNAME": _SECRET,
    "PASSWORD": _SECRET,
    "TOPIC": _TEXT,
    "READ_EVERY_MS": _NUMBER,
}


def check(settings: "Any") -> None:
    """Raise SettingError, which names the setting that is missing or cannot be right."""
    for name, (kinds, words) in _KINDS.items():
        if not hasattr(settings, name):
            raise SettingError(name + " is missing")
        value = getattr(settings, name)
        if not isinstance(value, kinds):
            raise SettingError("%s = %r: must be %s" % (name, value, words))
    if not settings.DEVICE_ID:
        raise SettingError("DEVICE_ID is empty: a board needs a name of its own")
    url = settings.URL
    if " " in url or (url.startswith("mqtt://") and url[7:8] in ("", ":", "/")):
        raise SettingError("URL = %r: holds a blank, or no host" % url)
    if not readings.EVERY_MIN_MS <= settings.READ_EVERY_MS <= readings.EVERY_MAX_MS:
        limits = (settings.READ_EVERY_MS, readings.EVERY_MIN_MS, readings.EVERY_MAX_MS)
        raise SettingError("READ_EVERY_MS = %d: must be %d to %d" % limits)
    store = getattr(settings, "STORE", None)
    if store is not None and not (store if isinstance(store, str) else hasattr(store, "open")):
        raise SettingError("STORE = %r: must be the name of a file, a store, or None" % (store,))


class Program:
    """What the board is for, from one start to the next. `settings`: the module settings.py; `feed` is called as long
    as the event loop turns.
    """

    def __init__(self, settings: "Any", feed: "Callable[[], None]") -> None:
        check(settings)
        self.settings = settings
        self.feed = feed
        self.online: str = settings.TOPIC + "/online"  # retained: "1", or "0" when the board is gone
        self.problem: str = settings.TOPIC + "/problem"  # retained: what is wrong with its store; empty: nothing
        self.answer: str = settings.TOPIC + "/answer"  # as readings.py has it: what became of a command
        self.to_tell = asyncio.Event()  # there is something for `announce`:
        self.is_back = False  # there is a connection, and the broker has not been told
        self.oversized: "dict[str, object] | None" = None

    async def main(self) -> None:
        """All of it. Ends when the application ends, or with the first exception of any part."""
        settings = self.settings
        network = None
        parts = [self.feed_watchdog(getattr(settings, "WATCHDOG_S", 0))]
        if settings.WIFI_NAME:
            from . import wifi  # a board without Wi-Fi, and a computer, have no module `network`

            network = asyncio.Event()
            parts.append(wifi.keep_connected(settings.WIFI_NAME, settings.WIFI_PASSWORD, network))
        await together(self.application(network), *parts)

    async def feed_watchdog(self, watchdog_s: float) -> None:
        """As long as the event loop turns, the board is not restarted."""
        while True:
            self.feed()
            await asyncio.sleep(watchdog_s / 4 if watchdog_s else 60)

    async def application(self, network: "asyncio.Event | None") -> None:
        """Connect as soon as there is a `network`, and do what the board is for until that ends."""
        if network:
            await network.wait()
        try:
            await self.work()
        except StoreError as error:
            try:
                await asyncio.wait_for(self.tell(str(error)), TELLING_S)
            except (OSError, MQTTError, asyncio.TimeoutError) as failure:
                print("cannot be told:", repr(failure))
            raise

    def on_connection(self, is_connected: bool, reason: str) -> None:
        """As the client's option of this name."""
        print("connected" if is_connected else "disconnected: " + reason)
        if is_connected:
            self.is_back = True
            self.to_tell.set()

    def on_oversized(self, topic: str, size: int) -> None:
        """As the client's option of this name: of several, the last one is told."""
        self.oversized = {"error": "a message of %d bytes to %s is too large for this board" % (size, topic)}
        self.to_tell.set()

    async def work(self) -> None:
        """Run the application with a client of its own."""
        client = self.client(
            client_id=self.settings.DEVICE_ID,
            store=getattr(self.settings, "STORE", "journal"),
            will=(self.online, "0", 1, True),
            on_connection=self.on_connection,
            on_oversized=self.on_oversized,
        )
        async with client:
            try:
                await together(self.announce(client), readings.run(client, self.settings))
            finally:
                await client.drain(5)  # after a failure, too: without a store what was accepted lives in memory alone
                # The client says goodbye, so there will be no will. At QoS 0 because it must not wait: without a
                # connection it is dropped, and the will comes.
                await client.publish(self.online, "0", qos=0, retain=True)

    def client(self, **options: "Any") -> Client:
        """A client that reaches the broker as the settings say."""
        settings = self.settings
        url = settings.URL
        if url.startswith("serial:"):
            url += ("&" if "?" in url else "?") + "boot=" + str(boots.count)
        try:
            return Client(
                url,
                username=settings.USERNAME,
                password=settings.PASSWORD,
                keep_alive_s=30,
                retry_first=True,  # the gateway or the access point may come up after the board
                **options,
            )
        except (MQTTError, ValueError, TypeError) as error:
            raise SettingError(str(error)) from None

    async def announce(self, client: Client) -> None:
        """Say that a damaged journal was set aside, if it was; after each connection that the board is there, as the
        will was published when the last one was lost; and what became of a command that was too large.
        """
        notice = getattr(client.store, "notice", "")
        if notice:
            print(notice)
        await client.publish(self.problem, notice, qos=1, retain=True)
        while True:
            await self.to_tell.wait()
            self.to_tell.clear()
            if self.is_back:
                self.is_back = False
                receipt = await client.publish(self.online, "1", qos=1, retain=True)
                await receipt.completed()
            if self.oversized:
                answer, self.oversized = self.oversized, None
                await client.publish(self.answer, json.dumps(answer), qos=2)

    async def tell(self, problem: str) -> None:
        """Say that the store cannot be used: the board does not work without. In a session of its own, since what the
        broker keeps for the board waits until it does.
        """
        print(problem)
        async with self.client(client_id=self.settings.DEVICE_ID + "-problem", clean_session=True) as client:
            await client.publish(self.problem, problem, qos=1, retain=True)


def run(settings: "Any", feed: "Callable[[], None]") -> None:
    """Run the program to its end. Raises what ends it; SettingError for a setting that is wrong."""
    gc.collect()
    asyncio.run(Program(settings, feed).main())
