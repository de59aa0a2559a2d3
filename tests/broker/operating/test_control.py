"""The control socket: what can be asked of a broker that runs, and done to it."""

import asyncio
import json
import logging
import os
import socket
import stat
from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from mqttlite.broker import Arriving, Broker, Limits, Refusal
from mqttlite.broker.clients.broker_store import BrokerStore
from mqttlite.broker.named_rules import NamedRule
from mqttlite.broker.operating import control_path
from mqttlite.broker.operating.actions import SLICE, Actions
from mqttlite.broker.operating.control import REQUEST_MAX, Control
from mqttlite.broker.operating.loop_watch import LoopWatch
from tests.broker.raw import TIMEOUT_S, RawClient, port_of

ANY = ["mqtt://127.0.0.1:0"]


class Asking:
    """A broker with a control socket, and a connection to that."""

    def __init__(self, broker: Broker, path: Path, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.broker = broker
        self.port = port_of(broker.addresses[0])
        self.path = path
        self._reader = reader
        self.writer = writer

    async def raw(self, line: bytes) -> dict[str, Any]:
        self.writer.write(line + b"\n")
        async with asyncio.timeout(TIMEOUT_S):
            answer: dict[str, Any] = json.loads(await self._reader.readline())
        return answer

    async def ask(self, do: str, **arguments: Any) -> Any:
        answer = await self.raw(json.dumps({"do": do, **arguments}).encode())
        assert answer["ok"], answer
        return answer["found"]

    async def refused(self, do: str, **arguments: Any) -> str:
        answer = await self.raw(json.dumps({"do": do, **arguments}).encode())
        assert not answer["ok"], answer
        return str(answer["error"])


@asynccontextmanager
async def controlled(tmp_path: Path, **options: Any) -> AsyncIterator[Asking]:
    path = tmp_path / "c.sock"
    reload = options.pop("reload", None)
    async with Broker(ANY, **options) as broker, Control(broker, path, reload):
        reader, writer = await asyncio.open_unix_connection(path, limit=8 << 20)
        try:
            yield Asking(broker, path, reader, writer)
        finally:
            writer.close()


async def queued(it: Asking, client_id: str, *payloads: bytes, qos: int = 1) -> None:
    """A persistent session that is away, with messages."""
    async with RawClient(it.port) as client, RawClient(it.port) as publisher:
        await client.connect(client_id, clean=False)
        await client.subscribe(f"to/{client_id}", qos)
        client.send("disconnect")
        await client.closed()
        await publisher.connect("publisher")
        for payload in payloads:
            publisher.publish(f"to/{client_id}", payload, qos)
        for _ in payloads:
            assert (await publisher.packet()).kind in ("puback", "pubrec")


async def test_the_socket_is_its_users_alone_and_goes_with_the_broker(tmp_path: Path) -> None:
    async with controlled(tmp_path) as it:
        await it.ask("status")
        assert stat.S_IMODE(it.path.stat().st_mode) == 0o600
    assert not it.path.exists()


async def test_status_has_the_numbers_and_what_is_wrong(tmp_path: Path) -> None:
    async with controlled(tmp_path, store=tmp_path / "broker.db") as it:
        await queued(it, "away", b"1", b"2")
        found = await it.ask("status")
    assert (found["clients_disconnected"], found["queued"], found["received"]) == (1, 2, 2)
    assert found["trouble"] is None
    assert found["store_sync_ms"]["count"] > 0
    assert found["held_bytes"]["queued"] > 0
    assert found["dropped_by_cause"]["slow"] == 0


async def test_clients_are_who_is_connected_and_sessions_what_stays(tmp_path: Path) -> None:
    async with controlled(tmp_path) as it:
        await queued(it, "away", b"1")
        async with RawClient(it.port) as here:
            await here.connect("here", keep_alive_s=40)
            await here.subscribe("a/+", 2)
            [client] = await it.ask("clients")
            [session] = await it.ask("sessions")
            shown = await it.ask("show", client="here")
    assert (client["client"], client["connected"], client["version"]) == ("here", True, "3.1.1")
    assert client["address"].startswith("127.0.0.1:")
    assert (session["client"], session["queued"], session["connected"]) == ("away", 1, False)
    assert shown["filters"] == [{"filter": "a/+", "qos": 2}]
    assert (shown["keep_alive_s"], shown["persistent"], shown["will"]) == (40, False, None)


async def test_disconnect_ends_the_connection_says_why_in_5_and_keeps_the_session(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with controlled(tmp_path) as it, RawClient(it.port) as client:
        body = b"\0\4MQTT\5\0\0\0" + b"\5\x11\0\0\0\x64" + b"\0\4five"  # session expiry interval 100 s
        client.writer.write(b"\x10" + bytes((len(body),)) + body)
        assert await client.reader.readexactly(1) == b"\x20"
        await client.reader.readexactly((await client.reader.readexactly(1))[0])
        assert "its session stays" in await it.ask("disconnect", client="five")
        assert (await client.reader.read())[::2] == b"\xe0\x98"  # DISCONNECT, administrative action
        assert "is not connected" in await it.refused("disconnect", client="five")
        assert [each["client"] for each in await it.ask("sessions")] == ["five"]
    [line] = [record.message for record in caplog.records if record.name == "mqttlite.audit"]
    assert line.startswith("audit: control socket (user ")
    assert f"process {os.getpid()}" in line
    assert "client 'five' at 127.0.0.1:" in line


async def test_a_session_is_taken_over_for_another_user(tmp_path: Path) -> None:
    """Its user has left, and the messages are for the next one: bound to who has made it, it would go to nobody."""
    users = {"ann": "a", "bob": "b"}
    store = tmp_path / "broker.db"

    def authenticate(arriving: Arriving) -> Generator[bytes, bytes, None]:
        if users.get(arriving.username or "") != (arriving.password or b"").decode():
            raise Refusal(5, "no")
        return
        yield b""

    async with controlled(tmp_path, store=store, authenticate=authenticate) as it:
        async with RawClient(it.port) as ann, RawClient(it.port) as bob:
            await ann.connect("pump", clean=False, username="ann", password=b"a")
            await ann.subscribe("t", 1)
            bob.send(
                "connect", client_id="pump", clean_session=False, keep_alive_s=0, will=None, username="bob",
                password=b"b",
            )  # fmt: skip
            assert (await bob.packet()).fields["code"] != 0
            ann.publish("t", b"for whoever has the pump", 1)
            await ann.packet()
            assert "belongs to user 'bob', with 1 messages" in await it.ask("take-over", client="pump", user="bob")
            await ann.closed()
            assert (await it.ask("show", client="pump"))["owner"] == "bob"
        assert "say whose" in await it.refused("take-over", client="pump")
    async with controlled(tmp_path, store=store, authenticate=authenticate) as it, RawClient(it.port) as bob:
        await bob.connect("pump", clean=False, present=True, username="bob", password=b"b")
        assert await bob.messages(1) == [b"for whoever has the pump"]


async def test_remove_ends_the_session_on_the_disk_too(tmp_path: Path) -> None:
    store = tmp_path / "broker.db"
    async with controlled(tmp_path, store=store) as it:
        await queued(it, "away", b"1", b"2")
        await queued(it, "other", b"1")
        assert "with 2 queued messages" in await it.ask("remove", client="away")
        assert [each["client"] for each in await it.ask("sessions")] == ["other"]
        assert it.broker.engine.ledger.queued > 0
    async with controlled(tmp_path, store=store) as it:
        assert [each["client"] for each in await it.ask("sessions")] == ["other"]
        async with RawClient(it.port) as client:
            await client.connect("away", clean=False, present=False)


async def test_a_queued_message_can_be_seen_and_dropped_for_good(tmp_path: Path) -> None:
    """The first of two is poison for its client: its operator takes it out; the rest arrives, after a restart, too."""
    store = tmp_path / "broker.db"
    async with controlled(tmp_path, store=store) as it:
        await queued(it, "away", b"poison", b"good")
        first, second = await it.ask("queue", client="away")
        assert (first["payload"], first["topic"], first["qos"], first["state"]) == ("poison", "to/away", 1, "queued")
        assert await it.ask("queue", client="away", most=1) == [first]
        held = it.broker.engine.ledger.queued
        assert await it.ask("drop", client="away", seq=first["seq"]) == f"message {first['seq']} for 'away' dropped"
        assert it.broker.engine.ledger.queued < held
        assert [each["seq"] for each in await it.ask("queue", client="away")] == [second["seq"]]
        assert it.broker.stats.dropped_operator == it.broker.stats.messages_dropped == 1
        assert (await it.ask("show", client="away"))["dropped_by_cause"] == {"operator": 1}
    async with controlled(tmp_path, store=store) as it, RawClient(it.port) as client:
        await client.connect("away", clean=False, present=True)
        assert await client.messages(1) == [b"good"]


async def test_retry_puts_a_message_behind_all_others(tmp_path: Path) -> None:
    async with controlled(tmp_path) as it:
        await queued(it, "away", b"1", b"2", b"3", qos=2)
        first = (await it.ask("queue", client="away"))[0]
        assert "behind all others" in await it.ask("retry", client="away", seq=first["seq"])
        async with RawClient(it.port) as client:
            await client.connect("away", clean=False, present=True)
            assert await client.messages(3) == [b"2", b"3", b"1"]
        assert it.broker.engine.ledger.queued == 0 or not await it.ask("queue", client="away")


async def test_retry_leaves_a_message_where_it_is_when_there_is_no_room_behind_the_others(tmp_path: Path) -> None:
    async with controlled(tmp_path, store=tmp_path / "broker.db") as it:
        await queued(it, "away", b"1", bytes(1000), b"3")
        before = await it.ask("queue", client="away")
        it.broker.engine.set_limits(Limits(queue_bytes=500), 0)  # more is queued than it may have from now on
        refused = await it.refused("retry", client="away", seq=before[0]["seq"])
        assert "stays where it is: its queue is full (queue_bytes)" in refused
        assert await it.ask("queue", client="away") == before
        it.broker.engine.set_limits(Limits(), 0)
        it.broker.store.size_max = 0  # type: ignore[union-attr]
        it.broker.store._room = 0  # type: ignore[union-attr]
        refused = await it.refused("retry", client="away", seq=before[0]["seq"])
        assert "stays where it is: the store is full (store_bytes)" in refused
        assert await it.ask("queue", client="away") == before


async def test_retry_leaves_a_message_of_a_queue_to_its_queue(tmp_path: Path) -> None:
    async with controlled(tmp_path) as it, RawClient(it.port) as consumer, RawClient(it.port) as publisher:
        await consumer.connect("c")
        await consumer.subscribe("$queue/jobs/in/#", 1)
        await publisher.connect("p")
        publisher.publish("in/1", b"1", 1)
        await publisher.packet()
        (message,) = await it.ask("queue", client="c")
        assert "belongs to the queue jobs" in await it.refused("retry", client="c", seq=message["seq"])
        assert (await it.ask("drop", client="c", seq=message["seq"])).endswith("dropped")


async def test_dropping_what_a_client_holds_up_lets_the_next_ones_go(tmp_path: Path) -> None:
    """A client takes its window of messages and acknowledges none; its operator drops them all."""
    async with controlled(tmp_path) as it, RawClient(it.port) as client, RawClient(it.port) as publisher:
        await client.connect("stuck")
        await client.subscribe("t", 1)
        await publisher.connect("p")
        for number in range(25):
            publisher.publish("t", b"%d" % number, 1)
            assert (await publisher.packet()).kind == "puback"
        for _ in range(20):
            await client.packet()
        states = [each["state"] for each in await it.ask("queue", client="stuck")]
        assert states == ["sent"] * 20 + ["queued"] * 5
        first = (await it.ask("queue", client="stuck"))[0]["seq"]
        await it.ask("drop", client="stuck", seq=first)
        assert (await client.packet()).fields["payload"] == b"20"
        assert "24 messages" in await it.ask("drop", client="stuck", all=True)
        assert await it.ask("queue", client="stuck") == []
        publisher.publish("t", b"new", 1)
        assert (await client.packet()).fields["payload"] == b"new"


async def test_what_a_client_has_taken_at_qos_2_is_not_dropped(tmp_path: Path) -> None:
    async with controlled(tmp_path) as it, RawClient(it.port) as client, RawClient(it.port) as publisher:
        await client.connect("c")
        await client.subscribe("t", 2)
        await publisher.connect("p")
        publisher.publish("t", b"x", 2)
        client.acknowledge(await client.packet())
        assert (await client.packet()).kind == "pubrel"
        [message] = await it.ask("queue", client="c")
        assert message["state"] == "released"
        assert "already" in await it.refused("drop", client="c", seq=message["seq"])
        assert "0 messages" in await it.ask("drop", client="c", all=True)


async def test_a_queue_that_is_on_the_disk_alone_is_looked_at_and_emptied(tmp_path: Path) -> None:
    """What is queued beyond some messages is not in memory; the operator sees and drops it all the same."""
    async with controlled(tmp_path, store=tmp_path / "b.db") as it:
        await queued(it, "away", *(b"%d" % number + b" " * (number if number > 9 else 0) for number in range(1200)))
    store = BrokerStore(tmp_path / "b.db", keep=10)
    async with controlled(tmp_path, store=store) as it:
        first = await it.ask("queue", client="away", most=3)
        assert [each["payload"] for each in first] == ["0", "1", "2"]
        assert (await it.ask("show", client="away"))["queued"] == 1200
        pages = it.broker.engine.sessions[b"away"].session.pages
        assert pages
        on_disk = pages.count
        for number in (-1, first[0]["seq"] + 1200, 1 << 70):  # a number that is none costs nothing
            assert "no message" in await it.refused("drop", client="away", seq=number)
        assert pages.count == on_disk > 500
        seq = first[0]["seq"] + 900
        assert f"message {seq} for" in await it.ask("drop", client="away", seq=seq)
        assert (await it.ask("show", client="away"))["queued"] == 1199
        assert "1199 messages" in await it.ask("drop", client="away", all=True)
        assert (await it.ask("show", client="away"))["queued"] == 0
        assert it.broker.engine.ledger.queued == 0
    async with controlled(tmp_path, store=tmp_path / "b.db") as it:
        assert (await it.ask("show", client="away"))["queued"] == 0


async def test_what_is_dead_in_a_named_queue_is_tried_again_or_deleted(tmp_path: Path) -> None:
    """A consumer goes away with a message as often as it may; then it is set aside, for its operator."""
    rule = NamedRule("orders", tries=1, filter="orders/#")
    async with controlled(tmp_path, limits=Limits(named=(rule,)), store=tmp_path / "b.db") as it:

        async def taken() -> bytes:
            async with RawClient(it.port) as worker:
                await worker.connect("worker")
                await worker.subscribe("$queue/orders", 1)
                payload: bytes = (await worker.packet()).fields["payload"]
            while "worker" in [each["client"] for each in await it.ask("clients")]:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
            return payload

        async with RawClient(it.port) as publisher:
            await publisher.connect("p")
            publisher.publish("orders/1", b"poison", 1)
            await publisher.packet()
        assert await taken() == b"poison"
        [queue] = await it.ask("queues")
        assert (queue["kind"], queue["name"], queue["messages"], queue["dead"]) == ("queue", "orders", 1, 1)
        assert "1 messages of queue 'orders' are tried again" in await it.ask("retry-dead", name="orders")
        assert await taken() == b"poison"
        assert "1 dead messages of queue 'orders' deleted" in await it.ask("drop-dead", name="orders")
        assert (await it.ask("queues"))[0]["messages"] == 0
        assert "there is no queue 'x'" in await it.refused("drop-dead", name="x")
        assert "say what" in await it.refused("delete", name="orders")
        assert "there is no stream" in await it.refused("delete", kind="stream", name="orders")
        assert "is deleted" in await it.ask("delete", kind="queue", name="orders")
        assert await it.ask("queues") == []


async def test_retained_messages_are_listed_and_cleared_by_filter(tmp_path: Path) -> None:
    store = tmp_path / "broker.db"
    async with controlled(tmp_path, store=store) as it:
        async with RawClient(it.port) as publisher:
            await publisher.connect("p")
            for topic in ("a/1", "a/2", "b"):
                publisher.publish(topic, b"x" * 100, 1, retain=True)
                assert (await publisher.packet()).kind == "puback"
        assert [each["topic"] for each in await it.ask("retained", filter="a/+")] == ["a/1", "a/2"]
        assert (await it.ask("retained", most=1))[0]["bytes"] == 100
        assert await it.ask("clear", filter="a/#") == "2 retained messages cleared"
        assert "say which" in await it.refused("clear")
        assert "no topic filter" in await it.refused("clear", filter="a/#/b")
    async with controlled(tmp_path, store=store) as it:
        assert [each["topic"] for each in await it.ask("retained")] == ["b"]


async def test_a_backup_of_the_store_is_whole_and_goes_on(tmp_path: Path) -> None:
    store, copy = tmp_path / "broker.db", tmp_path / "copy.db"
    async with controlled(tmp_path, store=store) as it:
        await queued(it, "away", b"1")
        assert "checked" in await it.ask("backup", to=str(copy))
        assert "there already" in await it.refused("backup", to=str(copy))
        assert "whole path" in await it.refused("backup", to="copy.db")
    async with Broker(ANY, store=copy) as broker, RawClient(port_of(broker.addresses[0])) as client:
        await client.connect("away", clean=False, present=True)
        assert await client.messages(1) == [b"1"]


async def test_reload_does_what_it_was_given_and_says_what_is_wrong(tmp_path: Path) -> None:
    async def reload(by: str) -> str:
        raise ValueError("broker.toml: line 3: no")

    async with controlled(tmp_path, reload=lambda by: f"read again, by {by}") as it:
        assert (await it.ask("reload")).startswith("read again, by control socket (user ")
    async with controlled(tmp_path, reload=reload) as it:
        assert await it.refused("reload") == "broker.toml: line 3: no"
    async with controlled(tmp_path) as it:
        assert "no file" in await it.refused("reload")
        assert "no store" in await it.refused("backup", to="/x")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"hello", "Expecting value"),
        (b"[]", "a request is an object"),
        (b'{"do": "x"}', "there is no request 'x'; there are status"),
        (b'{"do": "show"}', "say which client"),
        (b'{"do": "show", "client": 1}', "client has to be of type str"),
        (b'{"do": "show", "client": "x"}', "there is no client 'x'"),
        (b'{"do": "show", "who": "x"}', "show has no 'who'"),
        (b'{"do": "queue", "client": "here", "most": 0}', "most has to be 1 or more"),
        (b'{"do": "drop", "client": "here", "seq": 5}', "no message 5 is queued for 'here'"),
    ],
)
async def test_a_request_that_is_none_is_answered_in_words(tmp_path: Path, line: bytes, words: str) -> None:
    async with controlled(tmp_path) as it, RawClient(it.port) as client:
        await client.connect("here")
        answer = await it.raw(line)
        assert not answer["ok"]
        assert words in answer["error"]
        assert await it.ask("status")  # and the connection goes on


