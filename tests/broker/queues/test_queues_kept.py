"""Named queues and the numbers of producers over a restart and a kill of a broker with a store; with the clients of
others.
"""

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mqttlite import Client
from mqttlite.broker import Broker, Limits, server
from mqttlite.broker.connections.turns import now_ms
from mqttlite.broker.named_rules import NamedRule
from mqttlite.broker.topics.names import QUEUE, STREAM
from tests.broker.raw import TIMEOUT_S, RawClient, port_of
from tests.broker.test_command import started
from tests.interop.paho_client import PahoClient
from tests.peers import end, program

LISTEN = ["mqtt://127.0.0.1:0"]
JOBS = "$queue/jobs/in/#"


@contextlib.asynccontextmanager
async def running(store: Path | None, **limits: Any) -> AsyncIterator[tuple[Broker, int]]:
    async with asyncio.timeout(TIMEOUT_S), Broker(LISTEN, Limits(**limits), store) as broker:
        yield broker, port_of(broker.addresses[0])


@contextlib.asynccontextmanager
async def client(port: int, name: str, clean: bool = True, present: bool = False) -> AsyncIterator[RawClient]:
    async with RawClient(port) as raw:
        await raw.connect(name, clean, present)
        yield raw


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "broker.db"


async def publish(port: int, qos: int, count: int, start: int = 0) -> None:
    async with client(port, f"p{start}") as publisher:
        for number in range(start, start + count):
            publisher.publish("in/a", b"%d" % number, qos)
        for _ in range(count if qos else 0):
            packet = await publisher.packet()
            publisher.acknowledge(packet)
        publisher.send("pingreq")
        while (await publisher.packet()).kind != "pingresp":
            pass


async def made(port: int) -> None:
    async with client(port, "first") as first:
        await first.subscribe(JOBS, 2)


def numbers(count: int, start: int = 0) -> list[bytes]:
    return [b"%d" % number for number in range(start, start + count)]


@pytest.mark.parametrize("qos", [1, 2])
async def test_a_queue_and_what_is_in_it_survive_a_restart(path: Path, qos: int) -> None:
    async with running(path) as (_, port):
        await made(port)
        await publish(port, qos, 30)
    async with running(path) as (broker, port), client(port, "c") as consumer:
        await consumer.subscribe("$queue/jobs", 2)
        assert await consumer.messages(30) == numbers(30)
        consumer.send("pingreq")
        assert (await consumer.packet()).kind == "pingresp"
        assert not broker.engine.depot.queues[b"jobs"].items
    async with running(path) as (broker, port):
        assert broker.engine.depot.describe()[0]["messages"] == 0


async def test_a_queue_of_the_configuration_is_there_once_in_each_life(path: Path) -> None:
    rule = NamedRule("jobs", filter="in/#")
    for life in range(3):
        async with running(path, named=(rule,)) as (broker, port):
            await publish(port, 1, 2, 2 * life)
            [queue] = broker.engine.depot.queues.values()
            assert broker.engine.ledger.named == queue.bytes, "nobody else collects them"
    async with running(path, named=(rule,)) as (_, port), client(port, "c") as consumer:
        await consumer.subscribe("$queue/jobs", 1)
        assert await consumer.messages(6) == numbers(6)
        consumer.send("pingreq")
        assert (await consumer.packet()).kind == "pingresp"


@pytest.mark.parametrize("kind", [QUEUE, STREAM])
async def test_one_that_leaves_the_configuration_between_two_lives_has_its_expiry_from_then_on(
    path: Path, monkeypatch: pytest.MonkeyPatch, kind: int
) -> None:
    """It has had no subscriber for longer than that, and needed none."""
    days = 0
    began = time.time()
    monkeypatch.setattr(server, "time", SimpleNamespace(time=lambda: began + days * 86400))
    configured = NamedRule("jobs", kind, filter="in/#")
    async with running(path, named=(configured,)) as (_, port):
        await publish(port, 1, 3)
    days = 30
    async with running(path, named=(configured,)) as (broker, _):
        broker.engine.tick(now_ms())
    for days, count in ((60, 3), (66, 3), (68, 0)):
        async with running(path) as (broker, _):
            broker.engine.tick(now_ms())
            assert [each["messages"] for each in broker.engine.depot.describe()] == [3] * (count > 0), days


