"""A connection that the broker ends is read to its end: what was written arrives, whatever the client still sends."""

import asyncio

import pytest

from mqttlite.broker import Broker, Limits
from tests.broker.raw import RawClient, port_of
from tests.core.packets import Packet
from tests.peers import RUN_TIMEOUT_S

LOCAL = ["mqtt://127.0.0.1:0"]
MUCH = 300_000  # bytes that are still under way when the broker ends the connection


async def rest(client: RawClient) -> list[Packet]:
    """What arrives until the broker ends its half; a connection that is reset fails."""
    packets = []
    try:
        while True:
            packets.append(await client.packet())
    except EOFError:
        return packets


async def test_a_refused_client_reads_why_however_much_it_sends_meanwhile() -> None:
    async with Broker(LOCAL) as broker, RawClient(port_of(broker.addresses[0])) as client:
        fields = {"keep_alive_s": 0, "username": None, "password": None, "will": None}
        client.send("connect", client_id="x" * 1000, clean_session=True, **fields)
        client.writer.write(bytes(MUCH))
        await client.writer.drain()
        assert [packet.kind for packet in await rest(client)] == ["connack"]


async def test_the_last_acknowledgements_arrive_though_more_comes_after_disconnect() -> None:
    async with Broker(LOCAL) as broker, RawClient(port_of(broker.addresses[0])) as client:
        await client.connect("c")
        for _ in range(50):
            client.publish("a", b"x" * 1000, qos=1)
        client.send("disconnect")
        client.writer.write(bytes(MUCH))
        await client.writer.drain()
        assert [packet.kind for packet in await rest(client)] == ["puback"] * 50


async def test_what_was_acknowledged_before_a_broken_rule_arrives() -> None:
    async with Broker(LOCAL) as broker, RawClient(port_of(broker.addresses[0])) as client:
        await client.connect("c")
        client.publish("a", b"x", qos=1)
        client.writer.write(b"\xff" * MUCH)
        await client.writer.drain()
        assert [packet.kind for packet in await rest(client)] == ["puback"]


async def test_a_client_that_goes_on_sending_for_ever_is_cut_off() -> None:
    async with Broker(LOCAL, Limits(close_bytes=100_000)) as broker, RawClient(port_of(broker.addresses[0])) as client:
        await client.connect("c")
        client.send("disconnect")
        with pytest.raises(ConnectionError):
            while True:
                client.writer.write(bytes(65536))
                await client.writer.drain()
        assert broker.stats.limits["close_bytes"] == 1


async def test_a_client_that_never_closes_is_cut_off_in_time() -> None:
    async with Broker(LOCAL, Limits(close_ms=50)) as broker, RawClient(port_of(broker.addresses[0])) as client:
        await client.connect("c")
        client.send("disconnect")
        assert await rest(client) == []
        (connection,) = broker.connections
        async with asyncio.timeout(RUN_TIMEOUT_S):
            await connection.ended()
        assert not broker.connections


async def test_a_stop_does_not_wait_long_for_clients_that_do_not_close() -> None:
    async with asyncio.timeout(RUN_TIMEOUT_S):
        async with Broker(LOCAL, Limits(close_ms=60_000)) as broker:
            client = RawClient(port_of(broker.addresses[0]))
            await client.__aenter__()
            await client.connect("c")
        assert await rest(client) == []
        client.cut()


async def test_a_client_that_ends_its_half_and_reads_nothing_is_cut_off_in_time() -> None:
    limits = Limits(write_buffer_bytes=100_000, stall_ms=50, close_ms=50)
    async with Broker(LOCAL, limits) as broker:
        port = port_of(broker.addresses[0])
        async with RawClient(port) as late, RawClient(port) as publisher:
            await late.connect("late")
            await late.subscribe("t", 0)
            connection = broker.engine.sessions[b"late"].peer.handle  # type: ignore[union-attr]
            late.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await publisher.connect("publisher")
            while connection.peer.writable:
                publisher.publish("t", bytes(60_000), qos=0)
                publisher.send("pingreq")
                assert (await publisher.packet()).kind == "pingresp"
            late.writer.write_eof()
            async with asyncio.timeout(RUN_TIMEOUT_S):
                await connection.ended()
            assert connection not in broker.connections
