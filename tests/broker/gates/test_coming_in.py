"""Who gets in, and who makes room: connections, half-open ones, take-overs and persistent sessions, by address."""

import re

import pytest

from mqttlite.broker.bounds.addresses import is_local, key_of
from mqttlite.broker.bounds.rates import KEYS_MAX, Rate
from tests.broker.gates.comers import come
from tests.broker.world import World
from tests.statements import statement

# -- addresses


def test_an_address_is_a_host_of_ipv4_and_a_network_of_ipv6() -> None:
    assert key_of("192.0.2.1:50000") == key_of("192.0.2.1:50001") == key_of("::ffff:192.0.2.1:50000")
    assert key_of("192.0.2.1:1") != key_of("192.0.2.2:1")
    assert key_of("2001:db8:1:2:3::4:5000") == key_of("2001:db8:1:2:ffff:1:2:3:5000") == "2001:db8:1:2::/64"
    assert key_of("2001:db8:1:3::4:5000") != key_of("2001:db8:1:2::4:5000")
    assert key_of("fe80::1%eth0:99") == "fe80::/64"


def test_this_machine_is_told_from_others() -> None:
    for address in ("127.0.0.1:99", "127.0.0.2:99", "::1:99", "Unix socket /run/x.sock", "::ffff:127.0.0.1:99"):
        assert is_local(key_of(address)), address
    for address in ("192.0.2.1:99", "fe80::1%eth0:99", "10.0.0.1:99", "an unknown address:0"):
        assert not is_local(key_of(address)), address


# -- rates


def test_a_rate_gives_a_burst_then_so_many_a_minute_to_each_key() -> None:
    rate = Rate(60, 5)
    assert [rate.take("a", 1000) for _ in range(7)] == [True] * 5 + [False] * 2
    assert rate.take("b", 1000)
    assert rate.wait_ms("a", 1000) == 1000
    assert not rate.take("a", 1999)
    assert rate.take("a", 2000) and not rate.take("a", 2000)
    assert [rate.take("a", 60_000) for _ in range(6)] == [True] * 5 + [False]


def test_a_rate_of_nothing_bounds_nothing_and_what_is_full_again_is_forgotten() -> None:
    assert all(Rate(0, 1).take("a", 0) for _ in range(100))
    rate = Rate(60, 5)
    for number in range(1000):
        rate.take(str(number), number * 5000)
    assert len(rate) < 100


def test_an_attacker_with_very_many_addresses_does_not_choose_the_memory_of_a_rate() -> None:
    rate = Rate(1, 1)
    for number in range(3 * KEYS_MAX):
        rate.take(str(number), 0)
    assert len(rate) <= 2 * KEYS_MAX


# -- connections


def test_a_thousand_idle_connections_of_one_address_keep_nobody_out() -> None:
    world = World(connections=50, connects_per_address=0)
    idle = [come(world, f"192.0.2.9:{number}", f"idle{number}") for number in range(50)]
    world.wait(5000)
    honest = [come(world, f"192.0.2.{number}:1", f"honest{number}") for number in range(20)]
    assert not any(wire.closed for wire in honest)
    assert [wire.closed for wire in idle] == [True] * 20 + [False] * 30, "those that have been idle for longest"
    assert world.stats.limits == {"connections": 20}


def test_who_shares_the_address_with_idle_connections_gets_in_and_who_is_of_use_stays() -> None:
    world = World(connections=20)
    home = come(world, "127.0.0.1:1", "home")
    home.subscribe("#")
    sensor = come(world, "127.0.0.1:2", "sensor")
    world.wait(100)
    sensor.publish("t", b"1")
    idle = [come(world, f"127.0.0.1:{number}", f"idle{number}") for number in range(100, 118)]
    world.wait(60_000)
    late = [come(world, f"127.0.0.1:{number}", f"late{number}") for number in range(10)]
    assert not any(wire.closed for wire in [home, sensor, *late])
    assert sum(wire.closed for wire in idle) == 10


def test_an_address_does_not_throw_others_out_to_have_even_more() -> None:
    world = World(connections=10, connects_per_address=0)
    others = [come(world, f"192.0.2.{number}:1") for number in range(4)]
    flood = [come(world, f"198.51.100.1:{number}") for number in range(100)]
    assert not any(wire.closed for wire in others)
    assert sum(not wire.closed for wire in flood) == 6


def test_an_address_can_have_a_number_of_its_own() -> None:
    world = World(connections_per_address=3)
    wires = [come(world, f"192.0.2.1:{number}") for number in range(4)]
    assert [wire.closed for wire in wires] == [False, False, False, True]
    world.wait(2000)
    assert not come(world, "192.0.2.1:9").closed
    assert [wire.closed for wire in wires[:3]] == [True, False, False], "an idle one of its own goes"
    assert not any(come(world, f"127.0.0.1:{number}").closed for number in range(5)), "this machine is many programs"
    assert world.stats.limits == {"connections_per_address": 2}


