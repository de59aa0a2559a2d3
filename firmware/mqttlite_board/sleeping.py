"""A board that sleeps between its measurements: it wakes, measures, connects, sends, and sleeps when all is confirmed.

A wake-up costs what it lasts. So: the radio joins while sensors are read; the address of the board is the last one for
LEASE_S, and that of the broker as long as it works (both in the memory of the clock, which outlives deep sleep); the
session goes on, so nothing is subscribed again; what is waiting at the broker comes with the answer to CONNECT, and is
obeyed. After the application's `awake_s` it sleeps in any case: what is not confirmed is in the store. With a ring as
store nothing is written to the file system. `state` has the figures of the wake-up, as "wake".

What outlives deep sleep is JSON in `RTC().memory()`; a board without that measures everything at each wake-up. Both
runtimes, where there is a `machine`.
"""

import asyncio
import json
import time

from mqttlite import MQTTError, SettingError

from . import clock, measuring, state
from .program import crash_file
from .together import together

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LEASE_S = 1800
SET_S = 21600  # from one setting of the clock to the next
LOOK_S = 5
EARLY_MS = 500  # a sensor that is due so soon is read now
SLEEP_MIN_MS = 1000
QUIET_MS = 50


def raw_ms() -> int:
    """What the board's clock says, set or not: it runs on in deep sleep."""
    return time.time_ns() // 1000000


class Memory:
    """What outlives deep sleep; empty after a loss of power. `values` may be changed, then `save`d."""

    def __init__(self) -> None:
        from machine import RTC

        self._rtc: "Any" = RTC()
        self.values: "dict[str, Any]" = {}
        try:
            self.values = json.loads(self._rtc.memory())
        except (AttributeError, ValueError):  # no such memory, or nothing in it
            pass

    def save(self) -> None:
        """Keep them."""
        if hasattr(self._rtc, "memory"):
            self._rtc.memory(json.dumps(self.values).encode())


class Figures:
    """What a wake-up costs: bytes over the network, and how often an answer was waited for."""

    def __init__(self) -> None:
        self.sent = self.received = self.trips = 0
        self._asked = False
        self._plain = asyncio.open_connection
        asyncio.open_connection = self._open  # type: ignore[assignment]

    async def _open(self, *place: "Any") -> "Any":
        reader, writer = await self._plain(*place)
        self.trips += 1  # SYN
        read: "Any" = reader.read
        write: "Any" = writer.write

        async def counted_read(size: int = -1) -> bytes:
            data: bytes = await read(size)
            self.received += len(data)
            if self._asked:
                self._asked = False
                self.trips += 1
            return data

        def counted_write(data: "Any") -> "Any":
            self.sent += len(data)
            self._asked = True
            return write(data)

        stream: "Any" = reader
        stream.read = counted_read
        stream = writer
        stream.write = counted_write
        return reader, writer


async def run(program: "Any") -> None:
    """One wake-up, up to the sleep that ends it. SettingError where that cannot be."""
    settings = program.settings
    if not settings["store"]:
        raise SettingError("sleep_s needs a store: what is not confirmed when the board falls asleep would be lost")
    memory = Memory()
    values = memory.values
    clock.resume(values.setdefault("zero", raw_ms()), raw_ms())
    begun = clock.up_ms()
    program.wakes = values.get("wakes", 0)
    values["wakes"] = values.get("wakes", 0) + 1
    recall(program, values)
    figures = Figures()
    parts = [_feed(program), _wake(program, values, figures, begun)]
    if settings["wifi"].get("name"):
        from . import wifi

        program.network = asyncio.Event()
        lease = values.get("lease")
        known = dict(settings["wifi"])
        if lease and raw_ms() - values["leased"] < LEASE_S * 1000 and not known.get("address"):
            known["address"] = lease
        parts.append(wifi.keep_connected(known, program.network))
    await together(*parts)
    remember(program, values)
    memory.save()
    sleep(program, int(settings["sleep_s"] * 1000) - (clock.up_ms() - begun))


async def when_done(program: "Any") -> None:
    """The board stays awake for an update, or for new credentials on trial; when that is over, it may sleep again."""
    while program.has_update() or "trial" in program.settings:  # noqa: ASYNC110 (files, which say nothing)
        await asyncio.sleep(LOOK_S)
    await asyncio.sleep(LOOK_S)  # what is told is on its way
    program.stop("restart")
    await asyncio.Event().wait()


def recall(program: "Any", values: "dict[str, Any]") -> None:
    """What the wake-up before knew of sensors and losses."""
    program.lost = values.get("lost", {})
    program.owes_clock = values.get("owes", False)
    for sensor in program.app.sensors:
        known = values.get("sensors", {}).get(sensor.name)
        if known:
            sensor.turned, sensor.last_at, sensor.last, sensor.failed, sensor.error = known


def remember(program: "Any", values: "dict[str, Any]") -> None:
    """For the next wake-up."""
    values["lost"] = program.lost
    values["owes"] = program.owes_clock
    values["sensors"] = {
        sensor.name: [sensor.turned, sensor.last_at, sensor.last, sensor.failed, sensor.error[:60]]
        for sensor in program.app.sensors
    }


def is_due(sensor: "Any", now: int) -> bool:
    """Whether a sensor is to be read in a wake-up at `now`."""
    return not sensor.turned or now - sensor.turned + EARLY_MS >= sensor.every_ms


async def _feed(program: "Any") -> None:
    while True:
        program.start.feed()
        await asyncio.sleep(1)


