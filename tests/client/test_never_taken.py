"""A message that the broker never takes is set aside on evidence, told, kept, and dropped or sent again at will."""

import asyncio
import logging
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from mqttlite.client import Client, connector, suspects
from mqttlite.core.errors import InDoubtError, PublishError, SetAsideError
from mqttlite.store.journal import Journal
from tests.client.network import CONNACK, Peer, server
from tests.peers import RUN_TIMEOUT_S, MicroPython

CONNACK5 = b"\x20\x03\x00\x00\x00"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Less evidence than in earnest: these tests are about what comes of it."""
    monkeypatch.setattr(suspects, "ROUNDS", 3)
    monkeypatch.setattr(suspects, "LIVING_MS", 60)
    monkeypatch.setattr(suspects, "PAUSE_MS", 1)
    monkeypatch.setattr(connector, "DELAY_MS", 16)


class Picky:
    """A broker that ends the connection at each message to a topic in `refused`."""

    def __init__(self, *refused: bytes, version: int = 4, farewell: bytes = b"") -> None:
        self.refused = set(refused)
        self.taken: list[bytes] = []  # topics, in order of first arrival
        self.connections = 0
        self.deaths = 0
        self._connack = CONNACK if version == 4 else CONNACK5
        self._farewell = farewell

    async def __call__(self, peer: Peer) -> None:
        self.connections += 1
        await peer.packet()
        await peer.say(self._connack[:2] + bytes((self.connections > 1,)) + self._connack[3:])
        while packet := await peer.packet():
            kind = packet[0] & 0xF0
            if kind == 0x30:
                size = packet[2] << 8 | packet[3]
                topic = packet[4 : 4 + size]
                if topic in self.refused:
                    self.deaths += 1
                    await peer.say(self._farewell)
                    return
                qos = packet[0] >> 1 & 3
                if topic not in self.taken:
                    self.taken.append(topic)
                if qos:
                    await peer.say(bytes((0x40 if qos == 1 else 0x50, 2)) + packet[4 + size : 6 + size])
            elif kind == 0x60:
                await peer.say(b"\x70\2" + packet[2:4])
            elif kind == 0xC0:
                await peer.say(b"\xd0\0")


@pytest.fixture
async def picky() -> AsyncIterator[Callable[..., Awaitable[tuple[Picky, str]]]]:
    stack = []

    async def begin(*refused: bytes, **options: Any) -> tuple[Picky, str]:
        broker = Picky(*refused, **options)
        context = server(broker)
        stack.append(context)
        return broker, await context.__aenter__()

    yield begin
    for context in stack:
        await context.__aexit__(None, None, None)


async def outcome(receipt: Any) -> BaseException | None:
    try:
        await asyncio.wait_for(receipt.completed(), RUN_TIMEOUT_S)
    except (PublishError, InDoubtError) as error:
        return error
    return None


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("qos", [1, 2])
async def test_it_is_set_aside_and_named_and_the_others_go_on_in_order(
    picky: Any, version: int, qos: int, caplog: pytest.LogCaptureFixture
) -> None:
    broker, url = await picky(b"bad", version=version)
    async with Client(url, client_id="c", version=version) as client:
        receipts = [await client.publish(topic, "x" * 20, qos) for topic in ("a", "bad", "b", "c")]
        errors = [await outcome(receipt) for receipt in receipts]
        assert [error is None for error in errors] == [True, False, True, True]
        assert isinstance(errors[1], SetAsideError)
        assert errors[1].code == 0
        seq = receipts[1].seq
        for text in ("'bad'", "20 bytes", f"message {seq} ", "was reached", f"retry({seq})", f"settle({seq})"):
            assert text in str(errors[1])
        assert broker.taken == [b"a", b"b", b"c"]
        assert client.pending() == [(seq, "refused", "bad", qos, b"x" * 20)]
        assert isinstance(await outcome(client.receipt(seq)), SetAsideError)
        await client.settle(seq)
        assert client.pending() == []
        assert await client.drain()
    assert "cannot reach" not in caplog.text
    assert f"closed the connection while message {seq} ('bad'" in caplog.text


@pytest.mark.parametrize("qos", [1, 2])
async def test_answers_that_are_lost_with_the_connection_do_not_hide_it(qos: int) -> None:
    async def broker(peer: Peer) -> None:
        """Its answers, but for PUBREC, leave a little later, and not at all when it ends the connection before."""
        nonlocal connections
        connections += 1
        last = bytes((0x40, 2)) if qos == 1 else bytes((0x70, 2))
        await peer.packet()
        await peer.say(b"\x20\2" + bytes((connections > 1, 0)))
        while packet := await peer.packet():
            if packet[0] & 0xF0 == 0x30:
                if packet[4:7] == b"bad":
                    break
                if packet[4:7] not in taken:
                    taken.append(packet[4:7])
                if qos == 2:
                    await peer.say(b"\x50\2" + packet[7:9])
                    continue
            came.set()
            answer = b"\xd0\0" if packet[0] == 0xC0 else last + packet[-3 if qos == 1 else 2 :][:2]
            if connections > 1:  # in the first one: never
                loop.call_later(0.01, lambda answer=answer: peer.writer.is_closing() or peer.writer.write(answer))
        peer.writer.transport.abort()

    loop = asyncio.get_running_loop()
    connections = 0
    came = asyncio.Event()
    taken: list[bytes] = []
    topics = ["t01", "t02", "t03", "bad", "t05", "t06"]
    async with server(broker) as url, Client(url, client_id="c", clean_session=False) as client:
        receipts = [await client.enqueue(topic, "x", qos) for topic in topics[:3]]
        await came.wait()
        if qos == 2:
            assert client.pending()[0][1] == "released"
        receipts += [await client.enqueue(topic, "x", qos) for topic in topics[3:]]
        errors = [await outcome(receipt) for receipt in receipts]
        assert [type(error) for error in errors] == [type(None)] * 3 + [SetAsideError] + [type(None)] * 2
    assert taken == [topic.encode() for topic in topics if topic != "bad"]


async def test_a_reset_that_takes_answers_along_costs_no_connection_for_each_message() -> None:
    async def broker(peer: Peer) -> None:
        """Of its answers one arrives, when it resets the connection: each time another message is finished."""
        nonlocal connections
        connections += 1
        peer.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await peer.packet()
        await peer.say(b"\x20\2" + bytes((connections > 1, 0)))
        answers: list[bytes] = []
        while packet := await peer.packet():
            if packet[4:7] == b"bad":
                await peer.say(b"".join(answers[:1]))
                if answers:
                    await pulse.wait()  # until it has arrived
                break
            pulse.clear()
            answers.append(b"\xd0\0" if packet[0] == 0xC0 else b"\x40\2" + packet[7:9])
            if not peer.reader._buffer:  # type: ignore[attr-defined]
                await peer.say(b"".join(answers))
                answers.clear()
        peer.writer.transport.abort()

    def finished(seq: int, code: int) -> None:
        on_finished(seq, code)
        pulse.set()

    connections = 0
    pulse = asyncio.Event()
    async with server(broker) as url, Client(url, client_id="c", clean_session=False) as client:
        on_finished = client._life.session.on_finished or (lambda *_: None)
        client._life.session.on_finished = finished
        client._life.session.on_confirmed = None  # type: ignore[attr-defined]  # told of many at once
        receipts = [await client.enqueue(topic, "x") for topic in ["t01"] * 15 + ["bad"]]
        errors = [await outcome(receipt) for receipt in receipts]
        assert [type(error) for error in errors] == [type(None)] * 15 + [SetAsideError]
    assert connections < 12


async def test_several_in_a_row_are_set_aside_one_by_one(picky: Any) -> None:
    broker, url = await picky(b"bad1", b"bad2", b"bad3")
    async with Client(url, client_id="c") as client:
        receipts = [await client.publish(topic, "x") for topic in ("bad1", "bad2", "bad3", "good")]
        errors = [await outcome(receipt) for receipt in receipts]
        assert [type(error) for error in errors] == [SetAsideError] * 3 + [type(None)]
        assert broker.taken == [b"good"]
        assert [message[1:3] for message in client.pending()] == [("refused", f"bad{n}") for n in (1, 2, 3)]


def test_where_nothing_at_all_is_taken_each_verdict_takes_longer() -> None:
    client = Client("mqtt://localhost", client_id="c")
    client._life.protocol.publish(2, b"a", b"")
    waits = []
    judge = suspects.Judge(client._life, client._outgoing)
    for judge.barren in range(8):
        suspicion = suspects.Suspicion(judge)
        suspicion.dying_ms = 5
        waits.append(suspicion.living_ms())
    assert waits[:3] == [suspects.LIVING_MS] * 3
    assert waits[3:] == [suspects.LIVING_MS << n for n in range(1, 6)]


@pytest.mark.parametrize("make", [lambda path: str(path / "s.db"), lambda path: Journal(path / "s.journal")])
async def test_it_outlives_the_process_and_can_be_sent_again(picky: Any, tmp_path: Path, make: Any) -> None:
    broker, url = await picky(b"bad")
    async with Client(url, client_id="c", store=make(tmp_path)) as client:
        receipt = await client.publish("bad", "x", 2)
        assert isinstance(await outcome(receipt), SetAsideError)
    connections = broker.connections
    async with Client(url, client_id="c", store=make(tmp_path)) as client:
        assert client.pending() == [(receipt.seq, "refused", "bad", 2, b"x")]
        assert isinstance(await outcome(client.receipt(receipt.seq)), SetAsideError)
        await (await client.publish("good")).completed()
        assert broker.connections == connections + 1  # it is not tried again
        broker.refused.clear()
        again = await client.retry(receipt.seq)
        assert again.seq > receipt.seq
        assert await outcome(again) is None
        assert client.pending() == []
        with pytest.raises(ValueError, match="neither refused nor in doubt"):
            await client.retry(receipt.seq)
    assert broker.taken == [b"good", b"bad"]
    async with Client(url, client_id="c", store=make(tmp_path)) as client:
        assert client.pending() == []


@pytest.mark.parametrize("version", [4, 5])
def test_sent_again_it_carries_a_key_that_no_receiver_takes_for_old(version: int) -> None:
    from mqttlite.client.unconfirmed import _payload
    from mqttlite.core import keys, properties
    from mqttlite.core.as_new import as_new

    client = Client("mqtt://localhost", client_id="c", version=version, keys=True)
    client._outgoing.accept("a", b"content", 2, False)
    [(seq, message)] = client._life.session.messages.items()
    head, payload, key = as_new(message, seq + 5000)
    assert _payload((head, payload, key)) == b"content"
    if version == 5:
        text = properties.user_property(properties.split(payload)[0], keys.PROPERTY)
        found = keys.from_text(text or b"")
    else:
        opened = keys.unwrap(payload)
        found = opened and opened[0]
    assert found
    assert found[2] == seq + 5000
    client._outgoing.accept("a", b"content", 2, False, ("app", 7))
    message = client._life.session.messages[seq + 1]
    assert as_new(message, seq + 5000) == message  # the application's number stays


@pytest.mark.parametrize(("code", "aside"), [(0x95, True), (0x90, True), (0x8B, False), (0x97, False), (0x8E, False)])
async def test_what_the_broker_says_at_the_end_counts(picky: Any, code: int, aside: bool) -> None:
    broker, url = await picky(b"bad", version=5, farewell=bytes((0xE0, 1, code)))
    async with Client(url, client_id="c", version=5) as client:
        receipt = await client.publish("bad")
        if aside:
            assert isinstance(await outcome(receipt), SetAsideError)
        else:
            async with asyncio.timeout(RUN_TIMEOUT_S):
                while broker.deaths < 5:
                    await client._life.progress.wait()
            assert not receipt.done
            broker.refused.clear()
            assert await outcome(receipt) is None


async def test_a_limit_that_the_broker_announces_later_sets_aside_what_exceeds_it() -> None:
    accepted = asyncio.Event()
    connack = [CONNACK5, b"\x20\x08\x00\x00\x05\x27\x00\x00\x00\x14"]  # then a Maximum Packet Size of 20

    async def broker(peer: Peer) -> None:
        await peer.packet()
        if len(connack) > 1:
            await peer.say(connack.pop(0))
            await accepted.wait()
            return
        await peer.say(connack[0])
        while packet := await peer.packet():
            if packet[0] >> 4 == 3:
                size = packet[3]
                await peer.say(b"\x40\2" + packet[4 + size : 6 + size])

    async with server(broker) as url, Client(url, client_id="c", version=5, retry_first=True) as client:
        large = await client.publish("photo", bytes(100))
        small = await client.publish("t", "x")
        accepted.set()
        error = await outcome(large)
        assert isinstance(error, SetAsideError)
        assert error.code == 0x95
        assert "'photo', 100 bytes" in str(error)
        assert await outcome(small) is None
        assert [message[1] for message in client.pending()] == ["refused"]
        with pytest.raises(PublishError):
            await client.retry(large.seq)
        assert [message[1] for message in client.pending()] == ["refused"]


async def test_a_released_message_is_no_suspect(picky: Any) -> None:
    async def broker(peer: Peer) -> None:
        nonlocal deaths
        await peer.packet()
        await peer.say(b"\x20\2\1\0" if deaths else CONNACK)
        packet = await peer.packet()
        while packet[0] != 0x62:
            if packet[0] == 0xC0:
                await peer.say(b"\xd0\0")
            elif packet[0] & 0xF0 == 0x30:
                await peer.say(b"\x50\2" + packet[5:7])
            packet = await peer.packet()
        deaths += 1
        if deaths > 5:
            await peer.say(b"\x70\2" + packet[2:4])
            await peer.reader.read()

    deaths = 0
    async with server(broker) as url, Client(url, client_id="c", clean_session=False) as client:
        assert await outcome(await client.publish("t", "x", 2)) is None
    assert deaths == 6


async def test_a_board_sets_it_aside_too(picky: Any, micropython: MicroPython) -> None:
    broker, url = await picky(b"bad")
    script = f"""
