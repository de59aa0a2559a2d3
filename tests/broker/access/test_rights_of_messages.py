"""Rights where messages come and go: PUBLISH, SUBSCRIBE, delivery, retained messages, wills."""

import pytest

from tests.broker.access.guarded import PUBLISH, RECEIVE, SUBSCRIBE, Guarded, allow, deny
from tests.broker.five import PUBACK, PUBREC
from tests.core.packets import Packet, encode
from tests.statements import statement

READS_ALL = allow("#", SUBSCRIBE, RECEIVE)


@statement("3.1.1", "MQTT-3.3.5-2")
def test_a_message_that_its_client_may_not_publish_is_acknowledged_and_goes_nowhere_in_3_1_1() -> None:
    world = Guarded(READS_ALL, allow("mine", PUBLISH))
    reader = world.enter("anna")
    reader.subscribe("#", qos=2)
    writer = world.enter("bert")
    for qos in (0, 1, 2):
        writer.publish("theirs", b"no", qos=qos, retain=True)
    assert writer.kinds() == ["puback", "pubrec"]
    writer.publish("mine", b"yes")
    assert reader.payloads() == [b"yes"]
    assert world.stats.dropped_denied == 3
    assert world.stats.limits["publish_denied"] == 3
    assert not world.engine.router.retained.get(b"theirs")
    assert not writer.closed


def test_a_denied_message_of_qos_2_has_its_whole_handshake_and_the_identifier_is_free_again() -> None:
    world = Guarded(READS_ALL, allow("mine", PUBLISH))
    reader = world.enter("anna")
    reader.subscribe("#", qos=2)
    writer = world.enter("bert")
    for _ in range(2):
        writer.publish("theirs", b"no", qos=2, packet_id=7)
        writer.publish("theirs", b"no", qos=2, packet_id=7, dup=True)
        writer.send("pubrel", packet_id=7)
        assert writer.kinds() == ["pubrec", "pubrec", "pubcomp"]
    writer.publish("mine", b"yes", qos=2, packet_id=7)
    assert reader.payloads() == [b"yes"]


def test_the_operator_can_have_such_a_client_of_3_1_1_disconnected_instead() -> None:
    for qos in (0, 1, 2):
        world = Guarded(allow("mine", PUBLISH), close_denied=True)
        writer = world.enter("bert")
        writer.publish("theirs", b"no", qos=qos)
        assert writer.closed
        assert writer.kinds() == []
    five = world.five("anna")
    five.publish("theirs", b"no", qos=1)
    assert not five.closed


def test_a_client_of_5_0_is_told_that_it_may_not_publish() -> None:
    world = Guarded(allow("mine", PUBLISH))
    writer = world.five("bert")
    for qos in (0, 1, 2):
        writer.publish("theirs", b"no", qos=qos)
        writer.publish("theirs", b"no", qos=qos, UserProperty=[("a", "b")])
    told = [(got.kind, got.reason) for got in writer.take()]
    assert told == [(PUBACK, 0x87), (PUBACK, 0x87), (PUBREC, 0x87), (PUBREC, 0x87)]
    assert not writer.closed
    writer.publish("mine", b"yes", qos=2)
    assert [got.reason for got in writer.take()] == [0x10]


def test_a_topic_alias_does_not_lead_to_a_topic_without_a_right() -> None:
    world = Guarded(READS_ALL, allow("mine", PUBLISH))
    reader = world.enter("anna")
    reader.subscribe("#")
    writer = world.five("bert")
    writer.publish("theirs", b"1", TopicAlias=1)
    writer.publish("", b"2", TopicAlias=1)
    writer.publish("", b"3", qos=1, TopicAlias=1)
    assert [got.reason for got in writer.take()] == [0x87]
    writer.publish("mine", b"4", TopicAlias=1)
    writer.publish("", b"5", TopicAlias=1)
    assert reader.payloads() == [b"4", b"5"]


