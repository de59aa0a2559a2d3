"""The network: pieces, cuts at any byte, refusals, silence, back-pressure."""

import asyncio
import errno
import socket
from typing import Any

import pytest

from mqttlite.sim.net.packets import Cut, Packet, Packets
from mqttlite.sim.net.streams import Conditions
from mqttlite.sim.process import Process
from mqttlite.sim.programs import broker
from mqttlite.sim.world import World

from . import programs


class Ends:
    """Two processes with a connection between them: what the server gets, and how it ends for both."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.got = bytearray()
        self.pieces: list[int] = []
        self.lost: dict[str, str] = {}
        self.client: asyncio.Transport
        self.server: asyncio.Transport
        self.events: list[str] = []
        self.reads = True
        self.listener = world.process("server", self.serve)
        self.caller = world.process("client", self.call)
        assert world.run_until(lambda: hasattr(self, "client") and hasattr(self, "server"), 10)
        (self.connection,) = world.network.connections.values()

    async def serve(self, process: Process) -> None:
        ends = self

        class Server(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                assert isinstance(transport, asyncio.Transport)
                ends.server = transport

            def data_received(self, data: bytes) -> None:
                ends.got += data
                ends.pieces.append(len(data))

            def eof_received(self) -> bool:
                ends.events.append("eof")
                return True

            def connection_lost(self, error: Exception | None) -> None:
                ends.lost["server"] = type(error).__name__

        await asyncio.get_running_loop().create_server(Server, "0.0.0.0", 99)
        await asyncio.Event().wait()

    async def call(self, process: Process) -> None:
        ends = self

        class Client(asyncio.Protocol):
            def pause_writing(self) -> None:
                ends.events.append("pause")

            def resume_writing(self) -> None:
                ends.events.append("resume")

            def connection_lost(self, error: Exception | None) -> None:
                ends.lost["client"] = type(error).__name__

        await asyncio.sleep(0.01)
        transport, _ = await asyncio.get_running_loop().create_connection(Client, "server", 99)
        ends.client = transport
        await asyncio.Event().wait()

    def write(self, data: bytes) -> None:
        """In the client's place."""
        self.caller.loop.enter(self.client.write, data)


DATA = bytes(range(256)) * 4


@pytest.mark.parametrize("seed", range(5))
def test_bytes_arrive_in_order_however_they_are_cut(seed: int) -> None:
    world = World(seed)
    world.network.conditions.split = 1.0
    ends = Ends(world)
    for at in range(0, len(DATA), 100):
        ends.write(DATA[at : at + 100])
    world.run(1)
    assert ends.got == DATA
    assert len(ends.pieces) > 6


@pytest.mark.parametrize("how", ["reset", "close", "unread", "silence"])
@pytest.mark.parametrize("offset", [0, 1, 500, 1024])
def test_a_cut_at_a_byte_lets_that_many_through(world: World, how: str, offset: int) -> None:
    ends = Ends(world)
    ends.connection.up.cut_at(offset, how)
    ends.write(DATA[:600])
    ends.write(DATA[600:])
    world.run(1)
    assert bytes(ends.got) == DATA[:offset] if how != "unread" else DATA.startswith(ends.got)
    if how == "silence":
        assert not ends.lost and not ends.events
    elif how == "close":
        assert ends.events == ["eof"] and ends.lost["client"] == "NoneType"
    else:
        assert ends.lost["server"] == "ConnectionResetError"
        assert ends.lost["client"] in ("ConnectionResetError", "BrokenPipeError")
    ends.write(b"more")
    world.run(1)
    assert b"more" not in ends.got


def test_a_half_closed_connection_goes_on_in_the_other_direction(world: World) -> None:
    ends = Ends(world)
    ends.write(b"all")
    ends.caller.loop.enter(ends.client.write_eof)
    world.run(1)
    assert ends.got == b"all" and ends.events == ["eof"] and not ends.lost
    ends.listener.loop.enter(ends.server.write, b"answer")
    ends.listener.loop.enter(ends.server.close)
    world.run(1)
    assert ends.lost == {"server": "NoneType", "client": "NoneType"}
    assert not world.network.connections


