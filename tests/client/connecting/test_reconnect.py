"""The client when connections are lost: nothing lost at QoS 1 and 2, nothing twice at QoS 2, everything in order."""

import asyncio
import re
from typing import Any

import pytest

from mqttlite import Reconnect
from mqttlite.client import Client, Message, Receipt
from mqttlite.client.connecting.connector_host import HostConnector
from mqttlite.core.errors import ConnectError
from tests.client.network import CONNACK, Peer, Proxy, server
from tests.peers import RUN_TIMEOUT_S, Mosquitto, MosquittoSub, free_port, mosquitto_pub
from tests.statements import statement

COUNT = 300


class HastyConnector(HostConnector):
    """Does not back off: these tests cut often, and are about what comes after."""

    async def pause(self, ms: int) -> None:
        await super().pause(min(ms, 5))


class HastyClient(Client):
    _connector_type = HastyConnector


def first_seen(numbers: list[int]) -> list[int]:
    return list(dict.fromkeys(numbers))


def published_after_pubrel(log: str) -> set[int]:
    """Packet identifiers that Mosquitto sent to `reader` in PUBLISH although it had sent PUBREL for them.

    Mosquitto 2.0.11 does so when a cut hits its retransmission. [MQTT-4.3.3-1] forbids it, and a receiver that has
    forgotten the identifier at PUBREL, as it must, cannot tell the message from a new one.
    """
    released: set[int] = set()
    wrong: set[int] = set()
    for line in log.splitlines():
        if sent := re.search(r"Sending (PUBREL|PUBLISH) to reader \((?:d\d, q2, r\d, )?m(\d+)", line):
            identifier = int(sent[2])
            if sent[1] == "PUBREL":
                released.add(identifier)
            elif identifier in released:
                wrong.add(identifier)
    return wrong


async def take(client: Client, count: int) -> list[Message]:
    """Messages until `count` different payloads have come."""
    messages: list[Message] = []
    different: set[bytes] = set()
    async for message in client:
        messages.append(message)
        different.add(message.payload)
        if len(different) == count:
            break
    return messages


@statement("3.1.1", "MQTT-4.4.0-1", "MQTT-4.3.3-1", "MQTT-4.3.2-1", "MQTT-4.6.0-1", "MQTT-3.3.1-1")
@pytest.mark.parametrize("qos", [1, 2])
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_published_messages_survive_cuts_at_random_bytes(mosquitto: Mosquitto, seed: int, qos: int) -> None:
    async with (
        MosquittoSub(mosquitto.port, "-t", "a", "-q", "2") as sub,
        Proxy(mosquitto.port, seed, cuts=12, longest=600) as proxy,
        HastyClient(proxy.url, client_id="sender", retry_first=True) as client,
    ):
        for number in range(COUNT):
            await client.publish("a", str(number), qos)
        assert await client.drain(60)
        assert proxy.connections >= 5
        await mosquitto_pub(mosquitto.port, "-t", "a", "-q", "2", "-m", "-1")
        numbers = []
        while (number := int((await sub.get()).payload)) >= 0:
            numbers.append(number)
    assert first_seen(numbers) == list(range(COUNT))
    if qos == 2:
        assert len(numbers) == COUNT


@statement("3.1.1", "MQTT-4.3.3-2", "MQTT-4.3.2-2", "MQTT-4.6.0-2", "MQTT-4.6.0-3")
@pytest.mark.parametrize("qos", [1, 2])
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_received_messages_survive_cuts_at_random_bytes(mosquitto: Mosquitto, seed: int, qos: int) -> None:
    async with Client(mosquitto.url, client_id="reader") as client:
        await client.subscribe("a", qos)  # so that the session exists before the first cut
    async with (
        Proxy(mosquitto.port, seed, cuts=12, longest=600) as proxy,
        HastyClient(proxy.url, client_id="reader", retry_first=True) as client,
        Client(mosquitto.url) as sender,
    ):
        for number in range(COUNT):
            await sender.publish("a", str(number), 2)
        # All before the first acknowledgement: Mosquitto 2.0.11 lets what is published overtake what is queued for a
        # reader that has acknowledged a part of what it was sent again.
        assert await sender.drain(60)
        messages = await take(client, COUNT)
        numbers = [int(message.payload) for message in messages]
        assert proxy.connections >= 5
    assert first_seen(numbers) == list(range(COUNT))
    if qos == 2:
        twice = {message._packet_id & 0xFFFF for message in messages if numbers.count(int(message.payload)) > 1}
        assert twice <= published_after_pubrel(mosquitto.log)