def test_connects_have_a_rate_by_address_that_lets_a_house_come_back_at_once() -> None:
    world = World(connections=10_000)
    house = [come(world, f"192.0.2.1:{number}") for number in range(300)]
    assert sum(not wire.closed for wire in house) == 200
    assert not come(world, "192.0.2.2:1").closed
    world.wait(1000)
    assert sum(not come(world, f"192.0.2.1:{number}").closed for number in range(100)) == 20
    assert not any(come(world, f"127.0.0.1:{number}").closed for number in range(300)), "this machine has none"
    assert world.stats.limits == {"connects_per_address": 180}


def test_a_flood_from_many_addresses_leaves_half_of_the_rate_to_those_that_have_not_come_lately() -> None:
    world = World(connections=10_000, connects_a_second=100)
    flood = [come(world, f"198.51.100.{number % 10}:{number}") for number in range(500)]
    assert sum(not wire.closed for wire in flood) <= 60
    assert not any(come(world, f"192.0.2.{number}:1").closed for number in range(40))
    assert world.stats.limits["connects_a_second"] >= 440


# -- connections without CONNECT


def test_a_flood_of_half_open_connections_lets_everybody_else_in() -> None:
    world = World(connections=100, connects_per_address=0, connects_a_second=0)
    flood = []
    for number in range(3000):  # in a second
        world.now += number % 3 == 0
        flood.append(world.open(f"198.51.100.1:{number}"))
        if number % 100 == 0:
            assert not come(world, f"192.0.2.{number // 100}:1").closed
            assert not come(world, "198.51.100.1:1").closed, "from the same address, when its CONNECT comes at once"
    assert sum(not wire.closed for wire in flood) <= 100
    world.wait(6000)
    assert all(wire.closed for wire in flood)


def test_of_half_open_connections_the_oldest_of_the_address_with_most_goes() -> None:
    world = World(half_open=5, half_open_per_address=5, half_open_ms=100)
    honest = world.open("192.0.2.1:1")
    flood = [world.open(f"198.51.100.1:{number}") for number in range(5)]
    world.wait(100)
    world.open("198.51.100.2:1")
    assert not honest.closed
    assert [wire.closed for wire in flood] == [True, True, False, False, False]


def test_one_address_has_a_few_half_open_connections_and_this_machine_as_many_as_there_are() -> None:
    world = World()
    far = [world.open(f"192.0.2.1:{number}") for number in range(20)]
    near = [world.open(f"127.0.0.1:{number}") for number in range(20)]
    world.wait(1000)
    world.open("192.0.2.1:99")
    assert sum(wire.closed for wire in far) == 11
    assert not any(wire.closed for wire in near)
    assert world.stats.limits == {"half_open_per_address": 11}


def test_the_first_byte_comes_within_five_seconds_and_connect_within_ten() -> None:
    world = World()
    silent, slow = world.open("192.0.2.1:1"), world.open("192.0.2.2:1")
    slow.raw(b"\x10")
    world.wait(4999)
    assert not silent.closed
    world.wait(1)
    assert silent.closed and not slow.closed
    for _ in range(4):  # any progress is none
        slow.raw(b"\x20" if not slow.peer.parser._pieces else b"\0")
        world.wait(1000)
    assert not slow.closed
    world.wait(1000)
    assert slow.closed
    assert world.stats.limits == {"first_byte_ms": 1, "connect_ms": 1}


# -- a packet that does not end


def test_a_packet_that_does_not_go_on_ends_its_connection_whatever_the_keep_alive() -> None:
    world = World()
    client = world.connect("c")
    world.wait(3_600_000)
    client.raw(b"\x30\xff\x03\0\1t")
    world.wait(29_999)
    assert not client.closed
    world.wait(1)
    assert client.closed
    assert world.stats.limits == {"closed": 1, "packet_ms": 1}


def test_a_packet_that_begins_while_others_are_parked_has_as_long_and_no_longer() -> None:
    world = World(hold_bytes=1000, hold_ms=600_000, stall_ms=600_000)
    slow, client = world.connect("slow"), world.connect("c")
    slow.subscribe("t", qos=1)
    slow.writable(False)
    for _ in range(2):
        client.publish("t", bytes(2000), qos=1)
    assert client.peer.parked_bytes
    world.wait(60_000)
    client.raw(b"\x30\xff\x03\0\1t")
    world.wait(29_999)
    assert not client.closed
    world.wait(1)
    assert client.closed
    assert world.stats.limits["packet_ms"] == 1


