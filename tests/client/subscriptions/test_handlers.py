"""Functions that are called for each message of a topic filter."""

import asyncio
import functools
import logging
import threading

import pytest

from mqttlite import Client, Message, SubscribeError, blocking
from tests.client.network import CONNACK, Peer, server


class Taken:
    """What handlers have got; `wait` until there are so many."""

    def __init__(self) -> None:
        self.all: list[tuple[str, str]] = []
        self._some = asyncio.Condition()

    async def add(self, who: str, message: Message) -> None:
        async with self._some:
            self.all.append((who, message.payload.decode()))
            self._some.notify_all()

    async def wait(self, count: int) -> list[tuple[str, str]]:
        async with self._some:
            await self._some.wait_for(lambda: len(self.all) >= count)
        return self.all


async def test_functions_are_called_from_the_start_on_each_with_its_own_messages_in_order(broker_url: str) -> None:
    taken = Taken()
    client = Client(broker_url)

    @client.on("room/+/state", qos=1)
    async def state(message: Message) -> None:
        await asyncio.sleep(0.001 * (int(message.payload) % 2))
        await taken.add("state", message)

    @client.on("room/#")
    async def room(message: Message) -> None:
        await taken.add("room", message)

    async with client, Client(broker_url) as other:
        for number in range(6):
            await other.publish("room/1/state" if number % 3 else "room/1", str(number), 2)
        got = await taken.wait(10)
    assert [text for who, text in got if who == "state"] == ["1", "2", "4", "5"]
    assert [text for who, text in got if who == "room"] == ["0", "1", "2", "3", "4", "5"]


async def test_a_plain_function_may_block_in_a_thread_and_is_called_in_order(url: str) -> None:
    main = threading.get_ident()
    got: list[bytes] = []
    done = threading.Event()
    enough = asyncio.Event()
    loop = asyncio.get_running_loop()

    def slow(message: Message) -> None:
        assert threading.get_ident() != main
        done.wait(1)  # until the event loop says so, which therefore goes on
        got.append(message.payload)
        if len(got) == 3:
            loop.call_soon_threadsafe(enough.set)

    async with Client(url) as client, Client(url) as other:
        task = asyncio.create_task(client.handle(slow, "t", 1))
        while not client._life.protocol.subscriptions:
            await client._life.progress.wait()
        for text in "abc":
            await other.publish("t", text)
        done.set()
        await enough.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert got == [b"a", b"b", b"c"]


async def test_one_that_raises_is_named_with_its_topic_and_stops_nothing_else(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    taken = Taken()
    client = Client(url)

    @client.on("t/#", tries=2, pause_s=0)
    async def picky(message: Message) -> None:
        await taken.add("picky", message)
        if message.payload == b"bad":
            raise ValueError("not this one")

    @client.on("#")
    async def calm(message: Message) -> None:
        await taken.add("calm", message)

    async with client, Client(url) as other:
        for text in ("bad", "good"):
            await other.publish("t/1", text, 1)
        got = await taken.wait(5)
        assert [text for who, text in got if who == "picky"] == ["bad", "bad", "good"]
        assert [text for who, text in got if who == "calm"] == ["bad", "good"]
        assert client._dropped == {"handler_failed": 1}
    tried, given_up = [each.getMessage() for each in caplog.records if "picky" in each.getMessage()]
    for words in (tried, given_up):
        assert "picky of 't/#', at a message of 't/1': ValueError('not this one')" in words
    assert tried.endswith("it is tried again")
    assert given_up.endswith("it is given up, and acknowledged")


async def test_one_that_is_to_stop_is_raised_by_run_and_its_message_comes_again(url: str) -> None:
    def broken(message: Message) -> None:
        raise ZeroDivisionError

    async with Client(url) as other:
        client = Client(url, client_id="kept")
        client.on("t", on_error="raise")(functools.partial(broken))
        with pytest.raises(ZeroDivisionError) as raised:
            async with client:
                await other.publish("t", "a", 2)
                await client.run()
        assert "broken of 't', at a message of 't'" in raised.value.__notes__[0]
        taken = Taken()
        client = Client(url, client_id="kept")
        client.on("t")(functools.partial(taken.add, "second"))
        async with client:
            assert await taken.wait(1) == [("second", "a")]


async def test_run_returns_when_the_client_is_closed(url: str) -> None:
    async with Client(url) as client:
        running = asyncio.create_task(client.run())
        await asyncio.sleep(0)
        await client.close()
        await running


async def test_a_handler_ends_the_message_that_it_is_at_when_the_client_is_closed(url: str) -> None:
    entered = asyncio.Event()
    ended: list[bytes] = []
    client = Client(url, client_id="kept")

    @client.on("t", qos=1)
    async def slow(message: Message) -> None:
        entered.set()
        await asyncio.sleep(0.02)
        ended.append(message.payload)

    async with Client(url) as other:
        async with client:
            for text in "ab":
                await other.publish("t", text, 1)
            await entered.wait()
        assert ended == [b"a"]
        async with Client(url, client_id="kept") as again:  # b was not handled, and a is not repeated
            assert (await anext(again)).payload == b"b"


async def test_a_refused_subscription_of_a_handler_is_told_at_the_start() -> None:
    async def script(peer: Peer) -> None:
        await peer.packet()
        await peer.say(CONNACK)
        subscribe = await peer.packet()
        await peer.say(b"\x90\x03" + subscribe[2:4] + b"\x80")
        await peer.packet()

    async with server(script) as url:
        client = Client(url)
        client.on("secret")(print)
        with pytest.raises(SubscribeError, match="secret"):
            await client.start()
        assert not client.is_connected


def test_a_decorator_without_its_topic_filter_is_told_at_once() -> None:
    for client in (Client("mqtt://localhost"), blocking.Client("mqtt://localhost")):

        def state(message: object) -> None: ...

        with pytest.raises(TypeError, match=r"write @client\.on\('"):
            client.on(state)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="topic_filter must be str"):
            client.on(None)  # type: ignore[arg-type]


async def test_one_that_is_added_later_is_called_too_and_wrong_arguments_are_told_at_once(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    taken = Taken()
    async with Client(url) as client, Client(url) as other:
        await other.publish("t", "a", 1, retain=True)
        client.on("t")(functools.partial(taken.add, "late"))
        assert await taken.wait(1) == [("late", "a")]
        for wrong, words in (
            ({"on_error": "burn"}, "on_error is"),
            ({"tries": 0}, "tries must"),
            ({"qos": 7}, "qos must"),
        ):
            with pytest.raises(ValueError, match=words):
                client.on("t", **wrong)(print)
        for strange in (lambda client, userdata, message: None, lambda: None, lambda *, message: None):
            with pytest.raises(TypeError, match=r"handler .*<lambda>\(.*\) cannot be called with the message alone"):
                client.on("a")(strange)
        with pytest.raises(TypeError, match="handler must be a function"):
            client.on("t")(7)  # type: ignore[type-var]
    assert not [each for each in caplog.records if each.levelno >= logging.ERROR]