@pytest.mark.parametrize("seed", [1, 2])
async def test_qos_0_arrives_at_most_once_and_in_order_over_cuts(mosquitto: Mosquitto, seed: int) -> None:
    async with (
        Client(mosquitto.url) as reader,
        Proxy(mosquitto.port, seed, cuts=12, longest=600) as proxy,
        HastyClient(proxy.url, retry_first=True) as client,
    ):
        await reader.subscribe("a", 0)
        for number in range(COUNT):
            await client.publish("a", str(number), 0)
            await asyncio.sleep(0)
        await (await client.publish("a", str(COUNT), 1)).completed()
        numbers = []
        async for message in reader:
            numbers.append(int(message.payload))
            if numbers[-1] == COUNT:
                break
    assert numbers == sorted(set(numbers))


@statement("3.1.1", "MQTT-4.1.0-1", "MQTT-3.1.2-4", "MQTT-3.1.2-5")
@pytest.mark.parametrize("qos", [1, 2])
async def test_a_broker_restarted_in_mid_stream_costs_nothing(mosquitto: Mosquitto, qos: int) -> None:
    """Stopped by SIGTERM, at which it saves: everything else is the client's duty."""
    async with Client(mosquitto.url, client_id="reader") as reader:
        await reader.subscribe("a", qos)
        async with Client(mosquitto.url, client_id="sender") as sender:

            async def publish() -> None:
                for number in range(COUNT):
                    await sender.publish("a", str(number), qos)
                    if number % 100 == 50:
                        mosquitto.stop()
                        mosquitto.start()

            _, messages = await asyncio.gather(publish(), take(reader, COUNT))
            assert await sender.drain(60)
        numbers = [int(message.payload) for message in messages]
        assert first_seen(numbers) == list(range(COUNT))
        if qos == 2:
            assert len(numbers) == COUNT


@pytest.mark.parametrize("qos", [1, 2])
async def test_a_broker_killed_when_it_has_saved_everything_costs_nothing(mosquitto: Mosquitto, qos: int) -> None:
    """kill -9, and publishing goes on while the broker is dead."""
    numbers: list[int] = []
    async with Client(mosquitto.url, client_id="reader") as reader, Client(mosquitto.url, client_id="s") as sender:
        await reader.subscribe("a", qos)

        async def publish() -> None:
            for number in range(COUNT):
                if number % 100 == 50:
                    while len(set(numbers)) < number:
                        await reader.subscribe("round/trip")
                    assert await sender.drain(60)
                    for _ in range(3):  # PUBREC, PUBREL, PUBCOMP
                        await reader.subscribe("round/trip")
                    for _ in range(2):  # Mosquitto saves the last change only with the next one
                        await (await sender.publish("save", str(number), 1, retain=True)).completed()
                    mosquitto.kill()
                await sender.publish("a", str(number), qos)
                if number % 100 == 70:
                    mosquitto.start()

        async def receive() -> None:
            async for message in reader:
                numbers.append(int(message.payload))
                if len(set(numbers)) == COUNT:
                    break

        await asyncio.gather(publish(), receive())
    assert first_seen(numbers) == list(range(COUNT))
    if qos == 2:
        assert len(numbers) == COUNT


@pytest.mark.parametrize("qos", [1, 2])
async def test_a_killed_broker_loses_nothing_that_it_had_not_acknowledged(mosquitto: Mosquitto, qos: int) -> None:
    """kill -9 at any moment. Mosquitto may lose what it took (PUBACK, PUBREC) and had not saved."""
    receipts: list[Receipt] = []
    acknowledged: set[int] = set()

    def on_connection(up: bool, reason: str) -> None:
        if not up:
            released = [seq for seq, message in sender._life.session.messages.items() if message is None]
            acknowledged.update(n for n, receipt in enumerate(receipts) if receipt.done or receipt.seq in released)

    async with Client(mosquitto.url, client_id="reader") as reader:
        await reader.subscribe("a", qos)
        async with Client(mosquitto.url, client_id="sender", on_connection=on_connection) as sender:
            for number in range(COUNT):
                receipts.append(await sender.publish("a", str(number), qos))
                if number == 150:
                    await receipts[100].completed()
                    mosquitto.kill()
                    mosquitto.start()
            assert await sender.drain(60)
            await sender.publish("a", "-1", qos)
            numbers = []
            async for message in reader:
                if message.payload == b"-1":
                    break
                numbers.append(int(message.payload))
    assert set(range(COUNT)) - set(numbers) <= acknowledged


