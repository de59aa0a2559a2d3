"""Streams: `$stream/NAME/FILTER`, read from an offset or a time, by any number of readers."""

import signal
from pathlib import Path
from typing import Any

import pytest

from mqttlite.broker.named_rules import NamedRule
from mqttlite.broker.topics.names import STREAM
from tests.broker.five import PUBACK, Five, Message
from tests.broker.queues.test_queues_kept import LISTEN, client, numbers, publish, running
from tests.broker.test_command import started
from tests.broker.world import World
from tests.peers import end, program, run

LOG = "$stream/log/in/#"


def rule(**more: Any) -> dict[str, Any]:
    return {"named": (NamedRule("log", STREAM, **more),)}


def made(here: World, count: int = 0, qos: int = 1) -> None:
    """The stream is there, with messages, a second apart."""
    first = here.connect("first")
    assert first.subscribe(LOG, qos=2) == [2]
    first.disconnect()
    publisher = here.connect("p")
    for number in range(count):
        here.wait(1000)
        publisher.publish("in/a", b"%d" % number, qos=qos)
        publisher.finish()
    publisher.disconnect()


def read(reader: Five) -> list[Message]:
    """All that comes, acknowledged at QoS 1."""
    found: list[Message] = []
    while got := reader.messages():
        found += got
        for message in got:
            if message.qos:
                reader.ack(PUBACK, message.packet_id)
    return found


def offsets(messages: list[Message]) -> list[int]:
    return [int(dict(message.properties["UserProperty"])["stream-offset"]) for message in messages]


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_it_keeps_all_that_was_published_and_each_reader_reads_all_of_it(qos: int) -> None:
    here = World()
    made(here, 50, qos)
    for name in ("a", "b"):
        reader = here.connect(name)
        reader.subscribe("$stream/log@earliest", qos=2)
        assert reader.finish() == numbers(50)
    assert len(here.engine.depot.streams[b"log"].entries) == 50


def test_a_message_comes_with_its_offset_its_time_and_the_id_of_the_log() -> None:
    here = World()
    made(here, 2)
    reader = Five(here, "r")
    assert reader.subscribe(LOG, 1, UserProperty=[("stream-offset", "earliest")]) == 1
    [first, second] = reader.messages()
    assert (first.topic, first.payload, first.qos) == ("in/a", b"0", 1)
    stream = here.engine.depot.streams[b"log"]
    assert first.properties["UserProperty"] == [
        ("stream-offset", "0"),
        ("stream-timestamp", str(stream.entries[0].at)),
        ("stream-id", stream.id.decode()),
    ]
    assert offsets([second]) == [1]


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        ("earliest", [0, 1, 2, 3, 4]),
        ("first", [0, 1, 2, 3, 4]),
        ("last", [4]),
        ("latest", []),
        ("next", []),
        ("3", [3, 4]),
        ("99", []),
        ("@0", [0, 1, 2, 3, 4]),
        ("@4", [2, 3, 4]),
        ("@4.5", [3, 4]),
        ("@99", []),
    ],
)
def test_it_is_read_from_an_offset_or_a_time_in_both_versions(start: str, expected: list[int]) -> None:
    here = World()  # whose clock begins at 1 s
    made(here, 5)
    old = here.connect("old")
    assert old.subscribe(f"$stream/log@{start}/in/#", qos=1) == [1]
    assert old.finish() == [b"%d" % number for number in expected]
    reader = Five(here, "new")
    reader.subscribe(LOG, 1, UserProperty=[("stream-offset", start)])
    assert offsets(read(reader)) == expected
    publisher = here.connect("p")
    publisher.publish("in/b", b"live", qos=1)
    assert old.finish() == [b"live"]
    assert offsets(read(reader)) == [5]


@pytest.mark.parametrize("start", ["x", "@", "-1", "1.x", "9" * 20])
def test_a_start_that_is_none_is_refused(start: str) -> None:
    here = World()
    reader = Five(here, "r")
    assert reader.subscribe(LOG, 1, UserProperty=[("stream-offset", start)]) == 0x8F
    assert not here.engine.depot.streams