def test_a_byte_now_and_then_is_no_progress_and_a_hundred_a_second_are() -> None:
    world = World()
    drip, flow, waves = world.connect("drip"), world.connect("flow"), world.connect("waves")
    for wire in (drip, flow, waves):
        wire.raw(b"\x30\xff\xff\x03\0\1t")
    for second in range(40):
        drip.raw(bytes(10))
        flow.raw(bytes(120))
        if not second % 10:
            waves.raw(bytes(1500))
        world.wait(1000)
    assert (drip.closed, flow.closed, waves.closed) == (True, False, False)
    world.wait(60_000)
    assert waves.closed


def test_the_time_of_a_packet_begins_with_it() -> None:
    world = World()
    client = world.connect("c")
    for _ in range(10):
        client.raw(b"\x30\x7f\0\1t" + bytes(10))
        world.wait(20_000)
        assert not client.closed
        client.raw(bytes(114) + b"\xc0")
        world.wait(20_000)
        assert not client.closed
        client.raw(b"\0")
    assert client.kinds() == ["pingresp"] * 10


# -- keep alive


@statement("3.1.1", "MQTT-3.1.2-24")
@pytest.mark.parametrize(("asked_s", "had_s"), [(0, 600), (60, 60), (65535, 600)])
def test_whoever_comes_from_another_machine_has_a_keep_alive_of_ten_minutes_at_most(asked_s: int, had_s: int) -> None:
    world = World(keep_alive_ms=600_000)
    far, near = (come(world, f"{host}:1", host, keep_alive_s=asked_s) for host in ("192.0.2.1", "127.0.0.1"))
    world.wait(had_s * 1500 - 1)
    assert not far.closed
    world.wait(1)
    assert far.closed
    assert near.closed == (asked_s == 60), "this machine: as asked for"
    assert world.stats.limits["keep_alive_ms"] == (asked_s != 60), "not where it was its own"


# -- take-overs


def test_a_stranger_cannot_lock_the_owner_of_an_identifier_out() -> None:
    world = World()
    owner = come(world, "192.0.2.1:1", "pump", clean_session=False)
    owner.subscribe("t", qos=1)
    for _ in range(30):
        stranger = come(world, "198.51.100.1:1", "pump", clean_session=False)
        world.wait(1000)
        owner = come(world, "192.0.2.1:1", "pump", clean_session=False)
        assert not owner.closed
        world.wait(1000)
    assert stranger.closed
    assert world.stats.takeovers < 40, "most of the stranger's were refused"
    assert world.stats.limits["takeovers_a_minute"] > 15


def test_the_log_names_both_addresses_of_a_fight(caplog: pytest.LogCaptureFixture) -> None:
    world = World(takeovers_a_minute=1)
    come(world, "192.0.2.1:1", "pump")
    come(world, "198.51.100.1:2", "pump")
    come(world, "198.51.100.3:3", "pump")
    assert re.search("'pump' at 198.51.100.1:2: two clients share .* refused 198.51.100.3:3", caplog.text)


def test_a_client_whose_connection_is_cut_often_comes_back_each_time() -> None:
    world = World()
    for _ in range(60):
        client = come(world, "192.0.2.1:1", "board", clean_session=False)
        assert not client.closed
        world.wait(4000)


# -- persistent sessions


def test_two_hundred_strangers_with_persistent_sessions_keep_no_new_one_out(caplog: pytest.LogCaptureFixture) -> None:
    world = World(persistent_sessions=200, connects_per_address=0)
    pump = come(world, "192.0.2.1:1", "pump", clean_session=False)
    pump.subscribe("pump", qos=1)
    pump.cut()
    for number in range(300):
        come(world, f"198.51.100.1:{number}", f"stranger{number}", clean_session=False).cut()
    for number in range(150):
        stranger = come(world, f"198.51.100.1:{number}", f"reader{number}", clean_session=False)
        stranger.subscribe("pump", qos=1)
        stranger.cut()
    come(world, "192.0.2.2:1").publish("pump", b"x", qos=1)
    world.wait(1000)
    for number in range(30):
        assert not come(world, f"192.0.2.{3 + number}:1", f"honest{number}", clean_session=False).closed
    assert b"pump" in world.engine.sessions
    assert len(world.engine.sessions) <= 201
    assert "limit persistent_sessions: 'stranger0' (offline): its session ends, with 0 messages" in caplog.text


def test_a_session_with_messages_ends_for_another_owner_or_after_an_hour_not_at_once() -> None:
    world = World(persistent_sessions=3, connects_per_address=0)
    for name in "abc":
        wire = come(world, "127.0.0.1:1", name, clean_session=False)
        wire.subscribe("t", qos=1)
        wire.cut()
    come(world, "127.0.0.1:2").publish("t", b"x", qos=1)
    assert come(world, "127.0.0.1:1", "d", clean_session=False).closed
    assert not come(world, "192.0.2.1:1", "e", clean_session=False).closed
    world.wait(3_600_000)
    assert not come(world, "127.0.0.1:1", "d", clean_session=False).closed
    assert set(world.engine.sessions) >= {b"c", b"d", b"e"}
    assert world.stats.limits["persistent_sessions"] == 3
