"""Serial lines of the simulated world, raw, and under the gateway and its devices as they are."""

import asyncio
import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mqttlite.serial.ports import HostPort, PortError, open_port
from mqttlite.sim import programs
from mqttlite.sim.check.facts import Facts, Promise
from mqttlite.sim.lines.serial import BOOT_TEXT, Fault, Frame, SerialLine
from mqttlite.sim.process import Process
from mqttlite.sim.world import World

ROOT = Path(__file__).parents[2]
A, B = "/dev/ttyUSB0", "/dev/ttyACM0"
SECOND = 10**9


class Fleet:
    """A device, a line, a gateway, a broker and a consumer (with `down`: a producer, and the device consumes); whatever
    dies is started again half a second later.
    """

    def __init__(
        self, seed: int, *, qos: int = 2, count: int = 1, broker: str = "memory", down: bool = False, **producer: Any
    ) -> None:
        self.world = world = World(seed)
        self.facts = facts = Facts()
        self.count = count
        self.line = SerialLine(world, "device", A, "gateway", B)
        options: dict[str, Any] = {"keep_alive_s": 5, "timeout_s": 3}
        self.broker = world.process("broker", programs.broker(broker))
        self.gateway = world.process("gateway", programs.gateway(B))
        if down:
            self.device = world.process("device", programs.consumer(facts, url=f"serial://{A}", **options))
            program = programs.producer(facts, count, qos=qos, **options, **producer)
            self.sender = world.process("producer", program, start=False)
        else:
            world.process("consumer", programs.consumer(facts, **options))
            program = programs.device(facts, count, qos=qos, **options, **producer)
            self.sender = self.device = world.process("device", program, start=False)
        assert world.run_until(lambda: world.reached["subscribed"] == 1, 60)

    def run(self, limit_s: float = 300) -> None:
        """Until the sender has everything confirmed, and the consumer has had time."""
        self.sender.start()
        self._revive()
        assert self.world.run_until(self.is_done, limit_s), self.facts.problems(Promise())
        if self.sender is not self.device:
            assert self.world.run_until(lambda: len(self.facts.effects) >= self.count, limit_s)
            self.world.run(0.9)  # for the acknowledgements; a line that is idle is asked for a sign of life after 1 s
        self.line.on_frame = None
        self.world.run(10)

    def is_done(self) -> bool:
        """Everything is confirmed, or the sender has nothing to do any more."""
        return len(self.facts.confirmed) >= self.count or self.ended

    @property
    def ended(self) -> bool:
        """The sender's program has come to its end."""
        return not self.sender.alive and self.sender.result == "done"

    def _revive(self) -> None:
        for process in (self.broker, self.gateway, self.device):
            if not process.alive and not (process is self.sender and self.ended):
                process.start()
        self.world.after(0.5, self._revive)


async def forever(process: Process) -> None:
    await asyncio.Event().wait()


def opened(got: bytearray, path: str, **options: Any) -> programs.Program:
    """Opens its port and reads."""

    async def main(process: Process) -> None:
        port = open_port(path, **options)
        while True:
            got.extend(await port.read())

    return main


def saying(path: str, data: bytes, **options: Any) -> programs.Program:
    """Opens its port and writes."""

    async def main(process: Process) -> None:
        port = open_port(path, **options)
        await asyncio.sleep(0.1)
        await port.write(data)
        await asyncio.Event().wait()

    return main


def raw_line(world: World, **options: Any) -> SerialLine:
    return SerialLine(world, "a", A, "b", B, boot=b"", **options)


# -- a port, as programs see it


@pytest.mark.parametrize("baud", [9600, 115200])
def test_bytes_arrive_in_order_at_the_pace_of_the_baud_rate(world: World, baud: int) -> None:
    got = bytearray()
    line = raw_line(world)
    data = bytes(range(256)) * 4
    world.process("b", opened(got, B, baud=baud))
    world.process("a", saying(A, data, baud=baud))
    assert world.run_until(lambda: len(got) == len(data), 10)
    assert got == data
    took = world.now / SECOND - 0.1
    assert 10 * len(data) / baud <= took <= 10 * len(data) / baud + 0.003
    assert line.ab.written == line.ab.arrived == len(data)


def test_more_than_the_driver_takes_waits_for_the_line(world: World) -> None:
    got = bytearray()
    raw_line(world)
    data = os.urandom(20_000)
    world.process("b", opened(got, B))
    world.process("a", saying(A, data))
    assert world.run_until(lambda: len(got) == len(data), 10)
    assert got == data
    assert world.now / SECOND >= 0.1 + 200_000 / 115200


