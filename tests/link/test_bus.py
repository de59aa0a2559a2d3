"""Many devices on one bus, in virtual time: noise, collisions, the dead, the late, the loud, and newcomers."""

import random

import pytest

from mqttlite.link.bus.addressed import FROM_DEVICE, TURN_END, AddressedLink, end_turn
from mqttlite.link.bus.device import BusDevice
from mqttlite.link.link import LEFT, RESTARTED, SILENT
from mqttlite.link.stream import CLOSED, OPEN, Stream
from tests.link.bus_world import BusWorld, Device, numbered
from tests.link.virtual_bus import Node


def test_every_device_gets_and_gives_its_own_bytes_in_order_over_a_noisy_bus() -> None:
    world = BusWorld(range(1, 9), bit_errors=1e-4, dropped=1e-3).come_up()
    for address, device in world.devices.items():
        device.say(numbered(3000, 1000 * address))
        world.masters[address].say(numbered(3000, 500_000 + 1000 * address))

    def complete() -> bool:
        return all(len(end.got) == 3000 for end in (*world.devices.values(), *world.masters.values()))

    world.bus.until(complete)
    for address, device in world.devices.items():
        assert world.masters[address].got == numbered(3000, 1000 * address)
        assert device.got == numbered(3000, 500_000 + 1000 * address)
    assert sum(device.link.stats.repaired for device in world.devices.values()) > 10
    assert all(len(owner.ups) == 1 for owner in world.masters.values())


def test_what_is_lost_in_a_turn_is_repeated_in_the_next_without_a_time_out() -> None:
    world = BusWorld([5], bit_errors=2e-4).come_up()
    world.devices[5].say(numbered(20_000))
    world.bus.until(lambda: len(world.masters[5].got) == 20_000)
    stats = world.devices[5].link.stats
    assert stats.repaired > 20
    assert stats.timeouts == 0
    assert world.master.stations[5].link.stats.duplicates <= stats.resent / 5


def test_the_last_frame_of_an_answer_that_is_lost_comes_with_the_next_one() -> None:
    world = BusWorld([5]).come_up()
    world.bus.run(1000)
    hear = world.node.hear

    def lose_one(at: float, data: bytes) -> None:
        if len(data) < 20:  # an answer without the message
            hear(at, data)
        else:
            world.node.hear = hear  # type: ignore[method-assign]

    world.node.hear = lose_one  # type: ignore[method-assign]
    begin = world.bus.now
    world.devices[5].say(b"the only message")
    world.bus.until(lambda: world.masters[5].got == b"the only message")
    assert world.devices[5].link.stats.resent == 1
    assert world.bus.now - begin < 300  # a time-out would be four seconds


@pytest.mark.parametrize("direction", [FROM_DEVICE, 0])
def test_a_frame_counts_for_one_address_and_direction_whatever_bit_is_wrong(direction: int) -> None:
    sender = AddressedLink(1, 7, direction)
    frame = sender.first(0)
    body = bytes(frame[3:-1])  # behind 0x00, address and control
    for address in range(1, 128):
        for other in (FROM_DEVICE, 0):
            receiver = AddressedLink(2, address, other)
            assert receiver.take(body, 0) == (address == 7 and other != direction)


def test_a_device_that_has_nothing_to_say_acknowledges_all_the_same() -> None:
    world = BusWorld([1]).come_up()
    answered = world.station(1).answered
    world.bus.run(1000)
    station = world.station(1)
    assert station.answered - answered >= 8
    assert station.missed == 0
    assert world.bus.bytes < 1000  # 24 bytes for a question with its answer


def test_the_dead_cost_the_living_little() -> None:
    goodput = []
    for there in (range(1, 11), range(1, 9)):
        world = BusWorld(range(1, 11), there)
        world.bus.run(12_000)
        for device in world.devices.values():
            device.say(numbered(30_000))
        before = sum(len(owner.got) for owner in world.masters.values())
        world.bus.run(5000)
        goodput.append(sum(len(owner.got) for owner in world.masters.values()) - before)
    assert goodput[1] > 0.95 * goodput[0]


def test_a_hundred_empty_addresses_cost_a_twentieth() -> None:
    world = BusWorld(range(1, 106), range(1, 6)).come_up()
    world.bus.run(15_000)
    for device in world.devices.values():
        device.say(numbered(60_000))
    empty = [world.station(address) for address in range(6, 106)]
    before = sum(one.spent_ms for one in empty)
    world.bus.run(5000)
    assert sum(one.spent_ms for one in empty) - before < 0.07 * 5000
    assert min(one.asked for one in empty) >= 5


