"""Boards that sleep between their measurements: each wake-up is a process on the real interpreter, with a `machine` of
paper whose clock's memory is a file. Against Mosquitto.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from mqttlite_board.settings import decode
from tests.firmware.boards import TOPIC
from tests.firmware.starts import ENDS_AT_RESET, Folder, with_job
from tests.peers import MicroPython, Mosquitto, MosquittoSub, mosquitto_pub

APP = """
from mqttlite_board.api import Application

def application(options):
    app = Application(awake_s=options["awake_s"], keep=options["keep"], queue=4, batch_max=2)
    app.measure("count", lambda: 7, every_s=0.01, qos=2, counted=True)
    app.measure("rare", lambda: 1, every_s=3600, qos=1)
    app.command("add", lambda command: command["a"] + command["b"])
    return app
"""

MEMORY = """
import os
class RTC:
    def memory(self, data=None):
        if data is None:
            try:
                return open("rtc", "rb").read()
            except OSError:
                return b""
        with open("rtc", "wb") as file:
            file.write(data)

def deepsleep(ms):
    told["slept"] = ms
    print(json.dumps(told))
    sys.exit()

machine.RTC = RTC
machine.deepsleep = deepsleep
try:
    os.stat("rtc")
    machine.reset_cause = lambda: machine.DEEPSLEEP_RESET
except OSError:
    pass