@statement("3.1.1", "MQTT-3.2.2-2", "MQTT-3.2.2-3")
async def test_subscriptions_come_back_when_the_broker_has_lost_the_session(mosquitto: Mosquitto) -> None:
    events: list[tuple[bool, str]] = []
    connected = asyncio.Event()

    def on_connection(up: bool, reason: str) -> None:
        events.append((up, reason))
        (connected.set if up else connected.clear)()

    async with Client(mosquitto.url, client_id="reader", on_connection=on_connection) as client:
        for number in range(20):
            await client.subscribe(f"f/{number}", 1)
        await client.unsubscribe("f/0")
        mosquitto.kill()
        for file in mosquitto.folder.glob("*.db*"):
            file.unlink()
        mosquitto.start()
        while len(events) < 3:
            connected.clear()
            await connected.wait()
        assert not client.session_present
        assert await client.subscribe("ready", 1) == 1
        for number in (0, 1, 19):
            await mosquitto_pub(mosquitto.port, "-t", f"f/{number}", "-q", "1", "-m", str(number))
        assert [message.topic for message in await take(client, 2)] == ["f/1", "f/19"]
    assert [up for up, _ in events] == [True, False, True]
    assert "closed the connection" in events[1][1] or events[1][1] == ""


async def test_a_kept_session_is_present_and_is_not_subscribed_again(mosquitto: Mosquitto) -> None:
    async with Proxy(mosquitto.port) as proxy, Client(proxy.url, client_id="reader") as client:
        await client.subscribe("a", 1)
        proxy.cut()
        await client.subscribe("b", 1)
        assert client.session_present
        assert mosquitto.log.count("\ta (QoS 1)") == 1


@statement("3.1.1", "MQTT-3.1.4-2")
async def test_a_second_client_with_the_same_identifier_takes_over(mosquitto: Mosquitto) -> None:
    lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def on_connection(up: bool, reason: str) -> None:
        if not up and not lost.done():
            lost.set_result(reason)

    async with Client(mosquitto.url, client_id="same", on_connection=on_connection) as first:
        await first.subscribe("a", 1)
        async with Client(mosquitto.url, client_id="same") as second:
            assert (await lost).endswith(" closed the connection")
            await first.close()
            if not second.is_connected:  # the first one came back before it was closed
                await second.subscribe("a", 1)
            await mosquitto_pub(mosquitto.port, "-t", "a", "-q", "1", "-m", "for the second")
            assert (await anext(second)).payload == b"for the second"


@pytest.mark.parametrize("qos", [1, 2])
async def test_a_message_whose_handler_raises_comes_again_on_the_next_connection(
    mosquitto: Mosquitto, qos: int
) -> None:
    async def work() -> list[tuple[bytes, bool]]:
        handled = []
        async with Client(mosquitto.url, client_id="worker") as client:
            await client.subscribe("jobs", qos)
            if not client.session_present:
                for number in range(5):
                    await client.publish("jobs", str(number), qos)
            async for message in client:
                if message.payload == b"2" and not message.dup:
                    raise ZeroDivisionError
                handled.append((message.payload, message.dup))
                if message.payload == b"4":
                    break
        return handled

    with pytest.raises(ZeroDivisionError):
        await work()
    assert await work() == [(b"2", True), (b"3", True), (b"4", True)]


async def test_a_message_is_acknowledged_only_when_the_next_one_is_asked_for(mosquitto: Mosquitto) -> None:
    async with Client(mosquitto.url, client_id="worker") as client:
        await client.subscribe("jobs", 1)
        await client.publish("jobs", "1", 1)
        await client.publish("jobs", "2", 1)
        await anext(client)
        await client.subscribe("other")  # a round trip
        assert "Received PUBACK from worker" not in mosquitto.log
        await anext(client)
        await client.subscribe("other")
        assert mosquitto.log.count("Received PUBACK from worker") == 1


async def test_retry_first_waits_for_a_broker_that_starts_later(mosquitto: Mosquitto) -> None:
    mosquitto.kill()
    with pytest.raises(ConnectError):
        await Client(mosquitto.url).start()
    client = Client(mosquitto.url, retry_first=True, timeout_s=5)
    starting = asyncio.create_task(client.start())
    await asyncio.sleep(0)  # it has begun
    receipt = await client.publish("a", "early", 1, retain=True)
    assert await client.publish("a", "early", 0)
    assert client.qos0_dropped == 1
    mosquitto.start()
    await starting
    await receipt.completed()
    await client.close()
    async with MosquittoSub(mosquitto.port, "-t", "a") as sub:
        assert (await sub.get()).payload == b"early"


async def test_qos_0_without_a_connection_is_counted(mosquitto: Mosquitto) -> None:
    down = asyncio.Event()

    def on_connection(up: bool, reason: str) -> None:
        if not up:
            down.set()

    async with Client(mosquitto.url, on_connection=on_connection) as client:
        mosquitto.kill()
        await down.wait()
        for _ in range(3):
            await client.publish("a", b"", 0)
        assert client.qos0_dropped == 3


