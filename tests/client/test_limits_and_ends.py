"""Back-pressure, closing, cancellation, callbacks that raise: queues are bounded, nothing hangs, nothing is left."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Callable

import pytest

from mqttlite.client import Client
from mqttlite.core.errors import ClosedError, InDoubtError, MQTTError
from tests.client.network import CONNACK, Peer, Proxy, server
from tests.peers import RUN_TIMEOUT_S, Mosquitto, MosquittoSub
from tests.statements import statement


@pytest.fixture(autouse=True)
async def nothing_is_left(caplog: pytest.LogCaptureFixture) -> AsyncIterator[None]:
    """No task of the client outlives it, and asyncio has nothing to complain about."""
    before = asyncio.all_tasks()
    yield
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    left = {task for task in asyncio.all_tasks() - before if task is not asyncio.current_task()}
    assert not {task for task in left if "mqttlite" in repr(task)}
    gc.collect()
    assert not [record for record in caplog.records if record.name == "asyncio"]


async def mute(peer: Peer) -> None:
    """A broker that accepts the connection and answers nothing after."""
    await peer.packet()
    await peer.say(CONNACK)
    await peer.reader.read()


async def settle() -> None:
    """Let every task run that can."""
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.mark.parametrize("qos", [1, 2])
async def test_publish_waits_while_the_queue_is_full(qos: int) -> None:
    proceed = asyncio.Event()

    async def broker(peer: Peer) -> None:
        await peer.packet()
        await peer.say(CONNACK)
        packet = await peer.packet()
        await proceed.wait()
        await peer.say(bytes((0x40 if qos == 1 else 0x50, 2)) + packet[5:7])
        if qos == 2:
            while (packet := await peer.packet())[0] != 0x62:
                pass
            await peer.say(b"\x70\x02" + packet[2:4])
        await peer.reader.read()

    async with server(broker) as url:
        client = Client(url, queue_max=3)
        await client.start()
        receipts = [await client.publish("a", b"", qos) for _ in range(3)]
        fourth = asyncio.create_task(client.publish("a", b"", qos))
        await settle()
        assert not fourth.done()
        proceed.set()
        await fourth
        assert receipts[0].done
        assert not receipts[1].done
        await client.close()


async def test_at_most_a_window_is_sent_before_the_first_confirmation() -> None:
    received = 0
    full = asyncio.Event()

    async def broker(peer: Peer) -> None:
        nonlocal received
        await peer.packet()
        await peer.say(CONNACK)
        while (await peer.packet())[:1] == b"\x32":
            received += 1
            if received == 5:
                full.set()

    async with server(broker) as url:
        client = Client(url, window=5)
        await client.start()
        for _ in range(50):
            await client.publish("a")
        await full.wait()
        await settle()
        await client.close()
    assert received == 5


async def test_qos_0_waits_while_the_broker_does_not_read(mosquitto: Mosquitto) -> None:
    stop = asyncio.Event()

    async def deaf(peer: Peer) -> None:
        await peer.packet()
        await peer.say(CONNACK)
        await stop.wait()

    async with server(deaf) as url:
        client = Client(url, keep_alive_s=0)
        await client.start()
        published = 0

        async def publish() -> None:
            nonlocal published
            while True:
                await client.publish("a", bytes(100_000), 0)
                published += 1

        task = asyncio.create_task(publish())
        before = -1
        while published > before:  # comes to an end
            before = published
            await asyncio.wait([task], timeout=0.2)
        closing = asyncio.create_task(client.close())
        with pytest.raises(ClosedError):
            await task
        stop.set()
        await closing


async def test_a_full_inbox_stops_reading_and_qos_1_is_complete_for_a_slow_consumer(mosquitto: Mosquitto) -> None:
    async with Client(mosquitto.url, inbox_max=5) as client, Client(mosquitto.url) as sender:
        await client.subscribe("a", 1)
        for number in range(100):
            await sender.publish("a", str(number))
        await sender.drain()
        numbers = []
        async for message in client:
            numbers.append(int(message.payload))
            if len(numbers) == 1:
                await asyncio.sleep(0.3)
            if len(numbers) == 100:
                break
        assert numbers == list(range(100))
        assert client.qos0_dropped == 0


async def test_a_fast_consumer_never_waits_for_room(mosquitto: Mosquitto) -> None:
    """The signal that there is room again is not lost when the consumer takes everything at once."""
    async with Client(mosquitto.url, inbox_max=4) as client, Client(mosquitto.url) as sender:
        await client.subscribe("a", 0)

        async def receive() -> int:
            count = 0
            async for _ in client:
                count += 1
                if count == 2000:
                    break
            return count

        async with asyncio.timeout(RUN_TIMEOUT_S):  # a second for each full inbox would be 500
            receiving = asyncio.create_task(receive())
            for _ in range(2000):
                await sender.publish("a", b"", 0)
            assert await receiving == 2000
        assert client.qos0_dropped == 0


async def test_qos_0_is_dropped_and_counted_when_nothing_is_taken_and_flows_again_after(mosquitto: Mosquitto) -> None:
    """Dropping ends with the reason for it; QoS 1 is never dropped."""
    async with Client(mosquitto.url, inbox_max=10) as client, Client(mosquitto.url) as sender:
        await client.subscribe("a", 1)
        for _ in range(50):
            await sender.publish("a", b"first", 0)
        await client.subscribe("b")
        await asyncio.wait_for(_until(lambda: client._incoming.has_stalled), RUN_TIMEOUT_S)
        for _ in range(50):
            await sender.publish("a", b"second", 0)
        await sender.publish("a", b"QoS 1", 1)
        await client.subscribe("b")  # answered behind them
        dropped = client.qos0_dropped
        assert dropped > 0
        taken = []
        async for message in client:
            taken.append(message.payload)
            if message.payload == b"QoS 1":
                break
        assert len(taken) + dropped == 101
        for number in range(10):
            await sender.publish("a", str(number), 0)
        assert [int((await anext(client)).payload) for _ in range(10)] == list(range(10))
        assert client.qos0_dropped == dropped


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - there is no event for it
        await asyncio.sleep(0.01)


async def test_close_fails_what_is_not_confirmed() -> None:
    async with server(mute) as url:
        client = Client(url)
        await client.start()
        receipts = [await client.publish("a", b"", qos) for qos in (1, 2)]
        waiting = asyncio.create_task(receipts[0].completed())
        subscribing = asyncio.create_task(client.subscribe("a"))
        taking = asyncio.create_task(anext(client, None))
        await settle()
        await client.close()
        for wait in (waiting, receipts[1].completed(), subscribing):
            with pytest.raises(ClosedError):
                await wait
        assert await taking is None


async def test_a_broker_that_answers_nothing_is_noticed_though_there_is_always_something_to_send() -> None:
    lost = asyncio.Event()
    async with server(mute) as url:
        client = Client(
            url, keep_alive_s=1, timeout_s=0.5, on_connection=lambda connected, _: None if connected else lost.set()
        )
        await client.start()

        async def publish() -> None:
            while True:
                await client.publish("a", b"x", 0)
                await asyncio.sleep(0.05)

        publishing = asyncio.create_task(publish())
        async with asyncio.timeout(RUN_TIMEOUT_S):
            await lost.wait()
        publishing.cancel()
        await client.close()


async def test_drain_waits_until_the_network_has_what_was_published_at_qos_0() -> None:
    read = asyncio.Event()
    arrived = []

    async def slow(peer: Peer) -> None:
        await peer.packet()
        await peer.say(CONNACK)
        await read.wait()
        while data := await peer.reader.read(1 << 20):
            arrived.append(len(data))

    async with server(slow) as url, Client(url, size_max=1 << 25) as client:
        await client.publish("a", bytes(30_000_000), 0)  # more than the kernel's buffers take
        draining = asyncio.create_task(client.drain())
        await settle()
        assert not client._life.protocol.out
        assert not draining.done()
        read.set()
        await draining
        await client.close()
    assert sum(arrived) == 5 + 3 + 30_000_000 + 2


@statement("3.1.1", "MQTT-3.14.4-2", "MQTT-3.14.4-1")
async def test_disconnect_is_the_last_packet_whatever_others_do() -> None:
    packets: list[bytes] = []
    ended = asyncio.Event()

    async def broker(peer: Peer) -> None:
        await peer.packet()
        await peer.say(CONNACK)
        while packet := await peer.packet():
            packets.append(packet)
            if packet[0] == 0x34:
                await peer.say(b"\x50\x02" + packet[5:7])
            if packet == b"\xe0\x00":
                await peer.say(b"\x50\x02\x00\x02" + b"\x32\x05\x00\x01a\x00\x09")  # PUBREC, PUBLISH: too late
                await peer.reader.read(1) and packets.append(b"more")
                break
        ended.set()

    async with server(broker) as url:
        client = Client(url, window=2)
        await client.start()

        async def publish() -> None:
            while True:
                await client.publish("a", b"", 2)

        publishing = asyncio.create_task(publish())
        await asyncio.sleep(0.05)
        await client.close()
        with pytest.raises(ClosedError):
            await publishing
        await ended.wait()
    assert packets.count(b"\xe0\x00") == 1
    assert packets[-1] == b"\xe0\x00"


async def test_closing_twice_and_at_once_is_fine(mosquitto: Mosquitto) -> None:
    client = Client(mosquitto.url)
    await client.close()
    client = Client(mosquitto.url)
    await client.start()
    await asyncio.gather(client.close(), client.close())
    await client.close()
    await mosquitto.logged("Received DISCONNECT from")


async def test_close_while_connecting_does_not_wait_for_the_network() -> None:
    async def silent(peer: Peer) -> None:
        await peer.reader.read()

    async with server(silent) as url:
        client = Client(url, timeout_s=100)
        starting = asyncio.create_task(client.start())
        await settle()
        async with asyncio.timeout(RUN_TIMEOUT_S):
            await client.close()
        with pytest.raises(ClosedError):
            await starting


async def test_a_cancelled_start_leaves_nothing_behind(mosquitto: Mosquitto) -> None:
    for steps in range(12):
        client = Client(mosquitto.url)
        starting = asyncio.create_task(client.start())
        for _ in range(steps):
            await asyncio.sleep(0)
        starting.cancel()
        await asyncio.wait((starting,))
        await client.close()


async def test_a_time_limit_around_everything_works(mosquitto: Mosquitto) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(None) as limit, Client(mosquitto.url) as client:
            await client.subscribe("a")
            limit.reschedule(asyncio.get_running_loop().time())
            await anext(client)
    await mosquitto.logged("Received DISCONNECT from")


async def test_cancelled_waits_do_no_harm(mosquitto: Mosquitto) -> None:
    async with Client(mosquitto.url) as client:
        for make in (lambda: client.subscribe("a"), lambda: anext(client), lambda: client.unsubscribe("a")):
            for steps in range(4):
                task = asyncio.ensure_future(make())
                for _ in range(steps):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.wait((task,))
        assert await client.subscribe("a", 1) == 1
        receipt = await client.publish("a", b"still here", 1)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(receipt.completed(), 0)
        assert (await anext(client)).payload == b"still here"
        await receipt.completed()


async def test_concurrent_requests_for_one_topic_filter_each_get_their_own_answer(mosquitto: Mosquitto) -> None:
    async with Client(mosquitto.url) as client:
        answers = await asyncio.gather(
            client.subscribe("a", 0),
            client.subscribe("a", 2),
            client.unsubscribe("a"),
            client.subscribe("a", 1),
            *[client.subscribe(f"f/{number}", number % 3) for number in range(30)],
        )
        assert answers == [0, 2, None, 1, *[number % 3 for number in range(30)]]
        assert not any(wanted.request for wanted in client._life.protocol.subscriptions.values())


async def test_an_orphaned_request_survives_a_cut(mosquitto: Mosquitto) -> None:
    async with Proxy(mosquitto.port) as proxy, Client(proxy.url, client_id="x") as client:
        for _ in range(3):
            requests = asyncio.gather(client.subscribe("a", 1), client.unsubscribe("b"), client.unsubscribe("a"))
            await asyncio.sleep(0)
            proxy.cut()
            assert (await requests)[0] == 1


@pytest.mark.parametrize("when", [True, False])
async def test_a_callback_that_raises_ends_the_client_and_says_so(mosquitto: Mosquitto, when: bool) -> None:
    def on_connection(up: bool, reason: str) -> None:
        if up is when:
            raise ZeroDivisionError("in the callback")

    async with Proxy(mosquitto.port) as proxy:
        client = Client(proxy.url, on_connection=on_connection)
        logging.getLogger("mqttlite.client").disabled = True
        try:
            async with asyncio.timeout(RUN_TIMEOUT_S):
                with pytest.raises(MQTTError, match=r"internal error: ZeroDivisionError\('in the callback'"):
                    await client.start()
                    proxy.cut()
                    await anext(client)
                with pytest.raises(MQTTError, match="internal error"):
                    await client.publish("a")
                await client.close()
        finally:
            logging.getLogger("mqttlite.client").disabled = False


async def test_connection_callbacks_come_in_pairs(mosquitto: Mosquitto) -> None:
    events: list[tuple[bool, str]] = []
    async with (
        Proxy(mosquitto.port) as proxy,
        Client(proxy.url, on_connection=lambda up, reason: events.append((up, reason))) as client,
    ):
        for _ in range(2):
            await client.subscribe("a")
            proxy.cut()
            await _until(lambda: not client.is_connected)
        await client.subscribe("a")
    assert [up for up, _ in events] == [True, False, True, False, True]
    assert all(reason for up, reason in events if not up)


async def test_a_session_lost_between_pubrec_and_pubcomp_leaves_the_message_in_doubt() -> None:
    async def forgetful(peer: Peer) -> None:
        await peer.packet()
        await peer.say(CONNACK)
        packet = await peer.packet()
        if packet[0] == 0x34:
            await peer.say(b"\x50\x02" + packet[5:7])
            assert (await peer.packet())[0] == 0x62
        else:
            await peer.reader.read()

    async with server(forgetful) as url:
        client = Client(url, client_id="x")
        await client.start()
        receipt = await client.publish("a", b"", 2)
        with pytest.raises(InDoubtError, match="lost the session after taking QoS 2 message"):
            await receipt.completed()
        await client.close()


async def test_starting_twice_makes_one_connection(mosquitto: Mosquitto) -> None:
    client = Client(mosquitto.url, client_id="once")
    await asyncio.gather(client.start(), client.start())
    await client.start()
    await client.close()
    assert mosquitto.log.count("as once") == 1


async def test_a_client_can_be_used_from_the_callback_of_its_connection(mosquitto: Mosquitto) -> None:
    tasks = []

    def on_connection(up: bool, reason: str) -> None:
        if up:
            tasks.append(asyncio.create_task(client.publish("hello", b"", 1)))

    async with MosquittoSub(mosquitto.port, "-t", "hello") as sub:
        client = Client(mosquitto.url, on_connection=on_connection)
        async with client:
            assert (await sub.get()).topic == "hello"


async def test_a_slow_consumer_does_not_make_the_connection_look_dead(mosquitto: Mosquitto) -> None:
    """While the inbox is full PINGRESP waits unread behind messages: that is no sign of a dead broker."""
    events = []
    async with (
        Client(
            mosquitto.url, inbox_max=2, keep_alive_s=1, timeout_s=2, on_connection=lambda *e: events.append(e)
        ) as client,
        Client(mosquitto.url) as sender,
    ):
        await client.subscribe("a", 1)
        for _ in range(40):
            await sender.publish("a", bytes(10))
        for _ in range(35):
            await anext(client)
            await asyncio.sleep(0.15)
    assert events == [(True, "")]
