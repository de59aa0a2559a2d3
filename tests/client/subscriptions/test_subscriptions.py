"""Subscriptions with messages of their own: who gets what, and when it is acknowledged."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

import pytest

from mqttlite import Client, ProtocolError, SubscribeError
from mqttlite.client.subscriptions import distribution
from mqttlite.client.subscriptions.subscription import Subscription
from mqttlite.core.keys import wrap
from tests.client.network import CONNACK, Peer, server


async def take(messages: "Subscription | Client", count: int) -> list[str]:
    """The payloads of the next messages; the last one is not handled yet."""
    return [(await anext(messages)).payload.decode() for _ in range(count)]


async def test_each_subscription_has_its_own_messages_and_the_client_the_rest(broker_url: str) -> None:
    async with Client(broker_url) as client, Client(broker_url) as other:
        await client.subscribe("rest/#")
        rest = asyncio.create_task(take(client, 2))
        async with client.subscription("room/#", 1) as room, client.subscription("hall/+/state") as hall:
            assert (room.qos, hall.qos) == (1, 2)
            for number, topic in enumerate(["room/1", "rest/a", "hall/2/state", "room/2/x", "rest/b", "hall/2/state"]):
                await other.publish(topic, str(number), number % 3)
            assert await take(hall, 2) == ["2", "5"]
            assert await take(room, 2) == ["0", "3"]
            assert await rest == ["1", "4"]


def to_two_subscriptions(
    messages: bytes, asked: asyncio.Event, acknowledged: asyncio.Event, *acknowledgements: bytes
) -> Callable[[Peer], Awaitable[None]]:
    """A broker that sends `messages` to two subscriptions, and says `acknowledged` where none had come when it was
    `asked`; then all of them come.
    """

    async def script(peer: Peer) -> None:
        await peer.packet()
        await peer.say(CONNACK)
        for _ in range(2):
            subscribe = await peer.packet()
            await peer.say(b"\x90\x03" + subscribe[2:4] + b"\x01")
        await peer.say(messages)
        await asked.wait()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await peer.reader.readexactly(1)
        acknowledged.set()
        for acknowledgement in acknowledgements:
            assert await peer.packet() == acknowledgement
        for _ in range(2):
            unsubscribe = await peer.packet()
            await peer.say(b"\xb0\x02" + unsubscribe[2:4])
        await peer.packet()

    return script


async def test_where_filters_overlap_each_gets_its_copy_and_one_acknowledgement_leaves_when_all_have_handled_it() -> (
    None
):
    asked = asyncio.Event()
    acknowledged = asyncio.Event()

    # [MQTT-4.6.0-2]: in the order of arrival, though b was handled by all before a was
    script = to_two_subscriptions(
        b"\x32\x06\x00\x01t\x00\x07a" + b"\x32\x06\x00\x01t\x00\x08b",
        asked,
        acknowledged,
        b"\x40\x02\x00\x07",
        b"\x40\x02\x00\x08",
    )
    async with (
        server(script) as url,
        Client(url) as client,
        client.subscription("t", 1) as one,
        client.subscription("#", 1) as all_,
    ):
        first, copied = await anext(one), await anext(all_)
        assert first is not copied
        assert (first.topic, first.payload, first.qos) == (copied.topic, copied.payload, copied.qos) == ("t", b"a", 1)
        assert (await anext(one)).payload == b"b"  # a is handled here, and not there
        waiting = asyncio.create_task(anext(one))  # b, too
        asked.set()
        await acknowledged.wait()
        assert (await anext(all_)).payload == b"b"
        waiting.cancel()


async def test_what_one_subscription_drops_is_not_acknowledged_before_another_has_handled_it() -> None:
    asked = asyncio.Event()
    acknowledged = asyncio.Event()

    script = to_two_subscriptions(
        b"\x30\x04\x00\x01ta" + b"\x32\x06\x00\x01t\x00\x08b", asked, acknowledged, b"\x40\x02\x00\x08"
    )
    async with (
        server(script) as url,
        Client(url) as client,
        client.subscription("t", 1, queue_max=1, when_full="drop-newest") as display,
        client.subscription("#", 1) as all_,
    ):
        assert await take(all_, 2) == ["a", "b"]
        assert display.dropped == 1
        asked.set()
        await acknowledged.wait()  # b, which is not handled here, is not acknowledged


async def test_a_subscription_ends_with_its_block(url: str) -> None:
    async with Client(url) as client, Client(url) as other:
        async with client.subscription("t") as messages:
            await other.publish("t", "a")
            async for message in messages:
                assert message.payload == b"a"
                break
        assert not client._life.protocol.subscriptions
        with pytest.raises(RuntimeError, match=r"async with client\.subscription"):
            await anext(messages)
        async with client.subscription("t") as messages:  # nothing is left of the first
            await other.publish("t", "b")
            assert await take(messages, 1) == ["b"]


async def test_it_stays_while_another_has_the_same_filter(url: str) -> None:
    async with Client(url) as client, Client(url) as other, client.subscription("t", 1) as first:
        async with client.subscription("t", 0) as second:
            assert second.qos == 1  # what the first needs
        await other.publish("t", "a", 1)
        assert await take(first, 1) == ["a"]


async def test_what_a_block_that_fails_has_not_handled_is_for_the_next_one(broker_url: str) -> None:
    async with Client(broker_url) as other:
        async with Client(broker_url, client_id="kept") as client:
            with pytest.raises(ZeroDivisionError):
                async with client.subscription("t") as messages:
                    for text in "abc":
                        await other.publish("t", text, 2)
                    assert await take(messages, 2) == ["a", "b"]
                    raise ZeroDivisionError
            async with client.subscription("t", unsubscribe=False) as messages:
                assert await take(messages, 2) == ["b", "c"]
        await other.publish("t", "d", 2)
        async with Client(broker_url, client_id="kept") as client, client.subscription("t") as messages:
            assert await take(messages, 1) == ["d"]


async def test_what_waits_in_a_kept_session_waits_for_its_subscription(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Client(url) as other:
        async with Client(url, client_id="kept") as client:
            await client.subscribe("#")
        for topic in ("a", "b", "a"):
            await other.publish(topic, topic, 1)
        async with (
            Client(url, client_id="kept") as client,
            client.subscription("b") as b,
            client.subscription("a") as a,
        ):
            assert await take(b, 1) == ["b"]
            assert await take(a, 2) == ["a", "a"]


async def test_what_nobody_takes_is_dropped_counted_and_named(
    url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(distribution, "UNCLAIMED_S", 0)
    async with Client(url) as client, Client(url) as other:
        await client.subscribe("#")
        async with client.subscription("a") as messages:
            for topic in ("x", "x", "y", "a"):
                await other.publish(topic, topic, 2)
            assert await take(messages, 1) == ["a"]
        assert client._dropped == {"unclaimed": 3}
    words = [record.getMessage() for record in caplog.records if "matches no open subscription" in record.getMessage()]
    assert [word.split("'")[1] for word in words] == ["x", "y"]


async def test_messages_of_a_shared_subscription_are_found(url: str) -> None:
    async with Client(url) as client, Client(url) as other, client.subscription("$share/workers/job/+") as jobs:
        await other.publish("job/1", "a")
        assert await take(jobs, 1) == ["a"]


@pytest.mark.parametrize(("when_full", "expected"), [("drop-oldest", "cde"), ("drop-newest", "abc")])
async def test_a_full_queue_drops_what_it_was_told_to_and_nobody_waits(url: str, when_full: str, expected: str) -> None:
    async with (
        Client(url) as client,
        Client(url) as other,
        client.subscription("t", queue_max=3, when_full=when_full) as some,
        client.subscription("#") as all_,
    ):
        for text in "abcde":
            await other.publish("t", text, 2)
        assert "".join(await take(all_, 5)) == "abcde"
        assert "".join(await take(some, 3)) == expected
        assert some.dropped == client._dropped["iterator_full"] == 2


async def test_what_is_shared_and_what_is_not_come_once_to_each_iterator(broker_url: str) -> None:
    """4.8.2: the client gets a copy for each; of the shared one the identifier says so [MQTT-3.3.4-3]."""
    async with (
        Client(broker_url, version="5.0") as client,
        Client(broker_url) as other,
        client.subscription("$share/g/one") as shared,
        client.subscription("one") as plain,
        client.subscription("$share/h/+") as second,
        client.subscription("$share/g/one") as again,
    ):
        for number in range(6):
            await (await other.publish("one", str(number), number % 3 or 1))
        await (await other.publish("end", "end"))
        assert await take(second, 7) == [*"012345", "end"]  # behind all that came for the topic before
        for messages in (shared, plain, again):
            assert await take(messages, 6) == [*"012345"]
            assert not messages.queue


async def test_a_full_queue_that_holds_stops_reading_and_goes_on_when_there_is_room(url: str) -> None:
    async with (
        Client(url) as client,
        Client(url, window=1000) as other,
        client.subscription("t", 0, queue_bytes=2_000_000) as messages,
    ):
        receipts = [await other.enqueue("t", bytes(100_000), 0) for _ in range(100)]
        assert len(receipts) == 100
        sizes = []
        while len(sizes) < 20:
            sizes.append(len((await anext(messages)).payload))
            assert messages.size <= 2_300_000
        assert messages.dropped == 0


async def test_nothing_is_acknowledged_but_by_hand_with_manual_ack(url: str) -> None:
    async with Client(url, manual_ack=True) as client, Client(url) as other, client.subscription("t", 1) as messages:
        for text in "abc":
            await other.publish("t", text, 1)
        a, b, c = [await anext(messages) for _ in range(3)]
        client.acknowledge(b)
        await client.heard()
        assert len(client._life.session.inbound) == 3  # a comes first
        client.acknowledge(a)
        assert list(client._life.session.inbound) == [c._packet_id & 0xFFFF]
        client.acknowledge(c)
        assert not client._life.session.inbound


async def test_repeated_keys_are_not_given_out(url: str) -> None:
    async with (
        Client(url, keys=True, client_id="k") as client,
        Client(url) as other,
        client.subscription("t", 1) as messages,
    ):
        await other.publish("t", wrap((b"p", 1, 1), b"a"), 1)
        await other.publish("t", wrap((b"p", 1, 1), b"again"), 1)  # while the first is not handled
        await other.publish("t", wrap((b"p", 1, 2), b"b"), 1)
        assert await take(messages, 2) == ["a", "b"]
        await other.publish("t", wrap((b"p", 1, 1), b"again"), 1)  # and when it is
        await other.publish("t", wrap((b"p", 1, 3), b"c"), 1)
        assert await take(messages, 1) == ["c"]


async def test_a_large_message_between_others_is_acknowledged_in_its_turn(url: str) -> None:
    async with Client(url, size_max=1000) as client, Client(url) as other:
        async with client.subscription("t", 1) as messages:
            for payload in (b"a", bytes(2000), b"b"):
                await other.publish("t", payload, 1)
            assert await take(messages, 2) == ["a", "b"]
            assert client.oversized == 1
        assert not client._life.session.inbound


async def test_closing_ends_the_iterator_and_a_lost_client_says_why(url: str) -> None:
    async with Client(url) as client, client.subscription("t") as messages:
        task = asyncio.create_task(take(messages, 1))
        await asyncio.sleep(0)
        await client.close()
        with pytest.raises(StopAsyncIteration):
            try:
                await task
            except RuntimeError as error:  # what a coroutine makes of it
                raise error.__cause__ or error from None
        assert [message async for message in messages] == []


async def test_a_subscription_is_used_by_one_task_in_one_block(url: str) -> None:
    async with Client(url) as client, client.subscription("t") as messages:
        waiting = asyncio.create_task(take(messages, 1))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="two tasks"):
            await anext(messages)
        with pytest.raises(RuntimeError, match="is in use"):
            await messages.__aenter__()
        waiting.cancel()


async def test_two_tasks_that_iterate_over_one_client_are_told_so(url: str) -> None:
    async with Client(url) as client:
        await client.subscribe("t")
        waiting = asyncio.create_task(take(client, 2))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match=r"two tasks .*client\.subscription"):
            await anext(client)
        for payload in "ab":
            await client.publish("t", payload)
        assert await waiting == ["a", "b"]
        waiting = asyncio.create_task(take(client, 1))
        await asyncio.sleep(0)
        waiting.cancel()  # who has given up does not wait any more
        await asyncio.wait([waiting])
        await client.publish("t", "c")
        assert await take(client, 1) == ["c"]


@pytest.mark.parametrize(
    ("topic_filter", "rule"),
    [
        ("$share/x", "MQTT-4.8.2-2"),
        ("$share/x/", "MQTT-4.8.2-2"),
        ("$share//a", "MQTT-4.8.2-1"),
        ("$share/", "MQTT-4.8.2-1"),
        ("$share/+/a", "MQTT-4.8.2-2"),
        ("$share/x#/a", "MQTT-4.8.2-2"),
    ],
)
async def test_what_is_no_shared_subscription_is_refused_before_it_is_sent(
    url: str, topic_filter: str, rule: str
) -> None:
    """[MQTT-4.8.2-1] [MQTT-4.8.2-2]"""
    for version in ("3.1.1", "5.0"):
        async with Client(url, version=version) as client:
            with pytest.raises(ProtocolError, match=r"\$share/") as error:
                await client.subscribe(topic_filter)
            assert error.value.rule == rule
            with pytest.raises(ProtocolError, match=rule):
                client.subscription(topic_filter)
            assert await client.subscribe("$share/x/a") == 2  # nothing was sent: the connection is as it was
            assert client.statistics().reconnections == 0


async def test_a_subscription_identifier_of_0_is_refused(url: str) -> None:
    """3.8.2.1.2: it is a Protocol Error."""
    async with Client(url, version="5.0") as client:
        with pytest.raises(ValueError, match="subscription_identifier must be 1 to 268435455, not 0"):
            await client.subscribe("t", subscription_identifier=0)


async def test_wrong_arguments_are_told_where_they_stand(url: str) -> None:
    client = Client(url)
    for wrong, words in (
        ({"topic_filter": 7}, "topic_filter must be str"),
        ({"topic_filter": "a", "qos": 3}, "qos must be 0, 1 or 2"),
        ({"topic_filter": "a", "queue_max": 0}, "queue_max must be 1 or more"),
        ({"topic_filter": "a", "when_full": "burn"}, "when_full is"),
    ):
        with pytest.raises((TypeError, ValueError), match=words):
            client.subscription(**wrong)  # type: ignore[arg-type]
    with pytest.raises(ProtocolError, match=r"MQTT-4\.7"):
        client.subscription("a/#/b")
    with pytest.raises(RuntimeError, match="not started"):
        async with client.subscription("a"):
            pass


async def test_a_refused_subscription_leaves_nothing_behind() -> None:
    async def script(peer: Peer) -> None:
        await peer.packet()
        await peer.say(CONNACK)
        subscribe = await peer.packet()
        await peer.say(b"\x90\x03" + subscribe[2:4] + b"\x80")
        await peer.packet()

    async with server(script) as url, Client(url) as client:
        with pytest.raises(SubscribeError, match="secret"):
            async with client.subscription("secret"):
                pass
        assert client._distribution is not None
        assert client._distribution.subscriptions == []


async def test_handled_messages_are_acknowledged_before_the_next_is_given_out_however_slow_the_loop_body(
    broker_url: str,
) -> None:
    async with Client(broker_url) as client, Client(broker_url) as other, client.subscription("t", 1) as messages:
        for text in "abc":
            await (await other.publish("t", text, 1))
        given = []
        async for message in messages:
            given.append(message)
            if len(given) > 1:
                assert given[-2]._packet_id & 0xFFFF not in client._life.session.inbound
                assert client._life.written == client._life.taken_out  # the acknowledgement has left
            time.sleep(0.006)  # noqa: ASYNC251
            if len(given) == 3:
                break


async def test_cancelled_while_it_subscribes_it_leaves_no_subscription(url: str) -> None:
    async with Client(url) as client:
        for turns in range(6):
            entering = asyncio.create_task(client.subscription("t").__aenter__())
            for _ in range(turns):
                await asyncio.sleep(0)
            entering.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await entering
                await client.unsubscribe("t")
            while client._tasks:
                await asyncio.wait(set(client._tasks))
            assert not client._life.protocol.subscriptions, turns
            if client._distribution:
                client._distribution.subscriptions.clear()


async def test_options_of_a_subscription_are_those_of_subscribe(url: str) -> None:
    """[MQTT-3.8.3-3]: with No Local, what this client publishes does not come back."""
    async with Client(url, version="5.0") as client, Client(url, version="5.0") as other:
        await other.publish("t", "old", 1, retain=True)
        async with client.subscription("t", no_local=True, retain_handling=2) as messages:
            await client.publish("t", "own", 1)
            await other.publish("t", "new", 1, content_type="text/plain")
            message = await anext(messages)
            assert (message.payload, message.content_type) == (b"new", "text/plain")
        with pytest.raises(TypeError, match="no argument 'nolocal'"):
            async with client.subscription("t", nolocal=True):
                pass


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("messages", "client.subscription"),
        ("filtered_messages", "client.subscription"),
        ("message_callback_add", "@client.on"),
        ("reconnect_delay_set", "Reconnect"),
        ("ws_set_options", "ws://host/path"),
        ("max_inflight_messages_set", "window="),
        ("connect_async", "wait=False"),
        ("enable_logger", "getLogger"),
        ("user_data_set", "of your own"),
    ],
)
def test_what_other_clients_call_it_is_told(name: str, words: str) -> None:
    with pytest.raises(AttributeError, match=f"Client has no '{name}': .*{words}"):
        getattr(Client("mqtt://localhost"), name)


@pytest.mark.parametrize("version", ["3.1.1", "5.0"])
async def test_a_filter_that_is_none_of_a_shared_subscription_is_refused_before_it_is_sent(
    broker_url: str, version: str
) -> None:
    async with Client(broker_url, version=version) as client:
        for wrong, rule in (
            ("$share/", "MQTT-4.8.2-1"),
            ("$share//a", "MQTT-4.8.2-1"),
            ("$share/x", "MQTT-4.8.2-2"),
            ("$share/x/", "MQTT-4.8.2-2"),
            ("$share/+/a", "MQTT-4.8.2-2"),
            ("$share/a#/a", "MQTT-4.8.2-2"),
        ):
            said = r"a shared subscription is \$share/NAME/FILTER"
            for ask in (client.subscribe, client.unsubscribe):
                with pytest.raises(ProtocolError, match=said) as caught:
                    await ask(wrong)
                assert caught.value.rule == rule  # [MQTT-4.8.2-1] [MQTT-4.8.2-2]
            with pytest.raises(ProtocolError, match=said):
                client.subscription(wrong)
            with pytest.raises(ProtocolError, match=said):
                client.on(wrong)(print)
        assert not client._life.protocol.subscriptions
        assert await client.subscribe("$share/x//", qos=1) == 1
