"""Idempotency keys: the receiver's memory against a plain set, and both ways a key travels."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqttlite.core import keys, records

Key = tuple[bytes, int, int]
names = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1).map(str.encode)
producers = names.filter(lambda name: len(name) <= keys.PRODUCER_MAX)
some_keys = st.tuples(producers, st.integers(0, 2**63 - 1), st.integers(0, 2**48 - 1))
LARGEST = (b"p" * 64, 2**63 - 1, 2**48 - 1)


class EverySequence:
    """What a window stands for: all numbers ever seen, and everything SPAN or more below the highest."""

    def __init__(self) -> None:
        self.numbers: set[int] = set()

    def see(self, sequence: int) -> bool:
        new = not self.is_seen(sequence)
        self.numbers.add(sequence)
        return new

    def is_seen(self, sequence: int) -> bool:
        highest = max(self.numbers, default=sequence)
        return sequence in self.numbers or highest - sequence >= keys.SPAN


@given(
    st.lists(
        st.one_of(
            st.integers(0, 40),
            st.integers(keys.SPAN - 3, keys.SPAN + 3),
            st.integers(0, 5 * keys.SPAN),
            st.integers(0, 2**48 - 1),
        )
    )
)
def test_a_window_answers_as_a_set_of_all_numbers_would(sequences: list[int]) -> None:
    window: list[int] = []
    every = EverySequence()
    for sequence in sequences:
        assert keys.is_seen(window, sequence) == every.is_seen(sequence)
        assert keys.see(window, sequence) == every.see(sequence)
        assert keys.is_seen(window, sequence)


def test_numbers_in_any_order_within_the_span_are_each_new_once() -> None:
    world = random.Random(1)
    sequences = list(range(keys.SPAN))
    world.shuffle(sequences)
    window: list[int] = []
    assert all(keys.see(window, sequence) for sequence in sequences)
    assert not any(keys.see(window, sequence) for sequence in sequences)


@given(st.lists(st.integers(0, 2**48 - 1), min_size=1))
def test_a_window_stays_small_however_much_it_has_seen(sequences: list[int]) -> None:
    window: list[int] = []
    for sequence in sequences:
        keys.see(window, sequence)
    assert window[0] == max(sequences)
    assert window[1] < 1 << keys.SPAN
    assert window[1] & 1


def test_a_question_marks_nothing() -> None:
    window: list[int] = []
    assert not keys.is_seen(window, 7)
    assert window == []
    keys.see(window, 7)
    assert not keys.is_seen(window, 6)
    assert window == [7, 1]


# -- epochs


def test_the_windows_of_a_producers_oldest_epochs_are_forgotten() -> None:
    there = [keys.window_name(b"p", epoch) for epoch in (9, 2, 3, 4, 5, 6, 7, 8)]
    there += [keys.window_name(b"other", 1), keys.window_name(b"", 1), b"short"]
    assert keys.too_old(there, keys.window_name(b"p", 9)) == []
    assert keys.too_old(there, keys.window_name(b"p", 300)) == [keys.window_name(b"p", 2)]
    assert keys.too_old(there, keys.window_name(b"other", 2)) == []


def test_an_epoch_forgotten_long_ago_is_not_taken_for_a_new_one() -> None:
    there = [keys.window_name(b"p", epoch) for epoch in range(2, 2 + keys.EPOCHS)]
    name = keys.window_name(b"p", 1)
    assert name in keys.too_old(there, name)


@given(st.lists(st.integers(0, 2**63 - 1), max_size=30))
def test_never_more_than_the_newest_epochs_are_kept(epochs: list[int]) -> None:
    kept: set[bytes] = set()
    for epoch in epochs:
        name = keys.window_name(b"p", epoch)
        forget = keys.too_old(kept, name)
        kept.add(name)
        kept.difference_update(forget)
    assert kept == {keys.window_name(b"p", epoch) for epoch in sorted(set(epochs))[-keys.EPOCHS :]}


# -- the envelope of 3.1.1


@given(some_keys, st.binary())
def test_what_is_wrapped_is_unwrapped_again(key: Key, payload: bytes) -> None:
    assert keys.unwrap(keys.wrap(key, payload)) == (key, payload)


def test_an_envelope_is_small() -> None:
    assert len(keys.wrap((b"p", 0, 0), b"")) == 1 + 7
    assert len(keys.wrap((b"sensor-4f1a", 3, 100_000), b"")) == 11 + 9
    assert len(keys.wrap(LARGEST, b"")) == 64 + 21


@given(st.binary() | st.binary().map(lambda rest: b"\xfc\x01" + rest))
def test_a_foreign_payload_has_no_key(payload: bytes) -> None:
    assert keys.unwrap(payload) is None


@given(st.text())
def test_text_is_never_mistaken_for_an_envelope(text: str) -> None:
    assert text.encode()[:1] != keys.wrap((b"p", 0, 0), b"")[:1]


@given(some_keys, st.data())
def test_an_envelope_that_is_cut_or_changed_has_no_key(key: Key, data: st.DataObject) -> None:
    envelope = keys.wrap(key, b"")
    assert keys.unwrap(envelope[: data.draw(st.integers(0, len(envelope) - 1))]) is None
    bit = data.draw(st.integers(0, 8 * len(envelope) - 1))
    changed = bytearray(envelope)
    changed[bit // 8] ^= 1 << bit % 8
    assert keys.unwrap(bytes(changed)) is None


# -- the user property of 5.0


@given(some_keys)
def test_a_key_written_as_text_is_read_again(key: Key) -> None:
    assert keys.from_text(keys.to_text(key)) == key


def test_the_text_is_the_three_parts_with_slashes_between() -> None:
    assert keys.to_text((b"plant/7", 3, 12)) == b"plant/7/3/12"
    assert keys.from_text(b"plant/7/3/12") == (b"plant/7", 3, 12)
    assert keys.from_text(keys.to_text(LARGEST)) == LARGEST


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"p",
        b"p/1",
        b"/1/2",
        b"p//2",
        b"p/1/",
        b"p/01/2",
        b"p/1/02",
        b"p/-1/2",
        b"p/+1/2",
        b"p/1_0/2",
        b"p/ 1/2",
        b"p/1/2 ",
        "p/١/2".encode(),
        b"\xff/1/2",
        b"\0/1/2",
        b"p" * 65 + b"/1/2",
        b"p/9223372036854775808/2",
        b"p/1/281474976710656",
        b"p/" + b"9" * 100_000 + b"/1",
    ],
)
def test_what_is_no_key_is_not_read_as_one(text: bytes) -> None:
    assert keys.from_text(text) is None


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ((b"", 0, 0), "1 to 64 bytes"),
        ((b"p" * 65, 0, 0), "1 to 64 bytes"),
        ((b"\xed\xa0\x80", 0, 0), "UTF-8"),
        ((b"a\0b", 0, 0), "U\\+0000"),
        ((b"p", -1, 0), "epoch -1"),
        ((b"p", 2**63, 0), "epoch 9223372036854775808"),
        ((b"p", 0, -1), "sequence -1"),
        ((b"p", 0, 2**48), "sequence 281474976710656"),
    ],
)
def test_what_is_no_key_does_not_travel(key: Key, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        keys.to_text(key)
    with pytest.raises(ValueError, match=words):
        keys.wrap(key, b"")


# -- in the store


@given(
    st.lists(st.tuples(st.sampled_from([b"a", b"bb"]), st.integers(0, 3), st.integers(0, 3 * keys.SPAN)), max_size=60)
)
def test_a_state_made_again_from_its_records_has_seen_the_same(handled: list[Key]) -> None:
    state = records.State()
    for producer, epoch, sequence in handled:
        state.apply(records.SEEN, sequence, keys.window_name(producer, epoch))
    again = records.State()
    for record in state.records():
        again.apply(*records.decode(records.encode(*record)))
    assert again.seen == state.seen
    for producer, epoch, sequence in handled:
        assert keys.is_seen(again.seen[keys.window_name(producer, epoch)], sequence)
