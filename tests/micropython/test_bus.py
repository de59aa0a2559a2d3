"""A board's end of a bus on the real MicroPython interpreter: the driver's pin, and what it costs in memory."""

from tests.peers import MicroPython

# A UART and a pin that write down what happens to them, in the place of `machine`.
DRIVEN = """
import asyncio, sys
from mqttlite.link.bus.addressed import AddressedLink, end_turn

events = []
class Pin:
    OUT = 1
    def __init__(self, number, mode, value):
        events.append(("pin", number, value))
    def value(self, level):
        events.append(("de", level))
class UART:
    def __init__(self, number, baud, **options):
        events.append(("uart", number, baud, options["tx"], options["rx"]))
    def write(self, data):
        events.append(("bytes", len(data)))
    def flush(self):
        events.append(("left",))
    def deinit(self):
        events.append(("closed",))
    def ioctl(self, *_):
        return 0
class Machine:
    pass
Machine.UART, Machine.Pin = UART, Pin
sys.modules["machine"] = Machine

from mqttlite.serial.board_port import open_port
from mqttlite.serial.bus import join, make_link
class Place:
    host, path, query = "2", "", {"tx": "17", "rx": "16", "de": "4", "address": "7"}
link = make_link(7, 1, 115200, {"device_id": b"d"})
end, opened = join(link, Place.query, 1, lambda baud: open_port(Place, baud))
port = opened(115200)
master = AddressedLink(2, 7, 0)
question = master.first(0)
end_turn(question, 4)
end.receive(question, 10)

async def answer():
    while True:
        frame = end.transmit(11)
        if not frame:
            break
        await port.write(frame)
    port.close()
asyncio.run(answer())
for event in events:
    print(event)
"""

# Others' traffic is most of what a device hears.
OTHERS = """
import gc
from mqttlite.link.bus.addressed import AddressedLink, FROM_DEVICE, end_turn
from mqttlite.link.bus.device import BusDevice
other = AddressedLink(1, 8, 0)
frame = other.first(0)
portion = bytes(frame) + bytes([9, 0x80]) + bytes(range(1, 110)) + b"\\0"
end = BusDevice(AddressedLink(2, 7, FROM_DEVICE))
end.receive(portion, 0)
gc.collect()
gc.disable()
before = gc.mem_alloc()
for now in range(100):
    end.receive(portion, now)
print((gc.mem_alloc() - before) // 100)
assert end.asked == 0 and end.link.stats.damaged == 0
"""


async def test_the_driver_is_on_from_the_first_byte_of_an_answer_until_the_last_has_left(
    micropython: MicroPython,
) -> None:
    result = await micropython.run(DRIVEN, heap="512k")
    assert result.stdout.splitlines() == [
        "('pin', 4, 0)",
        "('uart', 2, 115200, 17, 16)",
        "('de', 1)",
        "('bytes', 27)",
        "('de', 1)",
        "('bytes', 26)",
        "('left',)",
        "('de', 0)",
        "('de', 0)",
        "('closed',)",
    ]


async def test_what_is_said_to_others_allocates_next_to_nothing(micropython: MicroPython) -> None:
    result = await micropython.run(OTHERS, heap="512k")
    assert int(result.stdout) <= 64