def test_the_dead_are_asked_ever_more_seldom_and_found_when_they_answer() -> None:
    world = BusWorld([1, 2], [1]).come_up()
    asked = []
    station = world.station(2)
    for _ in range(30):
        before = station.asked
        world.bus.run(1000)
        asked.append(station.asked - before)
    assert asked[0] >= 4
    assert sum(asked[-10:]) <= 2
    device = world.add(2)
    world.bus.until(lambda: device.link.up, 6000)
    assert world.masters[2].ups[-1].device_id == b"device-2"


def test_a_new_device_is_found_while_the_others_go_on() -> None:
    world = BusWorld(range(1, 33), range(1, 6)).come_up()
    world.bus.run(8000)
    for device in world.devices.values():
        device.say(numbered(100_000))
    world.bus.run(1000)
    before = {address: len(world.masters[address].got) for address in range(1, 6)}
    newcomer = world.add(20)
    world.bus.run(12_000)
    assert newcomer.link.up
    got = [len(world.masters[address].got) - before[address] for address in range(1, 6)]
    assert min(got) > 0.9 * 12 * 11520 * 0.75 / 5  # three quarters of the bus are the payload of five


def test_those_that_have_much_to_say_get_the_same_share() -> None:
    world = BusWorld(range(1, 11)).come_up()
    for device in world.devices.values():
        device.say(numbered(100_000))
    world.bus.run(10_000)
    got = sorted(len(owner.got) for owner in world.masters.values())
    assert got[0] > 0.85 * got[-1]  # of twenty turns, one or two more or less


def test_many_with_nothing_to_say_leave_half_of_the_bus_to_one_that_has() -> None:
    world = BusWorld(range(1, 31)).come_up()
    world.devices[3].say(numbered(100_000))
    world.bus.run(1000)
    before = len(world.masters[3].got)
    world.bus.run(5000)
    assert len(world.masters[3].got) - before > 0.45 * 5 * 11520 * 0.75
    assert max(station.missed for station in world.master.stations.values()) == 0


def test_a_message_to_a_device_that_is_asked_seldom_leaves_at_once() -> None:
    world = BusWorld([1, 2]).come_up()
    world.bus.run(2000)
    begin = world.bus.now
    world.masters[2].say(b"turn on")
    world.bus.until(lambda: world.devices[2].got == b"turn on")
    assert world.bus.now - begin < 30


def test_what_a_device_is_to_be_told_does_not_wait_until_everybody_has_had_a_turn() -> None:
    world = BusWorld(range(1, 16)).come_up()
    for device in world.devices.values():
        device.say(numbered(100_000))
    world.bus.run(3000)
    slowest = 0.0
    for _ in range(10):
        begin = world.bus.now
        before = len(world.devices[9].got)
        world.masters[9].say(b"turn on")
        world.bus.until(lambda before=before: len(world.devices[9].got) > before)  # type: ignore[misc]
        slowest = max(slowest, world.bus.now - begin)
        world.bus.run(130)
    assert slowest < 120  # a round is 750


def test_a_device_that_is_switched_off_is_silent_and_comes_back_with_another_epoch() -> None:
    world = BusWorld([1, 2]).come_up()
    world.devices[2].node.is_on = False
    world.bus.until(lambda: world.masters[2].downs == [SILENT], 10_000)
    asked = world.station(2).asked
    world.bus.run(5000)
    assert world.station(2).asked - asked <= 3
    world.bus.nodes.remove(world.devices[2].node)
    device = world.add(2, epoch=99)
    world.bus.until(lambda: device.link.up and world.masters[2].link.up, 6000)
    assert world.masters[2].ups[-1].epoch == 99
    assert world.masters[1].downs == []


def test_a_device_that_restarts_at_once_begins_a_new_session() -> None:
    world = BusWorld([1]).come_up()
    world.bus.nodes.remove(world.devices[1].node)
    device = world.add(1, epoch=99)
    world.bus.until(lambda: device.link.up and world.masters[1].link.up, 2000)
    assert world.masters[1].downs == [RESTARTED]


def test_a_master_that_restarts_finds_everybody_again() -> None:
    world = BusWorld(range(1, 6)).come_up()
    again = BusWorld(range(1, 6), [], seed=2)
    world.bus.nodes.remove(world.node)
    world.bus.add(again.node)
    again.node.ready_at = world.bus.now
    world.bus.until(lambda: all(owner.link.up for owner in again.masters.values()), 5000)
    assert [device.downs for device in world.devices.values()] == [[RESTARTED]] * 5


