"""The gate: what waits is written after the commit and never before; on a quick disk, in the same turn."""

import asyncio
from typing import Any

import pytest

from mqttlite.broker.connections import commit_gate
from mqttlite.broker.connections.commit_gate import CommitGate
from mqttlite.store.base import StoreError


class Quick:
    """A store whose disk is quick, as far as a gate knows it."""

    def __init__(self, events: list[str]) -> None:
        self.events = events
        self.wanted = True
        self.pending_bytes = 0
        self.fails = False

    def commit_now(self) -> bool:
        if self.fails:
            raise StoreError("broken")
        self.events.append("commit")
        self.pending_bytes = 0
        return True


@pytest.fixture
def events() -> list[str]:
    return []


@pytest.fixture
def store(events: list[str]) -> Any:
    return Quick(events)


@pytest.fixture
def gate(store: Any, events: list[str]) -> CommitGate:
    return CommitGate(store, lambda error: events.append(str(error)), lambda: events.append("opened"))


def test_all_that_waits_leaves_in_order_after_one_commit(gate: CommitGate, events: list[str]) -> None:
    for name in ("a", "b"):
        assert gate.is_closed
        gate.hold(lambda data, close: events.append(data.decode()), name.encode(), False)
    assert events == []
    gate.begin()
    assert events == ["commit", "a", "b"]
    assert (gate.is_closed, gate.bytes) == (False, 0)


def test_what_waits_behind_others_stays_behind_them(gate: CommitGate, store: Any, events: list[str]) -> None:
    gate.hold(lambda data, close: events.append("a"), b"a", False)
    store.wanted = False  # nothing more to be committed, and "a" has not left yet
    assert gate.is_closed


def test_who_was_not_read_because_too_much_waited_is_read_again(
    gate: CommitGate, store: Any, events: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit_gate, "WAITING_MAX", 100)
    store.pending_bytes = 101
    assert gate.stops_reading()
    gate.begin()
    assert events == ["commit", "opened"]
    assert not gate.stops_reading()


def test_who_is_not_read_for_records_that_nobody_waits_for_is_read_again_too(
    gate: CommitGate, store: Any, events: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit_gate, "WAITING_MAX", 100)
    store.wanted = False  # as of QoS 0 in a named queue
    store.pending_bytes = 101
    assert gate.stops_reading()
    gate.begin()
    assert events == ["commit", "opened"]


def test_nothing_leaves_when_the_commit_fails(gate: CommitGate, store: Any, events: list[str]) -> None:
    gate.hold(lambda data, close: events.append("a"), b"a", False)
    store.fails = True
    gate.begin()
    assert events == ["broken"]


class Slow(Quick):
    """A store whose commits have to be waited for: each takes until `done`."""

    def __init__(self, events: list[str]) -> None:
        Quick.__init__(self, events)
        self.commits: asyncio.Queue[asyncio.Future[None]] = asyncio.Queue()

    def commit_now(self) -> bool:
        return False

    async def commit(self) -> None:
        self.events.append("commit")
        future = asyncio.get_running_loop().create_future()
        self.commits.put_nowait(future)
        await future

    async def done(self) -> None:
        (await self.commits.get()).set_result(None)


class Client:
    """Somebody whose answers wait."""

    def __init__(self, name: str, gate: CommitGate, store: Slow) -> None:
        self.name, self.gate, self.store = name, gate, store

    def publish(self) -> None:
        self.store.wanted = True
        self.gate.hold(self.write, b".", False)
        self.gate.begin()

    def write(self, data: bytes, close: bool) -> None:
        self.store.events.append(self.name)


async def test_who_is_not_read_since_too_much_came_while_a_commit_was_made_is_read_again(
    events: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit_gate, "WAITING_MAX", 1)
    store = Slow(events)
    gate = CommitGate(store, lambda error: None, lambda: events.append("opened"))  # type: ignore[arg-type]
    a, b = (Client(name, gate, store) for name in "ab")
    a.publish()
    await some_turns()
    assert not gate.stops_reading()
    b.publish()  # too much with what a waits for; by itself it would not be
    assert gate.stops_reading()
    await store.done()
    await some_turns()
    assert events == ["commit", "a", "opened", "commit"]
    await store.done()
    await gate.passed()
    assert events == ["commit", "a", "opened", "commit", "b"]


async def some_turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.mark.parametrize("patient", [True, False])
async def test_a_slow_commit_waits_for_those_who_have_just_been_answered_but_not_for_ever(
    events: list[str], monkeypatch: pytest.MonkeyPatch, patient: bool
) -> None:
    monkeypatch.setattr(commit_gate, "SLOW_S", 0.0)
    monkeypatch.setattr(commit_gate, "SHARE", 1e9 if patient else 0.0)
    store = Slow(events)
    gate = CommitGate(store, lambda error: None, lambda: None)  # type: ignore[arg-type]
    a, b, c = (Client(name, gate, store) for name in "abc")
    a.publish()
    await some_turns()
    b.publish()
    c.publish()  # while the first is made: all three are expected from now on
    await store.done()
    await some_turns()
    assert events == (["commit", "a"] if patient else ["commit", "a", "commit"])
    a.publish()
    await store.done()
    await gate.passed() if patient else await some_turns()
    if patient:
        assert events == ["commit", "a", "commit", "b", "c", "a"]
    else:
        assert events == ["commit", "a", "commit", "b", "c", "commit"]
        await store.done()
        await gate.passed()
        assert events[-1] == "a"
