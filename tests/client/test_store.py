"""A client with a store: what is durable before what leaves, and how the next life goes on."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from mqttlite.broker import Broker
from mqttlite.client import Client
from mqttlite.core import records
from mqttlite.core.errors import InDoubtError
from mqttlite.core.records import State
from mqttlite.store.base import Store, StoreError
from mqttlite.store.journal import Journal
from mqttlite.store.sqlite import SqliteStore
from tests.peers import RUN_TIMEOUT_S
from tests.statements import statement

CONNACK = b"\x20\x02\x00\x00"
RESUMED = b"\x20\x02\x01\x00"


class Disk(Store):
    """A store that is durable in the sense of these tests: it keeps the sum of what was committed. `gate` closed: a
    commit takes until it is opened. `broken`: it fails."""

    is_durable = True

    def __init__(self, state: State | None = None) -> None:
        self.kept = state or State()
        self.pending: list[tuple[int, int, bytes, bytes, bytes]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.waiting = asyncio.Event()
        self.broken = False

    async def open(self) -> State:
        state = State()
        for record in self.kept.records():
            state.apply(*record)
        return state

    def record(self, kind: int, number: int, head: bytes = b"", payload: bytes = b"", key: bytes = b"") -> None:
        self.pending.append((kind, number, head, payload, key))

    async def commit(self) -> None:
        batch, self.pending = self.pending, []
        if self.broken:
            raise StoreError("the disk is full")
        self.waiting.set()
        await self.gate.wait()
        for record in batch:
            self.kept.apply(*record)


class Peer:
    """A broker that says what the test wants."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def packet(self) -> bytes:
        head = await self.reader.readexactly(2)
        return head + await self.reader.readexactly(head[1])

    async def connected(self, connack: bytes) -> None:
        assert (await self.packet())[0] == 0x10
        self.writer.write(connack)


