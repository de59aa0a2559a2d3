"""The inbox at real brokers, Mosquitto and our own: what test_inbox.py shows packet by packet holds with their
sessions, their repeats and their order, too.
"""

import asyncio
import random
from typing import Any

import pytest

from mqttlite.client import Client
from mqttlite.client.messages import Message
from mqttlite.core.records import FREED
from mqttlite.database import Database, Inbox
from tests.database.world import AT_A_BROKER, World, life_at_broker, write

pytestmark = pytest.mark.parametrize(
    ("world", "port"), [at for at in AT_A_BROKER if at[0] in ("sqlite", "psycopg")], indirect=True
)

# At QoS 1 no identifier outlives PUBACK, so only a key tells that a message was handled; at QoS 2 the identifier does.
qualities = pytest.mark.parametrize(("qos", "keys"), [(1, True), (2, False)], ids=["QoS 1 with keys", "QoS 2"])

# Where a consumer dies.
IN_HANDLER, AFTER_WRITES, AFTER_COMMIT, AT_PUBREL = range(4)
POINTS = {1: (IN_HANDLER, AFTER_WRITES, AFTER_COMMIT), 2: (IN_HANDLER, AFTER_WRITES, AFTER_COMMIT, AT_PUBREL)}
LIVES = 8
MESSAGES = 6  # new ones in each life


class Death:
    """Stops a consumer the `at`-th time that it is at `point`; then it is to be dropped."""

    def __init__(self, point: int, at: int) -> None:
        self._point = point
        self._left = at
        self.reached = asyncio.Event()

    def _is_now(self, point: int) -> bool:
        if point == self._point:
            self._left -= 1
            if self._left == 0:
                self.reached.set()
        return point == self._point and self._left <= 0

    async def handle(self, database: Database, db: Any, message: Message) -> None:
        """The handler."""
        if self._is_now(IN_HANDLER):
            await asyncio.Event().wait()
        await write(database, db, message.payload.decode())
        if self._is_now(AFTER_WRITES):
            await asyncio.Event().wait()

    def lurk(self, inbox: Inbox) -> None:
        """The points that are not in the handler."""
        store = inbox._store
        acknowledge, record, flush = inbox.client.acknowledge, store.record, store.flush

        def dying_acknowledge(message: Message) -> None:
            if self._is_now(AFTER_COMMIT):
                raise asyncio.CancelledError  # the inbox ends here
            acknowledge(message)

        def dying_record(kind: int, *args: Any) -> None:
            if kind == FREED:
                self._is_now(AT_PUBREL)
            record(kind, *args)

        async def dying_flush() -> None:
            if self._point == AT_PUBREL and self.reached.is_set():
                await asyncio.Event().wait()
            await flush()

        inbox.client.acknowledge = dying_acknowledge  # type: ignore[method-assign]
        store.record = dying_record  # type: ignore[method-assign, assignment]
        store.flush = dying_flush  # type: ignore[method-assign]


async def note(database: Database, db: Any, message: Message) -> None:
    """The handler of a consumer that lives."""
    await write(database, db, message.payload.decode())


async def effects(world: World, count: int) -> list[str]:
    """The effects, as soon as there are `count` of them."""
    while len(found := await world.effects()) < count:  # noqa: ASYNC110 asks the database
        await asyncio.sleep(0.005)
    return found


@qualities
@pytest.mark.parametrize("seed", [1, 2])
async def test_every_message_has_its_effect_once_and_in_order_although_the_consumer_dies_again_and_again(
    world: World, port: int, qos: int, keys: bool, seed: int
) -> None:
    draw = random.Random(seed)
    deaths = [Death(point, draw.randint(1, MESSAGES)) for point in draw.choices(POINTS[qos], k=LIVES)]
    url = f"mqtt://127.0.0.1:{port}"
    numbers = iter(range(1_000_000))
    async with life_at_broker(world, url, "t", note):
        pass  # from now on the broker keeps what is published
    async with Client(url, client_id="producer", keys=keys) as producer:
        for death in deaths:
            async with life_at_broker(world, url, "t", death.handle) as inbox:
                death.lurk(inbox)
                for _ in range(MESSAGES):
                    await producer.publish("t", str(next(numbers)), qos)
                await death.reached.wait()
        async with life_at_broker(world, url, "t", note):
            await producer.publish("t", "end", qos)  # what comes twice comes before it
            count = next(numbers)
            assert await effects(world, count + 1) == [*map(str, range(count)), "end"]


@qualities
async def test_what_a_handler_refuses_is_a_dead_letter_once_and_the_rest_goes_on_in_order(
    world: World, port: int, qos: int, keys: bool
) -> None:
    tries = []

    async def refusing(database: Database, db: Any, message: Message) -> None:
        await note(database, db, message)
        if message.payload.startswith(b"bad"):
            tries.append(message.payload)
            raise ValueError("no such account")

    url = f"mqtt://127.0.0.1:{port}"
    death = Death(AFTER_COMMIT, 2)  # of the first dead letter, which is not acknowledged
    async with Client(url, client_id="producer", keys=keys) as producer:
        async with life_at_broker(world, url, "t", refusing, tries=3) as inbox:
            death.lurk(inbox)
            for payload in ("a", "bad 1", "b", "c", "bad 2", "d"):
                await producer.publish("t", payload, qos)
            await death.reached.wait()
        assert await world.effects() == ["a"]
        async with life_at_broker(world, url, "t", refusing, tries=3) as inbox:
            assert await effects(world, 4) == ["a", "b", "c", "d"]
            assert inbox.dead == 1
    assert tries == [b"bad 1"] * 3 + [b"bad 2"] * 3
    dead = await world.rows("SELECT topic, payload, qos, error FROM mqttlite_dead ORDER BY id")
    assert dead == [("t", payload, qos, "ValueError: no such account") for payload in (b"bad 1", b"bad 2")]
    assert await world.rows("SELECT * FROM mqttlite_tries") == []


@qualities
async def test_each_topic_keeps_its_order_with_handlers_side_by_side(
    world: World, port: int, qos: int, keys: bool
) -> None:
    """A consumer that dies, too: what was finished out of turn is recognised when it comes again."""
    stuck, dead = asyncio.Event(), asyncio.Event()

    async def handler(database: Database, db: Any, message: Message) -> None:
        if message.topic == "t/a" and not dead.is_set():
            stuck.set()
            raise ValueError("not in this life")
        await write(database, db, f"{message.topic} {message.payload.decode()}")

    url = f"mqtt://127.0.0.1:{port}"
    expected = {topic: [f"{topic} {number}" for number in range(5)] for topic in ("t/a", "t/b", "t/c")}
    async with Client(url, client_id="producer", keys=keys) as producer:
        async with life_at_broker(world, url, "t/#", handler, side_by_side=3, tries=1_000_000):
            for number in range(5):
                for topic in expected:
                    await producer.publish(topic, str(number), qos)
            await stuck.wait()
            await effects(world, 10)  # of the other two topics, none of which is acknowledged
        dead.set()
        async with life_at_broker(world, url, "t/#", handler, side_by_side=3) as inbox:
            found = await effects(world, 15)
            await producer.publish("t/b", "end", qos)
            assert len(await effects(world, 16)) == 16
            assert inbox.handled == 6
    for topic, texts in expected.items():
        assert [text for text in found if text.startswith(topic)] == texts
