"""Rights where messages come and go: PUBLISH, SUBSCRIBE, delivery, retained messages, wills."""

from tests.broker.access.guarded import PUBLISH, RECEIVE, SUBSCRIBE, Guarded, allow, deny
from tests.statements import statement


@statement("3.1.1", "MQTT-3.3.5-2")
def test_a_message_that_its_client_may_not_publish_is_acknowledged_and_goes_nowhere_in_3_1_1() -> None:
    world = Guarded(allow("#", SUBSCRIBE, RECEIVE), allow("mine", PUBLISH))
    reader = world.enter("anna")
    reader.subscribe("#", qos=2)
    writer = world.enter("bert")
    for qos in (0, 1, 2):
        writer.publish("theirs", b"no", qos=qos, retain=True)
    assert writer.kinds() == ["puback", "pubrec"]
    writer.publish("mine", b"yes")
    assert reader.payloads() == [b"yes"]
    assert world.stats.dropped_denied == 3
    assert not world.engine.router.retained.get(b"theirs")
    assert not writer.closed


def test_a_client_of_5_0_is_told_that_it_may_not_publish() -> None:
    world = Guarded(allow("mine", PUBLISH))
    writer = world.five("bert")
    for qos in (0, 1, 2):
        writer.publish("theirs", b"no", qos=qos)
        writer.publish("theirs", b"no", qos=qos, UserProperty=[("a", "b")])
    assert [(got.kind, got.reason) for got in writer.take()] == [(4, 0x87), (4, 0x87), (5, 0x87), (5, 0x87)]
    assert not writer.closed


def test_who_is_not_allowed_to_receive_a_topic_gets_none_of_it_though_its_filter_is_wider() -> None:
    world = Guarded(allow("house/#"), deny("house/safe", RECEIVE, user="bert"), allow("other", PUBLISH))
    anna, bert = world.enter("anna"), world.enter("bert")
    for client in (anna, bert):
        assert client.subscribe("+/+", "house/+", qos=1) == [0x80, 1]
    world.enter().publish("house/safe", b"1")
    world.enter().publish("house/door", b"2")
    assert anna.payloads() == [b"1", b"2"]
    assert bert.payloads() == [b"2"]