def test_what_one_client_may_publish_says_nothing_about_another() -> None:
    world = Guarded(READS_ALL, allow("own/%u", PUBLISH), allow("own/%c/id", PUBLISH))
    reader = world.enter("anna", "reader")
    reader.subscribe("#")
    anna, bert = world.enter("anna", "1"), world.enter("bert", "2")
    for _ in range(2):
        for client in (anna, bert):
            for topic in ("own/anna", "own/bert", "own/1/id", "own/2/id"):
                client.publish(topic, b"")
    topics = [topic for topic, _, _, _ in reader.messages()]
    assert topics == 2 * ["own/anna", "own/1/id", "own/bert", "own/2/id"]


def test_who_may_not_receive_a_topic_gets_none_of_it_though_its_filter_is_wider() -> None:
    world = Guarded(allow("house/#"), deny("house/safe", RECEIVE, user="bert"))
    anna, bert = world.enter("anna"), world.enter("bert")
    for client in (anna, bert):
        assert client.subscribe("+/+", "house/+", qos=1) == [0x80, 1]
    for qos in (0, 1, 2):
        world.enter().publish("house/safe", b"1", qos=qos)
        world.enter().publish("house/door", b"2", qos=qos)
    assert anna.payloads() == 3 * [b"1", b"2"]
    assert bert.payloads() == 3 * [b"2"]


@statement("3.1.1", "MQTT-3.8.4-5")
def test_subscribe_is_refused_filter_by_filter() -> None:
    world = Guarded(allow("a/#"), allow("b/%u"))
    filters = ["a/x", "#", "+/#", "b/anna", "b/bert", "a/+/+", "c"]
    assert world.enter("anna").subscribe(*filters, qos=1) == [1, 0x80, 0x80, 1, 0x80, 1, 0x80]
    five = world.five("anna", "five")
    assert [five.subscribe(each, 1) for each in filters] == [1, 0x87, 0x87, 1, 0x87, 1, 0x87]


def test_a_share_is_refused_where_its_filter_would_be() -> None:
    world = Guarded(allow("a/#"), deny("a/secret/#"))
    client = world.enter("anna")
    shared = [
        "$share/g/secret/#",
        "$share/a/secret/#",
        "$share/g/a/secret/#",
        "$share/g/#",
        "$share/g/a/+",
        "$share/a/a",
    ]
    assert client.subscribe(*shared) == [0x80, 0x80, 0x80, 0x80, 0, 0]


def test_a_member_of_a_share_gets_only_what_it_may_receive_and_the_others_get_the_rest() -> None:
    world = Guarded(allow("a/#"), deny("a/secret", RECEIVE, user="bert"))
    anna, bert = world.enter("anna"), world.enter("bert")
    for client in (anna, bert):
        client.subscribe("$share/g/a/#", qos=1)
    writer = world.enter()
    for number in range(10):
        writer.publish("a/secret", b"s%d" % number, qos=1)
    assert len(anna.finish()) == 10
    assert bert.finish() == []
    for number in range(10):
        writer.publish("a/open", b"o%d" % number, qos=1)
    assert len(anna.finish()) == len(bert.finish()) == 5


def test_what_a_member_leaves_goes_to_nobody_who_may_not_receive_it() -> None:
    world = Guarded(allow("a/#"), deny("a/secret", RECEIVE, user="bert"))
    anna, bert = world.enter("anna"), world.enter("bert")
    for client in (anna, bert):
        client.subscribe("$share/g/a/#", qos=1)
    for _ in range(4):
        world.enter().publish("a/secret", b"s", qos=1)
    anna.disconnect()
    assert bert.finish() == []


def test_retained_messages_are_sent_where_they_may_be_received() -> None:
    world = Guarded(allow("a/#"), deny("a/secret", RECEIVE, user="bert"))
    writer = world.enter()
    writer.publish("a/secret", b"1", retain=True)
    writer.publish("a/open", b"2", retain=True)
    anna, bert = world.enter("anna"), world.enter("bert")
    anna.subscribe("a/#")
    bert.subscribe("a/#", "a/secret", "a/+")
    assert sorted(anna.payloads()) == [b"1", b"2"]
    assert bert.payloads() == [b"2", b"2"]