import asyncio
from mqttlite.client import Client, suspects
suspects.LIVING_MS = suspects.PAUSE_MS = 20

async def main():
    async with Client({url!r}, client_id="board") as client:
        bad = await client.publish("bad", "x", 1)
        good = await client.publish("good", "x", 1)
        try:
            await bad.completed()
        except Exception as error:
            print(type(error).__name__)
        await good.completed()
        print(client.pending()[0][1:])

asyncio.run(main())
"""
    lines = (await micropython.run(script, heap="1m")).stdout.splitlines()
    assert lines[-2:] == ["SetAsideError", "('refused', 'bad', 1, b'x')"]
    assert broker.taken == [b"good"]


async def test_two_clients_with_one_identifier_are_told_so(caplog: pytest.LogCaptureFixture) -> None:
    ends = 0

    async def broker(peer: Peer) -> None:
        nonlocal ends
        await peer.packet()
        await peer.say(CONNACK + b"\x30\4\0\1tx")  # a message, and soon after it the other client comes
        ends += 1
        if ends == 6:
            await peer.reader.read()

    with caplog.at_level(logging.WARNING):
        async with server(broker) as url, Client(url, client_id="twin", clean_session=False) as client:
            for _ in range(6):
                await anext(client)
    said = [record.getMessage() for record in caplog.records if "another client uses" in record.getMessage()]
    assert 1 <= len(said) <= 3
    assert "('twin'), probably" in said[0]


async def test_a_broker_that_resets_before_connack_was_reached() -> None:
    async def broker(peer: Peer) -> None:
        peer.writer.transport.abort()  # with CONNECT unread

    async with server(broker) as url:
        client = Client(url, client_id="c", retry_first=True)
        said: list[str] = []
        client._life.log = said.append  # type: ignore[method-assign]
        starting = asyncio.create_task(client.start())
        async with asyncio.timeout(RUN_TIMEOUT_S):
            while not said:
                await client._life.progress.wait()
        starting.cancel()
        await asyncio.wait((starting,))
        await client.close()
    assert "cannot reach" not in said[0]
