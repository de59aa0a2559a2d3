"""What the board does while its power fails, and what must be so in the end."""

import json

TOPIC = "boards/one"
COMMAND = TOPIC + "/command"
HOUR_MS = 3600000

# The application. What it tells the world, a board would tell nobody: `publish` returns, a command is handled.
APP = """
import mqttlite
from mqttlite_board.api import Application
from virtual.world import the_world as world

number = 0
publish = mqttlite.Client.publish

async def noted(self, topic, payload, qos=0, *rest, **more):
    receipt = await publish(self, topic, payload, qos, *rest, **more)
    world.accepted.append((topic, payload.encode() if isinstance(payload, str) else payload, qos))
    return receipt

mqttlite.Client.publish = noted

def read():
    global number
    number += 1
    return number

def count(command):
    world.handled.append((command["n"], (world.lives, world.power.count)))
    return {"n": command["n"]}

def application(options):
    app = Application(keep="all")
    app.measure("litres", read, every_s=options["every_s"], qos=2, counted=True)
    app.measure("level", read, every_s=options["every_s"], qos=1, batch=options["batch"])
    app.command("count", count)
    return app
"""


class Scenario:
    """Measures counted readings at QoS 2 and others at QoS 1, until `wanted` of the counted ones have arrived, and all
    that was accepted. `settings`: beyond those of all.
    """

    settings = {}
    has_ring = False
    has_settings = True
    until = 6 * HOUR_MS
    wanted = 8
    commands = 0
    told = {}  # by name: what a computer has made before

    def prepare(self, world):
        """Before the first life: what the world does by itself, and when."""

    def is_done(self, world):
        if len(counted(world)) < self.wanted or len(set(answers(world))) < self.commands:
            return False
        for session in world.broker.sessions.values():
            if session.queue or session.held:
                return False
        arrived = {(topic, payload) for topic, payload, _ in world.broker.received}
        return all((topic, payload) in arrived for topic, payload, qos in world.accepted if qos)

    def check(self, world):
        """AssertionError for what must not be."""
        times = {}
        for topic, payload, _ in world.broker.received:
            times[topic, payload] = times.get((topic, payload), 0) + 1
        for topic, payload, qos in world.accepted:
            if qos and topic.rsplit("/", 1)[1] in ("litres", "level", "answer"):
                arrived = times.get((topic, payload), 0)
                assert arrived, "lost: %s %s" % (topic, payload)
                # What a rotation has come to may be told again, by a start that does not know that it was.
                is_told_again = topic.endswith("/answer") and b'"rotate": "done"' in payload
                assert qos == 1 or arrived == 1 or is_told_again, "twice: %s %s" % (topic, payload)
        numbers = counted(world)
        assert numbers == list(range(1, len(numbers) + 1)), "counted: %s" % numbers
        given = answers(world)
        again = [n for n in set(given) if given.count(n) > 1]
        assert sorted(set(given)) == list(range(self.commands)), "answers: %s" % given
        # Answer and acknowledgement are in one write. A file of littlefs has it or not; of a ring it may be torn.
        assert not again or (self.has_ring and set(again) <= set(world.at_cut)), "answered again: %s" % given
        # What was handled and not written yet comes again: one, or several that came at once.
        assert set(given_again(world)) <= set(world.at_cut), "given again: %s" % world.handled


def counted(world):
    """The numbers of the readings that have arrived."""
    numbers = []
    for topic, payload, _ in world.broker.received:
        if topic == TOPIC + "/litres":
            message = json.loads(payload)
            readings = len(message["dt"]) if "dt" in message else 1
            numbers += list(range(message["n"], message["n"] + readings))
    return numbers


def answers(world):
    """What commands were answered, by number."""
    found = [json.loads(payload) for topic, payload, _ in world.broker.received if topic == TOPIC + "/answer"]
    return [answer["n"] for answer in found if "n" in answer]


def given_again(world):
    """Commands that the application was given twice."""
    numbers = [n for n, _ in world.handled]
    return [n for n in set(numbers) if numbers.count(n) > 1]


def command(world, at_ms, **fields):
    """The broker has a command then."""
    payload = json.dumps(fields).encode()
    world.later(at_ms, lambda: world.broker.publish(COMMAND, payload))


class Offline(Scenario):
    """Measuring while the broker is away; after a minute it is there."""

    def prepare(self, world):
        world.network = "refuses"
        world.later(60000, lambda: setattr(world, "network", "there"))


class OfflineRing(Offline):
    """The same, on a raw partition."""

    settings = {"store": "ring:mqttlite"}
    has_ring = True


