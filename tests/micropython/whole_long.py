"""The whole program of a board for long: nothing is lost, nothing arrives twice, and nothing grows. In virtual time.

    whole_long.py ASYNCIO FOLDER reboots|messages|away NUMBER

reboots   NUMBER times the power fails, a while after each start
messages  NUMBER counted readings, one a second, while a network comes and goes and ticks_ms wraps
away      the gateway is away for NUMBER hours: what was accepted waits, the rest is counted
"""

import gc
import json
import sys

sys.path[:0] = sys.argv[1:2] + [sys.argv[0].rsplit("/", 1)[0]]

from virtual import scenarios  # noqa: E402
from virtual import world as virtual  # noqa: E402
from virtual.flash import Power  # noqa: E402
from virtual.parts import PERIOD  # noqa: E402


class Receiver:
    """In the place of the broker's list: numbers must come as 1, 2, 3, …"""

    def __init__(self, world):
        self.topic = scenarios.TOPIC + "/litres"
        self.last = self.messages = 0
        self.state = {}
        world.broker.take = self.take

    def take(self, topic, payload, qos):
        if topic == self.topic:
            message = json.loads(payload)
            assert message["n"] == self.last + 1, "after %d came %s" % (self.last, payload)
            self.last += len(message["dt"]) if "dt" in message else 1
            self.messages += 1
        elif topic == scenarios.TOPIC + "/state":
            self.state = json.loads(payload)


def heap():
    gc.collect()
    return gc.mem_alloc()


def reboots(world, number):
    """Cuts at some operation after each start, the next one not where the last one was."""
    receiver = Receiver(world)
    sizes = []
    for n in range(number):
        # from one operation after the start to more than a life of ten seconds has
        ended = world.live(Power((30 if n < 3 else 1) + n * 7 % 61, n % 4), world.now + 10000)
        assert ended in ("cut", "end"), (n, ended, world.said)
        world.broker.by_name.clear()
        del world.accepted[:-100]
        if n % 10 == 9:
            sizes.append((heap(), receiver.last))
    assert world.live(Power(), world.now + 120000) == "end"
    accepted = [json.loads(payload)["n"] for topic, payload, _ in world.accepted if topic == receiver.topic]
    assert receiver.last >= max(accepted) - 1, (receiver.last, max(accepted))
    growth = sizes[-1][0] - sizes[len(sizes) // 2][0]
    assert growth < 20000, "heap grows: %s" % sizes
    return "%d starts, %d readings" % (number, receiver.last)


def messages(world, number):
    """One life, of days."""
    receiver = Receiver(world)
    world.ticks_begin = PERIOD - 600000  # ticks wrap after ten minutes, and then each twelve days

    def fade(kind):
        world.network = kind
        world.later(40000 if kind != "there" else 400000, lambda: fade("there" if kind != "there" else "silent"))

    def forget():
        del world.accepted[:]
        sizes.append(heap())
        world.later(min(number * 100, 600000), forget)  # ten times or more

    sizes = []
    fade("there")
    forget()
    ended = world.live(Power(), number * 4000, lambda: receiver.last >= number)
    assert ended == "end" and receiver.last >= number, (ended, receiver.last, world.now, world.said)
    assert max(sizes[len(sizes) // 2 :]) - sizes[len(sizes) // 3] < 20000, "heap grows: %s" % sizes
    return "%d readings in %d messages, %d h" % (receiver.last, receiver.messages, world.now // 3600000)


def away(world, number):
    """The gateway is gone for hours, then it is there; keep="all": no reading is given up."""
    receiver = Receiver(world)
    world.later(60000, lambda: setattr(world, "network", "silent"))
    world.later(number * 3600000, lambda: setattr(world, "network", "there"))
    ended = world.live(Power(), number * 3600000 + 1200000)
    assert ended == "end", (ended, world.said)
    accepted = [payload for topic, payload, _ in world.accepted if topic == scenarios.TOPIC + "/litres"]
    assert receiver.messages >= len(accepted) - 2, (receiver.messages, len(accepted))
    assert receiver.state["lost"].get("unmeasured", 0) > number * 300, receiver.state
    return "%d readings in %d messages, state %s" % (receiver.last, receiver.messages, receiver.state["lost"])


def main(folder, kind, number):
    files = virtual.files_in(folder)
    virtual.leave_computer()
    world = virtual.the_world
    settings = {"name": "one", "url": "mqtt://10.0.0.1", "app": {"every_s": 10 if kind == "away" else 1, "batch": 3}}
    files["settings.json"] = json.dumps(settings).encode()
    files["a/app.py"] = scenarios.APP.encode()
    world.begin(virtual.made_image(files))
    try:
        world.print({"reboots": reboots, "messages": messages, "away": away}[kind](world, number))
    except Exception as error:
        for line in world.said:
            world.print(line)
        sys.print_exception(error)
        raise SystemExit(1) from None
    world.print("all done")


main(sys.argv[2], sys.argv[3], int(sys.argv[4]))