@asynccontextmanager
async def peers() -> AsyncIterator[tuple[str, "asyncio.Queue[Peer]"]]:
    """Where to connect to, and who connected."""
    queue: asyncio.Queue[Peer] = asyncio.Queue()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        queue.put_nowait(Peer(reader, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}", queue
    finally:
        while not queue.empty():
            queue.get_nowait().writer.close()
        server.close()


@asynccontextmanager
async def connection(disk: Store, connack: bytes = CONNACK, **options: object) -> AsyncIterator[tuple[Client, Peer]]:
    """A client on `disk` and the peer it talks to; then the client dies, as far as one can die in a test."""
    async with peers() as (url, queue):
        client = Client(url, client_id="c", store=disk, **options)  # type: ignore[arg-type]
        starting = asyncio.create_task(client.start())
        peer = await queue.get()
        await peer.connected(connack)
        await starting
        try:
            yield client, peer
        finally:
            peer.writer.close()
            while client._connector.task and not client._connector.task.done():  # wait_for may swallow a cancellation
                client._connector.task.cancel()
                await asyncio.wait([client._connector.task], timeout=0.1)


async def test_nothing_leaves_and_publish_does_not_return_before_the_store_has_it() -> None:
    disk = Disk()
    async with connection(disk) as (client, peer):
        disk.gate.clear()
        disk.waiting.clear()
        publishing = asyncio.create_task(client.publish("t", b"x", 1))
        reading = asyncio.create_task(peer.packet())
        await disk.waiting.wait()
        await asyncio.sleep(0)
        assert not publishing.done() and not reading.done()
        disk.gate.set()
        await publishing
        assert (await reading)[0] == 0x32
        assert list(disk.kept.messages.values()) == [(b"\x32\x06\x00\x01t", b"x", b"")]


async def test_what_depends_on_no_record_does_not_wait_for_a_commit() -> None:
    disk = Disk()
    async with connection(disk, window=2) as (client, peer):
        for number in range(4):
            await client.enqueue("t", b"%d" % number, 1 + number % 2)
        await client.stored()
        first, second = await peer.packet(), await peer.packet()
        disk.gate.clear()
        peer.writer.write(b"\x40\x02" + first[5:7])  # PUBACK: the end of a message need not be durable
        assert (await peer.packet())[7:] == b"2"
        disk.waiting.clear()
        peer.writer.write(b"\x50\x02" + second[5:7])  # PUBREC: PUBREL tells that the message is released
        reading = asyncio.create_task(peer.packet())
        await disk.waiting.wait()
        await asyncio.sleep(0)
        assert not reading.done()
        disk.gate.set()
        assert (await reading)[0] == 0x62


async def test_a_connection_that_comes_while_a_commit_goes_on_waits_for_it() -> None:
    disk = Disk()
    async with peers() as (url, queue):
        client = Client(url, client_id="c", store=disk)
        starting = asyncio.create_task(client.start())
        peer = await queue.get()
        await peer.connected(CONNACK)
        await starting
        receipt = await client.publish("t", b"x", 2)
        sent = await peer.packet()
        disk.gate.clear()
        disk.waiting.clear()
        peer.writer.write(b"\x50\x02" + sent[5:7])
        await disk.waiting.wait()  # RELEASED is being written
        peer.writer.close()
        peer = await queue.get()
        await peer.connected(RESUMED)
        reading = asyncio.create_task(peer.packet())
        await asyncio.sleep(0.01)
        assert not reading.done()
        disk.gate.set()
        assert (await reading)[0] == 0x62
        peer.writer.write(b"\x70\x02" + sent[5:7])
        await receipt.completed()
        closing = asyncio.create_task(client.close())
        assert (await peer.packet())[0] == 0xE0
        peer.writer.close()
        await closing


@statement("3.1.1", "MQTT-4.4.0-1", "MQTT-3.3.1-1", "MQTT-4.6.0-1")
async def test_the_next_life_sends_again_with_the_same_identifiers_dup_and_order() -> None:
    disk = Disk()
    async with connection(disk) as (client, peer):
        receipts = [await client.publish("t", b"%d" % number, 1 + number % 2) for number in range(5)]
        first = [await peer.packet() for _ in range(5)]
        peer.writer.write(b"\x50\x02" + first[1][5:7])  # PUBREC of the second
        assert (await peer.packet())[0] == 0x62
    async with connection(disk, RESUMED) as (client, peer):
        again = [await peer.packet() for _ in range(5)]
        assert again[1] == b"\x62\x02" + first[1][5:7]
        assert [a for n, a in enumerate(again) if n != 1] == [
            bytes((f[0] | 8,)) + f[1:] for n, f in enumerate(first) if n != 1
        ]
        assert [state for _, state, *_ in client.pending()] == ["accepted", "released", *["accepted"] * 3]
        receipt = client.receipt(receipts[0].seq)
        assert not receipt.done
        peer.writer.write(b"\x40\x02" + first[0][5:7])
        await receipt.completed()
        new = await client.publish("t", b"new", 1)
        assert new.seq == receipts[-1].seq + 1
        assert (await peer.packet())[0] == 0x32


@statement("3.1.1", "MQTT-3.3.1-1")
async def test_whatever_may_have_been_sent_is_marked_as_a_repeat() -> None:
    disk = Disk()
    async with connection(disk, window=2) as (client, peer):
        for number in range(4):
            await client.enqueue("t", b"%d" % number, 1)
        await client.stored()
        first = [await peer.packet() for _ in range(2)]
    async with connection(disk, RESUMED, window=10) as (client, peer):
        assert [(await peer.packet())[0] for _ in range(4)] == [0x3A] * 4
        await client.publish("t", b"new", 1)
        assert (await peer.packet())[0] == 0x32
    assert [packet[0] for packet in first] == [0x32, 0x32]


@statement("3.1.1", "MQTT-3.3.1-1")
async def test_what_was_sent_when_the_end_of_others_was_not_durable_yet_is_a_repeat() -> None:
    disk = Disk()
    async with connection(disk, window=2) as (client, peer):
        for number in range(4):
            await client.enqueue("t", b"%d" % number, 1)
        await client.stored()
        first = [await peer.packet() for _ in range(2)]
        for packet in first:
            peer.writer.write(b"\x40\x02" + packet[5:7])
        assert [(await peer.packet())[0] for _ in range(2)] == [0x32] * 2  # and then the process dies
    async with connection(disk, RESUMED, window=2) as (_, peer):
        assert [(await peer.packet())[0] for _ in range(2)] == [0x3A] * 2
        for packet in first:
            peer.writer.write(b"\x40\x02" + packet[5:7])
        assert [(await peer.packet())[0] for _ in range(2)] == [0x3A] * 2


async def test_a_received_identifier_is_recognised_in_the_next_life() -> None:
    disk = Disk()
    publish = b"\x34\x06\x00\x01t\x00\x07x"
    async with connection(disk) as (client, peer):
        peer.writer.write(publish)
        message = await anext(client)
        client._incoming.handled()
        assert message.payload == b"x" and await peer.packet() == b"\x50\x02\x00\x07"
    async with connection(disk, RESUMED) as (client, peer):
        peer.writer.write(bytes((publish[0] | 8,)) + publish[1:])
        assert await peer.packet() == b"\x50\x02\x00\x07"
        assert not client._incoming.inbox
        peer.writer.write(b"\x62\x02\x00\x07")
        assert await peer.packet() == b"\x70\x02\x00\x07"
    assert not disk.kept.held


async def test_with_manual_acknowledgement_nothing_is_acknowledged_before_and_order_is_kept() -> None:
    async with connection(Disk(), manual_ack=True) as (client, peer):
        peer.writer.write(b"\x34\x06\x00\x01t\x00\x01a\x32\x06\x00\x01t\x00\x02b\x34\x06\x00\x01t\x00\x03c")
        taken = [await anext(client) for _ in range(3)]
        client.acknowledge(taken[2])
        client.acknowledge(taken[1])
        reading = asyncio.create_task(peer.packet())
        await asyncio.sleep(0.01)
        assert not reading.done()
        client.acknowledge(taken[0])
        assert [await reading, await peer.packet(), await peer.packet()] == [
            b"\x50\x02\x00\x01",
            b"\x40\x02\x00\x02",
            b"\x50\x02\x00\x03",
        ]


async def test_a_message_released_before_the_session_was_lost_is_in_doubt_until_it_is_settled() -> None:
    disk = Disk()
    async with connection(disk) as (client, peer):
        receipt = await client.publish("t", b"x", 2)
        sent = await peer.packet()
        peer.writer.write(b"\x50\x02" + sent[5:7])
        assert (await peer.packet())[0] == 0x62
    async with connection(disk, CONNACK) as (client, _):
        with pytest.raises(InDoubtError):
            await client.receipt(receipt.seq).completed()
        await client.stored()
    async with connection(disk, CONNACK) as (client, _):
        assert [(seq, state) for seq, state, *_ in client.pending()] == [(receipt.seq, "in doubt")]
        with pytest.raises(InDoubtError):
            await client.receipt(receipt.seq).completed()
        await client.settle(receipt.seq)
        assert not client.pending()
    assert not disk.kept.doubts


@pytest.mark.parametrize(
    ("make", "size"),
    [(lambda path: Journal(path, 2048), 60), (lambda path: SqliteStore(path, size_max=1 << 20), 50_000)],
)
async def test_messages_in_doubt_make_room_for_new_ones_the_oldest_first(
    make: Callable[[Path], Store], size: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Found by a random schedule: a device whose small journal was full of them could publish nothing any more."""
    store = make(tmp_path / "state")
    state = await store.open()
    store.snapshot = lambda: state

    def take(*record: Any) -> None:
        store.record(*record)
        state.apply(*record)

    take(records.IDENTITY, 1, b"c")
    doubts = 0
    while store.fits(size):
        take(records.ACCEPTED, doubts, b"\x34\x00\x00\x01t", bytes(size))
        take(records.RELEASED, doubts)
        take(records.DOUBT, doubts)
        doubts += 1
        await store.commit()
        if doubts > 100:
            break
    await store.close()
    assert 10 < doubts < 100
    async with (
        Broker(["mqtt://127.0.0.1:0"]) as broker,
        Client(broker.addresses[0], client_id="c", store=make(tmp_path / "state")) as client,
    ):
        for _ in range(3):
            async with asyncio.timeout(RUN_TIMEOUT_S):
                await (await client.publish("t", bytes(size), 1)).completed()
        left = [seq for seq, status, *_ in client.pending() if status == "in doubt"]
        assert 0 < len(left) < doubts
        assert left == list(range(doubts - len(left), doubts))
    assert "message 0, which is in doubt, is forgotten: the store has no room" in caplog.text


async def test_with_a_key_that_travels_a_released_message_is_sent_again_when_the_session_is_lost() -> None:
    disk = Disk()
    async with connection(disk, keys=True) as (client, peer):
        await client.publish("t", b"x", 2)
        sent = await peer.packet()
        peer.writer.write(b"\x50\x02" + sent[5:7])
        assert (await peer.packet())[0] == 0x62
    async with connection(disk, CONNACK, keys=True) as (_, peer):
        assert await peer.packet() == sent


async def test_a_number_that_the_application_has_published_is_not_accepted_again() -> None:
    disk = Disk()
    async with connection(disk) as (client, peer):
        first = await client.publish("t", b"x", 2, key=("orders", 1))
        assert await client.publish("t", b"x", 2, key=("orders", 1)) is first
        await peer.packet()
    async with connection(disk, RESUMED) as (client, peer):
        again = await client.publish("t", b"x", 2, key=("orders", 1))
        assert again.seq == first.seq and not again.done
        assert (await peer.packet())[0] == 0x3C
        other = await client.publish("t", b"y", 2, key=("orders", 2))
        assert other.seq > first.seq


async def test_a_message_that_was_handled_is_not_delivered_again_in_another_session() -> None:
    """The key is what makes it recognisable: session and identifier are new."""
    disk = Disk()
    async with Broker(listen=["mqtt://127.0.0.1:0"]) as broker, Client(broker.addresses[0], keys=True) as producer:
        for life in range(2):
            clean = life == 1  # the broker loses the session
            consumer = Client(broker.addresses[0], client_id="c", store=disk, keys=True, clean_session=clean)
            async with consumer:
                await consumer.subscribe("t", 2)
                await producer.publish("t", "same", 2, key=("p", 1))
                producer._outgoing.load_keys().state.origins.clear()  # it has lost its store
                await producer.publish("t", f"other {life}", 2, key=("p", 2 + life))
                producer._outgoing.load_keys().state.origins.clear()
                got = []
                async for message in consumer:
                    got.append(message.payload)
                    if message.payload.startswith(b"other"):
                        break
                assert got == ([b"same", b"other 0"], [b"other 1"])[life]


async def test_a_failing_store_ends_the_client_and_nothing_is_claimed() -> None:
    disk = Disk()
    async with connection(disk) as (client, peer):
        disk.broken = True
        with pytest.raises(StoreError, match="full"):
            await client.publish("t", b"x", 1)
        with pytest.raises(StoreError, match="full"):
            await client.publish("t", b"y", 1)
        assert await peer.reader.read() in (b"", b"\xe0\x00"), "nothing but the end"


async def test_a_store_belongs_to_one_client_identifier() -> None:
    state = State()
    state.apply(records.IDENTITY, 1, b"other")
    with pytest.raises(StoreError, match="belongs to client_id 'other'"):
        await Client("mqtt://127.0.0.1:1", client_id="c", store=Disk(state)).start()
    with pytest.raises(ValueError, match="client_id"):
        Client("mqtt://127.0.0.1:1", store=Disk())


async def test_subscriptions_are_restored_when_the_broker_has_lost_them() -> None:
    disk = Disk()
    async with connection(disk) as (client, peer):
        subscribing = asyncio.create_task(client.subscribe("a/#", 1))
        request = await peer.packet()
        peer.writer.write(b"\x90\x03" + request[2:4] + b"\x01")
        assert await subscribing == 1
    async with connection(disk, CONNACK) as (_, peer):
        assert (await peer.packet())[4:] == request[4:]


async def test_the_same_through_a_file_in_sqlite(tmp_path: object) -> None:
    path = f"{tmp_path}/state.db"
    async with connection(path) as (client, peer):  # type: ignore[arg-type]
        receipt = await client.publish("t", b"x", 2)
        sent = await peer.packet()
        await client.store.close()
    async with connection(path, RESUMED) as (client, peer):  # type: ignore[arg-type]
        assert await peer.packet() == bytes((sent[0] | 8,)) + sent[1:]
        assert not client.receipt(receipt.seq).done
        await client.store.close()


async def test_keys_of_a_new_store_need_a_clock_because_epochs_must_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mqttlite.client.outlived.time.localtime", lambda: (2000, 1, 1, 0, 0, 5, 5, 1, 0))
    with pytest.raises(StoreError, match="clock"):
        await Client("mqtt://127.0.0.1:1", client_id="c", store=Disk(), keys=True).start()


async def test_a_store_that_fails_while_nobody_waits_is_not_passed_over() -> None:
    disk = Disk()
    async with peers() as (url, queue):

        async def live() -> None:
            async with Client(url, client_id="c", store=disk) as client:
                await client.publish("t", b"x", 1)
                assert disk.on_failure
                disk.on_failure(StoreError("the disk is gone"))
                assert not await client.drain()

        living = asyncio.create_task(live())
        peer = await queue.get()
        await peer.connected(CONNACK)
        with pytest.raises(StoreError, match="the disk is gone"):
            await living
        peer.writer.close()


async def test_a_store_that_fails_while_the_client_is_being_closed_is_not_passed_over() -> None:
    """Found by a random schedule: the end of the last message was being written when the application closed."""
    disk = Disk()
    async with peers() as (url, queue):

        async def live(client: Client) -> None:
            async with client:
                pass

        client = Client(url, client_id="c", store=disk)
        living = asyncio.create_task(live(client))
        peer = await queue.get()
        await peer.connected(CONNACK)
        assert (await peer.packet())[0] == 0xE0
        assert disk.on_failure
        disk.on_failure(StoreError("the disk is gone"))
        peer.writer.close()
        with pytest.raises(StoreError, match="the disk is gone"):
            await living
        await client.close()  # says it once


async def test_a_journal_that_was_rewritten_forgets_identifiers_that_were_freed(tmp_path: Path) -> None:
    """Otherwise the next life takes new messages for repeats: they would be acknowledged and lost."""
    path = tmp_path / "c.journal"
    journal = Journal(path, size_max=2048)
    async with connection(journal) as (client, peer):
        for number in range(1, 201):
            packet_id = number.to_bytes(2, "big")
            peer.writer.write(b"\x34\x06\x00\x01t" + packet_id + b"x")
            await anext(client)
            client._incoming.handled()
            assert await peer.packet() == b"\x50\x02" + packet_id
            peer.writer.write(b"\x62\x02" + packet_id)
            assert await peer.packet() == b"\x70\x02" + packet_id
        assert journal._count > 2  # generations
    await journal.close()
    journal = Journal(path, size_max=2048)
    async with connection(journal, RESUMED) as (client, peer):
        assert not client._life.session.inbound
        peer.writer.write(b"\x34\x06\x00\x01t\x00\x07y")
        assert (await anext(client)).payload == b"y"
    await journal.close()


async def test_two_tasks_may_close_the_client_at_once() -> None:
    async with connection(Disk()) as (client, peer):
        closing = [asyncio.create_task(client.close()) for _ in range(3)]
        assert (await peer.packet())[0] == 0xE0
        peer.writer.close()
        await asyncio.gather(*closing)