def test_a_reader_that_pauses_makes_the_writer_wait(world: World) -> None:
    world.network.conditions.window = 1000
    ends = Ends(world)
    ends.listener.loop.enter(ends.server.pause_reading)
    ends.caller.loop.enter(ends.client.set_write_buffer_limits, 500)
    world.run(0.1)
    for _ in range(6):
        ends.write(bytes(500))
    world.run(10)
    assert len(ends.got) <= 1000
    assert ends.client.get_write_buffer_size() >= 2000
    assert ends.events == ["pause"]
    ends.listener.loop.enter(ends.server.resume_reading)
    world.run(10)
    assert len(ends.got) == 3000
    assert ends.events == ["pause", "resume"]


def test_what_a_closed_end_has_not_read_resets_the_connection(world: World) -> None:
    ends = Ends(world)
    ends.listener.loop.enter(ends.server.pause_reading)
    ends.write(DATA)
    world.run(1)
    ends.listener.loop.enter(ends.server.close)
    world.run(1)
    assert ends.lost == {"server": "NoneType", "client": "ConnectionResetError"}


def test_writing_to_an_end_that_is_closed_is_answered_with_a_reset(world: World) -> None:
    ends = Ends(world)
    ends.caller.loop.enter(ends.client.pause_reading)  # so that it does not see the end
    ends.listener.loop.enter(ends.server.close)
    world.run(1)
    assert "client" not in ends.lost
    ends.write(b"1")
    world.run(1)
    ends.write(b"2")
    world.run(1)
    assert ends.lost["client"] == "BrokenPipeError"


def test_a_partition_holds_everything_up_until_it_is_healed(world: World) -> None:
    ends = Ends(world)
    world.network.partition("client", "server")
    ends.write(DATA)
    world.run(100)
    assert not ends.got
    world.network.heal("server", "client")
    world.run(1)
    assert ends.got == DATA


async def _connect(host: str, port: int) -> Any:
    try:
        await asyncio.wait_for(asyncio.get_running_loop().create_connection(asyncio.Protocol, host, port), 1000)
    except OSError as error:
        return type(error), error.errno
    return None


def test_connecting_fails_as_in_a_real_network(world: World) -> None:
    async def main(process: Process) -> dict[str, Any]:
        await asyncio.sleep(1)
        return {
            "open": await _connect("server", 99),
            "other port": await _connect("server", 98),
            "local": await _connect("server", 97),
            "no name": await _connect("nowhere", 99),
            "no host": await _connect("192.0.2.1", 99),
            "off": await _connect("off", 99),
        }

    async def serve(process: Process) -> None:
        loop = asyncio.get_running_loop()
        await loop.create_server(asyncio.Protocol, "0.0.0.0", 99)
        await loop.create_server(asyncio.Protocol, "127.0.0.1", 97)
        assert await _connect("localhost", 97) is None
        await asyncio.Event().wait()

    world.process("server", serve)
    off = world.process("off", serve)
    client = world.process("client", main)
    world.run(0.5)
    off.cut_power()
    world.run_until(lambda: not client.alive, 1000)
    assert client.result == {
        "open": None,
        "other port": (ConnectionRefusedError, errno.ECONNREFUSED),
        "local": (ConnectionRefusedError, errno.ECONNREFUSED),
        "no name": (socket.gaierror, socket.EAI_NONAME),
        "no host": (TimeoutError, errno.ETIMEDOUT),
        "off": (TimeoutError, errno.ETIMEDOUT),
    }