async def test_a_request_without_end_costs_a_bounded_amount(tmp_path: Path) -> None:
    async with controlled(tmp_path) as it:
        answer = await it.raw(b"x" * (2 * REQUEST_MAX))
        assert "at most" in answer["error"]


async def test_a_socket_that_a_killed_broker_has_left_is_replaced_and_a_living_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "c.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(os.fspath(path))
    async with Broker(ANY) as broker, Control(broker, path):
        with pytest.raises(OSError, match="another program listens on"):
            async with Control(broker, path):
                pass
        assert path.exists()
    path.write_text("mine")
    async with Broker(ANY) as broker:
        with pytest.raises(OSError, match="is no socket"):
            async with Control(broker, path):
                pass
        with pytest.raises(OSError, match="too long for a Unix socket"):
            async with Control(broker, tmp_path / ("x" * 120)):
                pass
    assert path.read_text() == "mine"


def test_a_broker_has_its_socket_where_its_service_or_its_user_has_run_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"broker-{os.getpid()}.sock"
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "service"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert control_path.default_path() == tmp_path / "service" / name
    monkeypatch.delenv("RUNTIME_DIRECTORY")
    assert control_path.default_path() == tmp_path / "mqttlite" / name
    assert stat.S_IMODE((tmp_path / "mqttlite").stat().st_mode) == 0o700
    (tmp_path / "mqttlite" / "broker-999999999.sock").touch()  # of one that was killed
    assert control_path.default_path() == tmp_path / "mqttlite" / name
    assert not list((tmp_path / "mqttlite").iterdir())