async def _wake(program: "Any", values: "dict[str, Any]", figures: Figures, begun: int) -> None:
    """Measure, and keep that whatever happens; connect, send, and wait until all is confirmed, while there is time."""
    app = program.app
    measured = asyncio.create_task(_measure(program))
    if program.network:
        try:
            await asyncio.wait_for(program.network.wait(), app.awake_s / 2)
            _note_lease(values)
        except asyncio.TimeoutError:
            print("no Wi-Fi: the readings are kept")
            values.pop("lease", None)
    wake = {"n": values["wakes"], "network_ms": clock.up_ms() - begun}
    client = program.open_client(known_address(program, values), will=None)
    await client.start(wait=False)
    program.ready.set()
    try:
        await measured
        for sensor in app.sensors:
            if app.keep != "all" or program.unconfirmed() < app.queue:
                await measuring.hand_over(program, sensor, True)
        left_s = app.awake_s - (clock.up_ms() - begun) / 1000
        await asyncio.wait_for(_deliver(program, values, figures, begun, wake), max(left_s, 0.1))
    except asyncio.TimeoutError:
        print("not everything is confirmed after %s s: it is kept" % app.awake_s)
        for sensor in app.sensors:  # there was no room, and the application wants to keep the older ones
            program.count("unmeasured", len(sensor.readings))
    except MQTTError as error:
        print("at waking:", repr(error))
    finally:
        if not program.is_connected:
            values.pop("address", None)  # it may be what is wrong
        await client.close()
        values["awake"] = clock.up_ms() - begun


async def _deliver(
    program: "Any", values: "dict[str, Any]", figures: Figures, begun: int, wake: "dict[str, Any]"
) -> None:
    client = program.client
    awake_s = program.app.awake_s
    await program.connected.wait()
    wake["connected_ms"] = clock.up_ms() - begun
    listening = asyncio.create_task(_listen(program, values))
    try:
        await _keep_time(program, values)
        if crash_file(program.start):
            from . import crash

            await crash.tell(program)
        for sensor in program.app.sensors:
            await measuring.hand_over(program, sensor, True)
        await client.drain(awake_s)
        wake["confirmed_ms"] = clock.up_ms() - begun
        wake["bytes"] = [figures.sent, figures.received]
        wake["trips"] = figures.trips
        wake["last_ms"] = values.get("awake", 0)  # all of the wake-up before
        found = state.state(program)
        found["wake"] = wake
        await program.publish("state", json.dumps(found))
        # What was waiting at the broker came before the confirmation of this: it is here, and is obeyed now.
        await client.drain(awake_s)
        while program.is_obeying or program.unconfirmed() or clock.up_ms() - program.heard < QUIET_MS:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        while program.updates and program.updates.is_busy():  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        values["address"] = values.get("looked_up")
    finally:
        listening.cancel()


async def _keep_time(program: "Any", values: "dict[str, Any]") -> None:
    """Set the clock, which is a poor one in deep sleep, now and then."""
    if program.settings["time"] and raw_ms() - values.get("set_at", 0) > SET_S * 1000:
        ms = program.client.gateway_time()
        if ms is None and not program.client.link_stats():
            from . import timekeeping

            ms = timekeeping.by_ntp()
        if ms is not None:
            before = raw_ms()
            clock.set_epoch(ms)
            values["zero"] += raw_ms() - before
            values["set_at"] = raw_ms()
    if program.owes_clock and clock.begun() is not None:
        await program.publish("clock", json.dumps({"boot": program.boots, "begun": clock.begun()}))
        program.owes_clock = False


async def _measure(program: "Any") -> None:
    now = clock.up_ms()
    for sensor in program.app.sensors:
        if is_due(sensor, now):
            await measuring.measure(program, sensor)
            sensor.turned = now


async def _listen(program: "Any", values: "dict[str, Any]") -> None:
    """As Program.listen; without a subscription where the session has it."""
    wanted = sorted(program.handlers)
    if not (program.client.session_present and values.get("subscribed") == wanted):
        await program.subscribe()
        values["subscribed"] = wanted
    await program.hear()


def _note_lease(values: "dict[str, Any]") -> None:
    import network

    address = list(network.WLAN(network.STA_IF).ifconfig())
    if address != values.get("lease"):
        values["lease"] = address
        values["leased"] = raw_ms()
    elif raw_ms() - values["leased"] >= LEASE_S * 1000:
        values["leased"] = raw_ms()


def known_address(program: "Any", values: "dict[str, Any]") -> str:
    """The URL, with the address of the broker in the place of its name: from an earlier wake-up, or looked up now."""
    url = program.settings["url"]
    url = url if isinstance(url, str) else url[0]
    if not url.startswith("mqtt"):
        return str(url)
    scheme = url[: url.find("://") + 3]
    host = url[len(scheme) :].split("/")[0].split(":")[0]
    rest = url[len(scheme) + len(host) :]
    address = values.get("address")
    if not address:
        import socket

        try:
            found = socket.getaddrinfo(host, 1883, 0, socket.SOCK_STREAM)[0][-1]
        except OSError:
            return str(url)
        address = found[0] if isinstance(found, tuple) else host
    values["looked_up"] = address
    return scheme + address + rest


def sleep(program: "Any", ms: int) -> None:
    """Sleep; the board starts anew after it."""
    import machine

    ms = max(ms, SLEEP_MIN_MS)
    print("sleeping for %d ms" % ms)
    if program.ended == "restart" or program.updates:  # an update that has begun is taken awake
        program.start.restart(True)
    machine.deepsleep(ms)
