"""Topics, properties and keys on their way over the bridge."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqttlite.core.keys import PROPERTY, to_text, unwrap, wrap
from mqttlite.core.properties import encode_user_properties, user_properties
from mqttlite_gateway.bridge.age import Ages
from mqttlite_gateway.bridge.mapping import HOPS, LoopError, Ways, counted, own, plain
from mqttlite_gateway.bridge.rate import Bucket, Drained
from mqttlite_gateway.settings.upstream import Route


@pytest.mark.parametrize(
    ("routes", "topic", "becomes"),
    [
        ([Route("a/#", "x/")], "a/b", "x/a/b"),
        ([Route("a/#", "x/", "a/")], "a/b/c", "x/b/c"),
        ([Route("a/#", "x/", "a/")], "a", "x/a"),
        ([Route("a/#", strip="a/")], "a/", "a/"),
        ([Route("a/+/c", "x/", "a/"), Route("a/#", "y/")], "a/b/c", "x/b/c"),
        ([Route("a/+/c", "x/", "a/"), Route("a/#", "y/")], "a/b/d", "y/a/b/d"),
        ([Route("#")], "$SYS/x", None),
        ([Route("a")], "b", None),
    ],
)
def test_the_first_filter_that_matches_says_what_becomes_of_a_topic(
    routes: list[Route], topic: str, becomes: str | None
) -> None:
    found = Ways(routes).find(topic.encode())
    assert (found and found[0].decode()) == becomes


@given(st.text("abc/", min_size=1), st.sampled_from(["", "a/", "a"]), st.sampled_from(["", "x/"]))
def test_a_topic_is_never_empty_and_the_rest_of_it_stays(topic: str, strip: str, to: str) -> None:
    route = Route(f"{strip}#" if not strip or strip.endswith("/") else "a", to, strip if to or strip != "a" else "")
    found = Ways([route]).find(topic.encode())
    if found:
        assert found[0]
        assert found[0].startswith(to.encode())
        assert topic.encode().endswith(found[0][len(to) :])


def test_a_message_is_counted_by_each_bridge_and_ends_where_it_goes_round() -> None:
    block = encode_user_properties([(b"k", b"v")])
    for number in range(1, 4):
        block = counted(block, b"", 3)
        assert user_properties(block) == [(b"k", b"v"), (HOPS, b"%d" % number)]
    with pytest.raises(LoopError):
        counted(block, b"", 3)
    assert user_properties(counted(encode_user_properties([(HOPS, b"rubbish")]), b"", 3)) == [(HOPS, b"1")]


def test_a_key_stays_with_its_message_in_both_versions() -> None:
    key = (b"device", 3, 7)
    block = encode_user_properties([(b"a", b"b"), (PROPERTY, to_text(key))])
    assert unwrap(plain(block, b"x")) == (key, b"x")
    assert plain(b"", wrap(key, b"x")) == wrap(key, b"x")
    assert plain(encode_user_properties([(PROPERTY, b"no key")]), b"x") == b"x"
    # An envelope is only looked for where there are no properties, so none are added.
    assert counted(b"", wrap(key, b"x"), 8) == b""


def test_subscription_identifiers_stay_behind() -> None:
    rest = encode_user_properties([(b"a", b"\x0b")])
    assert own(b"\x0b\x05\x0b\x81\x01" + rest) == rest
    assert own(rest) == rest


def test_a_bucket_lets_pass_so_many_a_second() -> None:
    bucket = Bucket(50, 0)
    now = passed = 0
    while now < 10_000:
        while bucket.take(now):
            passed += 1
        now += bucket.wait_ms()
    assert 500 <= passed <= 506
    assert all(Bucket(0, 0).take(0) for _ in range(1000))


def test_the_drain_rate_is_that_of_the_last_seconds() -> None:
    drained = Drained()
    for now in range(0, 20_000, 10):
        drained.count(now)
    assert drained.a_second(20_000) == 100.0
    assert drained.a_second(25_000) == 50.0
    assert drained.a_second(60_000) == 0.0
    assert len(drained._seconds) < 20


def test_the_age_of_a_queue_is_known_about_and_never_said_to_be_less_than_it_is() -> None:
    ages = Ages([])
    for second in range(1000):  # a message a second, nothing is taken
        ages.look(0, second, second * 1000)
    assert ages.oldest_ms(0, 1000, 1_000_000) >= 999_000
    assert len(ages.marks) <= 201
    below = ages.below(100_000, 1_000_000)
    assert 850 <= below <= 901  # those above came less than 100 s ago
    ages.look(1000, 1000, 2_000_000)
    assert ages.oldest_ms(1000, 1000, 2_000_000) == 0