def test_noise_is_on_the_line_until_it_is_taken_away(world: World) -> None:
    got = bytearray()
    line = raw_line(world)
    line.noise(bit_errors=1e-3, dropped=1e-2, bursts=1e-3)
    world.process("b", opened(got, B))
    world.process("a", saying(A, bytes(4000)))
    world.run(2)
    noise = line.ab.noise
    assert noise.flipped and noise.dropped and noise.burst
    assert 3800 < len(got) < 4000 and got.strip(b"\0")
    line.noise()
    world.processes["a"].restart()
    got.clear()
    world.run(2)
    assert got == bytes(4000)


def test_bytes_from_nowhere_come_while_a_line_babbles(world: World) -> None:
    got = bytearray()
    line = raw_line(world)
    world.process("b", opened(got, B))
    world.process("a", opened(bytearray(), A))
    line.babble(0.5, most=4)
    world.run(20)
    line.babble(0)
    assert 10 < len(got) < 200
    got.clear()
    world.run(20)
    assert not got


def test_a_cut_at_a_byte_lets_all_bytes_before_it_through_and_none_after_it(world: World) -> None:
    got = bytearray()
    line = raw_line(world)
    process = world.process("b", opened(got, B))
    line.ab.cut_at(777, line.part)
    world.process("a", saying(A, bytes(range(200)) * 5))
    world.run(1)
    assert got == (bytes(range(200)) * 5)[:777]
    assert line.ab.lost == 223
    assert process.alive  # nobody was told


@pytest.mark.parametrize("where", ["before", "inside", "after"])
def test_a_fault_at_a_frame_happens_when_its_byte_has_come(world: World, where: str) -> None:
    got = bytearray()
    line = raw_line(world)
    world.process("b", opened(got, B))
    line.on_frame = lambda frame: Fault(where, line.part)
    data = bytes(range(1, 201))
    world.process("a", saying(A, data))
    world.run(1)
    assert data.startswith(got)
    assert {"before": len(got) == 0, "inside": 0 < len(got) < 200, "after": len(got) == 200}[where]


def test_wires_that_touch_again_in_the_middle_carry_the_rest(world: World) -> None:
    got = bytearray()
    line = raw_line(world)
    world.process("b", opened(got, B))
    data = os.urandom(1000)
    line.ab.cut_at(0, line.part)
    world.process("a", saying(A, data))
    # What was under way when the wires came off is lost; what was written since goes on in the air.
    world.after(0.11, lambda: line.ab.say(data))
    world.after(0.15, line.join)
    world.run(1)
    assert 0 < len(got) < 1000 and data.endswith(got)


def test_a_program_that_does_not_read_loses_what_its_buffer_does_not_hold(world: World) -> None:
    got = bytearray()
    line = raw_line(world, buffer_b=300)
    data = os.urandom(1000)
    process = world.process("b", opened(got, B))
    world.process("a", saying(A, data))
    world.after(0.05, process.stall, 1)
    world.run(5)
    assert got == data[:300]
    assert line.b.overrun == 700
    assert world.reached["overrun b"] > 0


def test_what_arrives_where_no_program_has_the_port_open_is_nothing_to_the_next_one(world: World) -> None:
    got = bytearray()
    line = raw_line(world)
    world.process("a", saying(A, b"early"))
    world.run(1)
    world.process("b", opened(got, B))
    world.run(1)
    assert not got
    assert line.b.unheard == 5


def test_ends_with_different_baud_rates_receive_nonsense(world: World) -> None:
    got = bytearray()
    raw_line(world)
    world.process("b", opened(got, B, baud=57600))
    world.process("a", saying(A, b"sense" * 20))
    world.run(1)
    assert 40 <= len(got) <= 60 and b"sense" not in got


def test_errors_of_ports_are_those_of_linux_and_pyserial(world: World) -> None:
    line = raw_line(world)
    said: list[tuple[int | None, str]] = []

    def refused(path: str = B) -> None:
        with pytest.raises(PortError) as caught:
            open_port(path)
        said.append((caught.value.errno, str(caught.value)))

    async def main(process: Process) -> None:
        refused("/dev/ttyUSB7")
        port = open_port(B)
        refused()
        world.after(1, line.b.unplug)
        for use in (port.read(), port.write(b"x")):
            with pytest.raises(PortError) as caught:
                await use
            said.append((caught.value.errno, str(caught.value)))
        port.close()
        with pytest.raises(PortError, match="closed by this program"):
            await port.write(b"x")
        refused()
        line.b.plug()
        line.b.ready_at = world.now + SECOND
        refused()
        await asyncio.sleep(1)
        open_port(B).close()

    process = world.process("b", main)
    world.run(10)
    assert not process.alive
    there = "does not exist; there is"
    assert said == [
        (errno.ENOENT, f"/dev/ttyUSB7 {there} {B}"),
        (errno.EAGAIN, f"{B} is in use by another program; one program at a time can have it"),
        (errno.EIO, f"{B} is gone (end of file); was it unplugged?"),
        (errno.EIO, f"{B} is gone (Input/output error); was it unplugged?"),
        (errno.ENOENT, f"{B} {there} no serial port"),
        (
            errno.EACCES,
            f"{B}: permission denied; its group is 'dialout': sudo usermod -aG dialout $USER, then log in again",
        ),
    ]