"""


class Sleeper(Folder):
    """A board with a sleep of ten seconds."""

    def use(self, url: str, awake_s: float = 20, keep: str = "all") -> None:
        self.write("app.py", APP)
        self.set(url=url, sleep_s=10, app={"awake_s": awake_s, "keep": keep})

    async def wake(self) -> str:
        """What it says, from waking to its next sleep."""
        start = await self.start(MEMORY)
        assert not start.reset, start.said
        assert 1000 <= start.slept <= 10000, start.said
        assert "Traceback" not in start.said, start.said
        return start.said


@pytest.fixture
def board(micropython: MicroPython, tmp_path: Path) -> Sleeper:
    return Sleeper(micropython, tmp_path)


async def take(subscriber: MosquittoSub, count: int) -> dict[str, list[Any]]:
    """So many messages, by the end of their topic."""
    found: dict[str, list[Any]] = {}
    for message in await subscriber.take(count):
        found.setdefault(message.topic.removeprefix(TOPIC + "/"), []).append(json.loads(message.payload))
    return found


async def test_a_wake_up_measures_what_is_due_sends_it_and_says_what_that_cost(
    board: Sleeper, mosquitto: Mosquitto
) -> None:
    board.use(mosquitto.url)
    async with MosquittoSub(mosquitto.port, "-t", f"{TOPIC}/#", "-q", "2") as subscriber:
        await board.wake()
        first = await take(subscriber, 3)
        boots = (board.folder / "boots.txt").read_bytes()
        await board.wake()
        second = await take(subscriber, 2)
    assert [message["n"] for message in first["count"] + second["count"]] == [1, 2]
    assert len(first["rare"]) == 1
    assert "rare" not in second  # not due
    costs = [found["state"][0]["wake"] for found in (first, second)]
    assert [wake["n"] for wake in costs] == [1, 2]
    assert costs[1]["last_ms"] >= costs[0]["confirmed_ms"] > 0
    assert costs[1]["trips"] <= costs[0]["trips"]
    assert costs[1]["bytes"][0] < costs[0]["bytes"][0]  # no SUBSCRIBE, one reading less
    assert (board.folder / "boots.txt").read_bytes() == boots  # a wake-up is no start that is counted


async def test_what_waits_at_the_broker_is_obeyed_in_a_wake_up(board: Sleeper, mosquitto: Mosquitto) -> None:
    board.use(mosquitto.url)
    await board.wake()
    for number in (1, 2, 3):
        command = json.dumps({"do": "add", "a": 40, "b": number, "id": number})
        await mosquitto_pub(mosquitto.port, "-t", f"{TOPIC}/command", "-q", "2", "-m", command)
    async with MosquittoSub(mosquitto.port, "-t", f"{TOPIC}/answer", "-q", "2") as subscriber:
        await board.wake()
        await board.wake()
        found = await take(subscriber, 3)
    assert [(answer["id"], answer["result"]) for answer in found["answer"]] == [(1, 41), (2, 42), (3, 43)]


async def test_without_a_broker_it_sleeps_in_time_and_everything_is_kept(board: Sleeper, mosquitto: Mosquitto) -> None:
    board.use(mosquitto.url)
    async with MosquittoSub(mosquitto.port, "-t", f"{TOPIC}/count", "-q", "2", "-c", "-i", "watcher") as subscriber:
        await board.wake()
        assert (await take(subscriber, 1))["count"][0]["n"] == 1
        board.use("mqtt://127.0.0.1:1", awake_s=1)
        for _ in range(2):
            assert "not everything is confirmed after 1 s: it is kept" in await board.wake()
        board.use(mosquitto.url)
        await board.wake()
        found = (await take(subscriber, 3))["count"]
    assert [message["n"] for message in found] == [2, 3, 4]
    assert found[0]["t"] < found[1]["t"] < found[2]["t"]


async def test_the_newest_readings_are_kept_where_the_application_wants_it_and_the_others_are_counted(
    board: Sleeper, mosquitto: Mosquitto
) -> None:
    board.use("mqtt://127.0.0.1:1", awake_s=0.5, keep="newest")
    for _ in range(6):
        await board.wake()
    board.use(mosquitto.url, keep="newest")
    async with MosquittoSub(
        mosquitto.port, "-t", f"{TOPIC}/#", "-q", "1"
    ) as subscriber:  # in order: at QoS 2 `state` overtakes
        await board.wake()
        numbers: list[int] = []
        state: dict[str, Any] = {}
        while not state:
            for name, messages in (await take(subscriber, 1)).items():
                numbers += [message["n"] for message in messages if name == "count"]
                state = messages[0] if name == "state" else state
    assert numbers == sorted(numbers)
    assert numbers[-1] == 7
    assert state["lost"]["given_up"] == 8 - len(numbers)  # seven of `count`, one of `rare`


async def test_a_board_without_a_store_does_not_sleep(board: Sleeper) -> None:
    board.use("mqtt://127.0.0.1:1")
    board.set(store="")
    start = await board.start(MEMORY)
    assert "SettingError: sleep_s needs a store" in start.said


WIFI = """
class WLAN:
    joined = False
    def __init__(self, interface):
        pass
    def isconnected(self):
        return WLAN.joined
    def active(self, on):
        pass
    def connect(self, name, password):
        WLAN.joined = True
    def ifconfig(self, address=None):
        if address:
            print("without asking:", address[0])
        return ("192.0.2.7", "255.255.255.0", "192.0.2.1", "192.0.2.1")

class network:
    STA_IF = 0

network.WLAN = WLAN
sys.modules["network"] = network
"""


async def test_the_address_is_the_one_of_the_wake_up_before_until_it_may_be_another_ones(
    board: Sleeper, mosquitto: Mosquitto
) -> None:
    board.use(mosquitto.url)
    board.set(wifi={"name": "net", "password": "secret-of-net"})
    assert "without asking" not in (await board.start(MEMORY + WIFI)).said
    said = (await board.start(MEMORY + WIFI)).said
    assert "without asking: 192.0.2.7" in said
    assert "connected" in said
    memory = json.loads((board.folder / "rtc").read_text())
    memory["leased"] -= 1_800_000
    (board.folder / "rtc").write_text(json.dumps(memory))
    assert "without asking" not in (await board.start(MEMORY + WIFI)).said


async def test_memory_that_is_lost_costs_no_reading(board: Sleeper, mosquitto: Mosquitto) -> None:
    board.use(mosquitto.url)
    async with MosquittoSub(mosquitto.port, "-t", f"{TOPIC}/count", "-q", "2") as subscriber:
        for content in (None, b"", b"{", b"\xff\xfe"):
            if content is not None:
                (board.folder / "rtc").write_bytes(content)
            await board.wake()
        found = (await take(subscriber, 4))["count"]
    assert [message["n"] for message in found] == [1, 2, 3, 4]


NTP = """
class ntptime:
    asked = 0
    def time():
        print("asked for the time")
        return 1796025912