def test_a_folder_that_others_may_write_into_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else they could put a socket of their own there, and `mqttlite ctl` would speak to it."""
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "open"))
    assert control_path.default_path() is None
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "open" / "broker-1.sock"))
        sock.listen()
        assert control_path.running() == []


async def test_a_list_of_very_many_clients_holds_nobody_up(tmp_path: Path) -> None:
    """A list is made in slices: a client that pings meanwhile is answered before it is done."""
    async with controlled(tmp_path, limits=Limits(persistent_sessions=5000)) as it:
        from mqttlite.broker.clients.client_session import ClientSession

        engine = it.broker.engine
        for number in range(4000):
            name = b"s%d" % number
            engine.sessions[name] = ClientSession(name, False, engine.limits, engine.ledger)
        async with RawClient(it.port) as client:
            await client.connect("c")
            order = []
            client.send("pingreq")
            asked = asyncio.create_task(it.ask("sessions"))
            asked.add_done_callback(lambda _: order.append("list"))
            assert (await client.packet()).kind == "pingresp"
            order.append("ping")
            assert len(await asked) == 4000
        assert order == ["ping", "list"]


async def test_a_list_of_very_many_messages_gives_way_to_the_broker(tmp_path: Path) -> None:
    async with controlled(tmp_path) as it:
        await queued(it, "away", *[b""] * (3 * SLICE))
        answer = Actions(it.broker, LoopWatch()).do({"do": "queue", "client": "away", "most": 1 << 40}, "test")
        turns = 0
        with pytest.raises(StopIteration) as done:
            while True:
                answer.send(None)
                turns += 1
        assert len(done.value.value) == 3 * SLICE
        assert turns >= 3
