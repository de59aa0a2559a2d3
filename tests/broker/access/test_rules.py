"""Rules and topics: what matches, covers and overlaps, and that nothing a client says is ever a pattern."""

import itertools

import pytest

from mqttlite.broker.access.identity import Identity, decoded, encoded, of_source, source
from mqttlite.broker.access.rule import ACTIONS, Rule, covers, matches, overlaps, pattern_of
from mqttlite.broker.access.rules import Rules
from mqttlite.broker.topics.subscriptions import SubscriptionTree
from tests.broker.access.guarded import PUBLISH, RECEIVE, SUBSCRIBE, allow, deny
from tests.statements import statement

LEVELS = ["a", "b", "", "$x", "+", "#"]
# With the empty one, which no message has: comparing patterns does not know that.
NAMES = ["/".join(name) for size in (1, 2, 3, 4) for name in itertools.product(["a", "b", "", "$x"], repeat=size)]
FILTERS = [
    "/".join(levels)
    for size in (1, 2, 3)
    for levels in itertools.product(LEVELS, repeat=size)
    if "#" not in levels[:-1] and levels != ("",)
]


def by_tree(topic_filter: str) -> frozenset[str]:
    """The topic names that a filter matches, as subscriptions have it."""
    tree: SubscriptionTree[int] = SubscriptionTree()
    tree.add(topic_filter.encode(), 1, 0)
    return frozenset(name for name in NAMES if tree.match(name.encode()).plain)


MATCHED = {topic_filter: by_tree(topic_filter) for topic_filter in FILTERS}


@statement("3.1.1", "MQTT-4.7.2-1")
def test_a_rule_matches_the_topics_that_a_subscription_with_its_filter_matches() -> None:
    for topic_filter, names in MATCHED.items():
        pattern = pattern_of(topic_filter.encode())
        assert frozenset(name for name in NAMES if matches(pattern, name.encode().split(b"/"))) == names, topic_filter


def test_covers_and_overlaps_are_what_they_are_of_the_sets_of_topics() -> None:
    # Names have a level more than filters and a level that no filter names would be told from others by nothing else.
    small = [each for each in FILTERS if each.count("/") < 2 or "b" not in each]
    patterns = {each: pattern_of(each.encode()) for each in small}
    for one, other in itertools.product(small, repeat=2):
        assert overlaps(patterns[one], patterns[other]) == bool(MATCHED[one] & MATCHED[other]), (one, other)
        assert covers(patterns[one], patterns[other]) == (MATCHED[one] >= MATCHED[other]), (one, other)


def rights(*rules: Rule, user: str | None = "anna", client_id: str = "c", groups: set[str] | None = None) -> "Asked":
    return Asked(Rules(rules), Identity(user, frozenset(groups or ()), client_id=client_id))


class Asked:
    def __init__(self, rules: Rules, identity: Identity) -> None:
        self.rules = rules
        self.identity = identity

    def may(self, action: str, topic: str) -> bool:
        return self.rules.may(self.identity, action, topic.encode())


def test_what_no_rule_allows_is_denied() -> None:
    for action in ACTIONS:
        assert not rights().may(action, "a")
        assert not rights(allow("b")).may(action, "a")


def test_a_rule_that_denies_is_stronger_wherever_it_stands() -> None:
    for rules in ([allow("a/#"), deny("a/b")], [deny("a/b"), allow("a/#")]):
        asked = rights(*rules)
        assert asked.may(PUBLISH, "a/c")
        assert not asked.may(PUBLISH, "a/b")


def test_to_subscribe_a_right_to_part_of_the_filter_is_enough_unless_it_is_wildcards_alone() -> None:
    asked = rights(allow("house/+/state"), allow("own"))
    for topic_filter in ("house/#", "house/1/state", "+/1/state", "+/+/state", "house/+/#", "own/#"):
        assert asked.may(SUBSCRIBE, topic_filter), topic_filter
    for topic_filter in ("#", "+/#", "+/+/#", "+", "+/+/+", "house/1", "garden/#", "+/1/2", "$SYS/#"):
        assert not asked.may(SUBSCRIBE, topic_filter), topic_filter
    assert rights(allow("#")).may(SUBSCRIBE, "+/+/#")
    assert not rights(allow("#")).may(SUBSCRIBE, "$SYS/broker/uptime")
    assert rights(allow("+/+")).may(SUBSCRIBE, "+/+")
    assert not rights(allow("+/+")).may(SUBSCRIBE, "+/#")


def test_a_filter_that_lies_within_what_is_denied_is_refused() -> None:
    asked = rights(allow("#"), deny("secret/#", SUBSCRIBE, RECEIVE))
    assert asked.may(SUBSCRIBE, "#")
    assert asked.may(SUBSCRIBE, "+/x")
    assert not asked.may(SUBSCRIBE, "secret/#")
    assert not asked.may(SUBSCRIBE, "secret/+/x")
    assert asked.may(PUBLISH, "secret/x")


def test_a_rule_is_for_whom_it_names() -> None:
    asked = rights(allow("u", user="anna"), allow("g", group="staff"), allow("c", client="sensor-*"))
    assert [asked.may(PUBLISH, topic) for topic in "ugc"] == [True, False, False]
    rules = asked.rules
    staff = Identity("bert", frozenset({"staff"}), client_id="sensor-1")
    assert [rules.may(staff, PUBLISH, topic) for topic in (b"u", b"g", b"c")] == [False, True, True]


