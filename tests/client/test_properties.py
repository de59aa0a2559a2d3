"""What an application says with MQTT 5.0 and reads of it: properties of messages and wills, options of subscriptions;
with Mosquitto and with our broker.
"""

import asyncio
from collections.abc import AsyncIterator

import pytest

from mqttlite import Message, Will
from mqttlite.broker import Broker
from mqttlite.client import Client
from mqttlite.client.url import Url
from mqttlite.core.errors import ProtocolError
from mqttlite.store.sqlite import SqliteStore
from tests.client.network import Proxy
from tests.client.test_store import Disk

ALL = {
    "expires_after_s": 3600,
    "content_type": "text/plain; charset=utf-8",
    "response_topic": "answers/ä",
    "correlation_data": b"\0\xff1",
    "payload_is_text": True,
    "user_properties": [("unit", "mm"), ("unit", "°C"), ("", "")],
}


@pytest.fixture(params=["mosquitto", "mqttlite"])
async def url(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    if request.param == "mosquitto":
        yield f"mqtt://127.0.0.1:{request.getfixturevalue('mosquitto').port}"
    else:
        async with Broker(listen=["mqtt://127.0.0.1:0"]) as broker:
            yield broker.addresses[0]


@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_every_property_of_a_message_arrives_as_it_was_published(url: str, qos: int) -> None:
    """[MQTT-3.3.2-13] [MQTT-3.3.2-14] [MQTT-3.3.2-19] [MQTT-2.2.2-1]"""
    async with Client(url, version="5.0") as client:
        await client.subscribe("a", qos)
        await client.publish("a", "21 °C", qos, **ALL)
        message = await anext(client)
        assert {name: getattr(message, name) for name in ALL} == ALL
        await client.publish("a", b"without", qos)
        assert_has_none(await anext(client))


def assert_has_none(message: Message) -> None:
    assert message.expires_after_s is None and message.payload_is_text is False
    assert (message.content_type, message.response_topic, message.correlation_data) == ("", "", b"")
    assert message.user_properties == [] and message.subscription_identifiers == []


async def test_user_properties_are_a_mapping_or_pairs_and_keep_their_order(url: str) -> None:
    """[MQTT-3.3.2-18]"""
    async with Client(url, version="5.0") as client:
        await client.subscribe("a", 1)
        await client.publish("a", user_properties={"b": "1", "a": "2"})
        assert (await anext(client)).user_properties == [("b", "1"), ("a", "2")]
        await client.enqueue("a", user_properties=[("a", "1"), ("b", "2"), ("a", "3")])
        assert (await anext(client)).user_properties == [("a", "1"), ("b", "2"), ("a", "3")]


async def test_a_message_of_3_1_1_has_no_properties(url: str) -> None:
    async with Client(url) as client:
        await client.subscribe("a", 1)
        await client.publish("a", b"x")
        assert_has_none(await anext(client))


async def test_what_only_5_0_has_is_refused_in_3_1_1_before_it_is_sent(url: str) -> None:
    async with Client(url) as client:
        for name, value in ALL.items():
            with pytest.raises(ValueError, match=rf'{name} needs MQTT 5\.0: write Client\(\.\.\., version="5\.0"\)'):
                await client.publish("a", b"x", **{name: value})
        for option in ({"no_local": True}, {"retain_handling": 2}, {"user_properties": {"a": "b"}}):
            with pytest.raises(ValueError, match=r"need MQTT 5\.0"):
                await client.subscribe("a", **option)
        with pytest.raises(ValueError, match=r"^content_type and response_topic need MQTT 5\.0"):
            await client.publish("a", content_type="b", response_topic="c")
        with pytest.raises(ValueError, match=r"needs MQTT 5\.0"):
            await client.unsubscribe("a", user_properties={"a": "b"})
        for call in (  # and what no version has is not said to need another one
            client.publish("a", b"x", timeout=1),
            client.publish_many([{"topic": "a", "payload": b"x", "timeout": 1}]),
            client.publish_stream("a", b"x", timeout=1),
        ):
            with pytest.raises(TypeError, match=r"publish\(\) has no argument 'timeout'"):
                await call
        assert client.unconfirmed() == 0 and not client.pending()
    with pytest.raises(ValueError, match=r"will need MQTT 5\.0"):
        Client(url, will=Will("a", b"", 0, False, delay_s=1))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"expires_after_s": 0}, "expires_after_s must be 1 to 4294967295, not 0"),
        ({"expires_after_s": 1.5}, "expires_after_s must be a whole number"),
        ({"content_type": b"text"}, "content_type must be str"),
        ({"response_topic": "a/+"}, "wildcard"),
        ({"correlation_data": "1"}, "correlation_data must be bytes"),
        ({"payload_is_text": 1}, "payload_is_text must be True or False"),
        ({"payload_is_text": True}, "payload_is_text says UTF-8, and the payload is not"),
        ({"user_properties": "a=b"}, "user_properties must be a mapping of str to str"),
        ({"user_properties": {"a": 1}}, "user_properties must be a mapping of str to str"),
        ({"user_properties": {"a": "b\x1b[0m"}}, r"user_properties holds U\+001B, .* leave it out"),
        ({"user_properties": [("a\n", "b")]}, r"user_properties holds U\+000A"),
        ({"user_properties": {"a": "\0"}}, r"U\+0000"),
        ({"content_type": "text\t"}, r"content_type holds U\+0009"),
        ({"key": ("pump\x7f", 17)}, r"key holds U\+007F"),
        ({"message_expiry_interval": 5}, "has no argument 'message_expiry_interval': use expires_after_s"),
        ({"contenttype": "x"}, "has no argument 'contenttype': use content_type"),
        ({"delay_s": 1}, r"publish\(\) has no argument 'delay_s'"),
    ],
)
async def test_an_argument_that_cannot_be_is_refused_in_words(given: dict[str, object], said: str) -> None:
    async with Broker(listen=["mqtt://127.0.0.1:0"]) as broker, Client(broker.addresses[0], version=5) as client:
        with pytest.raises((TypeError, ValueError, ProtocolError), match=said):
            await client.publish("a", b"\xff", **given)
        assert client.unconfirmed() == 0