async def test_a_broker_that_goes_silent_is_noticed() -> None:
    """Keep alive 1 s, no PINGRESP: the connection is given up and made again."""
    lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    connections = []

    async def silent(peer: Peer) -> None:
        await peer.packet()
        await peer.say(CONNACK)
        connections.append(peer)
        assert await peer.packet() == b"\xc0\x00"
        await peer.reader.read()

    def on_connection(up: bool, reason: str) -> None:
        if not up and not lost.done():
            lost.set_result(reason)

    async with server(silent) as url, Client(url, keep_alive_s=1, timeout_s=0.2, on_connection=on_connection) as client:
        async with asyncio.timeout(RUN_TIMEOUT_S):
            assert (await lost).endswith(" was given up: no answer to PINGREQ within 200 ms")
        await client.close()


@statement("3.1.1", "MQTT-3.1.2-23")
async def test_pings_keep_a_connection_whose_keep_alive_is_shorter_than_the_time_out() -> None:
    """The deadline moves when PINGRESP comes; at 1 s keep alive the next PINGREQ may not wait for the 10 s time-out."""
    times: list[float] = []
    enough = asyncio.Event()

    async def answering(peer: Peer) -> None:
        await peer.packet()
        await peer.say(CONNACK)
        while await peer.packet() == b"\xc0\x00":
            times.append(asyncio.get_running_loop().time())
            await peer.say(b"\xd0\x00")
            if len(times) == 3:
                enough.set()

    async with server(answering) as url, Client(url, keep_alive_s=1, timeout_s=30):
        async with asyncio.timeout(RUN_TIMEOUT_S):
            await enough.wait()


async def test_nobody_is_pinged_without_keep_alive(mosquitto: Mosquitto) -> None:
    async with Client(mosquitto.url, keep_alive_s=0) as client:
        assert client._life.protocol.deadline() is None
        await (await client.publish("a")).completed()


async def test_reconnection_attempts_to_a_dead_address_do_not_pile_up() -> None:
    client = Client(f"mqtt://127.0.0.1:{free_port()}", retry_first=True)
    starting = asyncio.create_task(client.start())
    await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert len(asyncio.all_tasks()) == 1


async def test_delays_between_attempts_are_those_that_were_set() -> None:
    reasons: list[str] = []
    port = free_port()
    client = Client(f"mqtt://127.0.0.1:{port}", retry_first=True, reconnect=Reconnect(least_s=0.002, greatest_s=0.008))
    enough = asyncio.Event()

    def note(text: str) -> None:
        reasons.append(text)
        if len(reasons) == 12:
            enough.set()

    client._life.log = note
    await client.start(wait=False)
    await enough.wait()
    await client.close()
    delays = [int(text.split("again in ")[1].split(" ms")[0]) for text in reasons]
    assert delays[0] <= 3
    assert all(1 <= delay <= 8 for delay in delays)
    assert max(delays[3:]) > 4  # grown to half of 8 at least


async def test_it_gives_up_when_it_was_told_to_and_says_for_how_long_it_has_tried() -> None:
    client = Client(
        f"mqtt://127.0.0.1:{free_port()}",
        retry_first=True,
        reconnect=Reconnect(least_s=0.001, greatest_s=0.01, give_up_after_s=0.05),
    )
    with pytest.raises(ConnectError, match=r"no connection to .* for 0\.05 s: given up"):
        await client.start()


async def test_a_connection_in_time_starts_the_time_anew(mosquitto: Mosquitto) -> None:
    async with Proxy(mosquitto.port) as proxy:
        reconnect = Reconnect(least_s=0.001, greatest_s=0.01, give_up_after_s=5)
        client = Client(proxy.url, reconnect=reconnect)
        await client.start()
        proxy.cut()
        while client._connector.connections < 2:
            await client._life.progress.wait()
        assert client._connector._giving_up is None
        await proxy.shut()
        receipt = await client.publish("t", "a")
        client._connector._give_up()
        with pytest.raises(ConnectError, match="given up"):
            await receipt
        with pytest.raises(ConnectError, match="given up"):
            await client.publish("t", "b")
        await client.close()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"least_s": 0}, "least_s"),
        ({"greatest_s": "1"}, "greatest_s"),
        ({"least_s": 5, "greatest_s": 1}, "greatest_s must be least_s or more"),
        ({"give_up_after_s": -1}, "give_up_after_s"),
    ],
)
def test_settings_for_reconnecting_are_checked(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=words):
        Reconnect(**arguments)
    with pytest.raises(TypeError, match="reconnect must be Reconnect"):
        Client("mqtt://localhost", reconnect=(1, 2))  # type: ignore[arg-type]
