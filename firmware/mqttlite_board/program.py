"""The program of a board: connects as the settings say, measures what the application says, and obeys commands.

It is made of parts that live and die together (together.py); each is a module of its own, imported only where settings
or application ask for it. What arrives on a topic goes to `handlers`, by the levels below the board's own topic; who
adds one there before the program runs is subscribed to it. Both runtimes.
"""

import asyncio
import gc
import json

from mqttlite import Client, ClosedError, MQTTError, SettingError, StoreError

from . import clock, measuring
from .api import Application
from .together import together

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from mqttlite import Receipt

    from .api import Sensor

MANIFEST = "update/manifest"  # of an update that is not finished
OFFER = "offer"  # a manifest that came when there was no memory for it
TELLING_S = 60  # how long a board tries to say that its store cannot be used
NETWORK_S = 15  # how long the client waits for Wi-Fi before it begins without
GOODBYE_S = 15  # how long the end may take
STATE_S = 300  # from one state message to the next


class Program:
    """What the board is for, from one start to the next. `settings`: the record (settings.py), complete; `start`: the
    starter (start/start.py), of which the program uses what has a name without _.
    """

    alone = False  # there is no memory for the application beside an update
    updates: "Any" = None  # once there is one
    client: "Any" = None  # set when its store is open
    is_obeying = False
    wakes = 0  # to a serial line, each wake-up is another start

    def __init__(self, settings: "dict[str, Any]", start: "Any", app: "Application") -> None:
        self.settings = settings
        self.start = start
        self.app = app
        self.boots: int = start.boots
        self.topic: str = settings["topic"]
        self.is_connected = False
        self.connected = asyncio.Event()  # it was, once
        self.lost: "dict[str, int]" = {}  # readings that were given up or not taken, by cause
        self.owes_clock = False  # readings have left without the time
        self.ended = ""  # why the program ends, if somebody wants it to
        self.end = asyncio.Event()
        self.to_tell = asyncio.Event()  # there is something for `announce`:
        self.is_back = False  # there is a connection, and the broker has not been told
        self.problem: "str | None" = None  # what the broker was told last
        self.oversized: "dict[str, object] | None" = None
        self.waits_for: "Receipt | None" = None  # a message that is not confirmed,
        self.waits_since = 0  # since when
        self.proof: "Receipt | None" = None  # the message that shows that this start is good
        self.network: "asyncio.Event | None" = None
        self.url = ""  # of the settings, that is in use
        self.place: "tuple[str, str] | None" = None  # where its broker was found (discovery.py)
        self.ready = asyncio.Event()  # there is a client, and its store is open
        self.heard = 0  # when a message came last
        self.handlers: "dict[str, Callable[[bytes], Coroutine[Any, Any, None]]]" = {"command": self.obey}
        self.parts: "list[Coroutine[Any, Any, None]]" = []

    # -- what parts and applications use

    async def publish(
        self,
        name: str,
        payload: "str | bytes",
        qos: int = 1,
        key: "tuple[str, int] | None" = None,
        retain: bool = False,
        later: bool = False,
    ) -> "Receipt":
        """Publish below the board's topic. Waits for room, and while one connection takes the place of another.
        `later`: it is stored together with what is stored next, such as that a command was handled.
        """
        name = self.topic + "/" + name
        while True:
            await self.ready.wait()
            try:
                # a bundle without keys has no argument for one, and one without a journal no `enqueue`
                publish = self.client.enqueue if later and self.settings["store"] else self.client.publish
                receipt: "Receipt" = await (
                    publish(name, payload, qos, retain, key) if key else publish(name, payload, qos, retain)
                )
                break
            except ClosedError:
                if self.ready.is_set():
                    raise
        if qos:
            if not self.waits_for or self.waits_for.done:
                self.waits_for = receipt
                self.waits_since = clock.up_ms()
            if not self.proof and qos >= self.proving_qos():
                self.proof = receipt
                asyncio.create_task(self.prove(receipt))  # noqa: RUF006 (it ends by itself)
        return receipt

    async def prove(self, receipt: "Receipt") -> None:
        """This start is good when the message is confirmed."""
        try:
            await receipt.completed()
        except MQTTError:
            self.proof = None  # another one may be
            return
        while not self.start.is_good:
            self.start.good()
            await asyncio.sleep(1)
        if self.has_update():  # the trial of an update is over
            await self.updating().resume()

    def proving_qos(self) -> int:
        """The QoS of the message whose confirmation shows that this start is good: the highest there is."""
        return max([1] + [sensor.qos for sensor in self.app.sensors])

    def count(self, cause: str, readings: int) -> None:
        """So many readings were given up, or not taken."""
        if readings:
            self.lost[cause] = self.lost.get(cause, 0) + readings

    def has_changed(self) -> None:
        """There may be another problem to tell."""
        self.to_tell.set()

    def unconfirmed(self) -> int:
        """Messages that are not confirmed."""
        return int(self.client.unconfirmed())

    def last_number(self, name: str) -> int:
        """As Client.last_number, 0 for none."""
        return max(int(self.client.last_number(name)), 0)

    def stop(self, why: str) -> None:
        """End the program in good order; "restart": and start the board again. In a command: once it is answered."""
        self.ended = why
        if not self.is_obeying:
            self.end.set()

    async def pause(self, sensor: "Sensor", ms: int) -> None:
        """Wait until a sensor is due, or `every` has changed."""
        if sensor.changed is None:
            sensor.changed = asyncio.Event()
        sensor.changed.clear()
        try:
            await asyncio.wait_for(sensor.changed.wait(), ms / 1000)
        except asyncio.TimeoutError:
            pass

    # -- life

    async def main(self) -> None:
        """All of it. Ends when the program is to end, or with the first exception of any part."""
        from . import watchdog

        settings = self.settings
        if settings["sleep_s"] and not self.start.is_safe:
            from . import sleeping

            if not self.parts:
                await sleeping.run(self)
                return
            self.parts.append(sleeping.when_done(self))
        parts = [watchdog.keep_fed(self)] + self.parts
        if settings["wifi"].get("name"):
            from . import wifi  # a board without Wi-Fi, and a computer, have no module `network`

            self.network = asyncio.Event()
            parts.append(wifi.keep_connected(settings["wifi"], self.network))
        if settings["led"] is not None:
            from . import led

            parts.append(led.show(self))
        if settings["time"] or settings["ca"]:
            from . import timekeeping

            parts.append(timekeeping.keep(self))
        if hasattr(gc, "mem_free"):
            from . import heap

            parts.append(heap.watch(self))
        await together(self.work(), *parts)

    async def work(self) -> None:
        """Connect, and do what the board is for until that ends."""
        try:
            if self.network:
                try:
                    await asyncio.wait_for(self.network.wait(), NETWORK_S)
                except asyncio.TimeoutError:
                    pass
            url = self.settings["url"]
            await self.run_client(url if isinstance(url, str) else url[0])
        except StoreError as error:
            try:
                from . import seldom

                await asyncio.wait_for(seldom.tell(self, str(error)), TELLING_S)
            except (OSError, MQTTError, asyncio.TimeoutError) as failure:
                print("cannot be told:", repr(failure))
            raise

    async def run_client(self, url: str) -> None:
        """Everything that has to do with a client of its own."""
        await self.open_client(url).start(wait=False)
        self.ready.set()
        try:
            jobs = [job(self) for job in self.app.jobs]
            if "://discover" in str(self.settings["url"]) or ".local" in str(self.settings["url"]):
                from . import discovery

                jobs.append(discovery.keep(self))
            if not isinstance(self.settings["url"], str):
                from . import urls

                jobs.append(urls.keep(self, self.settings["url"]))
            if crash_file(self.start):
                from . import crash

                jobs.append(crash.send(self))
            await together(
                self.announce(), self.listen(), self.measure(), self.tell_state(), self.until_the_end(), *jobs
            )
        finally:
            try:
                from . import seldom

                await asyncio.wait_for(seldom.say_goodbye(self), GOODBYE_S)
            except (MQTTError, asyncio.TimeoutError) as error:
                print("at the end:", repr(error))
            await self.client.close()

    def open_client(self, url: str, **options: "Any") -> Client:
        """The client of this board, to be started."""
        store = self.settings["store"]
        if store.startswith("ring:"):
            from . import opening

            store = opening.store(store)
        all_options: "dict[str, Any]" = {
            "client_id": self.settings["name"],
            "store": store or None,
            "queue_max": self.app.queue,
            "will": (self.topic + "/online", "0", 1, True),
            "on_connection": self.on_connection,
            "on_oversized": self.on_oversized,
        }
        all_options.update(options)
        self.url = url
        client = self.client = self.make_client(url, **all_options)
        return client

    async def until_the_end(self) -> None:
        """Wait until somebody wants the program to end."""
        await self.end.wait()

    def make_client(self, url: str, **options: "Any") -> Client:
        """A client that reaches the broker at `url`."""
        if url.startswith("serial:") and "boot=" not in url:
            url += ("&" if "?" in url else "?") + "boot=" + str(self.boots + self.wakes)
        if "://discover" in url or ".local" in url:
            from . import discovery

            url = discovery.found(self, url, options)
        if url.startswith("mqtts:"):
            from . import trusting

            trusting.set_clock()
            options["tls"] = trusting.trusted(self.settings["ca"])
            options.setdefault("server_name", trusting.name_for(self.settings, url))
        try:
            return Client(
                url,
                username=self.settings["username"],
                password=self.settings["password"],
                keep_alive_s=30,
                retry_first=True,  # the gateway or the access point may come up after the board
                **options,
            )
        except (MQTTError, ValueError, TypeError) as error:
            raise SettingError(str(error)) from None

    def on_connection(self, is_connected: bool, reason: str) -> None:
        """As the client's option of this name."""
        self.is_connected = is_connected
        print("connected" if is_connected else "disconnected: " + reason)
        if is_connected:
            self.connected.set()
            self.waits_since = clock.up_ms()
            self.is_back = True
            self.to_tell.set()

    def on_oversized(self, topic: str, size: int) -> None:
        """As the client's option of this name: of several, the last one is told."""
        self.oversized = {"error": "a message of %d bytes to %s is too large for this board" % (size, topic)}
        self.to_tell.set()

    async def measure(self) -> None:
        """What the application wants, for ever."""
        if self.app.setup:
            done = self.app.setup()
            if hasattr(done, "send"):
                await done
        if self.app.sensors:
            await together(*[measuring.keep_measuring(self, sensor) for sensor in self.app.sensors])
        else:
            await asyncio.Event().wait()

    # -- what it says and hears

    async def announce(self) -> None:
        """Say after each connection that the board is there, as the will was published when the last one was lost; what
        is wrong with its store or a sensor, while it is; and what became of a command that was too large.
        """
        if getattr(self.client.store, "notice", ""):
            print(self.client.store.notice)
        while True:
            await self.to_tell.wait()
            self.to_tell.clear()
            problem = self.problems()
            if problem != self.problem:
                self.problem = problem
                await self.publish("problem", problem, retain=True)
            if self.is_back:
                self.is_back = False
                receipt = await self.publish("online", "1", retain=True)
                try:
                    await receipt.completed()
                except ClosedError:  # another client takes its place
                    await self.ready.wait()
            if self.owes_clock and clock.begun() is not None:
                self.owes_clock = False
                await self.publish("clock", json.dumps({"boot": self.boots, "begun": clock.begun()}))
            if self.oversized:
                answer, self.oversized = self.oversized, None
                await self.publish("answer", json.dumps(answer), 2)

    def problems(self) -> str:
        """What is wrong, in words; "": nothing."""
        found = [sensor.name + ": " + sensor.error for sensor in self.app.sensors if sensor.error]
        notice = getattr(self.client.store, "notice", "")
        return "; ".join(found + ([notice] if notice else []))

    async def tell_state(self) -> None:
        """Say how the board is, now and then."""
        from . import state

        while True:
            if self.is_connected:
                await self.publish("state", json.dumps(state.state(self)), 0)
            await asyncio.sleep(STATE_S if self.is_connected else 1)

    async def listen(self) -> None:
        """Carry out one message after the other."""
        while True:
            await self.ready.wait()
            try:
                await self.subscribe()
                await self.hear()
            except ClosedError:
                if self.ready.is_set():
                    raise

    async def subscribe(self) -> None:
        """To what there are handlers for."""
        for name in self.handlers:
            await self.client.subscribe(self.topic + "/" + name, 2)

    async def hear(self) -> None:
        """Carry out one message after the other until the client is closed."""
        async for message in self.client:
            self.heard = clock.up_ms()
            handler = self.handlers.get(message.topic[len(self.topic) + 1 :])
            try:
                if handler:
                    await handler(message.payload)
            except MQTTError:
                raise
            except Exception as error:  # nothing that comes from outside may end the program
                print(message.topic + ":", repr(error))

    async def obey(self, payload: bytes) -> None:
        """A command: carry it out, and answer."""
        from . import commands

        self.is_obeying = True
        answer = await commands.obey(self, payload)
        # In one write with the acknowledgement of the command: a loss of power leaves both or neither.
        await self.publish("answer", json.dumps(answer), 2, later=True)
        self.is_obeying = False
        if self.ended:
            self.end.set()

    async def update(self, payload: bytes) -> None:
        """The manifest of an update."""
        try:
            await self.updating().take(payload)
        except MemoryError:  # there is more without the application
            self.start.write(self.start.ROOT + OFFER, payload)
            self.stop("restart")

    def has_update(self) -> bool:
        """As the function."""
        return has_update(self.settings, self.start)

    def updating(self) -> "Any":
        """What does updates, from when there is one."""
        if not self.updates:
            from . import update

            self.updates = update.Update(self)
        return self.updates