async def test_no_local_leaves_out_what_the_client_publishes_itself(url: str) -> None:
    async with Client(url, version="5.0") as client, Client(url, version="5.0") as other:
        await client.subscribe("a", 1, no_local=True)
        await client.publish("a", b"own")
        await other.publish("a", b"other")
        assert (await anext(client)).payload == b"other"
        with pytest.raises(ProtocolError, match=r"shared subscription with no_local \[MQTT-3.8.3-4\]"):
            await client.subscribe("$share/group/a", 1, no_local=True)


async def test_retain_as_published_and_retain_handling(url: str) -> None:
    async with Client(url, version="5.0") as client:
        await client.publish("kept", b"1", retain=True)
        await client.subscribe("kept", 1, retain_as_published=True, retain_handling=2)
        await client.publish("kept", b"2", retain=True)
        message = await anext(client)
        assert (message.payload, message.retain) == (b"2", True)  # and not the one that was there
        await client.unsubscribe("kept")
        await client.subscribe("kept", 1, retain_handling=1)
        assert (await anext(client)).payload == b"2"  # for it is new
        await client.subscribe("kept", 1, retain_handling=1)
        await client.publish("kept", b"3", retain=True)
        message = await anext(client)
        assert (message.payload, message.retain) == (b"3", False)
        await client.subscribe("kept", 1)
        message = await anext(client)
        assert (message.payload, message.retain) == (b"3", True)


async def test_a_message_brings_the_identifier_of_its_subscription(url: str) -> None:
    async with Client(url, version="5.0") as client:
        await client.subscribe("a/+", 1, subscription_identifier=300_000, user_properties={"why": "test"})
        await client.subscribe("b", 1)
        await client.publish("a/b", b"x")
        assert (await anext(client)).subscription_identifiers == [300_000]
        await client.publish("b", b"x")
        assert (await anext(client)).subscription_identifiers == []
        await client.unsubscribe("a/+", user_properties={"why": "test"})


async def test_options_of_a_subscription_outlive_the_connection_and_the_program(url: str) -> None:
    disk = Disk()
    options = {"no_local": True, "retain_as_published": True, "retain_handling": 2}
    async with Client(url, version="5.0", client_id="kept", store=disk) as client:
        await client.subscribe("a", 1, **options)
    async with Client(url, version="5.0", client_id="kept", clean_session=True, store=disk) as client:
        await client.publish("a", b"own", retain=True)  # the session is new: subscribed again
        async with Client(url, version="5.0") as other:
            await other.publish("a", b"other", retain=True)
        message = await anext(client)
        assert (message.payload, message.retain) == (b"other", True)


async def test_options_that_were_stored_do_no_harm_in_3_1_1(url: str) -> None:
    disk = Disk()
    async with Client(url, version="5.0", client_id="kept", store=disk) as client:
        await client.subscribe("a", 1, retain_handling=2)
    async with Client(url, client_id="kept", clean_session=True, store=disk) as client:
        await client.publish("a", b"x")
        assert (await anext(client)).payload == b"x"


async def test_a_will_has_properties_and_a_delay(url: str) -> None:
    """[MQTT-3.1.2-9]"""
    will = Will("state", "lost", 1, False, delay_s=1, content_type="text/x", user_properties={"who": "me"})
    assert will == ("state", "lost", 1, False) and will.topic == "state"
    async with Client(url, version="5.0") as watcher:
        await watcher.subscribe("state", 1)
        async with (
            Proxy(Url(url).port) as proxy,
            Client(proxy.url, version="5.0", client_id="dies", will=will) as client,
        ):
            await proxy.shut()
            started = asyncio.get_running_loop().time()
            message = await anext(watcher)
            assert asyncio.get_running_loop().time() - started > 0.9
            await client.close()
        assert (message.payload, message.content_type) == (b"lost", "text/x")
        assert message.user_properties == [("who", "me")]


async def test_what_is_kept_in_a_store_keeps_its_properties(url: str, tmp_path: object) -> None:
    path = f"{tmp_path}/state.db"
    async with Client(url, version="5.0", client_id="reader") as reader:
        await reader.subscribe("a", 2)
        client = Client(url, version="5.0", client_id="writer", store=SqliteStore(path), retry_first=True)
        await client.start()
        client._life.protocol.is_connected = False  # nothing is sent any more
        client._life.session.out = None
        await client.publish("a", b"text", 2, key=("pump", 7), **ALL)
        await client.close()
        async with Client(url, version="5.0", client_id="writer", store=SqliteStore(path)) as client:
            assert await client.drain()
        message = await anext(reader)
        got = {name: getattr(message, name) for name in ALL}
        assert got == ALL | {"expires_after_s": got["expires_after_s"]}
        assert 3590 < got["expires_after_s"] <= 3600
