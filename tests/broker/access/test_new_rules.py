"""Users and rules that change while the broker runs, or while it does not."""

import pytest

from mqttlite.broker.access.access import Access
from mqttlite.broker.access.guard import ALLOW_ALL
from mqttlite.broker.access.identity import PASSWORD, Identity
from mqttlite.broker.named_rules import NamedRule
from tests.broker.access.guarded import PUBLISH, RECEIVE, SUBSCRIBE, Guarded, KnownUsers, allow, deny
from tests.broker.five import DISCONNECT, PUBCOMP, PUBREC, Five
from tests.broker.world import Wire
from tests.core.packets import Packet, encode

ALL = allow("#")
NOT_BERT = deny("secret/#", user="bert")


def test_a_right_that_is_taken_away_ends_publishing_and_receiving_at_once_and_comes_back() -> None:
    world = Guarded(ALL)
    anna, bert = world.enter("anna"), world.enter("bert")
    for client in (anna, bert):
        client.subscribe("secret/#", qos=1)
    for rules, got_by_bert in (((ALL,), 2), ((ALL, NOT_BERT), 0), ((ALL,), 2)):
        world.set(*rules)
        anna.publish("secret/1", b"1", qos=1)
        bert.publish("secret/2", b"2", qos=1)
        assert len(bert.finish()) == got_by_bert
        assert len(anna.finish()) == 1 + got_by_bert // 2
    assert not bert.closed


def test_a_connection_whose_user_is_gone_is_closed_and_its_will_is_not_published() -> None:
    world = Guarded(ALL)
    watcher = world.enter("anna", "watcher")
    watcher.subscribe("will", qos=1)
    anna = world.enter("anna", "other")
    four = world.enter("bert", "four", will=("will", b"of 4", 1, True))
    five = world.five("bert", "five", will=("will", b"of 5", 1, True))
    world.set(ALL, users={"anna": set()})
    assert four.closed
    assert five.closed
    assert [(got.kind, got.reason) for got in five.take()] == [(DISCONNECT, 0x87)]
    assert not anna.closed
    assert watcher.payloads() == []
    world.enter("bert", code=4)


def test_anonymous_connections_are_closed_when_they_may_not_be_there_any_more() -> None:
    world = Guarded(ALL)
    nobody, anna = world.enter(), world.enter("anna")
    world.set(ALL, anonymous=False)
    assert (nobody.closed, anna.closed) == (True, False)


def test_a_user_has_the_rights_of_the_groups_that_it_has_now() -> None:
    staff = allow("staff/#", group="staff")
    world = Guarded(staff, users={"anna": {"staff"}})
    anna = world.enter("anna")
    anna.subscribe("staff/#")
    anna.publish("staff/1", b"1")
    world.set(staff, users={"anna": set()})
    anna.publish("staff/1", b"2")
    world.set(staff, users={"anna": {"staff"}})
    anna.publish("staff/1", b"3")
    assert anna.payloads() == [b"1", b"3"]


def away(world: Guarded, user: str = "bert", qos: int = 1, topic_filter: str = "#") -> Wire:
    """A client with a persistent session that has subscribed."""
    client = world.enter(user, "away", False)
    client.subscribe(topic_filter, qos=qos)
    return client


@pytest.mark.parametrize("qos", [1, 2])
def test_what_is_queued_is_not_sent_to_who_may_not_receive_it_any_more(qos: int) -> None:
    world = Guarded(ALL)
    away(world, qos=qos).disconnect()
    writer = world.enter("anna")
    for number in range(30):
        writer.publish("secret/1" if number % 3 else "open", b"%d" % number, qos=qos)
    world.set(ALL, NOT_BERT)
    for number in range(30, 33):
        writer.publish("secret/1", b"no", qos=qos)
        writer.publish("open", b"%d" % number, qos=qos)
    back = world.enter("bert", "away", False, present=True)
    expected = [b"%d" % number for number in range(33) if number % 3 == 0 or number >= 30]
    assert back.finish() == expected
    assert world.stats.dropped_denied == 20
    session = world.engine.sessions[b"away"].session
    assert not session.messages
    assert session.settle() == session.size_max


def test_what_is_queued_behind_a_full_window_is_looked_at_when_its_turn_comes() -> None:
    world = Guarded(ALL)
    reader = away(world)
    writer = world.enter("anna")
    for number in range(50):
        writer.publish("secret/1" if number % 2 else "open", b"%d" % number, qos=1)
    world.set(ALL, NOT_BERT)
    got = reader.finish()
    assert got[:20] == [b"%d" % number for number in range(20)]  # they had left
    assert got[20:] == [b"%d" % number for number in range(20, 50, 2)]
    world.set(ALL)
    writer.publish("secret/1", b"again", qos=1)
    assert reader.finish() == [b"again"]