def test_a_device_that_says_goodbye_is_not_waited_for() -> None:
    world = BusWorld([1]).come_up()
    link = world.devices[1].link
    assert isinstance(link, AddressedLink)
    frame = bytearray(link.bye(world.now))
    end_turn(frame, 0)
    world.bus.say(world.devices[1].node, frame)
    world.bus.until(lambda: world.masters[1].downs == [LEFT], 1000)


def test_a_slow_device_is_waited_for_once_it_is_known_to_be_slow() -> None:
    world = BusWorld([1, 2])
    slow = world.devices[2]
    slow.node.reply_ms = 45.0
    slow.say(b"x" * 300)
    world.bus.until(lambda: len(world.masters[2].got) == 300)
    station = world.station(2)
    missed = station.missed
    world.bus.run(5000)
    assert station.missed - missed <= 2
    assert station.slowest_ms > 40
    assert world.station(1).slowest_ms < 10


def test_a_device_that_comes_too_late_does_not_speak() -> None:
    device = Device(7, 1, b"late", 115200)
    master = AddressedLink(2, 7, 0)
    question = master.first(0)
    end_turn(question, 4)
    other = AddressedLink(3, 8, 0).first(0)
    device.end.receive(question + other, 10)
    assert device.end.transmit(20) == b""
    assert device.end.stale == 1
    device.end.receive(question, 30)
    assert device.end.transmit(30) == b""  # the master's driver may still be on
    assert device.end.transmit(31)


def test_a_byte_that_a_driver_leaves_on_the_wires_keeps_no_device_from_answering() -> None:
    device = Device(7, 1, b"d", 115200)
    question = AddressedLink(2, 7, 0).first(0)
    end_turn(question, 4)
    device.end.receive(question + b"\xff", 10)
    assert device.end.transmit(11)


def test_an_adapter_that_echoes_disturbs_nobody() -> None:
    world = BusWorld([1, 2])
    said = world.bus.say

    def echoing(node: Node, data: bytes) -> None:
        said(node, data)
        node.hear(node.free_at, data)

    world.bus.say = echoing  # type: ignore[method-assign]
    world.come_up()
    world.devices[1].say(numbered(2000))
    world.masters[2].say(numbered(2000))
    world.bus.until(lambda: len(world.masters[1].got) == len(world.devices[2].got) == 2000)
    assert world.master.echoes > 10
    assert world.master.masters == 0
    assert sum(station.missed for station in world.master.stations.values()) == 0


def test_two_masters_know_of_each_other_and_two_devices_with_one_address_are_told_apart_by_name() -> None:
    world = BusWorld([1, 2]).come_up()
    other = BusWorld([1, 2], [], seed=2)
    other.node.latency_ms = 0.4
    other.node.ready_at = world.bus.now
    world.bus.add(other.node)
    world.bus.run(3000)
    assert world.master.masters > 3
    assert other.master.masters > 3


def test_frames_of_a_device_that_was_not_asked_name_it() -> None:
    world = BusWorld([1, 2, 3]).come_up()
    loud = world.devices[2]
    link = loud.link
    assert isinstance(link, AddressedLink)
    world.devices[1].say(numbered(5000))
    for _ in range(40):
        world.bus.run(50)
        world.bus.say(loud.node, link.first(world.now))
    found = world.master.babbler(world.now)
    assert found is not None
    assert (found.address, found.is_sure) == (2, True)
    world.bus.until(lambda: len(world.masters[1].got) == 5000)
    world.bus.run(6000)
    assert world.master.babbler(world.now) is None


def test_whoever_does_not_stop_is_suspected_and_the_bus_recovers_when_it_does() -> None:
    world = BusWorld([1, 2, 3]).come_up()
    loud = world.devices[3]
    world.bus.until(lambda: world.master._turn is world.station(3))
    noise = random.Random(5)
    world.bus.run(5)
    for _ in range(60):
        world.bus.say(loud.node, noise.randbytes(600))
        world.bus.until(lambda: loud.node.free_at <= world.bus.now + 1)
    found = world.master.babbler(world.now)
    assert found is not None
    assert (found.address, found.is_sure) == (3, False)
    world.devices[1].say(numbered(2000))
    world.bus.until(lambda: len(world.masters[1].got) == 2000, 12_000)


def test_noise_while_nobody_speaks_is_counted_and_the_next_question_waits_for_its_end() -> None:
    world = BusWorld([1]).come_up()
    world.bus.run(1000)
    missed = world.station(1).missed
    for _ in range(20):
        world.bus.until(lambda: world.master._turn is None and world.master.deadline() > world.now + 20)
        world.bus.stray(b"\x55" * 30)
        world.bus.run(100)
    assert world.master.stray_bytes >= 500
    assert world.station(1).missed - missed <= 3