def test_a_slow_reader_costs_a_window_and_holds_up_nobody() -> None:
    here = World()
    slow = here.connect("slow")
    slow.subscribe(LOG, qos=1)
    quick = here.connect("quick")
    quick.subscribe(LOG, qos=1)
    publisher = here.connect("p")
    for number in range(500):
        publisher.publish("in/a", b"%d" % number, qos=1)
        quick.finish()
    assert len(here.engine.sessions[b"slow"].session.messages) == 20
    here.engine.backpressure.settle()
    assert here.engine.ledger.queued <= 2 * 20 * 100
    assert slow.finish() == numbers(500)


def test_receive_maximum_is_the_credit() -> None:
    here = World()
    made(here, 10)
    reader = Five(here, "r", ReceiveMaximum=2)
    reader.subscribe("$stream/log", 1, UserProperty=[("stream-offset", "earliest")])
    got = reader.messages()
    assert offsets(got) == [0, 1]
    reader.ack(PUBACK, got[0].packet_id)
    assert offsets(reader.messages()) == [2]


def test_at_qos_0_output_that_does_not_leave_is_not_added_to() -> None:
    here = World(write_buffer_bytes=1000)
    made(here, 100)
    reader = here.connect("r")
    reader.writable(False)
    reader.subscribe("$stream/log@earliest", qos=0)
    assert reader.payloads() == []
    reader.writable(True)
    assert reader.payloads() == numbers(100)


def test_a_session_that_is_kept_goes_on_where_it_was() -> None:
    here = World()
    made(here, 30)
    reader = here.connect("r", clean=False)
    reader.subscribe("$stream/log@earliest", qos=1)
    for packet in reader.packets()[:5]:
        reader.send("puback", packet_id=packet.fields["packet_id"])
    reader.packets()
    reader.cut()
    reader = here.connect("r", clean=False, present=True)
    reader.subscribe("$stream/log@earliest", qos=1)  # as clients do that subscribe each time
    assert reader.finish() == numbers(25, 5)


def test_unsubscribing_forgets_the_place() -> None:
    here = World()
    made(here, 3)
    reader = here.connect("r")
    reader.subscribe("$stream/log@earliest", qos=1)
    assert reader.finish() == numbers(3)
    reader.unsubscribe("$stream/log@earliest")
    reader.subscribe("$stream/log@earliest", qos=1)
    assert reader.finish() == numbers(3)


def test_the_oldest_go_when_there_are_too_many_bytes_messages_or_seconds() -> None:
    for bounds, left in (({"max_messages": 4}, 4), ({"max_bytes": 300}, 4), ({"max_age_s": 5}, 5)):
        here = World(**rule(**bounds))
        made(here, 10)
        reader = Five(here, "r")
        reader.subscribe("$stream/log", 1, UserProperty=[("stream-offset", "0")])
        assert offsets(read(reader)) == list(range(10 - left, 10)), bounds


def test_who_reads_too_late_goes_on_with_what_is_there_and_that_is_counted() -> None:
    here = World(**rule(max_messages=30))
    slow = Five(here, "r", ReceiveMaximum=1)
    slow.subscribe(LOG, 1)
    publisher = here.connect("p")
    for number in range(100):
        publisher.publish("in/a", b"%d" % number, qos=1)
        publisher.finish()
    assert offsets(read(slow)) == [0, *range(70, 100)]
    assert here.stats.limits["stream_missed"] == 1


def test_an_offset_of_a_log_that_was_lost_counts_for_nothing() -> None:
    here = World()
    made(here, 5)
    place = [("stream-offset", "3"), ("stream-id", "another")]
    reader = Five(here, "r")
    reader.subscribe(LOG, 1, UserProperty=place)
    assert offsets(read(reader)) == [0, 1, 2, 3, 4]
    same = Five(here, "s")
    same.subscribe(LOG, 1, UserProperty=[place[0], ("stream-id", here.engine.depot.streams[b"log"].id.decode())])
    assert offsets(read(same)) == [3, 4]