def test_a_rule_for_those_without_a_user_name_is_for_nobody_else() -> None:
    rule = allow("public", user="")
    assert rights(rule, user=None).may(PUBLISH, "public")
    assert not rights(rule, user="anna").may(PUBLISH, "public")


def test_placeholders_stand_for_a_level_or_a_part_of_one() -> None:
    asked = rights(allow("home/%u/#"), allow("dev/%c-in"), allow("team/%g"), client_id="c1", groups={"x", "y"})
    for topic in ("home/anna", "home/anna/1", "dev/c1-in", "team/x", "team/y"):
        assert asked.may(PUBLISH, topic), topic
    for topic in ("home/bert", "home/%u", "dev/c2-in", "dev/%c-in", "team/z", "team/%g"):
        assert not asked.may(PUBLISH, topic), topic


@pytest.mark.parametrize("name", ["+", "#", "a/b", "", "/", "a+", "x#", "+/+", "a\0b"])
def test_a_name_with_signs_of_a_pattern_stands_for_no_level(name: str) -> None:
    for mark, who in (("%u", {"user": name}), ("%c", {"client_id": name}), ("%g", {"groups": {name}})):
        asked = rights(allow(f"home/{mark}/#"), allow(f"dev/x{mark}"), **who)  # type: ignore[arg-type]
        for topic in ("home/anna/1", f"home/{name}/1", "home//1", "home/+/1", "dev/x", f"dev/x{name}", "home"):
            assert not asked.may(PUBLISH, topic), topic
            assert not asked.may(RECEIVE, topic), topic
        assert not asked.may(SUBSCRIBE, "home/#")
        assert not asked.may(SUBSCRIBE, "home/+/x")


@pytest.mark.parametrize("name", ["+", "a/b", ""])
def test_a_rule_that_denies_is_not_got_round_with_such_a_name(name: str) -> None:
    asked = rights(allow("#"), deny("private/%u/keys"), user=name or None)
    assert not asked.may(PUBLISH, "private/a/b/keys")
    assert not asked.may(PUBLISH, "private/x")
    assert asked.may(PUBLISH, "public")


def test_a_name_that_looks_like_a_placeholder_is_not_filled_in_again() -> None:
    asked = rights(allow("home/%u"), user="%c", client_id="anna")
    assert asked.may(PUBLISH, "home/%c")
    assert not asked.may(PUBLISH, "home/anna")


def test_a_client_identifier_is_never_a_pattern() -> None:
    assert not rights(allow("x", client="sensor-1"), client_id="*").may(PUBLISH, "x")
    assert not rights(allow("x", client="sensor-[1]"), client_id="sensor-[1]").may(PUBLISH, "x")


def test_an_identitys_own_rules_count_beside_those_for_all() -> None:
    own = Identity("anna", rules=(allow("own/#"), deny("all/no")))
    rules = Rules([allow("all/#")])
    assert rules.may(own, PUBLISH, b"own/1")
    assert rules.may(own, PUBLISH, b"all/1")
    assert not rules.may(own, PUBLISH, b"all/no")
    assert not rules.may(Identity("bert"), PUBLISH, b"own/1")


@pytest.mark.parametrize("topic_filter", ["", "a/#/b", "a#", "+a", "a\0"])
def test_a_rule_with_a_filter_that_is_none_is_refused(topic_filter: str) -> None:
    with pytest.raises(ValueError, match="no topic filter"):
        Rule(topic_filter)


def test_a_rule_with_an_action_that_there_is_not_is_refused() -> None:
    for actions in (frozenset({"read"}), frozenset()):
        with pytest.raises(ValueError, match="publish, subscribe, receive"):
            Rule("a", actions)


def test_an_identity_is_the_same_after_it_was_stored() -> None:
    full = Identity("ännä", frozenset({"b", "a"}), "hook", "here", "c/1", (allow("a/#", user="x"), deny("b")))
    assert decoded(encoded(full), b"c/1") == full
    assert decoded(encoded(full), b"c/1").rules == full.rules
    assert encoded(Identity(client_id="c")) == b""
    assert decoded(b"", b"c") == Identity(client_id="c")
    plain = Identity("bert", frozenset({"a"}), "password", client_id="c")
    assert of_source(source(plain)) == plain
    assert source(full) == b""


@pytest.mark.parametrize("data", [b"x", b"[]", b'{"rules": [1]}', b'{"rules": [["#"]]}', b'{"groups": 1}'])
def test_a_stored_identity_that_is_none_is_an_error(data: bytes) -> None:
    with pytest.raises(ValueError):
        decoded(data, b"c")


def test_what_many_clients_have_in_common_is_there_once_and_what_is_their_own_is_not() -> None:
    rules = Rules([allow("a/#"), deny("b", user="bert")])
    anna, carl, bert = (Identity(name, client_id=name) for name in ("anna", "carl", "bert"))
    assert rules.rights(anna) is rules.rights(carl)
    assert rules.rights(anna) is not rules.rights(bert)
    own = Rules([allow("a/%u")])
    assert own.rights(anna) is not own.rights(carl)
    assert not own.may(carl, PUBLISH, b"a/anna")
