"""The commands behind the figures of idle connections and of what grows with what the broker holds, in small."""

import sys

import pytest

from benchmarks import broker_connections, broker_scale


def test_idle_connections_are_let_in_and_measured(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["", "--connections", "60", "--watch-s", "0.01"])
    broker_connections.main()
    printed = capsys.readouterr().out
    assert "60 idle connections: " in printed
    assert "connects a second (50 at a time)" in printed


def test_filters_subscriptions_and_retained_messages_are_found_and_measured(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker_scale, "SOME", 20)
    broker_scale.subscriptions(200)
    broker_scale.retained(200)
    broker_scale.doubling(4)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["200", "200", "16"]
