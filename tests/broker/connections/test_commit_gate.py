"""The gate on a quick disk: what waits is written in the same turn, after the commit and never before."""

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
    gate.begin()
    assert events == ["commit", "opened"]


def test_nothing_leaves_when_the_commit_fails(gate: CommitGate, store: Any, events: list[str]) -> None:
    gate.hold(lambda data, close: events.append("a"), b"a", False)
    store.fails = True
    gate.begin()
    assert events == ["broken"]