def test_a_port_is_free_again_when_its_process_was_killed(world: World) -> None:
    raw_line(world)
    process = world.process("b", opened(bytearray(), B))
    world.run(1)
    process.restart()
    world.run(1)
    assert process.alive


@pytest.mark.parametrize(("how", "arrives"), [("kill", 1000), ("cut_power", 500)])
def test_what_a_killed_program_has_written_still_leaves_and_without_power_it_does_not(
    world: World, how: str, arrives: int
) -> None:
    got = bytearray()
    line = raw_line(world)
    world.process("b", opened(got, B))
    process = world.process("a", saying(A, bytes(1000)))
    line.ab.cut_at(500, getattr(process, how))
    world.run(1)
    assert arrives <= len(got) <= arrives + 1


def test_a_device_says_what_its_boot_loader_says_each_time_it_starts(world: World) -> None:
    got = bytearray()
    SerialLine(world, "a", A, "b", B)
    world.process("b", opened(got, B))
    process = world.process("a", forever)
    world.run(1)
    process.cut_power()
    world.after(1, process.start)
    world.run(2)
    assert got == 2 * BOOT_TEXT


def test_a_boards_own_usb_port_vanishes_with_the_board_and_comes_back(world: World) -> None:
    line = SerialLine(world, "a", A, "b", B, usb=True)
    process = world.process("a", forever)
    world.run(1)
    process.cut_power()
    world.run(1)
    assert not line.b.plugged
    process.start()
    world.run(2)
    assert line.b.plugged


def test_two_lines_cannot_have_the_same_port(world: World) -> None:
    raw_line(world)
    with pytest.raises(ValueError, match=f"there is a port b:{B} already"):
        SerialLine(world, "c", A, "b", B)


def test_ports_are_real_again_when_the_world_rests(world: World) -> None:
    raw_line(world)
    world.process("b", opened(bytearray(), B))
    world.run(1)
    with pytest.raises(PortError):
        open_port("/dev/no-such-port")
    assert HostPort.__module__ == "mqttlite.serial.ports" and os.stat("/dev/null")


# -- the gateway and its devices


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_all_messages_get_from_a_device_to_a_consumer_through_noise(qos: int) -> None:
    fleet = Fleet(1, qos=qos, count=60)
    fleet.line.noise(bit_errors=1e-4, dropped=1e-3, inserted=1e-4, bursts=1e-4)
    fleet.line.babble(0.1)
    fleet.run()
    assert fleet.facts.effects == [f"device {number}" for number in range(60)]
    assert fleet.line.ab.noise.dropped > 0
    assert fleet.world.reached["DATA device to gateway"] > 10
    fleet.world.close()


