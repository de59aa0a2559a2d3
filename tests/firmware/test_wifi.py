"""mqttlite_board/wifi.py on MicroPython, with a radio of paper: when it is told to join. Seconds pass at will."""

import json

from tests.firmware.boards import PATH
from tests.peers import MicroPython

# Runs `keep_connected` for a second at each item of `air`: is there a network? Prints what the radio was told, with the
# second in which it was; the first few times it refuses, as it does while it is busy.
SCRIPT = """
import json, sys
air, refusals = json.loads(sys.stdin.readline())
told = []
second = 0

class Radio:
    def active(self, on):
        told.append((second, "on" if on else "off"))
    def connect(self, name, password):
        told.append((second, name + " " + password))
        global refusals
        if refusals:
            refusals -= 1
            raise OSError("Wifi Internal Error")
    def isconnected(self):
        return air[second]
    def ifconfig(self):
        return ("192.0.2.7",)

class network:
    STA_IF = 0
    WLAN = lambda interface: Radio()

sys.modules["network"] = network
from mqttlite_board import wifi

def sleep(seconds):
    yield seconds

class asyncio:
    pass

asyncio.sleep = sleep
wifi.asyncio = asyncio

class Connected:
    at = None
    def set(self):
        if self.at is None:
            self.at = second

connected = Connected()
job = wifi.keep_connected({"name": "net", "password": "secret"}, connected)
try:
    while second < len(air):
        assert job.send(None) == 1
        second += 1
except OSError as error:
    print("given up:", error)
print(json.dumps([connected.at, told]))
"""


async def keep_connected(
    micropython: MicroPython, air: list[bool], refusals: int = 1
) -> tuple[int | None, list[int], list[str]]:
    """When it was connected first, the seconds at which the radio was told to join, and what was printed."""
    lines = (await micropython.run(SCRIPT, path=PATH, stdin=json.dumps([air, refusals]).encode())).stdout.splitlines()
    connected_at, told = json.loads(lines.pop())
    joins = [second for second, what in told if what == "net secret"]
    assert told == [[second, what] for second in joins for what in ("off", "on", "net secret")]
    return connected_at, joins, lines


async def test_a_radio_that_refuses_is_tried_again_and_the_first_address_is_announced(micropython: MicroPython) -> None:
    connected_at, joins, said = await keep_connected(micropython, [False] * 65 + [True] * 5)
    assert (connected_at, joins) == (65, [0, 60])
    assert said[0] == "Wi-Fi: Wifi Internal Error"
    assert said[1] == "no Wi-Fi 'net' for 10 s; check name and password"
    assert said[-1] == "Wi-Fi: 192.0.2.7"


async def test_a_radio_that_refuses_five_times_needs_a_restart_of_the_board(micropython: MicroPython) -> None:
    connected_at, joins, said = await keep_connected(micropython, [False] * 600, refusals=5)
    assert (connected_at, joins) == (None, [0, 60, 120, 180, 240])
    assert said[-1] == "given up: Wifi Internal Error"


async def test_a_radio_that_refuses_four_times_is_tried_again(micropython: MicroPython) -> None:
    assert (await keep_connected(micropython, [False] * 250 + [True], refusals=4))[0] == 250


async def test_a_network_that_is_lost_is_left_to_the_radio_for_a_minute(micropython: MicroPython) -> None:
    air = [False] * 3 + [True] * 10 + [False] * 30 + [True] * 10 + [False] * 130 + [True]
    connected_at, joins, said = await keep_connected(micropython, air)
    assert connected_at == 3
    assert joins == [0, 53 + 59, 53 + 119]
    assert said.count("Wi-Fi: 192.0.2.7") == 3


async def test_a_network_that_is_there_after_a_soft_reset_is_kept(micropython: MicroPython) -> None:
    assert (await keep_connected(micropython, [True] * 5))[:2] == (0, [])
