"""An upstream that is not in the settings any more, or has another name there."""

import logging
from pathlib import Path

import pytest

from mqttlite.broker import Broker, Limits
from mqttlite.broker.connections.turns import now_ms
from mqttlite.broker.operating.view import line
from mqttlite.cli import main
from mqttlite.client import Client
from mqttlite.core.errors import SubscribeError
from mqttlite_gateway.bridge.dead import DeadLetters
from mqttlite_gateway.bridge.relay import Message
from mqttlite_gateway.bridge.uplink import BridgeUplink
from mqttlite_gateway.inside.left import leave
from mqttlite_gateway.settings.upstream import UpstreamSettings, with_upstreams
from mqttlite_gateway.sinks.uplink import SinkUplink
from tests.gateway.bridge.world import LOCAL, settings, until
from tests.gateway.sinks.world import Notebook
from tests.peers import free_port

WEEKS_MS = 30 * 24 * 3600 * 1000
NOWHERE = f"mqtt://127.0.0.1:{free_port()}"


def broker_for(folder: Path, *upstreams: UpstreamSettings) -> Broker:
    return Broker(LOCAL, with_upstreams(Limits(), upstreams), folder / "gateway.db")


async def publish(broker: Broker, count: int) -> None:
    async with Client(broker.addresses[0]) as client:
        for number in range(count):
            await (await client.publish("up/x", str(number), qos=1)).completed()


async def test_nothing_that_was_never_sent_is_in_doubt_when_an_upstream_has_another_name(tmp_path: Path) -> None:
    old, new = settings(NOWHERE, name="old"), settings(NOWHERE, name="new")
    async with broker_for(tmp_path, old) as broker:
        BridgeUplink(old, broker).prepare()
        await publish(broker, 5)
    for _ in range(2):  # a restart makes no doubt either
        async with broker_for(tmp_path, new) as broker:
            uplink = BridgeUplink(new, broker)
            uplink.prepare()
            assert leave(broker, ["new"]) == ["old"]
            await publish(broker, 1)
            shown = line(broker.engine.sessions[b"$bridge/old"], now_ms())
            assert (shown["queued"], shown["in_doubt"], shown["subscriptions"]) == (5, 0, 0)
            shown = uplink.describe()
            assert shown["queued"] and shown["in_doubt"] == {"sent": 0, "released": 0}


async def test_nothing_is_in_doubt_of_a_sink_that_was_never_reached(tmp_path: Path) -> None:
    of = settings("amqp://localhost", name="rabbit")
    notebook = Notebook()
    notebook.is_away = True
    for _ in range(2):
        async with broker_for(tmp_path, of) as broker:
            uplink = SinkUplink(of, broker, notebook.make)
            uplink.prepare()
            await publish(broker, 2)
            assert uplink.describe()["queued"] and uplink.describe()["in_doubt"] == {"sent": 0, "released": 0}
    async with broker_for(tmp_path, of) as broker:
        notebook.is_away, notebook.mute = False, True
        uplink = SinkUplink(of, broker, notebook.make)
        uplink.prepare()
        await uplink.start()
        await until(lambda: uplink.connected)
        await uplink.stop()
    async with broker_for(tmp_path, of) as broker:  # now the sink may have some of it
        uplink = SinkUplink(of, broker, notebook.make)
        uplink.prepare()
        assert uplink.describe()["in_doubt"]["sent"] == 4


async def test_what_an_upstream_refused_stays_when_that_has_left_the_settings(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    of, empty = settings(NOWHERE), settings(NOWHERE, name="empty")
    async with broker_for(tmp_path, of, empty) as broker:
        message = Message(False, b"up/door", b"open", 1, False, b"")
        DeadLetters(broker, of).set_aside(message, "not authorised")
        DeadLetters(broker, of).set_aside(message._replace(topic=b"up/window"), "\x1b[31mno" + 70_000 * "!")
        broker.changed()
    assert main(["store", "show", str(tmp_path / "gateway.db")]) == 0
    shown = capsys.readouterr().out
    assert r"up/window 'open'  set aside: \x1b[31mno" in shown  # a subscriber may end its connection for the character
    assert "queue dead-cloud: 2 messages" in shown and "up/door 'open'  set aside: not authorised" in shown
    async with broker_for(tmp_path) as broker:
        with caplog.at_level(logging.WARNING):
            assert leave(broker, []) == ["cloud"]
        (said,) = [record.getMessage() for record in caplog.records if "has refused stays (2)" in record.getMessage()]
        assert "mqttlite ctl delete queue dead-cloud deletes it" in said
        depot = broker.engine.depot
        assert list(depot.queues) == [b"dead-cloud"]
        broker.engine.router.epoch += WEEKS_MS
        depot.look(now_ms(), 1000)
        assert len(depot.queues[b"dead-cloud"].items) == 2
        assert "nobody was subscribed" not in caplog.text
    async with broker_for(tmp_path, of) as broker:
        assert [letter["cause"][:14] for letter in DeadLetters(broker, of).listed()] == [
            "not authorised",
            r"\x1b[31mno!!!!",
        ]


async def test_no_client_makes_a_queue_that_never_expires(tmp_path: Path) -> None:
    async with broker_for(tmp_path) as broker, Client(broker.addresses[0], version="5.0") as client:
        with pytest.raises(SubscribeError):
            await client.subscribe("$queue/mine/$bridge/cloud/dead")
        assert not broker.engine.depot.queues