@pytest.mark.parametrize("qos", [0, 1])
def test_a_retained_message_can_be_removed_only_by_who_may_publish_it(qos: int) -> None:
    world = Guarded(READS_ALL, allow("a", PUBLISH, user="anna"))
    world.enter("anna").publish("a", b"1", retain=True)
    world.enter("bert").publish("a", b"", retain=True, qos=qos)
    assert world.engine.router.retained.get(b"a")


def test_a_will_for_a_topic_without_a_right_is_no_will() -> None:
    world = Guarded(allow("mine"))
    world.enter("anna", code=5, will=("theirs", b"", 0, False))
    world.five("anna", code=0x87, will=("theirs", b"", 0, False))
    assert world.stats.limits["will_denied"] == 2
    reader = world.enter("anna", "reader")
    reader.subscribe("mine")
    world.enter("anna", will=("mine", b"gone", 0, False)).cut()
    assert reader.payloads() == [b"gone"]


def test_sys_needs_a_rule_that_names_it() -> None:
    world = Guarded(allow("#"))
    assert world.enter("anna").subscribe("$SYS/#", "$SYS/broker/uptime", "+/broker/uptime", "#") == [0x80, 0x80, 0, 0]
    world = Guarded(allow("#"), allow("$SYS/broker/#", SUBSCRIBE, RECEIVE))
    assert world.enter("anna").subscribe("$SYS/#", "$SYS/broker/uptime") == [0, 0]


@pytest.mark.parametrize("name", ["+", "#", "a/b", "anna/#"])
def test_a_user_or_client_whose_name_is_a_pattern_has_no_rights_by_it(name: str) -> None:
    world = Guarded(allow("home/%u/#"), allow("dev/%c/#"), users={name: set(), "anna": set()})
    anna = world.enter("anna", "anna")
    anna.subscribe("home/anna/#", "dev/anna/#")
    other = world.enter(name, name)
    assert other.subscribe("home/#", "home/+/x", "home/anna/x", "dev/#", "dev/anna/x", "dev/+/x") == 6 * [0x80]
    for topic in ("home/anna/x", "dev/anna/x", "home/a/b/x"):
        other.publish(topic, b"no")
    assert anna.payloads() == []


def test_a_thousand_topics_cost_their_publisher_alone_and_no_more_than_is_allowed() -> None:
    world = Guarded(allow("#"), limits={"rights_bytes": 10_000})
    writer, other = world.enter("anna"), world.enter("bert")
    other.publish("kept", b"")
    kept = other.peer.rights
    assert kept is not None
    for number in range(1000):
        writer.publish(f"topic/{number}", b"")
        assert world.engine.ledger.rights <= 10_000
    assert b"kept" in kept
    assert world.stats.messages_received == 1001
    for client in (writer, other):
        client.cut()
    assert world.engine.ledger.rights == 0


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_many_messages_of_one_read_are_taken_or_denied_as_one_by_one(qos: int) -> None:
    rules = (READS_ALL, allow("mine", PUBLISH), allow("theirs", PUBLISH, user="anna"))
    world = Guarded(*rules)
    reader = world.enter("anna", "reader")
    reader.subscribe("#", qos=qos)
    anna, bert = world.enter("anna"), world.enter("bert")

    def many(*topics: str) -> bytes:
        fields = {"payload": b"x", "qos": qos, "retain": False, "dup": False}
        each = enumerate(topics, 1)
        return b"".join(
            encode(Packet("publish", {**fields, "topic": t, "packet_id": n if qos else 0})) for n, t in each
        )

    for client in (anna, bert, anna, bert):
        before = world.stats.dropped_denied
        client.raw(many(*5 * ["mine"], *5 * ["theirs"], *5 * ["mine"]))
        assert len(reader.finish()) == (15 if client is anna else 10)
        assert world.stats.dropped_denied - before == (0 if client is anna else 5)
        if qos:
            assert len(client.packets()) == 15
        for number in range(1, 16) if qos == 2 else ():
            client.send("pubrel", packet_id=number)
        client.packets()
    world.set(READS_ALL)
    anna.raw(many(*10 * ["mine"]))
    assert reader.finish() == []
