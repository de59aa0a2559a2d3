"""What a broker with a ledger notes of messages that have a key; and that one without pays nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from mqttlite import Client, PublishError
from mqttlite.broker import Broker, Hooks, Identity, Limits, Message
from mqttlite.broker.clients.broker_store import BrokerStore
from mqttlite.broker.clients.queue import Queue
from mqttlite.broker.engine import Engine
from mqttlite.broker.limits import QueueRule
from mqttlite.broker.routing.router import Router
from mqttlite.ledger import Ledger
from mqttlite.ledger.steps import key_text
from tests.broker.test_server import until

LISTEN = ["mqtt://127.0.0.1:0"]
TIMEOUT_S = 20


@asynccontextmanager
async def broker_with(path: Path, store: bool = True, **limits: Any) -> AsyncIterator[Broker]:
    ledger = Ledger(path / "ledger.db", node="gateway")
    kept = path / "broker.db" if store else None
    async with asyncio.timeout(TIMEOUT_S), Broker(LISTEN, Limits(**limits), kept, ledger=ledger) as broker:
        yield broker


async def publish(url: str, client_id: str, version: str, count: int, qos: int) -> list[str]:
    """Publish so many messages; their keys."""
    async with Client(url, client_id=client_id, version=version, keys=True) as client:
        for number in range(count):
            await client.publish("sensors/t", f"{number}", qos, key=(client_id, number))
    return [key_text((client_id.encode(), 0, number)) for number in range(count)]


async def steps_of(broker: Broker, key: str) -> list[tuple[str, str, str]]:
    assert broker.ledger
    await broker.ledger.flush()
    way = broker.ledger.way(key)
    return [(step["what"], step["from"], step["to"]) for step in way["steps"]] if way else []


@pytest.mark.parametrize("version", ["3.1.1", "5.0"])
@pytest.mark.parametrize("qos", [1, 2])
async def test_a_message_leaves_every_step_between_its_publisher_and_its_subscriber(
    tmp_path: Path, version: str, qos: int
) -> None:
    async with broker_with(tmp_path) as broker:
        url = broker.addresses[0]
        async with Client(url, client_id="far", version=version, clean_session=False) as far:
            await far.subscribe("sensors/#", qos)
            keys = await publish(url, "board", version, 3, qos)
            for _ in keys:
                await anext(far)
        for key in keys:
            assert await steps_of(broker, key) == [
                ("accepted", "board", "gateway"),
                ("stored", "gateway", "gateway"),
                ("forwarded", "gateway", "far"),
                ("acknowledged", "far", "gateway"),
            ]


async def test_a_message_for_who_is_away_is_stored_and_no_more(tmp_path: Path) -> None:
    async with broker_with(tmp_path) as broker:
        url = broker.addresses[0]
        async with Client(url, client_id="far", clean_session=False) as far:
            await far.subscribe("sensors/#", 1)
        (key,) = await publish(url, "board", "3.1.1", 1, 1)
        assert [what for what, _, _ in await steps_of(broker, key)] == ["accepted", "stored"]


class Slow(BrokerStore):
    """A store whose batches are not written while it is held."""

    is_held = False
    waits = False

    def _start(self, look: bool = False) -> None:
        if self.is_held:
            self._busy = self.waits = True
        else:
            super()._start(look)

    def let_go(self) -> None:
        self.is_held = False
        self._start()


async def test_stored_and_forwarded_are_noted_when_the_store_has_committed_and_not_before(tmp_path: Path) -> None:
    store = Slow(tmp_path / "broker.db")
    ledger = Ledger(tmp_path / "ledger.db", node="gateway")
    async with asyncio.timeout(TIMEOUT_S), Broker(LISTEN, store=store, ledger=ledger) as broker:
        url = broker.addresses[0]
        far = Client(url, client_id="far", clean_session=False)
        async with far, Client(url, client_id="board", keys=True) as board:
            await far.subscribe("sensors/#", 1)
            store.is_held = True
            await board.publish("sensors/t", "1", 1, key=("board", 1))
            await until(lambda: store.waits)
            assert [what for what, _, _ in await steps_of(broker, "board/0/1")] == ["accepted"]
            store.let_go()
            await anext(far)
        found = [what for what, _, _ in await steps_of(broker, "board/0/1")]
        assert found == ["accepted", "stored", "forwarded", "acknowledged"]


async def test_nothing_is_called_stored_where_nothing_is_stored(tmp_path: Path) -> None:
    async with broker_with(tmp_path, store=False) as broker:
        url = broker.addresses[0]
        async with Client(url, client_id="far") as far:
            await far.subscribe("sensors/#", 1)
            (key,) = await publish(url, "board", "5.0", 1, 1)
            await anext(far)
        assert [what for what, _, _ in await steps_of(broker, key)] == ["accepted", "forwarded", "acknowledged"]


async def test_a_message_that_is_dropped_ends_with_its_cause(tmp_path: Path) -> None:
    rule = QueueRule("far", max_bytes=300, when_full="drop-oldest")
    async with broker_with(tmp_path, queues=(rule,), hold_ms=0) as broker:
        url = broker.addresses[0]
        async with Client(url, client_id="far", clean_session=False) as far:
            await far.subscribe("sensors/#", 1)
        keys = await publish(url, "board", "5.0", 10, 1)
        assert ("ended", "gateway", "gateway") in await steps_of(broker, keys[0])
        assert broker.ledger
        way = broker.ledger.way(keys[0])
        assert way and way["steps"][-1]["detail"] == "dropped, for far"
        assert "ended" not in [what for what, _, _ in await steps_of(broker, keys[-1])]


async def test_a_message_that_is_inspected_is_accepted_once_and_one_that_is_not_taken_never(tmp_path: Path) -> None:
    def look(identity: Identity, message: Message) -> Message | None:
        return None if message.payload == b"bad" else message

    hooks = Hooks(inspect=look)
    ledger = Ledger(tmp_path / "ledger.db", node="gateway")
    async with asyncio.timeout(TIMEOUT_S), Broker(LISTEN, ledger=ledger, hooks=hooks) as broker:
        async with Client(broker.addresses[0], client_id="board", version="5.0", keys=True) as board:
            await board.publish("sensors/t", "good", 1, key=("board", 1))
            with pytest.raises(PublishError):
                await (await board.publish("sensors/t", "bad", 1, key=("board", 2)))
        await ledger.flush()
        assert [found["key"] for found in ledger.recent(10)] == ["board/0/1"]
        way = ledger.way("board/0/1")
        assert way and [step["detail"] for step in way["steps"]] == [""]  # not "2 times"


async def test_a_message_without_a_key_is_none_of_its_business(tmp_path: Path) -> None:
    async with broker_with(tmp_path) as broker:
        async with Client(broker.addresses[0], client_id="board") as client:
            await client.publish("sensors/t", "1", 2)
        assert broker.ledger
        await broker.ledger.flush()
        assert broker.ledger.recent(10) == [] and broker.ledger.batches == 0


async def test_what_waits_in_the_store_is_noted_again_when_the_ledger_is_new(tmp_path: Path) -> None:
    async with broker_with(tmp_path) as broker:
        url = broker.addresses[0]
        async with Client(url, client_id="far", clean_session=False) as far:
            await far.subscribe("sensors/#", 1)
        (key,) = await publish(url, "board", "5.0", 1, 1)
    (tmp_path / "ledger.db").unlink()
    async with broker_with(tmp_path) as broker:
        assert [what for what, _, _ in await steps_of(broker, key)] == ["stored"]


async def test_the_trace_context_is_noted_and_travels_on_untouched(tmp_path: Path) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with broker_with(tmp_path) as broker:
        url = broker.addresses[0]
        async with (
            Client(url, client_id="far", version="5.0") as far,
            Client(url, client_id="board", version="5.0", keys=True) as board,
        ):
            await far.subscribe("sensors/#", 2)
            pairs = [("traceparent", trace), ("tracestate", "a=1"), ("tracestate", "b=2")]
            await board.publish("sensors/t", "1", 2, user_properties=pairs)
            message = await anext(far)
        assert [pair for pair in message.user_properties if pair[0].startswith("trace")] == pairs
        assert broker.ledger
        await broker.ledger.flush()
        way = broker.ledger.way(broker.ledger.recent(1)[0]["key"])
        assert way and way["traceparent"] == trace


def test_a_broker_without_a_ledger_has_the_plain_router_and_queues() -> None:
    engine = Engine()
    assert type(engine.router) is Router
    assert type(engine.router.session_of(b"board", True).session) is Queue
