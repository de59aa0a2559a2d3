"""Each checker of the small worlds catches the bugs that it is for: they are planted into the real code."""

import sys
from collections import Counter

import pytest

from tests.planted import BUGS
from tests.planted.planting import CHECKERS, checker_of

pytestmark = pytest.mark.source("bugs are planted as pieces of it")


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)  # apsw tells it of each death in the middle of a write


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_caught_and_the_same_schedule_is_clean_without_it(name: str) -> None:
    bug = BUGS[name]
    schedule, problems, _ = bug.find()
    assert bug.checker in map(checker_of, problems)
    assert not bug.clean(schedule), schedule


def test_every_checker_has_two_bugs_to_catch() -> None:
    caught = Counter(bug.checker for bug in BUGS.values())
    assert {name for name in CHECKERS if caught[name] < 2} == set()


def test_a_planted_bug_leaves_nothing_behind() -> None:
    from mqttlite.client.connector import Connector
    from mqttlite.core.session import INBOUND, OUTBOUND, Session

    owners = (Session, Connector)
    before = [dict(vars(owner)) for owner in owners], dict(INBOUND), dict(OUTBOUND)
    for bug in BUGS.values():
        with bug.planted():
            pass
    assert ([dict(vars(owner)) for owner in owners], INBOUND, OUTBOUND) == before