def test_a_stream_over_a_bus_opens_carries_and_closes() -> None:
    world = BusWorld([1, 2])
    device, gateway = Stream(world.devices[2].link), Stream(world.masters[2].link)
    got = bytearray()
    gateway.on_open = gateway.accept
    gateway.on_data = got.extend
    device.on_link_up = lambda _: device.open()
    world.bus.until(lambda: device.state == OPEN)
    device.send(b"CONNECT")
    world.bus.until(lambda: got == b"CONNECT")
    gateway.consumed(7)
    gateway.close()
    world.bus.until(lambda: device.state == CLOSED)


def test_an_event_loop_that_stood_still_reads_before_it_gives_a_device_up() -> None:
    world = BusWorld([1]).come_up()
    master, station, device = world.master, world.station(1), world.devices[1]
    world.bus.until(lambda: master._turn is None and not world.node.inbox)
    now = world.now + 1000
    question = master.transmit(now)
    device.end.receive(question, now)
    answer = device.end.transmit(now + 1)
    late = master.deadline() + 300
    assert (question[-1:], master.transmit(late), station.misses) == (b"\0", b"", 0)
    master.receive(answer, late)
    assert (station.misses, master._turn) == (0, None)
    assert master.transmit(late + 200)
    assert master.transmit(master.deadline()) == b""
    assert station.misses == 1


def test_a_question_waits_for_the_end_of_what_nobody_was_asked_for_but_not_for_ever() -> None:
    world = BusWorld([1]).come_up()
    master = world.master
    world.bus.until(lambda: master._turn is None and not world.node.inbox)
    begin = now = world.now + 1000
    master.receive(b"\x55" * 10, now)
    while not master.transmit(now):
        assert master.deadline() <= now + 3
        now += 1
        master.receive(b"\x55" * 10, now)
    assert 50 < now - begin < 100
    assert master.stray_bytes >= 500


@pytest.mark.parametrize("seed", range(4))
def test_whatever_happens_on_the_bus_each_session_has_its_bytes_in_order(seed: int) -> None:
    chance = random.Random(seed)
    world = BusWorld(range(1, 9), range(1, 7), seed=seed + 1, bit_errors=5e-5, dropped=2e-4)
    sent: dict[int, list[bytearray]] = {address: [] for address in range(1, 9)}
    epoch = 20_000

    def check() -> None:
        for address, device in world.devices.items():
            got = bytes(world.masters[address].got)
            assert got == b"" or any(one.startswith(got) for one in sent[address]), f"address {address}"
            assert device.got == b"" or numbered(len(device.got), 1 << 20) == device.got

    for _ in range(120):
        address = chance.choice(list(world.devices))
        device = world.devices[address]
        what = chance.random()
        if what < 0.5 and device.node.is_on and device.link.up:
            if not sent[address] or device.ups != getattr(device, "counted", None):
                device.counted = list(device.ups)  # type: ignore[attr-defined]
                sent[address].append(bytearray())
            data = numbered(300, len(sent[address][-1]) // 3)
            taken = device.link.send(1, data)
            sent[address][-1] += data[:taken]
            if taken % 3:
                sent[address][-1] = sent[address][-1]
                device.link.reset(world.now)  # what is cut would not be a number any more
        elif what < 0.6:
            device.node.is_on = False
        elif what < 0.7 and not device.node.is_on:
            world.bus.nodes.remove(device.node)
            epoch += 1
            world.add(address, epoch=epoch)
        elif what < 0.8:
            world.bus.stray(chance.randbytes(chance.randrange(1, 200)))
        elif what < 0.9:
            device.node.ready_at = world.bus.now + chance.randrange(200)
        world.bus.run(chance.randrange(150))
        check()
    for device in world.devices.values():
        if not device.node.is_on:
            device.node.is_on = True
    world.bus.until(world.are_up, 30_000)
    check()


def test_more_frames_than_the_master_allows_are_not_sent() -> None:
    device = Device(7, 1, b"d", 115200, send_buffer=4000)
    end: BusDevice = device.end
    master = AddressedLink(2, 7, 0)
    now = 0
    frames: list[bytes | bytearray] = []
    for allowed in (4, 4, 1, 3):
        question = master.first(now)
        end_turn(question, allowed)
        end.receive(question, now)
        device.link.send(1, bytes(900))
        frames = []
        while frame := end.transmit(now + 1):
            frames.append(frame)
            master.take(frame[1 if frame[0] else 2 :][1:-1] if not frame[0] else frame[2:-1], now + 1)
        now += 50
        assert len(frames) <= allowed
    assert len(frames) == 3
    assert [bool(frame[1 if frame[0] else 2] & TURN_END) for frame in frames] == [False, False, True]