async def test_what_a_kept_session_has_been_lent_stays_its_own_over_a_restart(path: Path) -> None:
    async with running(path) as (_, port), client(port, "c", clean=False) as consumer:
        await consumer.subscribe(JOBS, 2)
        await publish(port, 2, 3)
        packets = [await consumer.packet() for _ in range(3)]
        consumer.send("pubrec", packet_id=packets[0].fields["packet_id"])
        assert (await consumer.packet()).kind == "pubrel"
    async with running(path) as (broker, port), client(port, "other") as other:
        await other.subscribe(JOBS, 2)
        await publish(port, 2, 1, 3)
        assert await other.messages(1) == numbers(1, 3)
        async with client(port, "c", clean=False, present=True) as consumer:
            first = await consumer.packet()
            assert first.kind == "pubrel"
            consumer.acknowledge(first)
            assert await consumer.messages(2) == numbers(2, 1)
            consumer.send("pingreq")
            assert (await consumer.packet()).kind == "pingresp"
        assert not broker.engine.depot.queues[b"jobs"].items


@pytest.mark.parametrize("qos", [1, 2])
async def test_a_broker_that_is_killed_loses_nothing_that_a_queue_has_taken(path: Path, qos: int) -> None:
    """And at QoS 2 nothing is handed out again that its consumer has confirmed to have."""
    arguments = ("--listen", LISTEN[0], "--store", str(path))
    process, port = await started(*arguments)
    got: list[bytes] = []
    try:
        await made(port)
        await publish(port, qos, 100)
        async with client(port, "c") as consumer:
            await consumer.subscribe("$queue/jobs", qos)
            got += await consumer.messages(40)
            process.send_signal(signal.SIGKILL)
            await process.wait()
        process, port = await started(*arguments)
        async with client(port, "c") as consumer:
            await consumer.subscribe("$queue/jobs", qos)
            await publish(port, qos, 1, 100)
            while b"100" not in got:
                got += await consumer.messages(1)
    finally:
        await end(process)
    assert sorted(set(got), key=int) == numbers(101)
    if qos == 2:
        assert len(got) == 101


async def test_a_producer_that_has_lost_its_session_with_a_killed_broker_is_recognised(path: Path) -> None:
    arguments = ("--listen", LISTEN[0], "--store", str(path))
    process, port = await started(*arguments)
    try:
        async with client(port, "r", clean=False) as reader:
            await reader.subscribe("t", 2)
        for life in range(3):
            async with Client(f"mqtt://127.0.0.1:{port}", client_id="till", keys=True) as producer:
                for number in range(5 + life):
                    await (await producer.publish("t", f"{number}", qos=2, key=("till", number)))
            process.send_signal(signal.SIGKILL)
            await process.wait()
            process, port = await started(*arguments)
        async with client(port, "r", clean=False, present=True) as reader:
            got = [payload[-1:] for payload in await reader.messages(7)]
            assert got == numbers(7)
            async with client(port, "end") as other:
                other.publish("t", b"end", 0)
                assert await reader.messages(1) == [b"end"]
    finally:
        await end(process)


async def test_two_consumers_with_paho_share_the_messages() -> None:
    async with (
        running(None) as (_, port),
        PahoClient(port, subscribe=JOBS, qos=2) as one,
        PahoClient(port, subscribe=JOBS, qos=2) as two,
    ):
        await publish(port, 2, 100)
        got: list[list[int]] = [[], []]

        async def take(consumer: PahoClient, into: list[int]) -> None:
            while sum(map(len, got)) < 100:
                into.append(int((await consumer.message()).payload))

        tasks = [asyncio.create_task(take(*each)) for each in zip((one, two), got, strict=True)]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
    assert sorted(got[0] + got[1]) == list(range(100))
    assert all(each and each == sorted(each) for each in got)


@pytest.mark.parametrize(
    "command",
    [
        [
            "mosquitto_sub",
            "-V",
            "5",
            "-D",
            "connect",
            "receive-maximum",
            "1",
        ],  # else it acknowledges more than it shows
        ["mqttlite", "sub"],
    ],
)
async def test_a_script_takes_some_messages_at_a_time_off_a_queue(path: Path, command: list[str]) -> None:
    name = command[0]
    sub = program(name) if name == "mosquitto_sub" else str(Path(sys.executable).parent / name)
    async with running(path) as (broker, port):
        await made(port)
        await publish(port, 1, 8)
        taken: list[bytes] = []
        for _ in range(4):
            arguments = ("-p", str(port), "-t", JOBS, "-q", "1", "-C", "2")
            process = await asyncio.create_subprocess_exec(
                sub, *command[1:], *arguments, stdout=asyncio.subprocess.PIPE
            )
            said, _ = await process.communicate()
            taken += said.split()
        assert not broker.engine.depot.queues[b"jobs"].dead
    assert taken == numbers(8)
