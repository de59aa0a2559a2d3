"""What is tried with each client: a function for each feature, the same for all of them.

Each gets a World, whose clients are all of the kind that is tried, and raises AssertionError where something is not as
the standard has it, UnableError where the client's interface has no way to ask for it.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from .peer import Connection, Options, Peer, Said, Will, need
from .tap import PUBLISH, Tap

EVER = 1000  # a session expiry interval that nobody waits for
UNSUBACK = 11


@dataclass
class World:
    """A broker behind a tap, and the kind of client that is tried. `broker`: its name."""

    peer: Peer
    version: str
    broker: str
    tap: Tap
    ports: dict[str, int]  # of the broker itself, by way: tls, ws
    ca: str = ""
    _open: list[Connection] = field(default_factory=list)

    @property
    def is_5(self) -> bool:
        return self.version == "5.0"

    async def open(self, client_id: str = "", over: str = "tcp", **options: Any) -> Connection:
        """A connection."""
        if over != "tcp":
            need(over in self.ports, f"{self.broker} has no listener for that here")
        port = self.tap.port if over == "tcp" else self.ports[over]
        ca = self.ca if over == "tls" else ""
        connection = await self.peer.connect(Options(port, self.version, client_id, over=over, ca=ca, **options))
        self._open.append(connection)
        return connection

    async def kept(self, client_id: str, expiry_s: int = EVER) -> Connection:
        """A connection whose session stays."""
        return await self.open(client_id, clean=False, session_expiry_s=expiry_s if self.is_5 else 0)

    @contextlib.asynccontextmanager
    async def closing(self) -> AsyncIterator["World"]:
        """Closes all connections behind the block."""
        try:
            yield self
        finally:
            for connection in self._open:
                with contextlib.suppress(Exception):
                    await connection.close()


Feature = Callable[[World], Awaitable[None]]
FEATURES: dict[str, tuple[Feature, bool]] = {}  # by name; whether it is of 5.0 alone


def feature(name: str, *, only_5: bool = False) -> Callable[[Feature], Feature]:
    """A row of the table."""

    def add(function: Feature) -> Feature:
        FEATURES[name] = function, only_5
        return function

    return add


async def nothing_more(connection: Connection, publisher: Connection, topic: str) -> None:
    """What is published last comes next: nothing was before it."""
    await publisher.publish(topic, b"the end", 1)
    assert (await connection.message()).payload == b"the end"


async def _qos(world: World, qos: int) -> None:
    subscriber = await world.open("taker")
    assert await subscriber.subscribe("a/+", qos) == qos
    publisher = await world.open("giver")
    texts = [b"%d" % number for number in range(10)]
    for text in texts[:3]:
        await publisher.publish("a/b", text, qos)
    await publisher.publish_at_once("a/b", texts[3:], qos)
    got = await subscriber.messages(10)
    assert [said.payload for said in got] == texts
    assert {(said.topic, said.qos, said.retain) for said in got} == {("a/b", qos, False)}


for _each in range(3):
    feature(f"QoS {_each}")(lambda world, qos=_each: _qos(world, qos))  # type: ignore[misc]


@feature("a payload of 200,000 bytes")
async def large(world: World) -> None:
    subscriber = await world.open("taker")
    await subscriber.subscribe("a", 2)
    payload = bytes(range(256)) * 782
    await (await world.open("giver")).publish("a", payload, 2)
    assert (await subscriber.message()).payload == payload


@feature("retained messages")
async def retained(world: World) -> None:
    publisher = await world.open("giver")
    await publisher.publish("state/1", b"on", 1, True)
    await publisher.publish("state/2", b"off", 1, True)
    await publisher.publish("state/1", b"", 1, True)
    subscriber = await world.open("taker")
    await subscriber.subscribe("state/+", 1)
    assert await subscriber.message() == Said("state/2", b"off", 1, True)
    await publisher.publish("state/3", b"new", 1, True)
    said = await subscriber.message()
    assert (said.payload, said.retain) == (b"new", False)


@feature("unsubscribing")
async def unsubscribing(world: World) -> None:
    client = await world.open("both")
    await client.subscribe("a", 1)
    await client.subscribe("b", 1)
    await client.publish("a", b"1", 1)
    assert (await client.message()).payload == b"1"
    await client.unsubscribe("a")
    await client.publish("a", b"2", 1)
    await nothing_more(client, client, "b")


@feature("a will, and none after DISCONNECT")
async def will(world: World) -> None:
    witness = await world.open("witness")
    await witness.subscribe("gone/+", 1)
    if not (world.is_5 and world.peer.has_will_at_end):
        orderly = await world.open("orderly", will=Will("gone/orderly", b"never"))
        await orderly.subscribe("x", 0)
        await orderly.close()
    lost = await world.open("lost", will=Will("gone/lost", b"lost", 1, True))
    await lost.subscribe("x", 0)
    world.tap.cut("lost")
    said = await witness.message()
    assert (said.topic, said.payload, said.qos, said.retain) == ("gone/lost", b"lost", 1, False)


@feature("a session that is kept, with its queue")
async def session(world: World) -> None:
    client = await world.kept("away")
    await client.subscribe("a", 1)
    assert client.session_present in (False, None)
    await client.close()
    publisher = await world.open("giver")
    for number in range(5):
        await publisher.publish("a", b"%d" % number, 1)
    client = await world.kept("away")
    if world.peer.name == "mosquitto_pub/sub":
        await client.subscribe("a", 1)  # it has to
    assert client.session_present in (True, None)
    assert [said.payload for said in await client.messages(5)] == [b"%d" % number for number in range(5)]


@feature("taking over, and being told so")
async def taking_over(world: World) -> None:
    first = await world.open("same")
    await first.subscribe("a", 1)
    waiting = asyncio.create_task(first.ended())
    await asyncio.sleep(0)
    second = await world.open("same")
    await second.subscribe("b", 1)
    world.tap.refuses = True  # who comes back by itself would take over in turn
    code = await waiting
    assert code in (0x8E, None)
    world.tap.refuses = False
    await (await world.open("giver")).publish("b", b"yes", 1)
    assert (await second.message()).payload == b"yes"


@feature("shared subscriptions")
async def shared(world: World) -> None:
    members = [await world.open(f"member{number}") for number in range(2)]
    for member in members:
        await member.subscribe("$share/all/job/+", 1)
    publisher = await world.open("giver")
    for number in range(20):
        await publisher.publish("job/x", b"%d" % number, 1)
    got: set[bytes] = set()
    count = [0, 0]
    async with asyncio.timeout(20):
        while len(got) < 20:
            for index, member in enumerate(members):
                while not member.arrived.empty():
                    said = member.arrived.get_nowait()
                    assert said.payload not in got
                    got.add(said.payload)
                    count[index] += 1
            await asyncio.sleep(0.01)
    assert min(count) > 0


@feature("user properties, in their order", only_5=True)
async def user_properties(world: World) -> None:
    subscriber = await world.open("taker")
    await subscriber.subscribe("a", 1)
    pairs = [("unit", "C"), ("place", "garden"), ("unit", "F")]
    await (await world.open("giver")).publish("a", b"21", 1, user_properties=pairs)
    found = (await subscriber.message()).properties["user_properties"]
    assert sorted(map(tuple, found)) == sorted(pairs)  # MQTT.js has them by name
    assert [text for name, text in found if name == "unit"] == ["C", "F"]


@feature("response topic, correlation data", only_5=True)
async def request(world: World) -> None:
    server = await world.open("server")
    await server.subscribe("ask", 1)
    client = await world.open("client")
    await client.subscribe("answer/1", 1)
    await client.publish("ask", b"?", 1, response_topic="answer/1", correlation_data=b"no7")
    asked = (await server.message()).properties
    assert asked == {"response_topic": "answer/1", "correlation_data": b"no7"}
    await server.publish(asked["response_topic"], b"!", 1, correlation_data=asked["correlation_data"])
    answer = await client.message()
    assert (answer.payload, answer.properties) == (b"!", {"correlation_data": b"no7"})


@feature("content type, payload format", only_5=True)
async def content_type(world: World) -> None:
    subscriber = await world.open("taker")
    await subscriber.subscribe("a", 1)
    await (await world.open("giver")).publish("a", b"{}", 1, content_type="application/json", payload_is_text=True)
    assert (await subscriber.message()).properties == {"content_type": "application/json", "payload_is_text": True}


@feature("message expiry", only_5=True)
async def message_expiry(world: World) -> None:
    client = await world.kept("away")
    await client.subscribe("a", 1)
    await client.close()
    publisher = await world.open("giver")
    await publisher.publish("a", b"short", 1, expires_after_s=1)
    await publisher.publish("a", b"long", 1, expires_after_s=100)
    await asyncio.sleep(2.2)  # the standard counts seconds
    client = await world.kept("away")
    if world.peer.name == "mosquitto_pub/sub":
        await client.subscribe("a", 1)
    said = await client.message()
    assert said.payload == b"long" and 90 <= said.properties["expires_after_s"] <= 98


@feature("session expiry", only_5=True)
async def session_expiry(world: World) -> None:
    for client_id, expiry_s, stays in (("brief", 1, False), ("lasting", 100, True)):
        client = await world.kept(client_id, expiry_s)
        need(client.session_present is not None, "does not tell whether there was a session")
        await client.subscribe("a", 1)
        await client.close()
        if not stays:
            await asyncio.sleep(2.2)
        assert (await world.kept(client_id, expiry_s)).session_present == stays


@feature("will delay", only_5=True)
async def will_delay(world: World) -> None:
    witness = await world.open("witness")
    await witness.subscribe("gone/+", 1)
    lost = await world.open("lost", clean=False, session_expiry_s=EVER, will=Will("gone/lost", b"lost", delay_s=1))
    await lost.subscribe("x", 0)
    world.tap.cut("lost")
    begun = time.monotonic()
    assert (await witness.message()).topic == "gone/lost"
    assert 0.9 < time.monotonic() - begun < 15


@feature("no local", only_5=True)
async def no_local(world: World) -> None:
    client = await world.open("both")
    await client.subscribe("a", 1, no_local=True)
    await client.publish("a", b"mine", 1)
    await nothing_more(client, await world.open("other"), "a")


@feature("retain handling", only_5=True)
async def retain_handling(world: World) -> None:
    await (await world.open("giver")).publish("a", b"kept", 1, True)
    never = await world.open("never")
    await never.subscribe("a", 1, retain_handling=2)
    await nothing_more(never, await world.open("other"), "a")
    new = await world.open("new")
    await new.subscribe("a", 1, retain_handling=1)
    assert (await new.message()).payload == b"kept"
    await new.subscribe("a", 1, retain_handling=1)
    await nothing_more(new, await world.open("another"), "a")


@feature("retain as published", only_5=True)
async def retain_as_published(world: World) -> None:
    client = await world.open("taker")
    await client.subscribe("a", 1, retain_as_published=True)
    await (await world.open("giver")).publish("a", b"new", 1, True)
    assert (await client.message()).retain


@feature("subscription identifiers", only_5=True)
async def identifiers(world: World) -> None:
    client = await world.open("taker")
    await client.subscribe("a/+", 1, subscription_identifier=7)
    await (await world.open("giver")).publish("a/b", b"1", 1)
    assert (await client.message()).properties == {"subscription_identifiers": [7]}


@feature("topic aliases to the broker", only_5=True)
async def aliases_up(world: World) -> None:
    topic = "a/topic/that/is/worth/an/alias"
    subscriber = await world.open("taker")
    await subscriber.subscribe(topic, 1)
    publisher = await world.open("giver")
    await publisher.publish_again(topic, [b"%d" % number for number in range(4)])
    assert [(said.topic, said.payload) for said in await subscriber.messages(4)] == [
        (topic, b"%d" % number) for number in range(4)
    ]
    # ours takes an alias for what comes for the second time
    assert 1 <= world.tap.up[world.tap.number("giver")].count(topic.encode()) <= 2


@feature("topic aliases from the broker", only_5=True)
async def aliases_down(world: World) -> None:
    topic = "a/topic/that/is/worth/an/alias"
    subscriber = await world.open("taker", topic_alias_maximum=5)
    await subscriber.subscribe(topic, 1)
    publisher = await world.open("giver")
    for number in range(3):
        await publisher.publish(topic, b"%d" % number, 1)
    assert [(said.topic, said.payload) for said in await subscriber.messages(3)] == [
        (topic, b"%d" % number) for number in range(3)
    ]
    seen = world.tap.down[world.tap.number("taker")].count(topic.encode())
    need(seen < 3, f"{world.broker} sets none")
    assert seen == 1


@feature("flow control: receive maximum", only_5=True)
async def flow_control(world: World) -> None:
    client = await world.open("away", clean=False, session_expiry_s=EVER)
    await client.subscribe("a", 2)
    await client.close()
    publisher = await world.open("giver")
    for number in range(12):
        await publisher.publish("a", b"%d" % number, 1 + number % 2)
    client = await world.open("away", clean=False, session_expiry_s=EVER, receive_maximum=3)
    if world.peer.name == "mosquitto_pub/sub":
        await client.subscribe("a", 2)
    got: set[bytes] = set()
    while len(got) < 12:
        got.add((await client.message()).payload)
    most = world.tap.most_under_way("away", "down")
    need(world.broker == "mqttlite", "Mosquitto 2.0.11 sends more than it may, though not each time")
    assert 1 <= most <= 3


@feature("maximum packet size", only_5=True)
async def packet_size(world: World) -> None:
    client = await world.open("small", packet_size_max=1000)
    await client.subscribe("a", 1)
    publisher = await world.open("giver")
    await publisher.publish("a", bytes(2000), 1)
    await publisher.publish("a", b"fits", 1)
    assert (await client.message()).payload == b"fits"
    sizes = [len(rest) for way, first, rest in world.tap.packets("small") if way == "down" and first >> 4 == PUBLISH]
    assert max(sizes) < 1000


@feature("reason codes: UNSUBACK 0x11", only_5=True)
async def reason_codes(world: World) -> None:
    client = await world.open("taker")
    code = await client.unsubscribe("never/subscribed")
    assert code in (0x11, None)
    [unsuback] = [rest for way, first, rest in world.tap.packets("taker") if way == "down" and first >> 4 == UNSUBACK]
    assert unsuback[-1] == 0x11


@feature("an identifier assigned by the broker")
async def assigned(world: World) -> None:
    clients = [await world.open() for _ in range(2)]
    for client in clients:
        await client.subscribe("a", 1)
    await clients[0].publish("a", b"1", 1)
    for client in clients:
        assert (await client.message()).payload == b"1"


@feature("TLS")
async def tls(world: World) -> None:
    client = await world.open("secret", over="tls")
    await client.subscribe("a", 2)
    await client.publish("a", bytes(100_000), 2)
    assert (await client.message()).payload == bytes(100_000)


@feature("WebSocket")
async def websocket(world: World) -> None:
    client = await world.open("web", over="ws")
    await client.subscribe("a", 2)
    await client.publish("a", bytes(100_000), 2)
    assert (await client.message()).payload == bytes(100_000)
