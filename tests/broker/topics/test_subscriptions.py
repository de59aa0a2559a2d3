"""The subscription tree: which filters match which names, beside the core's plain matcher."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqttlite.broker.topics import subscriptions
from mqttlite.broker.topics.subscriptions import SubscriptionTree
from mqttlite.core.matching import matches
from tests.statements import statement

levels = st.sampled_from(["a", "b", "", "$SYS", "ü"])
names = st.lists(levels, min_size=1, max_size=4).map("/".join).filter(bool).map(str.encode)
filters = (
    st.tuples(st.lists(levels | st.just("+"), min_size=1, max_size=4), st.sampled_from([[], ["#"]]))
    .map(lambda parts: "/".join([*parts[0], *parts[1]]))
    .filter(bool)
    .map(str.encode)
) | st.just(b"#")


def tree_of(*subscriptions: tuple[str, str, int]) -> SubscriptionTree[str]:
    tree: SubscriptionTree[str] = SubscriptionTree()
    for topic_filter, client, qos in subscriptions:
        tree.add(topic_filter.encode(), client, qos)
    return tree


@statement("3.1.1", "MQTT-3.3.2-3", "MQTT-4.7.1-2", "MQTT-4.7.1-3")
@given(st.lists(filters, max_size=8), names)
def test_the_tree_finds_what_matching_each_filter_by_itself_finds(topic_filters: list[bytes], name: bytes) -> None:
    tree: SubscriptionTree[bytes] = SubscriptionTree()
    for topic_filter in topic_filters:
        tree.add(topic_filter, topic_filter, 0)
    assert tree.match(name).plain == {f: 0 for f in topic_filters if matches(f, name)}


@given(st.lists(st.tuples(filters, st.integers(0, 3)), max_size=12), st.data())
def test_a_tree_from_which_everything_was_removed_is_empty(pairs: list[tuple[bytes, int]], data: st.DataObject) -> None:
    tree: SubscriptionTree[int] = SubscriptionTree()
    for topic_filter, client in pairs:
        tree.add(topic_filter, client, 0)
    for topic_filter, client in data.draw(st.permutations(pairs)):
        tree.remove(topic_filter, client)
    assert not tree


@statement("3.1.1", "MQTT-3.3.5-1")
def test_a_client_with_overlapping_filters_is_found_once_with_the_highest_qos() -> None:
    tree = tree_of(("a/#", "x", 0), ("a/+", "x", 2), ("a/b", "x", 1), ("#", "y", 1))
    assert tree.match(b"a/b").plain == {"x": 2, "y": 1}


@statement("3.1.1", "MQTT-4.7.2-1")
def test_a_wildcard_in_the_first_level_does_not_match_names_that_start_with_a_dollar() -> None:
    tree = tree_of(("#", "all", 0), ("+/x", "plus", 0), ("$SYS/#", "sys", 0), ("$SYS/+", "one", 0))
    assert tree.match(b"$SYS/x").plain == {"sys": 0, "one": 0}
    assert tree.match(b"$SYS").plain == {"sys": 0}
    assert tree.match(b"a/$SYS").plain == {"all": 0}


@statement("3.1.1", "MQTT-4.7.3-4")
def test_names_are_compared_byte_by_byte_without_normalisation() -> None:
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    tree = tree_of((composed, "composed", 0), ("A", "upper", 0), ("/a", "slash", 0), ("a/", "behind", 0))
    assert tree.match(decomposed.encode()).plain == {}
    assert tree.match(composed.encode()).plain == {"composed": 0}
    assert tree.match(b"a").plain == {}
    assert tree.match(b"/a").plain == {"slash": 0}


def test_removing_a_filter_that_is_not_there_changes_nothing() -> None:
    tree = tree_of(("a/b", "x", 0))
    tree.remove(b"a", "x")
    tree.remove(b"a/b", "y")
    tree.remove(b"a/b/c", "x")
    assert tree.match(b"a/b").plain == {"x": 0}


def test_very_many_levels_are_no_matter_of_recursion() -> None:
    deep = "/".join("a" * 30000)
    tree = tree_of((deep, "x", 0))
    assert tree.match(deep.encode()).plain == {"x": 0}
    tree.remove(deep.encode(), "x")
    assert not tree


@pytest.mark.source("a number is replaced")
@given(st.lists(st.tuples(filters, st.integers(0, 3), st.sampled_from([0, 1, 2, 0x104, 0x208]))), st.data())
def test_a_crowd_of_branches_finds_what_each_branch_finds_whatever_comes_and_goes(
    pairs: list[tuple[bytes, int, int]], data: st.DataObject
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subscriptions, "CROWD", 1)
        patch.setattr(subscriptions, "CROWDS_MAX", 40)
        tree: SubscriptionTree[int] = SubscriptionTree()
        known: dict[tuple[bytes, int], int] = {}
        for topic_filter, client, value in pairs:
            if data.draw(st.booleans()) and known:
                gone = data.draw(st.sampled_from(sorted(known)))
                tree.remove(*gone)
                del known[gone]
            tree.add(topic_filter, client, value)
            known[topic_filter, client] = value
            name = data.draw(names)
            found = tree.match(name)
            every: dict[int, list[int]] = {}
            for (each, client_), value_ in known.items():
                if matches(each, name):
                    every.setdefault(client_, []).append(value_)
            plain = {client_: max(values) for client_, values in every.items() if max(values) <= 2}
            assert found.plain == plain
            assert found.rich.keys() == every.keys() - plain.keys()
            for client_, values in found.rich.items():
                rich = [value_ for value_ in every[client_] if value_ > 2]
                best = [value_ for value_ in every[client_] if value_ <= 2]
                assert sorted(values) == sorted(rich + ([max(best)] if best else []))


def test_filters_that_double_the_branches_with_each_level_cost_a_step_for_each_level() -> None:
    tree: SubscriptionTree[int] = SubscriptionTree()
    for number, levels in enumerate(itertools.product("a+", repeat=11)):
        tree.add("/".join([*levels, "x"]).encode(), number % 4, 0)
    name = "/".join("a" * 11)
    tree.match(f"{name}/x".encode())
    tree.match(f"{name}/y".encode())
    before = tree.steps
    assert not tree.match(f"{name}/z".encode()).plain
    assert tree.match(f"{name}/x".encode()).plain == dict.fromkeys(range(4), 0)
    tree.add(b"elsewhere/+", 9, 0)
    assert not tree.match(f"{name}/another".encode()).plain
    assert tree.steps - before < 500