class Sending(Scenario):
    """The broker is there, and has commands; the network is lost on the way."""

    commands = 6

    def prepare(self, world):
        for n in range(self.commands):
            command(world, 20000 + 7000 * n, do="count", n=n, id=n)
        world.later(33300, lambda: setattr(world, "network", "silent"))
        world.later(43300, lambda: setattr(world, "network", "there"))


class SendingRing(Sending):
    """The same, on a raw partition."""

    settings = {"store": "ring:mqttlite"}
    has_ring = True


class Sleeping(Scenario):
    """Deep sleep between measurements, with commands that wait until it wakes."""

    settings = {"sleep_s": 60}
    wanted = 5
    commands = 2

    def prepare(self, world):
        for n in range(self.commands):
            command(world, 90000 + 60000 * n, do="count", n=n, id=n)


class SleepingRing(Sleeping):
    """The same, on a raw partition."""

    settings = {"sleep_s": 60, "store": "ring:mqttlite"}
    has_ring = True


class Restarting(Scenario):
    """A command to restart: obeyed once, however often the power fails."""

    wanted = 6
    commands = 1

    def prepare(self, world):
        command(world, 20000, do="restart", id="again")
        command(world, 50000, do="count", n=0, id=0)

    def check(self, world):
        Scenario.check(self, world)
        assert world.causes.count("reset") <= 2, world.causes


class Updating(Scenario):
    """An update over MQTT, offered again and again until it is good; what runs then is the new application."""

    settings = {"key": "5a" * 32}
    wanted = 4

    def prepare(self, world):
        world.version = 1
        world.broker.on_message = lambda topic, payload: self.heard(world, topic, payload)
        self.offer(world)

    def offer(self, world):
        if not self.is_good(world):
            world.broker.publish(TOPIC + "/update", self.told["manifest"], 1)
            world.later(90000, lambda: self.offer(world))

    def heard(self, world, topic, payload):
        if topic == TOPIC + "/update/want":
            assert payload[:8] == self.told["manifest"][:8], payload
            at = 12
            while at < len(payload):
                item, first = payload[at] << 8 | payload[at + 1], payload[at + 2] << 8 | payload[at + 3]
                bits = payload[at + 5 : at + 5 + payload[at + 4]]
                for i in range(8 * len(bits)):
                    if bits[i >> 3] >> (i & 7) & 1:
                        world.broker.publish(TOPIC + "/update/block", self.told["%d.%d" % (item, first + i)], 1)
                at += 5 + len(bits)

    def is_good(self, world):
        states = [
            json.loads(payload) for topic, payload, _ in world.broker.received if topic == TOPIC + "/update/state"
        ]
        return any(state["state"] == "good" for state in states)

    def is_done(self, world):
        return self.is_good(world) and Scenario.is_done(self, world)

    def check(self, world):
        Scenario.check(self, world)
        assert world.version == 2, "the old application runs"


class Rotating(Scenario):
    """New credentials over MQTT: from the answer of the board on, the broker knows the new ones alone."""

    settings = {"key": "5a" * 32, "username": "one", "password": "old-secret"}
    wanted = 6

    def prepare(self, world):
        self.password = b"old-secret"
        self.is_confirmed = False
        world.broker.accepts = lambda name, user, password: password == self.password
        world.broker.on_message = self.heard
        world.later(15000, lambda: world.broker.publish(COMMAND, self.told["rotate"]))

    def heard(self, topic, payload):
        if topic == TOPIC + "/answer":
            answer = json.loads(payload)
            if answer.get("id") == "rotate-1":
                if "error" not in answer:
                    self.password = b"new-secret"
                self.is_confirmed = self.is_confirmed or answer.get("rotate") == "done"

    def is_done(self, world):
        return self.is_confirmed and Scenario.is_done(self, world)


class Provisioning(Scenario):
    """A board without settings: a computer on its console sends them until it has connected."""

    has_settings = False
    wanted = 4

    def prepare(self, world):
        self.speak(world)

    def speak(self, world):
        if not world.broker.connects:
            world.console += self.told["record"]
            world.later(4000, lambda: self.speak(world))


SCENARIOS = {
    "provisioning": Provisioning,
    "rotating": Rotating,
    "updating": Updating,
    "offline": Offline,
    "offline-ring": OfflineRing,
    "sending": Sending,
    "sending-ring": SendingRing,
    "sleeping": Sleeping,
    "sleeping-ring": SleepingRing,
    "restarting": Restarting,
}
