"""Serial lines of the simulated world, and ports as programs see them."""

import asyncio
import errno
import os
from typing import Any

import pytest

from mqttlite.serial.ports import HostPort, PortError, open_port
from mqttlite.sim import programs
from mqttlite.sim.lines.serial import BOOT_TEXT, Fault, SerialLine
from mqttlite.sim.process import Process
from mqttlite.sim.timeline import SECOND
from mqttlite.sim.world import World

A, B = "/dev/ttyUSB0", "/dev/ttyACM0"


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