def crash_file(start: "Any") -> bool:
    """Whether there is something to tell of the start before (crash.py)."""
    return bool(start.exists(start.ROOT + "crash.txt")) or start.reset_cause() == "WDT"


def has_update(settings: "dict[str, Any]", start: "Any") -> bool:
    """Whether there is an update that is not finished, or something to tell of the last one."""
    record = start.record.get("tell")
    return bool(settings["key"] and (record or start.exists(start.ROOT + MANIFEST) or start.exists(start.ROOT + OFFER)))


def run(settings: "dict[str, Any]", start: "Any") -> None:
    """Run the program to its end. Raises what ends it; SettingError for a setting that is wrong."""
    gc.collect()
    if "trial" in settings:
        from . import rotation

        settings = rotation.chosen(settings)
    from . import opening

    alone = False
    if has_update(settings, start):
        from . import update

        alone = update.is_alone(start)
    program = Program(settings, start, opening.application(settings, start.is_safe or alone))
    program.alone = alone
    start.forget("opening")
    if settings["key"]:
        program.handlers["update"] = program.update
        if program.has_update():
            program.parts.append(program.updating().follow())
    if "trial" in settings:
        program.parts.append(rotation.follow(program))
    asyncio.run(program.main())
    if program.ended == "restart":
        start.restart(True)