def test_what_was_in_flight_at_qos_1_is_not_sent_again_without_a_right() -> None:
    world = Guarded(ALL)
    reader = away(world)
    world.enter("anna").publish("secret/1", b"s", qos=1)
    world.enter("anna").publish("open", b"o", qos=1)
    assert reader.payloads() == [b"s", b"o"]
    reader.cut()
    world.set(ALL, NOT_BERT)
    assert world.enter("bert", "away", False, present=True).finish() == [b"o"]
    assert not world.engine.sessions[b"away"].session.messages


def test_what_was_in_flight_at_qos_2_is_released_instead_so_that_its_identifier_is_free() -> None:
    world = Guarded(ALL)
    reader = away(world, qos=2)
    world.enter("anna").publish("secret/1", b"s", qos=2)
    assert reader.payloads() == [b"s"]
    reader.cut()
    world.set(ALL, NOT_BERT)
    back = world.enter("bert", "away", False, present=True)
    ((kind, fields),) = back.packets()
    assert kind == "pubrel"
    back.send("pubcomp", packet_id=fields["packet_id"])
    assert not world.engine.sessions[b"away"].session.messages


def test_what_was_released_at_qos_2_goes_on() -> None:
    world = Guarded(ALL)
    reader = away(world, qos=2)
    world.enter("anna").publish("secret/1", b"s", qos=2)
    ((_, fields),) = reader.packets()
    reader.send("pubrec", packet_id=fields["packet_id"])
    reader.cut()
    world.set(ALL, NOT_BERT)
    back = world.enter("bert", "away", False, present=True)
    assert back.kinds() == ["pubrel"]


def test_a_right_that_came_back_before_its_message_left_is_a_right() -> None:
    world = Guarded(ALL)
    away(world).disconnect()
    world.enter("anna").publish("secret/1", b"1", qos=1)
    world.set(ALL, NOT_BERT)
    world.set(ALL)
    assert world.enter("bert", "away", False, present=True).finish() == [b"1"]


def test_a_subscription_without_a_right_to_subscribe_is_suspended_until_there_is_one() -> None:
    no_more = deny("#", SUBSCRIBE, user="bert")
    world = Guarded(ALL)
    reader = away(world)
    other = world.enter("bert", "other")
    other.subscribe("$share/g/#", "a/+")
    writer = world.enter("anna")
    for number, rules in enumerate([(ALL,), (ALL, no_more), (ALL,)]):
        world.set(*rules)
        writer.publish("a/b", b"%d" % number, qos=1)
    assert reader.finish() == [b"0", b"2"]
    assert sorted(other.payloads()) == [b"0", b"0", b"2", b"2"]
    world.set(ALL, no_more)
    assert reader.subscribe("#") == [0x80]
    reader.unsubscribe("#")
    other.cut()
    world.set(ALL)
    writer.publish("a/b", b"4", qos=1)
    assert reader.finish() == []
    assert not world.engine.router._tree
    assert not world.engine.router._shares


def test_a_retained_message_of_whom_may_not_publish_it_any_more_is_not_sent() -> None:
    world = Guarded(ALL)
    world.enter("bert").publish("secret/1", b"of bert", retain=True)
    world.enter("anna").publish("secret/2", b"of anna", retain=True, qos=1)
    world.five("anna").publish("secret/3", b"of anna 5", retain=True, UserProperty=[("a", "b")])

    def seen() -> list[bytes]:
        reader = world.enter("anna", "reader")
        reader.subscribe("#")
        found = sorted(reader.payloads())
        reader.disconnect()
        return found

    assert seen() == [b"of anna", b"of anna 5", b"of bert"]
    world.set(ALL, deny("secret/1", PUBLISH, user="bert"))
    assert seen() == [b"of anna", b"of anna 5"]
    world.set(ALL, users={"bert": set(), "anna": set()})
    assert seen() == [b"of anna", b"of anna 5", b"of bert"]
    world.set(ALL, users={"anna": set()})
    assert seen() == [b"of anna", b"of anna 5"]


def test_a_retained_message_that_was_for_later_is_not_sent_either_when_its_publisher_may_not_any_more() -> None:
    world = Guarded(ALL)
    for user in ("anna", "bert"):
        world.enter(user).publish(f"$delayed/1/secret/{user}", user.encode(), retain=True, qos=1)
    world.wait(1000)
    for rules, found in (((ALL,), [b"anna", b"bert"]), ((ALL, deny("secret/#", PUBLISH, user="bert")), [b"anna"])):
        world.set(*rules)
        reader = world.enter("anna", "reader")
        reader.subscribe("#")
        assert sorted(reader.payloads()) == found
        reader.disconnect()


def test_a_retained_message_has_no_more_properties_for_that_its_publisher_is_known() -> None:
    world = Guarded(ALL)
    world.five("bert").publish("a", b"1", retain=True)
    reader = world.five("anna")
    reader.subscribe("a", 1)
    (message,) = reader.messages()
    assert (message.payload, message.retain, message.properties) == (b"1", True, {})


