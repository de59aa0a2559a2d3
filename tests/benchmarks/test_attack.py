"""Attacks on a broker as it is by default, for a second each; `make attack` has all of them, for longer."""

import pytest

from benchmarks import attack
from benchmarks.attack.__main__ import run_fairly
from benchmarks.attack.attacks import ATTACKS

SOME = ("half-open-flood", "idle-connections", "takeover-storm", "publish-flood-of-many", "messages-that-are-refused")


@pytest.mark.parametrize("name", SOME)
def test_an_attack_costs_honest_clients_no_second_and_the_broker_no_memory(name: str) -> None:
    found = run_fairly(name, 1.2)
    assert not found.wrong
    assert found.connects > 0


def test_each_attack_says_which_limit_it_is_about_and_what_it_does() -> None:
    assert attack.__doc__
    for name, each in ATTACKS.items():
        assert each.row and each.run.__doc__, name
