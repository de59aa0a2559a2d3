"""A route lives until a subscription changes that matches it, and no longer."""

from hypothesis import given
from hypothesis import strategies as st

from mqttlite.broker.topics.topic_tree import TopicTree
from mqttlite.core.matching import matches

from ..topics.test_subscriptions import filters, names
from ..world import World

TOPICS = ("a", "a/b", "a/c", "b/b", "$SYS/b")


def routes(world: World) -> set[str]:
    return {topic.decode() for topic in world.engine.router._routes}


def with_routes() -> World:
    world = World()
    publisher = world.connect("publisher")
    for topic in TOPICS:
        publisher.publish(topic, b"x")
    assert routes(world) == set(TOPICS)
    return world


def test_subscribe_and_unsubscribe_forget_the_routes_that_match_and_no_others() -> None:
    for topic_filter, kept in (
        ("z/#", set(TOPICS)),
        ("a/b", set(TOPICS) - {"a/b"}),
        ("+/b", {"a", "a/c", "$SYS/b"}),
        ("a/#", {"b/b", "$SYS/b"}),
        ("#", {"$SYS/b"}),
        ("$share/name/a/+", {"a", "b/b", "$SYS/b"}),
    ):
        world = with_routes()
        client = world.connect("client")
        client.subscribe(topic_filter)
        assert routes(world) == kept, topic_filter
        publisher = world.connect("another")
        for topic in TOPICS:
            publisher.publish(topic, b"y")
        client.unsubscribe(topic_filter)
        assert routes(world) == kept, topic_filter
        assert world.engine.ledger.routes == sum(route.cost for route in world.engine.router._routes.values())


def test_who_subscribes_again_as_before_costs_no_route() -> None:
    world = with_routes()
    client = world.connect("client")
    client.subscribe("a/+", qos=1)
    world.connect("publisher").publish("a/b", b"1")
    before = routes(world)
    client.subscribe("a/+", qos=1)
    assert routes(world) == before
    assert client.subscribe("a/+", qos=0) == [0]
    assert routes(world) == before - {"a/b"}


def test_a_message_takes_the_new_way_after_each_change() -> None:
    world = World()
    publisher = world.connect("publisher")
    one, two = world.connect("one"), world.connect("two")
    publisher.publish("a/b", b"0")
    one.subscribe("a/+")
    publisher.publish("a/b", b"1")
    two.subscribe("#")
    publisher.publish("a/b", b"2")
    one.unsubscribe("a/+")
    publisher.publish("a/b", b"3")
    two.cut()
    publisher.publish("a/b", b"4")
    assert one.payloads() == [b"1", b"2"]
    assert two.payloads() == [b"2", b"3"]


@given(st.lists(names, max_size=12), st.lists(filters, max_size=4), st.data())
def test_a_topic_tree_finds_what_matching_each_topic_by_itself_finds(
    topics: list[bytes], topic_filters: list[bytes], data: st.DataObject
) -> None:
    tree: TopicTree[bytes] = TopicTree()
    for topic in topics:
        tree.put(topic, topic)
    left = set(topics)
    for topic in data.draw(st.lists(st.sampled_from(topics), unique=True)) if topics else ():
        tree.remove(topic)
        left.remove(topic)
    for topic_filter in topic_filters:
        found = [topic for topic in tree.matching(topic_filter) if topic is not None]
        assert sorted(found) == sorted(topic for topic in left if matches(topic_filter, topic))
    for topic in left:
        tree.remove(topic)
    assert not tree
