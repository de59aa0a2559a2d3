"""A connection that is gone before what was for it has left: found by the simulator in the world `shared-2`."""

from pathlib import Path

import pytest

from mqttlite.broker import Broker
from mqttlite.broker.clients.client_session import ClientSession
from mqttlite.broker.packets.unsent import first_new
from tests.broker.durable.test_durable import LISTEN, Held, client
from tests.broker.five import Five
from tests.broker.raw import RawClient, port_of
from tests.broker.test_server import until
from tests.broker.world import World
from tests.statements import statement

SHARE = "$share/s/t"


@pytest.mark.parametrize("count", [1, 3])
@statement("5.0", "MQTT-4.8.2-5")
async def test_what_waits_for_its_commit_when_its_member_is_gone_goes_to_another_when_its_session_ends(
    tmp_path: Path, count: int
) -> None:
    store = Held(tmp_path / "broker.db")
    async with Broker(LISTEN, store=store) as broker:
        port = port_of(broker.addresses[0])
        async with client(port, "member") as member, client(port, "p") as publisher:
            await member.subscribe(SHARE, 2)
            store.gate.clear()
            store.waiting.clear()
            for number in range(count):
                publisher.publish("t", b"%d" % number, 2, number + 1)
            await store.waiting.wait()
            session = broker.engine.sessions[b"member"]
            await until(lambda: session.session.sent == session.session.next and session.session.unfinished == count)
            member.cut()
            await until(lambda: session.peer is None)
            assert session.session.unfinished == 0
            session.session.check()
            store.gate.set()
            for _ in range(count):
                assert (await publisher.packet()).kind == "pubrec"
        async with client(port, "other") as other, RawClient(port) as again:
            await other.subscribe(SHARE, 2)
            await again.connect("member", True)
            assert await other.messages(count) == [b"%d" % number for number in range(count)]


async def test_it_is_no_repeat_for_the_member_that_comes_back(tmp_path: Path) -> None:
    store = Held(tmp_path / "broker.db")
    async with Broker(LISTEN, store=store) as broker:
        port = port_of(broker.addresses[0])
        async with client(port, "member") as member, client(port, "p") as publisher:
            await member.subscribe("t", 2)
            publisher.publish("t", b"sent", 2, 1)
            assert (await member.packet()).fields["payload"] == b"sent"
            assert (await publisher.packet()).kind == "pubrec"
            store.gate.clear()
            store.waiting.clear()
            publisher.publish("t", b"held", 2, 2)
            await store.waiting.wait()
            session = broker.engine.sessions[b"member"]
            await until(lambda: session.session.unfinished == 2)
            member.cut()
            await until(lambda: session.peer is None)
            store.gate.set()
        async with client(port, "member", present=True) as member:
            found = [(await member.packet()).fields for _ in range(2)]
            assert [(each["payload"], each["dup"]) for each in found] == [(b"sent", True), (b"held", False)]


def unsent(world: World, count: int) -> tuple[Five, ClientSession]:
    client = Five(world, "c", SessionExpiryInterval=60)
    client.subscribe("t", 2)
    publisher = Five(world, "p")
    for number in range(count):
        publisher.publish("t", b"%d" % number, qos=2)
    return client, world.engine.sessions[b"c"]


@pytest.mark.parametrize("packet_id", [0, 1, 2, 3, 4, 65535])
def test_a_session_takes_back_only_what_its_client_has_not_told_of(packet_id: int) -> None:
    client, session = unsent(World(), 3)
    queue = session.session
    ids = [message.packet_id for message in client.messages()]
    client.ack(5, ids[1])  # PUBREC
    before = queue.sent
    queue.never_sent(packet_id)
    queue.check()
    assert before - queue.sent == (1 if packet_id == ids[2] else 0)


def test_the_first_new_publish_is_found_among_other_packets() -> None:
    ping, ack, zero = b"\xd0\0", b"\x40\2\0\1", b"\x30\4\0\1tx"
    again = b"\x3a\6\0\1t\0\7x"
    new = b"\x34\xc9\1\0\1t\1\2" + bytes(196)
    assert first_new(b"") == first_new(ping + ack + zero + again) == 0
    assert first_new(ping + ack + zero + again + new + b"\x32\6\0\1t\0\xffx") == 0x102
