"""The proxy of the crash tests cuts where it says."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from tests.crash.proxy import Cut, Fault, Packets, Proxy, Stall, _bytes


def test_packets_are_told_apart_however_the_stream_is_split() -> None:
    stream = [b"\xc0\0", b"\x32\x80\x01" + bytes(128), b"\x40\x02\0\1"]
    for size in (1, 2, 3, 50, 1000):
        packets = Packets()
        data = b"".join(stream)
        assert [p for at in range(0, len(data), size) for p in packets.feed(data[at : at + size])] == stream
        assert packets.rest == b""


def test_a_cut_within_a_packet_lets_some_bytes_through_but_not_all() -> None:
    assert [_bytes(part, 2) for part in (0.0, 0.001, 0.999, 1.0)] == [0, 1, 1, 2]
    assert [_bytes(part, 10) for part in (0.0, 0.001, 0.999, 1.0)] == [0, 1, 9, 10]


PING = b"\xc0\0"


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):  # the proxy cuts
        while data := await reader.read(100):
            writer.write(data)
    writer.close()


@contextlib.asynccontextmanager
async def through(faults: list[Fault]) -> AsyncIterator[Proxy]:
    """A proxy with `faults` in front of a server that sends back what it gets."""
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server, Proxy(server.sockets[0].getsockname()[1], faults) as proxy:
        yield proxy


async def pings_back(proxy: Proxy, pings: int) -> bytes:
    """What of so many pings comes back before the connection ends, or all of them have."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(PING * pings)
    back = b""
    while len(back) < len(PING * pings) and (data := await reader.read(100)):
        back += data
    writer.close()
    await writer.wait_closed()
    return back


async def test_after_a_stall_everything_arrives_and_the_next_fault_counts_from_there() -> None:
    stall = Stall(True, 1, 0.5, 0.01, True)
    async with through([stall, stall._replace(upstream=False, both=False), Cut(True, 1, 1.0, False)]) as proxy:
        assert await pings_back(proxy, 3) == PING * 3
        assert proxy.stalls >= 1
        assert proxy.cuts == 0


async def test_a_fault_that_its_connection_did_not_reach_is_for_the_next_one() -> None:
    async with through([Cut(False, 2, 0.5, False)]) as proxy:
        assert await pings_back(proxy, 2) == PING * 2
        assert await pings_back(proxy, 9) == PING * 2 + PING[:1]
        assert await pings_back(proxy, 9) == PING * 9
        assert proxy.cuts == 1


async def test_a_healed_proxy_has_no_more_faults_and_is_up_until_its_connection_is_dropped() -> None:
    async with through([Cut(True, 0, 0.0, False)] * 3) as proxy:
        proxy.heal()
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(PING)
        assert not proxy.up.is_set()
        assert await reader.readexactly(2) == PING
        assert proxy.up.is_set()
        proxy.drop()
        assert await reader.read() == b""
        assert not proxy.up.is_set()
        writer.close()
        await writer.wait_closed()
