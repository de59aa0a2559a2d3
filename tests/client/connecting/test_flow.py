"""How bytes get from a socket into the client, and out again, on CPython."""

import asyncio
from typing import Any

import pytest

from mqttlite.broker import Broker
from mqttlite.client import Client
from mqttlite.client.connecting.sockets import SocketTransport
from mqttlite.client.transport import Transport
from mqttlite.core.codec import publish_head
from tests.client.network import CONNACK, Peer, server
from tests.peers import RUN_TIMEOUT_S

COUNT = 10


def messages(qos: int) -> bytes:
    """Ten of them."""
    heads = publish_head(qos << 1, b"t", 1)
    return b"".join(heads + number.to_bytes(2, "big") + b"x" for number in range(1, COUNT + 1))


async def test_what_is_acknowledged_at_once_leaves_in_one_write(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[bytes] = []
    send = SocketTransport.send

    def noted(self: SocketTransport, data: bytes) -> bool:
        written.append(bytes(data))
        return send(self, data)

    monkeypatch.setattr(SocketTransport, "send", noted)
    go = asyncio.Event()

    async def serve(peer: Peer) -> None:
        await peer.packet()
        await peer.say(CONNACK)
        await go.wait()
        await peer.say(messages(1))
        while await peer.packet():
            pass

    async with server(serve) as url, Client(url) as client:
        taken = asyncio.create_task(_take(client, COUNT))
        await asyncio.sleep(0)
        go.set()
        await asyncio.wait_for(taken, RUN_TIMEOUT_S)
        client._incoming.handled()
        await client.drain()
    acknowledgements = b"".join(b"\x40\2" + number.to_bytes(2, "big") for number in range(1, COUNT + 1))
    assert b"".join(written).count(acknowledgements) == 1
    assert sum(b"\x40\2" in data for data in written) <= 2, "all in one, but for the one that was handled last"


async def _take(client: Client, count: int) -> None:
    async for _ in client:
        count -= 1
        if not count:
            return


async def test_a_broker_that_speaks_before_it_is_spoken_to_ends_no_client() -> None:
    async def serve(peer: Peer) -> None:
        await peer.say(CONNACK + b"\x30\4\0\1tx")
        while await peer.packet():
            pass

    async with server(serve) as url:
        client = Client(url)
        connector = client._connector
        open_one = connector.open

        async def opened() -> Transport:
            transport = await open_one()
            assert isinstance(transport, SocketTransport)
            while not transport._received:
                await transport._next()
            return transport

        connector.open = opened  # type: ignore[method-assign]
        async with client:
            assert (await asyncio.wait_for(anext(client), RUN_TIMEOUT_S)).payload == b"x"


async def test_a_packet_that_breaks_a_rule_ends_the_connection_and_no_exception_reaches_the_event_loop() -> None:
    told: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
    lost = asyncio.Event()
    count = 0

    async def serve(peer: Peer) -> None:
        nonlocal count
        count += 1
        await peer.packet()
        await peer.say(CONNACK)
        if count == 1:
            await peer.say(b"\xf3\xff")  # no packet of 3.1.1
        while await peer.packet():
            pass

    def on_connection(connected: bool, reason: str) -> None:
        if not connected:
            lost.set()

    async with server(serve) as url, Client(url, on_connection=on_connection):
        await asyncio.wait_for(lost.wait(), RUN_TIMEOUT_S)
    assert count >= 1
    assert not told


async def test_a_publisher_that_waits_gets_the_room_that_one_message_leaves_when_it_is_settled() -> None:
    async def serve(peer: Peer) -> None:
        await peer.packet()
        await peer.say(CONNACK)
        while await peer.packet():
            pass

    async with server(serve) as url:
        client = Client(url, queue_max=100)
        await client.start()
        for _ in range(99):
            await client.publish("t", b"x")
        last = await client.publish("t", b"x")
        waiting = asyncio.create_task(client.publish("t", b"y"))
        await asyncio.sleep(0)
        assert not waiting.done()
        await client.settle(last.seq)
        await asyncio.wait_for(waiting, RUN_TIMEOUT_S)
        await client.close()


class WithoutReaders(asyncio.SelectorEventLoop):
    """As the event loop that Windows has by default: it has transports, and watches no descriptors."""

    def add_reader(self, *args: Any) -> Any:
        raise NotImplementedError

    add_writer = remove_reader = remove_writer = add_reader


def test_client_and_broker_need_an_event_loop_with_transports_alone() -> None:
    async def work() -> None:
        async with Broker(["mqtt://127.0.0.1:0"]) as broker, Client(broker.addresses[0]) as client:
            await client.subscribe("t", 2)
            for qos in (0, 1, 2):
                await client.publish("t", b"x" * 200_000, qos)
                assert (await anext(client)).qos == qos

    with asyncio.Runner(loop_factory=WithoutReaders) as runner:
        runner.run(asyncio.wait_for(work(), RUN_TIMEOUT_S))