def test_a_will_that_waits_is_published_if_its_client_still_may() -> None:
    world = Guarded(ALL)
    reader = world.enter("anna", "reader")
    reader.subscribe("will/#")
    for name in ("bert", "anna"):
        client = world.five(
            name,
            clean=False,
            SessionExpiryInterval=100,
            will=(f"will/{name}", b"gone", 0, True),
            will_properties={"WillDelayInterval": 10},
        )
        client.cut()
    world.set(ALL, deny("will/bert", PUBLISH))
    world.wait(20_000)
    assert [topic for topic, *_ in reader.messages()] == ["will/anna"]
    assert world.stats.dropped_denied == 1
    world.set(ALL, users={"bert": set()})
    late = world.enter("bert", "late")
    late.subscribe("will/#")
    assert late.messages() == []  # it was retained for a user that there is not any more


def test_a_will_of_before_there_were_rules_is_its_sessions_and_goes_out_if_that_may_publish_it() -> None:
    world = Guarded()
    world.engine.set_guard(ALLOW_ALL, world.now)
    for name in ("bert", "anna", ""):
        more = {"user": name} if name else {}
        Five(
            world,
            name or "nobody",
            clean=False,
            SessionExpiryInterval=100,
            will=(f"will/{name or 'nobody'}", b"gone", 0, True),
            will_properties={"WillDelayInterval": 10},
            **more,
        ).cut()
    world.set(ALL, deny("will/nobody", PUBLISH))
    reader = world.enter("anna", "reader")
    reader.subscribe("will/#")
    world.wait(20_000)
    assert [topic for topic, *_ in reader.messages()] == ["will/bert", "will/anna"], "nobody asked who they were"
    assert world.stats.dropped_denied == 1


def test_retained_messages_of_before_there_were_users_are_nobodys_and_are_sent() -> None:
    world = Guarded()
    world.engine.set_guard(ALLOW_ALL, world.now)
    world.enter().publish("a", b"1", retain=True)
    world.set(ALL)
    reader = world.enter("anna")
    reader.subscribe("a")
    assert reader.payloads() == [b"1"]


def test_a_session_of_a_user_that_is_gone_gets_nothing_and_is_nobody_elses() -> None:
    world = Guarded(ALL)
    away(world).disconnect()
    writer = world.enter("anna", "writer")
    writer.publish("a", b"1", qos=1)
    world.set(ALL, users={"anna": set()})
    writer.publish("a", b"2", qos=1)
    world.enter(None, "away", False, code=5)
    world.enter("anna", "away", False, code=5)
    world.set(ALL)
    writer.publish("a", b"3", qos=1)
    assert world.enter("bert", "away", False, present=True).finish() == [b"1", b"3"]


def test_where_there_are_no_rules_a_session_of_a_user_that_is_gone_gets_nothing_either() -> None:
    world = Guarded()
    for users, payload in (({"anna": set(), "bert": set()}, b"1"), ({"anna": set()}, b"2"), ({"bert": set()}, b"3")):
        world.engine.set_guard(Access(users=KnownUsers(users), anonymous=True), world.now)
        if payload == b"1":
            away(world).disconnect()
        world.enter(None, "writer").publish("a", payload, qos=1)
    back = world.enter("bert", "away", False, present=True)
    assert back.finish() == [b"1", b"3"]
    back.publish("a", b"4", qos=1)
    assert back.finish() == [b"4"]


def test_where_there_are_no_rules_a_user_may_go_on_with_a_session_of_nobody_that_had_to_wait() -> None:
    world = Guarded()
    world.engine.set_guard(Access(users=KnownUsers({"bert": set()}), anonymous=True), world.now)
    world.enter(None, "away", False).subscribe("a", qos=1)
    world.engine.set_guard(Access(users=KnownUsers({"bert": set()}), anonymous=False), world.now)
    back = world.enter("bert", "away", False, present=True)
    back.publish("a", b"1", qos=1)
    assert back.finish() == [b"1"]


def test_an_answer_of_before_the_users_changed_does_not_let_in_who_is_gone() -> None:
    world = Guarded(ALL, slow=True)
    wire = world.open()
    wire.send(
        "connect", client_id="b", clean_session=True, keep_alive_s=0, username="bert", password=b"treb", will=None
    )
    question = world.engine.pending.take()
    assert question is not None
    world.set(ALL, users={"anna": set()})
    world.engine.answered(question, Identity("bert", how=PASSWORD), world.now)
    world.flush()
    assert wire.closed
    assert [fields["code"] for _, fields in wire.packets()] == [5]


