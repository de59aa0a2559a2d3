"""The gateway and its devices as they are, over the serial lines of the simulated world."""

from collections.abc import Callable
from typing import Any

import pytest

from mqttlite.sim import programs
from mqttlite.sim.check.ledger import FOREVER, Ledger
from mqttlite.sim.lines.serial import Fault, Frame, SerialLine
from mqttlite.sim.world import World
from tests.sim.programs import consumer, device
from tests.sim.programs import producer as producer_of

A, B = "/dev/ttyUSB0", "/dev/ttyACM0"


class Fleet:
    """A device, a line, a gateway, a broker and a consumer (with `down`: a producer, and the device consumes); whatever
    dies is started again half a second later.
    """

    def __init__(
        self, seed: int, *, qos: int = 2, count: int = 1, broker: str = "memory", down: bool = False, **producer: Any
    ) -> None:
        self.world = world = World(seed)
        self.ledger = ledger = Ledger()
        self.count = count
        self.line = SerialLine(world, "device", A, "gateway", B)
        options: dict[str, Any] = {"keep_alive_s": 5, "timeout_s": 3}
        self.broker = world.process("broker", programs.broker(broker))
        self.gateway = world.process("gateway", programs.gateway(B))
        if down:
            self.device = world.process("device", consumer(ledger, url=f"serial://{A}", **options))
            program = producer_of(ledger, count, qos=qos, **options, **producer)
            self.sender = world.process("producer", program, start=False)
        else:
            world.process("consumer", consumer(ledger, **options))
            program = device(ledger, count, qos=qos, **options, **producer)
            self.sender = self.device = world.process("device", program, start=False)
        assert world.run_until(lambda: world.reached["subscribed"] == 1, 60)

    def run(self, limit_s: float = 300) -> None:
        """Until the sender has everything confirmed, and the consumer has had time."""
        self.sender.start()
        self._revive()
        assert self.world.run_until(self.is_done, limit_s), self.ledger.problems()
        if self.sender is not self.device:
            assert self.world.run_until(lambda: len(self.effects) >= self.count, limit_s)
            self.world.run(0.9)  # for the acknowledgements; a line that is idle is asked for a sign of life after 1 s
        self.line.on_frame = None
        self.world.run(10)

    def is_done(self) -> bool:
        """Everything is confirmed, or the sender has nothing to do any more."""
        return sum(one.confirmed_at < FOREVER for one in self.ledger.entries.values()) >= self.count or self.ended

    @property
    def effects(self) -> list[str]:
        """What was handled, in order."""
        (reading,) = self.ledger.readings.values()
        return reading.effects

    @property
    def ended(self) -> bool:
        """The sender's program has come to its end."""
        return not self.sender.alive and self.sender.result == "done"

    def _revive(self) -> None:
        for process in (self.broker, self.gateway, self.device):
            if not process.alive and not (process is self.sender and self.ended):
                process.start()
        self.world.after(0.5, self._revive)


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_all_messages_get_from_a_device_to_a_consumer_through_noise(qos: int) -> None:
    fleet = Fleet(1, qos=qos, count=60)
    fleet.line.noise(bit_errors=1e-4, dropped=1e-3, inserted=1e-4, bursts=1e-4)
    fleet.line.babble(0.1)
    fleet.run()
    assert fleet.effects == [f"device {number}" for number in range(60)]
    assert fleet.line.ab.noise.dropped > 0
    assert fleet.world.reached["DATA device to gateway"] > 10
    fleet.world.close()


FAULTS: dict[str, Callable[[Fleet], object]] = {
    "unplug the gateway's port": lambda fleet: _unplugged(fleet, fleet.line.b),
    "part the line for long": lambda fleet: _parted(fleet, 6.0),
    "kill the gateway": lambda fleet: fleet.gateway.kill(),
    "stall the device": lambda fleet: fleet.device.stall(6),
    "stall the gateway": lambda fleet: fleet.gateway.stall(6),
}


def _unplugged(fleet: Fleet, port: Any) -> None:
    port.unplug()
    fleet.world.after(1.5, port.plug)


def _parted(fleet: Fleet, seconds: float) -> None:
    fleet.line.part()
    fleet.world.after(seconds, fleet.line.join)


def at_frame(fleet: Fleet, number: int, what: str) -> list[str]:
    """Let a fault happen inside, before or after a frame; what has happened, in the end."""
    happened: list[str] = []
    begun = fleet.line.frames

    def fault() -> None:
        happened.append(what)
        FAULTS[what](fleet)

    def on_frame(frame: Frame) -> Fault | None:
        where = ("inside", "before", "after")[number % 3]
        return Fault(where, fault) if frame.number == begun + number else None

    fleet.line.on_frame = on_frame
    return happened


@pytest.mark.parametrize("what", ["stall the device", "stall the gateway"])  # others: the small worlds with a line
def test_a_fault_at_any_frame_loses_nothing_and_doubles_nothing(what: str) -> None:
    """One message of QoS 2 in a journal; the fault is at each frame in turn, until there is none."""
    for number in range(1, 100):
        fleet = Fleet(number, keyed=True, broker="sqlite")
        happened = at_frame(fleet, number, what)
        fleet.run()
        fleet.world.close()
        assert fleet.ledger.problems() == [], f"{what} at frame {number}"
        if not happened:
            break
    assert 10 < number < 99


@pytest.mark.parametrize("what", ["kill the gateway", "unplug the gateway's port", "part the line for long"])
def test_a_fault_at_any_frame_loses_nothing_and_doubles_nothing_on_the_way_to_a_device(what: str) -> None:
    for number in range(1, 100):
        fleet = Fleet(number, down=True)
        happened = at_frame(fleet, number, what)
        fleet.run()
        fleet.world.close()
        assert fleet.effects == ["producer 0"], f"{what} at frame {number}"
        if not happened:
            break
    assert 4 < number < 99


@pytest.mark.parametrize(("store", "problems"), [("memory", ["lost: device 0 (QoS 2) at consumer"]), ("journal", [])])
def test_what_a_device_without_a_store_has_accepted_is_lost_with_its_power_and_that_is_seen(
    store: str, problems: list[str]
) -> None:
    fleet = Fleet(1, store=store)

    def on_frame(frame: Frame) -> Fault | None:
        return Fault("inside", fleet.device.cut_power) if b"device 0" in frame.data and fleet.device.life == 1 else None

    fleet.line.on_frame = on_frame
    fleet.run()
    fleet.world.close()
    assert fleet.device.life == 2
    assert fleet.ledger.problems() == problems


def test_what_is_sent_in_the_place_of_a_frame_is_repaired() -> None:
    fleet = Fleet(1, count=20)
    lost = {5, 6, 7, 9, 12, 20}
    fleet.line.on_frame = lambda frame: (
        b"" if frame.number in lost else b"\0" + frame.data[:-3] + b"xyz" if frame.number % 8 == 0 else None
    )
    fleet.run()
    assert fleet.effects == [f"device {number}" for number in range(20)]
    assert fleet.line.frames > 20
    fleet.world.close()