def test_attempts_to_connect_are_refused_and_vanish_as_often_as_the_conditions_say(world: World) -> None:
    world.network.conditions = Conditions(refuse=0.3, vanish=0.2)

    async def serve(process: Process) -> None:
        await asyncio.get_running_loop().create_server(asyncio.Protocol, "0.0.0.0", 99)
        await asyncio.Event().wait()

    async def main(process: Process) -> list[Any]:
        await asyncio.sleep(1)
        return [await _connect("server", 99) for _ in range(400)]

    world.process("server", serve)
    client = world.process("client", main)
    world.run_until(lambda: not client.alive, 100_000)
    found = {result: client.result.count(result) for result in client.result}
    assert 80 < found[ConnectionRefusedError, errno.ECONNREFUSED] < 160
    assert 50 < found[TimeoutError, errno.ETIMEDOUT] < 120


@pytest.mark.parametrize("how", ["reset", "close", "unread", "silence"])
@pytest.mark.parametrize("where", ["before", "inside", "after"])
def test_a_cut_at_any_packet_is_survived(where: str, how: str) -> None:
    number = 0
    while True:
        number += 1
        world = World(number)
        done: list[Packet] = []

        def at_packet(packet: Packet, number: int = number, done: list[Packet] = done) -> Cut | None:
            if packet.serial == number:
                done.append(packet)
                return Cut(where, how)
            return None

        packets = Packets(world.network, at_packet)
        got: list[str] = []
        world.process("broker", broker())
        consumer = world.process("consumer", programs.subscriber(got, 1, keep_alive_s=5, timeout_s=5))
        world.run_until(lambda world=world: world.reached["subscribed"] == 1, 30)  # type: ignore[misc]
        producer = world.process("producer", programs.publisher(["x"], 2, keep_alive_s=5, timeout_s=5))
        ended = world.run_until(lambda c=consumer, p=producer: not c.alive and not p.alive, 300)  # type: ignore[misc]
        assert ended, (number, done)
        assert got == ["x"]
        if not done:
            break
        (packet,) = done
        size = {"before": packet.start, "after": packet.end}.get(where, packet.way.sent)
        assert packet.way.arrived <= max(size, packet.end - 1 if where == "inside" else 0)
    assert number > 14
    assert packets.count == number - 1


def test_observed_packets_are_points_that_were_reached(world: World) -> None:
    world, _ = programs.messages(1, 2, count=1)
    assert [world.reached[f"{kind} producer to broker"] for kind in ("CONNECT", "PUBLISH", "PUBREL")] == [1, 1, 1]
    assert [world.reached[f"{kind} broker to producer"] for kind in ("CONNACK", "PUBREC", "PUBCOMP")] == [1, 1, 1]
    world.close()


def test_a_kill_inside_a_packet_leaves_its_beginning_and_an_orderly_end(world: World) -> None:
    ends = Ends(world)
    ends.connection.up.cut_at(300, "none", ends.caller.kill)
    ends.write(DATA)
    world.run(1)
    assert ends.got == DATA[:300]
    assert ends.events == ["eof"]


def test_the_receiver_can_be_killed_at_a_byte_and_the_sender_is_told(world: World) -> None:
    ends = Ends(world)
    ends.connection.up.cut_at(300, "none", ends.listener.kill)
    ends.write(DATA)
    ends.write(DATA)
    world.run(1)
    assert not ends.got
    assert ends.lost["client"] in ("NoneType", "ConnectionResetError", "BrokenPipeError")


def test_stalls_hold_up_what_follows_and_lose_nothing(world: World) -> None:
    conditions = world.network.between("client", "server")
    conditions.stall = 0.5
    conditions.stall_ns = (10**9, 10**9)
    ends = Ends(world)
    begin = world.now
    for at in range(0, len(DATA), 64):
        ends.write(DATA[at : at + 64])
    assert world.run_until(lambda: len(ends.got) == len(DATA), 100)
    assert ends.got == DATA
    assert world.now - begin >= 10**9
    assert world.network.conditions.stall == 0
