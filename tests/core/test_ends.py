"""Both ends together, in memory: from CONNECT to DISCONNECT, at every QoS, with cuts and with lost sessions."""

import random

import pytest

from tests.core.ends import Application, Broker, Wire
from tests.statements import statement


def wire(**fields: object) -> Wire:
    world = Wire(Application(**fields), Broker())
    world.open()
    world.run()
    return world


@statement("3.1.1", "MQTT-3.3.4-1", "MQTT-4.3.1-1", "MQTT-4.3.2-1", "MQTT-4.3.3-1")
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_message_goes_to_the_broker_and_back(qos: int) -> None:
    world = wire()
    world.client.subscribe(b"room/+", 2)
    world.run()
    world.client.publish(qos << 1 | 1, b"room/1", b"hello")
    world.run()
    told = world.application.take()
    assert told[:2] == [("connected", False), ("suback", b"room/+", 2)]
    assert ("message", b"room/1", b"hello", 0x30 | qos << 1) in told
    assert (("finished", 1, False) in told) == (qos > 0)
    assert not world.client.session.messages
    assert not world.client.session.inbound


def test_an_orderly_end() -> None:
    world = wire(will=(b"w", b"", 0, False))
    world.client.disconnect()
    world.run()
    assert world.server
    assert world.server.finished
    assert world.server.will is None
    assert world.broker.take()[-1] == ("disconnect",)


@statement("3.1.1", "MQTT-4.4.0-1", "MQTT-3.1.2-4", "MQTT-4.1.0-1", "MQTT-3.3.1-1", "MQTT-4.6.0-1")
@pytest.mark.parametrize("qos", [1, 2])
@pytest.mark.parametrize("seed", range(10))
def test_messages_arrive_over_a_line_that_is_cut_again_and_again(qos: int, seed: int) -> None:
    seeded = random.Random(seed)
    world = wire()
    world.client.subscribe(b"t", qos)
    world.run()
    world.broker.take()
    for number in range(50):
        world.client.publish(qos << 1, b"t", b"%d" % number)
        assert world.server
        up = b"".join(world.client.out)[: seeded.randrange(40)]
        world.server.receive(up, 0)
        down = b"".join(world.server.out)[: seeded.randrange(40)]
        world.client.receive(down, 0)
        world.cut()
        world.open()
        if seeded.random() < 0.6:
            world.run()
    world.run()
    at_broker = [told[3] for told in world.broker.take() if told[0] == "publish"]
    back = [told[2] for told in world.application.take() if told[0] == "message"]
    wanted = [b"%d" % number for number in range(50)]
    for got in (at_broker, back):
        assert list(dict.fromkeys(got)) == wanted
        assert qos == 1 or len(got) == 50
    assert not world.client.session.messages
    assert not world.broker.sessions[b"c"].messages


@statement("3.1.1", "MQTT-3.1.2-6")
def test_a_clean_session_is_new_on_every_connection() -> None:
    world = wire(clean_session=True)
    world.client.subscribe(b"t", 1)
    world.run()
    world.client.publish(2, b"t", b"x")
    world.cut()
    world.open()
    world.run()
    told = world.application.take()
    assert [entry for entry in told if entry[0] == "connected"] == [("connected", False)] * 2
    assert ("suback", b"t", 1) in told
    assert ("finished", 1, False) in told


def test_a_broker_that_lost_the_session_gets_subscriptions_and_messages_again() -> None:
    world = wire()
    world.client.subscribe(b"t", 2)
    world.run()
    world.client.publish(4, b"t", b"x")
    assert world.server
    world.server.receive(b"".join(world.client.out), 0)
    world.client.receive(b"".join(world.server.out), 0)  # PUBREC: released here
    world.client.publish(4, b"t", b"y")
    world.cut()
    world.broker.sessions.clear()
    world.application.take()
    world.broker.take()
    world.open()
    world.run()
    assert ("finished", 1, True) in world.application.told
    assert ("finished", 2, False) in world.application.told
    assert [told[:2] for told in world.broker.take()][1:] == [("publish", 4), ("subscribe", [(b"t", 2)])]


@statement("3.1.1", "MQTT-3.1.2-23", "MQTT-3.1.2-24")
def test_the_client_pings_in_time_for_the_server() -> None:
    world = wire(keep_alive_s=2)
    for now in range(0, 60_000, 50):
        world.client.tick(now)
        world.run(now)
        assert world.server
        world.server.tick(now)
    assert world.client.waiting_since is None
