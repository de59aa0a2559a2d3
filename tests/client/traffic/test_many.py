"""Many messages at once, and how much may wait."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mqttlite import Client, ClosedError, ProtocolError, PublishError
from mqttlite.core.packet_types import PUBLISH
from tests.client.network import CONNACK, Peer, server
from tests.peers import free_port


async def test_many_messages_arrive_in_order_and_each_has_its_receipt(broker_url: str) -> None:
    async with Client(broker_url) as client, Client(broker_url) as other, other.subscription("t/#") as messages:
        many = [
            ("t/1", "a"),
            ("t/2", b"b", 2),
            ("t/3", "c", 0, True),
            {"topic": "t/4", "payload": "d", "qos": 2},
            ("t/5", ""),
        ]
        receipts = await client.publish_many(many)
        assert [receipt.seq >= 0 for receipt in receipts] == [True, True, False, True, True]
        for receipt in receipts:
            await receipt
        got = [await anext(messages) for _ in many]
        assert sorted((each.topic, each.payload, each.qos) for each in got) == [
            ("t/1", b"a", 1),
            ("t/2", b"b", 2),
            ("t/3", b"c", 0),
            ("t/4", b"d", 2),
            ("t/5", b"", 1),
        ]

        async def lazily() -> AsyncIterator[tuple[str, str]]:
            for text in "xyz":
                yield "t/6", text

        await client.publish_many(lazily(), 2)
        assert [(await anext(messages)).payload for _ in range(3)] == [b"x", b"y", b"z"]


async def test_they_leave_in_one_write_and_are_stored_in_one_commit(tmp_path: Path) -> None:
    reads: list[bytes] = []
    has_read = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.packet()
        await peer.say(CONNACK)
        reads.append(await peer.reader.read(65536))
        has_read.set()
        await peer.packet()

    async with server(script) as url, Client(url, client_id="c", store=tmp_path / "state.db") as client:
        commits = 0
        real = client.store.commit

        async def commit() -> None:
            nonlocal commits
            commits += 1
            await real()

        client.store.commit = commit  # type: ignore[method-assign]
        await client.publish_many(("t", str(number)) for number in range(10))
        assert commits <= 2  # its own, and that of the packets, which finds nothing to do
        assert len(client.pending()) == 10
        await has_read.wait()
        await client.close()
    assert reads[0].count(bytes((PUBLISH | 2,)) + b"\x06\x00\x01t") == 10


@pytest.mark.parametrize(
    ("wrong", "error", "words"),
    [
        (("t", 7), TypeError, "payload must be"),
        (("t/#", "x"), ProtocolError, "MQTT-3.3.2-2"),
        (("t", "x", 3), ValueError, "qos must be"),
        (("t",), TypeError, "a message must be a tuple"),
        ("t", TypeError, "a message must be a tuple"),
        ({"payload": "x"}, TypeError, "topic must be str"),
        ({"topic": "t/#"}, ProtocolError, "MQTT-3.3.2-2"),
        ({"topic": "t", "payload": bytes(2000)}, PublishError, "size_max"),
        ({"topic": "t", "content_type": "text/plain"}, ValueError, "content_type needs MQTT 5.0"),
        (("t", bytes(2000)), PublishError, "size_max"),
    ],
)
async def test_a_wrong_one_is_named_by_its_number_and_none_is_accepted(
    url: str, wrong: object, error: type[Exception], words: str
) -> None:
    async with Client(url, size_max=1000) as client:
        with pytest.raises(error, match=r"^message 1 of publish_many \(none is accepted\): .*" + words):
            await client.publish_many([("t", "a"), wrong])
        assert not client.unconfirmed()
        for no_iterable in ("t", 7, {"topic": "t"}):
            with pytest.raises(TypeError, match="messages must be an iterable"):
                await client.publish_many(no_iterable)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wrong", "error", "words"),
    [
        ({"retained": True}, TypeError, "has no argument 'retained'"),
        ({"content_type": 7}, TypeError, "content_type must be str"),
        ({"response_topic": "a/#"}, ProtocolError, "MQTT-3.3.2-2"),
        ({"correlation_data": bytes(2000)}, PublishError, "size_max"),
    ],
)
async def test_a_wrong_property_is_found_before_a_message_is_accepted(
    url: str, wrong: dict[str, object], error: type[Exception], words: str
) -> None:
    async with Client(url, version="5.0", size_max=1000) as client:
        with pytest.raises(error, match=words) as raised:
            await client.publish_many([{"topic": "t", "content_type": "text/plain"}, {"topic": "t", **wrong}])
        assert str(raised.value).startswith("message 1 of publish_many (none is accepted): ")
        with pytest.raises(PublishError) as raised:  # by the byte that says that there are no properties
            await client.publish_many([("t", "a"), ("t", bytes(995))])
        assert str(raised.value).startswith("message 1 of publish_many (none is accepted): ")
        assert not client.unconfirmed()
        await client.publish_many([("t", bytes(994))])


async def test_publishing_waits_while_too_many_bytes_are_not_confirmed() -> None:
    go = asyncio.Event()
    taken: list[bytes] = []

    async def script(peer: Peer) -> None:
        await peer.packet()
        await peer.say(CONNACK)
        while len(taken) < 5:
            head = await peer.reader.readexactly(3)
            body = await peer.reader.readexactly((head[1] & 0x7F) + (head[2] << 7))
            taken.append(body[3:5])
            await go.wait()
            await peer.say(b"\x40\x02" + body[3:5])
        await peer.packet()

    async with server(script) as url, Client(url, queue_bytes=1000) as client:
        await client.publish("t", bytes(600))
        late = asyncio.create_task(client.publish("t", bytes(600)))
        more = asyncio.create_task(client.publish_many([("t", bytes(300))] * 2))
        for _ in range(20):
            await asyncio.sleep(0)
        assert client.unconfirmed() in (1, 2)  # 600, perhaps 300 behind it
        assert not late.done()
        assert client._outgoing.queued_bytes() <= 1000
        go.set()
        await late
        await more
        await client.publish("t", bytes(5000))  # larger than all: alone
        assert client._outgoing.queued_bytes() <= 5020


async def test_bytes_are_bounded_with_a_store_too(url: str, tmp_path: Path) -> None:
    async with Client(url, client_id="c", store=tmp_path / "state.db", queue_bytes=1000) as client:
        most = 0
        for receipt in [await client.enqueue("t", bytes(400), number % 2 + 1) for number in range(20)]:
            most = max(most, client._outgoing.queued_bytes())
            await receipt
        assert 0 < most <= 1000


async def test_properties_are_bytes_that_wait_too() -> None:
    client = Client(f"mqtt://127.0.0.1:{free_port()}", version=5, retry_first=True, queue_bytes=1000)
    await client.start(wait=False)
    await client.publish("t", user_properties={"a": "x" * 600})
    late = asyncio.create_task(client.publish("t", user_properties={"a": "x" * 600}))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not late.done() and client.unconfirmed() == 1
    await client.close()
    with pytest.raises(ClosedError):
        await late


async def test_what_may_wait_is_checked() -> None:
    with pytest.raises(ValueError, match="queue_bytes must be 1 or more"):
        Client("mqtt://localhost", queue_bytes=0)
