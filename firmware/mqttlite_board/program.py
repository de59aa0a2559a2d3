"""The program of a board: connect as its settings say, and run the application. The starter starts it."""

import asyncio
import gc
import json

from mqttlite import Client, MQTTError, SettingError, StoreError

from . import readings
from .together import together

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

TELLING_S = 60  # how long a board tries to say that its store cannot be used


def store(name: str) -> "Any":
    """What the setting `store` names: a file's name as it is, a journal on a partition, or None for none."""
    if not name.startswith("ring:"):
        return name or None
    from esp32 import Partition

    from mqttlite import Journal, RawArea

    found = Partition.find(Partition.TYPE_DATA, label=name[5:])
    if not found:
        raise SettingError("store '%s': this board has no data partition of that label" % name)
    return Journal(RawArea(found[0]))


class Program:
    """What the board is for, from one start to the next. `settings`: the record, as settings.load gives it; `start`:
    the starter, whose `feed` is called as long as the event loop turns.
    """

    def __init__(self, settings: "dict[str, Any]", start: "Any") -> None:
        readings.check(settings)
        self.settings = settings
        self.start = start
        topic = settings["topic"]
        self.online: str = topic + "/online"  # retained: "1", or "0" when the board is gone
        self.problem: str = topic + "/problem"  # retained: what is wrong with its store; empty: nothing
        self.answer: str = topic + "/answer"  # as readings.py has it: what became of a command
        self.to_tell = asyncio.Event()  # there is something for `announce`:
        self.is_back = False  # there is a connection, and the broker has not been told
        self.oversized: "dict[str, object] | None" = None

    async def main(self) -> None:
        """All of it. Ends when the application ends, or with the first exception of any part."""
        settings = self.settings
        network = None
        parts = [self.feed_watchdog(settings["watchdog_s"])]
        if settings["wifi"].get("name"):
            from . import wifi  # a board without Wi-Fi, and a computer, have no module `network`

            network = asyncio.Event()
            parts.append(wifi.keep_connected(settings["wifi"]["name"], settings["wifi"].get("password", ""), network))
        await together(self.application(network), *parts)

    async def feed_watchdog(self, watchdog_s: float) -> None:
        """As long as the event loop turns, the board is not restarted."""
        while True:
            self.start.feed()
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
            client_id=self.settings["name"],
            store=store(self.settings["store"]),
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
        url = settings["url"] if isinstance(settings["url"], str) else settings["url"][0]
        if url.startswith("serial:"):
            url += ("&" if "?" in url else "?") + "boot=" + str(self.start.boots)
        try:
            return Client(
                url,
                username=settings["username"],
                password=settings["password"],
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
        async with self.client(client_id=self.settings["name"] + "-problem", clean_session=True) as client:
            await client.publish(self.problem, problem, qos=1, retain=True)


def run(settings: "dict[str, Any]", start: "Any") -> None:
    """Run the program to its end. Raises what ends it; SettingError for a setting that is wrong."""
    gc.collect()
    asyncio.run(Program(settings, start).main())
