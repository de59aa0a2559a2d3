"""The parts of mqttlite.testing: what each fault does to a client, what is told of a message that is missing."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from mqttlite.testing import BrokerProcess, FaultyLink, LoopThread, Probe, TestBroker

CONNECT = b"\x10\x0d\0\4MQTT\4\2\0\0\0\1x"
CONNACK = b"\x20\2\0\0"
PING, PONG = b"\xc0\0", b"\xd0\0"


@pytest.fixture(scope="module")
def loop() -> Iterator[LoopThread]:
    with LoopThread() as found:
        yield found


@pytest.fixture
def broker(loop: LoopThread) -> Iterator[TestBroker]:
    with TestBroker(loop) as found:
        yield found


@pytest.fixture
def link(loop: LoopThread, broker: TestBroker) -> Iterator[FaultyLink]:
    with FaultyLink(broker.host, broker.port, loop) as found:
        yield found


def connected(link: FaultyLink) -> socket.socket:
    """A client of bytes behind the link."""
    found = socket.create_connection((link.host, link.port), 30)
    found.sendall(CONNECT)
    assert found.recv(4) == CONNACK
    return found


def ended(sock: socket.socket) -> bool:
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True


def is_turned_away(link: FaultyLink) -> bool:
    """A new connection ends; whether while it is made or after that, is up to who is quicker."""
    try:
        with socket.create_connection((link.host, link.port), 30) as client:
            return ended(client)
    except ConnectionResetError:
        return True


async def pumps() -> int:
    """Tasks of links that go on, after some turns of their loop."""
    for _ in range(10):
        await asyncio.sleep(0)
    return sum("FaultyLink" in task.get_coro().__qualname__ for task in asyncio.all_tasks())


def test_a_cut_ends_all_connections_and_new_ones_pass(link: FaultyLink) -> None:
    with connected(link) as one:
        link.cut()
        assert ended(one)
    with connected(link) as other:
        other.sendall(PING)
        assert other.recv(2) == PONG
    assert link.connected == 2


def test_a_connection_is_cut_at_exactly_the_byte(link: FaultyLink, broker: TestBroker) -> None:
    """The broker gets CONNECT and all of PINGREQ but its last byte; nobody gets more."""
    link.cut_after(len(CONNECT) + len(CONNACK) + 1)
    with connected(link) as client:
        client.sendall(PING)
        assert ended(client)
    assert link.passed == len(CONNECT) + len(CONNACK) + 1
    with connected(link) as client:  # and no other one
        client.sendall(PING)
        assert client.recv(2) == PONG


def test_what_a_stalled_link_has_taken_passes_when_it_goes_on(link: FaultyLink, broker: TestBroker) -> None:
    with connected(link) as client:
        link.stall()
        client.sendall(PING)
        client.settimeout(0.05)
        with pytest.raises(TimeoutError):
            client.recv(2)
        assert broker.clients() == ["x"]
        client.settimeout(30)
        link.resume()
        assert client.recv(2) == PONG


def test_a_stalled_connection_that_is_cut_is_none_any_more(link: FaultyLink, loop: LoopThread) -> None:
    with connected(link) as client:
        link.stall()
        client.sendall(PING)
        link.cut()
        assert ended(client)
        assert link.connections == 0
        assert loop.run(pumps()) == 0


def test_a_connection_with_much_on_the_way_is_cut_at_its_byte_all_the_same(loop: LoopThread) -> None:
    with socket.create_server(("127.0.0.1", 0)) as there, FaultyLink(*there.getsockname(), loop) as link:
        link.stall()
        with socket.create_connection((link.host, link.port), 0.2) as client:
            with pytest.raises(TimeoutError):  # until it takes no more
                client.sendall(bytes(32 << 20))
            link.cut_after(7)
            link.resume()
            found, _ = there.accept()
            with found:
                found.settimeout(30)
                assert len(found.recv(100, socket.MSG_WAITALL)) == 7
            assert loop.run(pumps()) == 0
            assert (link.connections, link.passed) == (0, 7)


def test_a_delay_is_there_and_back(link: FaultyLink) -> None:
    with connected(link) as client:
        link.delay(0.03)
        began = time.monotonic()
        client.sendall(PING)
        assert client.recv(2) == PONG
        assert time.monotonic() - began >= 0.06


def test_a_broker_that_is_not_there_refuses_until_it_is(link: FaultyLink) -> None:
    with connected(link) as client:
        link.refuse()
        assert ended(client)
        assert is_turned_away(link)
        link.accept()
        with connected(link):
            assert link.connections == 1


def test_a_link_to_nobody_ends_its_connections(loop: LoopThread, broker: TestBroker) -> None:
    with FaultyLink(broker.host, broker.port, loop) as link:
        broker.stop()
        assert is_turned_away(link)


def test_a_message_that_is_missing_is_told_with_what_came(loop: LoopThread, broker: TestBroker) -> None:
    with Probe(broker.url, loop) as probe:
        probe.publish("room/1", "21")
        probe.publish("room/2", "22", qos=2)
        assert probe.expect("room/2").payload == b"22"
        with pytest.raises(AssertionError) as told:
            probe.expect("room/2", "23", timeout_s=0.01)
        assert str(told.value) == (
            "no message for 'room/2' with '23' came within 0.01 s; 1 others came, the last ones: room/1 b'21' (QoS 1)"
        )
        assert probe.expect(qos=1, retain=False).topic == "room/1"
        with pytest.raises(AssertionError, match="nothing else came"):
            probe.expect(timeout_s=0.01)
        assert [message.topic for message in probe.messages] == ["room/1", "room/2"]


async def test_a_coroutine_waits_for_a_message_without_holding_its_loop(loop: LoopThread, broker: TestBroker) -> None:
    with Probe(broker.url, loop) as probe:
        waiting = asyncio.create_task(probe.aexpect("a"))
        await asyncio.sleep(0)
        probe.publish("a", "1")
        assert (await waiting).payload == b"1"
        with pytest.raises(AssertionError, match="no message for 'a'"):
            await probe.aexpect("a", timeout_s=0.01)
        probe.publish("a", "2")  # is not taken by one that has given up
        assert probe.expect("a").payload == b"2"


def test_a_message_has_one_taker(loop: LoopThread, broker: TestBroker) -> None:
    found: list[bytes] = []
    with Probe(broker.url, loop) as probe:
        threads = [threading.Thread(target=lambda: found.append(probe.expect("a").payload)) for _ in range(5)]
        for thread in threads:
            thread.start()
        for number in range(5):
            probe.publish("a", str(number))
        for thread in threads:
            thread.join()
    assert sorted(found) == [b"0", b"1", b"2", b"3", b"4"]


def test_a_broker_is_seen_from_inside(broker: TestBroker, link: FaultyLink) -> None:
    with connected(link) as client:
        broker.wait_for_client("x")
        with pytest.raises(AssertionError, match=r"no client 'y' with 0 subscriptions; there are \{'x': 0\}"):
            broker.wait_for_client("y", timeout_s=0)
        broker.disconnect("x")
        assert ended(client)
    assert broker.dropped == 0
    port = broker.port
    broker.restart()
    assert (broker.port, broker.clients()) == (port, [])


def test_brokers_of_one_process_know_nothing_of_each_other(loop: LoopThread) -> None:
    with TestBroker(loop) as one, TestBroker(loop) as two, TestBroker() as three:
        for broker in (one, two, three):
            with Probe(broker.url, loop) as probe:
                probe.publish("a", str(broker.port), retain=True)
        assert [broker.retained() for broker in (one, two, three)] == [
            {"a": str(broker.port).encode()} for broker in (one, two, three)
        ]


def test_a_broker_that_nobody_uses_is_gone_at_once() -> None:
    """In milliseconds: nothing waits for clients that are not there. (The bound is for a machine that is busy.)"""
    times = []
    for _ in range(20):
        began = time.perf_counter()
        with TestBroker():
            pass
        times.append(time.perf_counter() - began)
    assert sorted(times)[10] < 0.05


def test_a_client_that_does_not_close_is_not_waited_for(loop: LoopThread, broker: TestBroker) -> None:
    with FaultyLink(broker.host, broker.port, loop) as link, connected(link):
        link.stall()
        began = time.monotonic()
        broker.stop()
        assert time.monotonic() - began < 5


def test_a_killed_broker_has_what_it_had_acknowledged(loop: LoopThread, tmp_path: object) -> None:
    with BrokerProcess(f"{tmp_path}/b.db") as broker:
        with Probe(broker.url, loop) as probe:
            probe.publish("a", "1", qos=2, retain=True)
            pid, port = broker.pid, broker.port
            broker.restart()
        assert broker.pid != pid
        assert broker.port == port
        with Probe(broker.url, loop) as probe:
            assert probe.expect("a", retain=True).payload == b"1"
        broker.pause()
        with socket.create_connection((broker.host, broker.port), 30) as client:
            client.sendall(CONNECT)
            client.settimeout(0.05)
            with pytest.raises(TimeoutError):
                client.recv(4)
            client.settimeout(30)
            broker.resume()
            assert client.recv(4) == CONNACK
        broker.stop()
        assert "stopped" in broker.log[-1]
        with pytest.raises(RuntimeError, match="does not run"):
            assert broker.pid


def test_a_broker_that_does_not_start_says_why(tmp_path: object) -> None:
    with pytest.raises(RuntimeError, match="there is no limit 'x'"):
        BrokerProcess(arguments=["--limit", "x=1"]).start()


def test_further_listeners_leave_a_process_its_address() -> None:
    with BrokerProcess(arguments=["--listen", "mqtt://127.0.0.1:0"]) as broker:
        url = broker.url
        broker.stop()
        assert sum("listening on" in line for line in broker.log) == 2
        broker.start()
        assert broker.url == url