sys.modules["ntptime"] = ntptime
import mqttlite_board.clock as unset
unset._begun = None
machine.RTC.datetime = lambda self, values: None
"""


async def test_a_wake_up_sets_the_clock_and_tells_when_earlier_readings_were(
    board: Sleeper, mosquitto: Mosquitto
) -> None:
    board.use("mqtt://127.0.0.1:1", awake_s=0.5)
    board.set(time="ntp")
    await board.start(MEMORY + NTP)  # nobody to ask
    board.use(mosquitto.url)
    async with MosquittoSub(mosquitto.port, "-t", f"{TOPIC}/#", "-q", "1") as subscriber:
        said = (await board.start(MEMORY + NTP)).said
        found: dict[str, list[Any]] = {}
        while "clock" not in found or "count" not in found:
            for name, messages in (await take(subscriber, 1)).items():
                found.setdefault(name, []).extend(messages)
    assert "asked for the time" in said
    (told,) = found["clock"]
    first = found["count"][0]
    assert told["boot"] == first["boot"] == 1
    assert abs(told["begun"] + first["up"] - 1796025912000) < 60_000
    assert "asked for the time" not in (await board.start(MEMORY + NTP)).said  # once in six hours


async def test_what_ended_the_program_is_told_in_the_next_wake_up(board: Sleeper, mosquitto: Mosquitto) -> None:
    board.use(mosquitto.url)
    board.write("crash.txt", "start 1, after 3 s\nZeroDivisionError: divide by zero\n")
    async with MosquittoSub(mosquitto.port, "-t", f"{TOPIC}/crash", "-q", "1") as subscriber:
        await board.wake()
        assert b"ZeroDivisionError" in (await subscriber.get()).payload
    assert not (board.folder / "crash.txt").exists()
    await board.wake()


async def test_a_board_is_awake_for_an_update_and_sleeps_after_it(board: Sleeper, mosquitto: Mosquitto) -> None:
    board.use(mosquitto.url)
    board.set(key="5" * 64)
    board.write("update/manifest", "")  # which is none: it is told, and given up
    start = await board.start(
        MEMORY
        + ENDS_AT_RESET
        + with_job(
            "from mqttlite_board import sleeping\nsleeping.LOOK_S = 0.1\n"
            "async def job(program):\n    await asyncio.sleep(0.5)\n    import os\n"
            "    try:\n        os.remove('update/manifest')\n    except OSError:\n        pass\n"
            "    await asyncio.Event().wait()\n"
        )
    )
    assert start.reset
    assert "sleeping for" not in start.said
    assert "sleeping for" in await board.wake()


TRIALS = {
    "it has failed": {"id": "r1", "state": "there was no connection with the new ones"},
    "it fails": {"id": "r1", "password": "new-password", "username": "one", "tries": 9, "failed": 4},
}


@pytest.mark.parametrize("what", TRIALS)
async def test_a_board_is_awake_for_new_credentials_and_sleeps_when_it_has_told_what_came_of_them(
    board: Sleeper, mosquitto: Mosquitto, what: str
) -> None:
    board.use(mosquitto.url)
    board.set(trial=TRIALS[what])
    async with MosquittoSub(mosquitto.port, "-t", f"{TOPIC}/answer", "-q", "2") as subscriber:
        start = await board.start(
            MEMORY + "from mqttlite_board import rotation, sleeping\nsleeping.LOOK_S = rotation.AGAIN_S = 0.1\n"
        )
        answers = (await take(subscriber, 1 if what == "it has failed" else 2))["answer"]
    assert start.reset
    assert "sleeping for" not in start.said
    assert (answers[-1]["id"], answers[-1]["rotate"]) == ("r1", "failed")
    assert "trial" not in decode((board.folder / "settings.json").read_bytes())
    assert "sleeping for" in await board.wake()