def test_a_queue_and_a_stream_of_one_name_are_two() -> None:
    here = World()
    made(here)
    consumer = here.connect("c")
    consumer.subscribe("$queue/log/in/#", qos=1)
    publisher = here.connect("p")
    publisher.publish("in/a", b"x", qos=1)
    assert consumer.finish() == [b"x"]
    assert [each["kind"] for each in here.engine.depot.describe()] == ["queue", "stream"]
    assert here.engine.depot.delete(b"log", STREAM)
    assert [each["kind"] for each in here.engine.depot.describe()] == ["queue"]
    assert here.engine.ledger.named == 0


# -- with a store


async def test_log_and_readers_survive_a_kill(tmp_path: Path) -> None:
    arguments = ("--listen", LISTEN[0], "--store", str(tmp_path / "broker.db"))
    process, port = await started(*arguments)
    try:
        async with client(port, "r", clean=False) as reader:
            await reader.subscribe(LOG, 2)
            await publish(port, 1, 10)
            await publish(port, 0, 10, 10)
            assert await reader.messages(20) == numbers(20)
        process.send_signal(signal.SIGKILL)
        await process.wait()
        process, port = await started(*arguments)
        async with client(port, "r", clean=False, present=True) as reader:
            await publish(port, 2, 5, 20)
            got: list[bytes] = []
            repeated: list[bytes] = []
            while len(got) < 5:
                packet = await reader.packet()
                reader.acknowledge(packet)
                if packet.kind == "publish":  # at QoS 1 what was acknowledged last may come again, and says so
                    (repeated if packet.fields["dup"] else got).append(packet.fields["payload"])
            assert got == numbers(5, 20)
            assert set(repeated) <= set(numbers(10))
        async with client(port, "new") as reader:
            await reader.subscribe("$stream/log@15", 1)
            assert await reader.messages(10) == numbers(10, 15)
    finally:
        await end(process)


async def test_what_has_been_let_go_of_is_not_in_the_store_either(tmp_path: Path) -> None:
    path = tmp_path / "broker.db"
    more = rule(max_messages=5, filter="in/#")
    async with running(path, **more) as (broker, port):
        await publish(port, 1, 20)
        broker.engine.depot.look(broker.engine.router.now, 0)
    async with running(path, **more) as (broker, port):
        stream = broker.engine.depot.streams[b"log"]
        assert (stream.first, stream.next, len(stream.entries)) == (15, 20, 5)


async def test_times_are_those_of_a_clock_without_a_store_too() -> None:
    async with running(None) as (broker, port), client(port, "c") as reader:
        await reader.subscribe(LOG, 1)
        await publish(port, 1, 1)
        assert await reader.messages(1) == [b"0"]
        stream = broker.engine.depot.streams[b"log"]
        assert 1_577_836_800_000 < stream.entries[0].at < 4_102_444_800_000  # 2020 to 2100


async def test_mosquitto_sub_reads_a_stream_from_its_beginning() -> None:
    sub = program("mosquitto_sub")
    async with running(None) as (_, port):
        async with client(port, "c") as reader:
            await reader.subscribe(LOG, 1)
        await publish(port, 1, 5)
        old = await run(sub, "-p", str(port), "-t", "$stream/log@earliest/in/#", "-q", "1", "-C", "5")
        assert old.stdout.split() == ["0", "1", "2", "3", "4"]
        start = ("-V", "5", "-D", "subscribe", "user-property", "stream-offset", "2")
        new = await run(sub, "-p", str(port), "-t", LOG, "-q", "1", "-C", "3", *start, "-F", "%p %P")
        assert [line.split()[:2] for line in new.stdout.splitlines()] == [
            [str(number), f"stream-offset:{number}"] for number in range(2, 5)
        ]
