"""Applications that are slow, or block: what is handled is acknowledged, the connection stays, memory is bounded."""

import asyncio
import select
import shutil
import socket
import sys
import threading
import time
from pathlib import Path

import pytest

from mqttlite.broker import Broker
from mqttlite.client import Client, Message
from mqttlite.client.connecting.sockets import READ_SIZE, SocketTransport
from mqttlite.client.connecting.watchdog import PINGREQ, Guard, watchdog
from mqttlite.client.incoming import GATHER_MAX, GATHER_MS
from mqttlite.store.journal import Journal
from tests.client.network import CONNACK, Peer, server
from tests.peers import RUN_TIMEOUT_S, Mosquitto

COUNT = 400


async def killed_after(url: str, count: int, *words: object) -> list[str]:
    """What a consumer had handled when it was killed, after `count` messages."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.client.subscriptions.slow_app",
        url,
        *map(str, words),
        stdout=asyncio.subprocess.PIPE,
    )
    assert child.stdout
    handled = [(await child.stdout.readline()).decode().strip() for _ in range(count)]
    child.kill()
    handled += (await child.stdout.read()).decode().split()
    await child.wait()
    return handled


async def repeated(tmp_path: Path, count: int, how: str, qos: int, sleep_s: float, store: str) -> int:
    """How many of the handled messages the next life gets again."""
    async with Broker(["mqtt://127.0.0.1:0"]) as broker:
        url = broker.addresses[0]
        async with Client(url, client_id="slow") as client:
            await client.subscribe("k", qos)
        async with Client(url) as sender:
            for number in range(COUNT):
                await sender.publish("k", str(number), 2)
        kept = "-" if store == "-" else tmp_path / store
        handled = await killed_after(url, count, how, qos, sleep_s, kept, tmp_path / "app.db")
        assert handled == [str(number) for number in range(len(handled))], "each once, and in order"
        async with Client(url) as sender:
            await sender.publish("k", "end", 2)
        again = []
        async with Client(url, client_id="slow", store=None if store == "-" else str(kept)) as client:
            async for message in client:
                if message.payload == b"end":
                    break
                again.append(int(message.payload))
    assert again == sorted(again)
    assert set(again) | set(map(int, handled)) == set(range(COUNT)), "nothing is lost"
    return len(set(again) & set(map(int, handled)))


@pytest.mark.parametrize(
    ("how", "qos", "store"),
    [
        ("for", 1, "-"),
        ("for", 2, "slow.db"),
        ("manual", 1, "slow.db"),
        ("manual", 2, "-"),
        ("inbox", 1, "-"),
        ("inbox", 2, "slow.db"),
        ("handle", 1, "-"),
    ],
)
async def test_a_kill_repeats_no_more_than_the_message_in_the_handler_where_handlers_are_slow(
    tmp_path: Path, how: str, qos: int, store: str
) -> None:
    # 1: it may have been printed, and not be acknowledged yet
    assert await repeated(tmp_path, 12, how, qos, 4 * GATHER_MS / 1000, store) <= 1


@pytest.mark.parametrize(("how", "qos", "store"), [("for", 1, "-"), ("manual", 2, "slow.db"), ("inbox", 1, "-")])
async def test_a_kill_repeats_no_more_of_fast_handlers_than_may_gather(
    tmp_path: Path, how: str, qos: int, store: str
) -> None:
    assert await repeated(tmp_path, 150, how, qos, 0.0, store) <= GATHER_MAX + 1


@pytest.mark.parametrize("qos", [0, 1])
async def test_a_handler_that_blocks_for_longer_than_the_keep_alive_is_named_and_keeps_its_connection(
    mosquitto: Mosquitto, caplog: pytest.LogCaptureFixture, qos: int
) -> None:
    changes: list[bool] = []
    async with (
        Client(mosquitto.url, keep_alive_s=1, on_connection=lambda up, why: changes.append(up)) as client,
        Client(mosquitto.url) as sender,
    ):
        await client.subscribe("slow/one", qos)
        for number in range(1 + qos):
            await sender.publish("slow/one", str(number), 1)
        for number in range(1 + qos):
            assert (await anext(client)).payload == str(number).encode()
            time.sleep(2.2)  # noqa: ASYNC251 that is the point
        await (await client.publish("slow/end", b"", 1)).completed()
    assert changes == [True]
    told = [record.message for record in caplog.records if "has let nothing else run for" in record.message]
    assert told and __file__ in told[0]
    assert qos == 0 or "'slow/one'" in told[0]


async def test_an_answer_that_arrived_while_the_application_blocked_is_read_before_it_is_missed(
    mosquitto: Mosquitto,
) -> None:
    changes: list[bool] = []
    async with Client(
        mosquitto.url, keep_alive_s=1, timeout_s=0.2, on_connection=lambda up, why: changes.append(up)
    ) as client:
        while client._life.protocol.waiting_since is None or client._life.protocol.out:  # noqa: ASYNC110
            await asyncio.sleep(0)  # until PINGREQ has left
        transport = client._connector.transport
        assert isinstance(transport, SocketTransport)
        select.select([transport._descriptor], [], [], RUN_TIMEOUT_S)  # the answer is there
        time.sleep(0.4)  # noqa: ASYNC251 that is the point
        await (await client.publish("a", b"", 1)).completed()
    assert changes == [True]


async def test_connecting_is_not_given_up_because_the_application_blocked(mosquitto: Mosquitto) -> None:
    client = Client(mosquitto.url, timeout_s=1)
    starting = asyncio.create_task(client.start())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    time.sleep(1.2)  # noqa: ASYNC251 that is the point
    await starting
    await client.close()


async def test_no_pingreq_is_written_into_the_middle_of_a_packet_or_before_and_after_a_connection() -> None:
    got: list[bytes] = []

    async def serve(peer: Peer) -> None:
        await peer.packet()
        await peer.say(CONNACK)
        while packet := await peer.packet():
            got.append(packet)

    async with server(serve) as url:
        client = Client(url, keep_alive_s=1000)
        await client.start()
        guard = client._connector.guard
        assert guard and watchdog._thread
        transport = client._connector.transport
        assert transport
        life = client._life
        for part, name, value in (
            (client._connector, "is_split", True),
            (life, "is_connected", False),
            (life, "failure", OSError()),
        ):
            before = getattr(part, name)
            setattr(part, name, value)
            assert not transport.write_beside(PINGREQ, guard._may_ping), name
            setattr(part, name, before)
        watchdog.remove(guard)  # else its thread looks, too
        client._life.protocol.sent_at -= 10_000_000
        await asyncio.to_thread(guard.look)
        while not got:  # noqa: ASYNC110 the server's list
            await asyncio.sleep(0.001)
        await client.close()
        assert not transport.write_beside(PINGREQ, lambda: True)
    assert got[0] == PINGREQ  # and perhaps another one, of the event loop
    assert got[-1] == b"\xe0\0"
    assert len(got) <= 3


async def test_the_thread_that_looks_ends_with_the_last_connection(mosquitto: Mosquitto) -> None:
    async with Client(mosquitto.url), Client(mosquitto.url):
        thread = watchdog._thread
        assert thread
    await asyncio.to_thread(thread.join, 10)
    assert not thread.is_alive()
    async with Client(mosquitto.url, keep_alive_s=0):
        assert not any(isinstance(guard, Guard) for guard in watchdog._guards)


async def test_a_handler_in_a_thread_may_block_while_the_event_loop_goes_on(mosquitto: Mosquitto) -> None:
    may_end = threading.Event()
    seen: list[bytes] = []

    def handler(message: Message) -> None:
        assert may_end.wait(10)
        seen.append(message.payload)

    async with Client(mosquitto.url) as client, Client(mosquitto.url) as sender:
        await client.subscribe("a", 1)
        for number in range(3):
            await sender.publish("a", str(number), 1)
        running = asyncio.create_task(client.handle(handler))
        await (await sender.publish("b", b"", 1)).completed()  # the loop turns, although the handler blocks
        assert not seen
        may_end.set()
        while len(seen) < 3:  # noqa: ASYNC110 a thread's list
            await asyncio.sleep(0.001)
        running.cancel()
    assert seen == [b"0", b"1", b"2"]


async def test_what_a_handler_in_a_thread_raises_is_raised_and_its_message_comes_again(mosquitto: Mosquitto) -> None:
    def handler(message: Message) -> None:
        raise ValueError(message.payload)

    async with Client(mosquitto.url) as sender:
        with pytest.raises(ValueError, match="precious"):
            async with Client(mosquitto.url, client_id="raises") as client:
                await client.subscribe("a", 1)
                await sender.publish("a", "precious", 1)
                await client.handle(handler)
        async with Client(mosquitto.url, client_id="raises") as client:
            message = await anext(client)
            assert (message.payload, message.dup) == (b"precious", True)


async def test_the_inbox_is_bounded_in_bytes_and_nothing_is_lost() -> None:
    size, count, limit = 20_000, 200, 100_000

    async def serve(peer: Peer) -> None:
        await peer.packet()
        await peer.say(CONNACK)
        for number in range(count):
            payload = str(number).encode().ljust(size)
            body = b"\0\1a" + (number + 1).to_bytes(2, "big") + payload
            await peer.say(b"\x32" + bytes((len(body) & 127 | 128, len(body) >> 7 & 127 | 128, len(body) >> 14)) + body)
        while await peer.packet():
            pass

    async with server(serve) as url:
        client = Client(url, inbox_bytes=limit, keep_alive_s=0)
        await client.start()
        most = 0
        for number in range(count):
            while not client._incoming.is_held and len(client._incoming.inbox) < count - number:  # noqa: ASYNC110
                await asyncio.sleep(0)
            most = max(most, sum(len(message.payload) for message in client._incoming.inbox))
            assert int((await anext(client)).payload) == number
        await client.close()
    assert most <= limit + READ_SIZE + size


def with_small_buffers(end: socket.socket) -> None:
    for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
        end.setsockopt(socket.SOL_SOCKET, option, 1 << 16)


async def test_answers_that_the_broker_does_not_read_stop_the_reading() -> None:
    stopped = asyncio.Event()
    go_on = asyncio.Event()
    storm = b"".join(b"\x50\2" + (number % 65535 + 1).to_bytes(2, "big") for number in range(65536))

    async def serve(peer: Peer) -> None:
        await peer.packet()
        await peer.say(CONNACK)
        peer.writer.transport.set_write_buffer_limits(0)
        with_small_buffers(peer.writer.get_extra_info("socket"))
        try:
            while True:
                async with asyncio.timeout(0.5):  # the kernel takes no more, as nobody reads
                    await peer.say(storm)
        except TimeoutError:
            stopped.set()
        await go_on.wait()
        draining = asyncio.create_task(peer.reader.read())
        await peer.say(b"\x30\4\0\1ax")
        await draining

    async with server(serve) as url:
        client = Client(url, keep_alive_s=0)
        await client.start()
        transport = client._connector.transport
        assert isinstance(transport, SocketTransport) and transport._transport
        with_small_buffers(transport._transport.get_extra_info("socket"))
        await stopped.wait()
        assert len(client._life.protocol.out) <= 4 * client._life.out_max + 3 * 18 + 2 * READ_SIZE // 4
        go_on.set()
        assert (await anext(client)).payload == b"x"
        await client.close()


async def test_a_kill_of_a_producer_repeats_no_more_confirmed_messages_than_may_gather(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    window = 18
    path = tmp_path / "producer.journal"
    async with Client(mosquitto.url, client_id="producer", store=Journal(path)) as client:
        client._life.finished_max = 32  # as on a board
        for number in range(300):
            await client.enqueue("a", str(number), 1)
        await client.stored()  # so that nothing but what is finished needs a commit
        await client.drain()
        copy = tmp_path / "copy.journal"  # what a life that begins now would find
        shutil.copy(path, copy)
    journal = Journal(copy)
    state = await journal.open()
    await journal.close()
    assert len(state.messages) <= 32 + window + 1
