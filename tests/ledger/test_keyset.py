"""A set of keys in bits does what a set does, and a million of them take little."""

import tracemalloc
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from mqttlite.ledger.compare import End, compare
from mqttlite.ledger.keyset import KeySet

KEYS = st.tuples(
    st.sampled_from([b"a", b"b"]),
    st.integers(0, 2),
    st.one_of(st.integers(0, 70), st.integers(1000, 1050), st.integers(2**48 - 3, 2**48 - 1)),
)


def set_of(keys: set[tuple[bytes, int, int]]) -> KeySet:
    found = KeySet()
    for key in keys:
        assert found.add(key)
        assert not found.add(key)
    return found


@given(st.sets(KEYS), st.sets(KEYS))
def test_a_set_of_keys_has_adds_and_takes_away_as_a_set_does(
    some: set[tuple[bytes, int, int]], others: set[tuple[bytes, int, int]]
) -> None:
    here, there = set_of(some), set_of(others)
    assert list(here) == sorted(some) and here.count == len(some)
    assert all((key in here) == (key in some) for key in others)
    left = here.without(there)
    assert list(left) == sorted(some - others) and left.count == len(some - others)


@given(st.sets(KEYS))
def test_runs_have_every_number_once_and_never_touch(keys: set[tuple[bytes, int, int]]) -> None:
    runs = list(set_of(keys).runs())
    assert {(who, epoch, n) for who, epoch, first, last in runs for n in range(first, last + 1)} == keys
    for before, after in pairwise(runs):
        assert before[:2] != after[:2] or before[3] + 1 < after[2]


def test_two_ends_with_many_keys_are_compared_in_a_few_bytes_for_each() -> None:
    tracemalloc.start()
    start, end = End("here"), End("there")
    for number in range(100_000):
        start.keys.add((b"board-%d" % (number & 7), 1, number >> 3))
    for number in range(100_000):
        if number != 77_777:
            end.keys.add((b"board-%d" % (number & 7), 1, number >> 3))
    found = compare(start, [end])
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert list(found.missing) == [(b"board-1", 1, 77_777 >> 3)] and not found.is_clean
    assert most < 200_000