FAULTS: dict[str, Callable[[Fleet], object]] = {
    "unplug the gateway's port": lambda fleet: _unplugged(fleet, fleet.line.b),
    "unplug the device's port": lambda fleet: _unplugged(fleet, fleet.line.a),
    "part the line for long": lambda fleet: _parted(fleet, 6.0),
    "part the line for an instant": lambda fleet: _parted(fleet, 0.01),
    "kill the gateway": lambda fleet: fleet.gateway.kill(),
    "cut the gateway's power": lambda fleet: fleet.gateway.cut_power(),
    "reset the device": lambda fleet: fleet.device.kill(),
    "cut the device's power": lambda fleet: fleet.device.cut_power(),
    "kill the broker": lambda fleet: fleet.broker.kill(),
    "cut the broker's power": lambda fleet: fleet.broker.cut_power(),
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


@pytest.mark.parametrize("what", FAULTS)
def test_a_fault_at_any_frame_loses_nothing_and_doubles_nothing(what: str) -> None:
    """One message of QoS 2 in a journal; the fault is at each frame in turn, until there is none."""
    for number in range(1, 100):
        fleet = Fleet(number, keyed=True, broker="sqlite")
        happened = at_frame(fleet, number, what)
        fleet.run()
        fleet.world.close()
        assert fleet.facts.problems(Promise(certain=True)) == [], f"{what} at frame {number}"
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
        assert fleet.facts.effects == ["producer 0"], f"{what} at frame {number}"
        if not happened:
            break
    assert 4 < number < 99


@pytest.mark.parametrize(("store", "problems"), [("memory", ["lost: device 0"]), ("journal", [])])
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
    assert fleet.facts.problems(Promise(certain=False)) == problems


def test_what_is_sent_in_the_place_of_a_frame_is_repaired() -> None:
    fleet = Fleet(1, count=20)
    lost = {5, 6, 7, 9, 12, 20}
    fleet.line.on_frame = lambda frame: (
        b"" if frame.number in lost else b"\0" + frame.data[:-3] + b"xyz" if frame.number % 8 == 0 else None
    )
    fleet.run()
    assert fleet.facts.effects == [f"device {number}" for number in range(20)]
    assert fleet.line.frames > 20
    fleet.world.close()


def storm(seed: int, seconds: float = 15) -> tuple[World, list[str]]:
    """Three devices on three lines of one gateway; everything fails, until it is calm again. What went wrong."""
    world = World(seed)
    chance = world.random
    paths = [f"/dev/ttyUSB{number}" for number in range(3)]
    lines = [SerialLine(world, f"device{n}", A, "gateway", path, usb=n == 2) for n, path in enumerate(paths)]
    facts = {1: Facts(), 2: Facts()}
    options: dict[str, Any] = {"keep_alive_s": 5, "timeout_s": 3}
    broker = world.process("broker", programs.broker("sqlite"))
    gateway = world.process("gateway", programs.gateway(*paths, status_topic="status"))
    for qos in facts:
        world.process(f"consumer{qos}", programs.consumer(facts[qos], topic=f"q{qos}", **options))
    devices = []
    for number, (qos, store, keyed) in enumerate([(1, "journal", True), (2, "sqlite", False), (2, "journal", True)]):
        program = programs.device(
            facts[qos], 40, qos=qos, topic=f"q{qos}", every_s=(0.0, 0.5), store=store, keyed=keyed, **options
        )
        devices.append(world.process(f"device{number}", program, start=False))
    ended: set[Process] = set()
    calm = round(seconds * SECOND)
    for line in lines:
        line.noise(bit_errors=1e-4, dropped=1e-3, inserted=1e-4, bursts=1e-4)
        line.babble(0.2)

    def fault() -> None:
        line = chance.choice(lines)
        port = chance.choice((line.a, line.b))
        after = chance.uniform(0, 3)
        what = chance.randrange(6)
        if what == 0:
            port.unplug()
        elif what == 1:
            line.part()
        elif what == 2:
            chance.choice((broker, gateway, *devices)).stall(after)
        else:
            process = chance.choice((broker, gateway, *devices))
            if process.alive:
                chance.choice((process.kill, process.cut_power))()
        world.after(after, repair, port)
        if world.now < calm:
            world.after(chance.expovariate(1.5), fault)

    def repair(port: Any) -> None:
        port.line.join()
        port.plug()
        for process in (broker, gateway, *devices):
            if not process.alive and process not in ended:
                process.start()

    def is_over() -> bool:
        if world.current is None:
            ended.update(device for device in devices if device.life and not device.alive and device.result == "done")
        return len(ended) == len(devices)

    assert world.run_until(lambda: world.reached["subscribed"] == 2, 60)
    repair(lines[0].a)
    fault()
    over = world.run_until(is_over, 600)
    world.run(10)
    found = [] if over else ["never over"]
    found += facts[1].problems(Promise(once=False, certain=False))
    found += facts[2].problems(Promise(certain=False))
    tried = sum(len(one.tried) for one in facts.values())
    found += [] if tried == 120 else [f"only {tried} messages were tried"]
    return world, found


@pytest.mark.parametrize("seed", range(3))
def test_a_storm_over_devices_lines_gateway_and_broker_loses_nothing_and_doubles_nothing(seed: int) -> None:
    world, found = storm(seed)
    lives = sum(process.life for process in world.processes.values())
    world.close()
    assert found == []
    assert lives > len(world.processes) + 3


PROGRAM = """
from tests.sim.test_serial import storm
world, found = storm(7, 3)
print(found, world.digest())
world.close()
"""


def test_the_same_seed_gives_the_same_trace_here_and_in_another_interpreter() -> None:
    environment = os.environ | {"PYTHONHASHSEED": "1", "PYTHONPATH": f"{ROOT}:{ROOT}/gateway"}
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, cwd=ROOT, capture_output=True, text=True, check=True
    )
    world, found = storm(7, 3)
    digest = world.digest()
    world.close()
    assert found == []
    assert result.stdout == f"[] {digest}\n"