def test_a_rule_that_is_about_very_many_subscriptions_is_seen_to_in_turns_and_holds_at_once() -> None:
    world = Guarded(ALL, limits={"turn_work": 40})
    reader = world.enter("bert")
    filters = [f"a/{number}" for number in range(100)]
    reader.subscribe(*filters, qos=1)
    writer = world.enter("anna")
    world.set(ALL, deny("#", SUBSCRIBE, RECEIVE, user="bert"))
    suspended = world.engine.sessions[b"bert"].suspended
    assert 0 < len(suspended) <= 20
    for topic in filters:
        writer.publish(topic, b"no", qos=1)
    assert reader.finish() == []
    for _ in range(20):
        world.wait(10)
    assert len(suspended) == 100
    assert not world.engine.router._tree
    world.set(ALL)
    for _ in range(20):
        world.wait(10)
    assert not suspended
    writer.publish("a/99", b"yes", qos=1)
    assert reader.finish() == [b"yes"]


@pytest.mark.parametrize("qos", [1, 2])
def test_what_a_member_of_a_share_may_not_have_any_more_goes_to_another_one(qos: int) -> None:
    world = Guarded(ALL)
    away(world, "bert", qos, "$share/g/#").disconnect()
    for number in range(5):
        world.enter("anna").publish("secret/1" if number % 2 else "open", b"%d" % number, qos=qos)
    anna = world.enter("anna", "other")
    anna.subscribe("$share/g/#", qos=qos)
    world.set(ALL, NOT_BERT)
    assert world.enter("bert", "away", False, present=True).finish() == [b"0", b"2", b"4"]
    assert anna.finish() == [b"1", b"3"]
    assert world.stats.dropped_denied == 0


@pytest.mark.parametrize("topic_filter", ["$queue/jobs/in/#", "$queue/jobs", "$stream/log/in/#", "$stream/log"])
def test_a_subscription_to_a_queue_or_stream_is_suspended_like_any_other(topic_filter: str) -> None:
    world = Guarded(ALL)
    writer, bert = world.enter("anna"), world.enter("bert")
    for maker in ("$queue/jobs/in/#", "$stream/log/in/#"):
        writer.subscribe(maker, qos=1)
        writer.raw(encode(Packet("unsubscribe", {"packet_id": 9, "topic_filters": [maker]})))
    writer.packets()
    bert.subscribe(topic_filter, qos=1)
    for rules, payload, found in (
        ((ALL,), b"1", [b"1"]),
        ((ALL, deny("in/#", SUBSCRIBE, user="bert")), b"2", []),
        ((ALL,), b"3", [b"2", b"3"]),
    ):
        world.set(*rules)
        writer.publish("in/a", payload, qos=1)
        assert bert.finish() == found
    world.set(ALL, deny("in/#", SUBSCRIBE, user="bert"))
    writer.publish("in/a", b"4", qos=1)
    world.set(ALL)
    world.wait(1)
    assert bert.finish() == [b"4"]


@pytest.mark.parametrize("qos", [1, 2])
def test_what_a_consumer_of_a_queue_may_not_have_any_more_goes_to_another_one_and_is_not_dead(qos: int) -> None:
    world = Guarded(ALL, limits={"named": (NamedRule("jobs", tries=1),)})
    bert = away(world, "bert", qos, "$queue/jobs/secret/#")
    world.enter("anna", "writer").publish("secret/1", b"1", qos=qos)
    assert bert.kinds() == ["publish"]
    bert.cut()
    world.set(ALL, NOT_BERT)
    assert world.enter("bert", "away", False, present=True).finish() == []
    anna = world.enter("anna", "other")
    anna.subscribe("$queue/jobs", qos=qos)
    assert anna.finish() == [b"1"]
    queue = world.engine.depot.queues[b"jobs"]
    assert not (queue.dead or queue.items)


def test_who_gets_what_another_consumer_may_have_handled_at_qos_2_is_told_so() -> None:
    world = Guarded(ALL)
    bert = away(world, "bert", 2, "$queue/jobs/secret/#")
    world.enter("anna", "writer").publish("secret/1", b"1", qos=2)
    assert bert.kinds() == ["publish"]
    bert.cut()
    world.set(ALL, NOT_BERT)
    bert = world.enter("bert", "away", False, present=True)
    (pubrel,) = bert.packets()  # it may know the identifier
    anna = world.five("anna", "other")
    anna.subscribe("$queue/jobs", 2)
    found = anna.messages()
    assert [(each.payload, each.properties["UserProperty"]) for each in found] == [(b"1", [("queue-tries", "1")])]
    message = found[0]
    bert.send("pubcomp", packet_id=pubrel.fields["packet_id"])
    queue = world.engine.depot.queues[b"jobs"]
    assert list(queue.items) == [0], "it is the other one's now"
    anna.ack(PUBREC, message.packet_id)
    anna.ack(PUBCOMP, message.packet_id)
    assert not queue.items
