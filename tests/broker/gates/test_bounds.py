"""What else has a bound: matching, properties, turns, lines of the log, failed logins."""

import itertools
import logging
from collections.abc import Generator
from typing import Any

import pytest

from mqttlite.broker.access.authentication import Arriving, Authenticate, Refusal
from mqttlite.broker.gates.log_rate import LogRate
from mqttlite.broker.limits import Limits
from mqttlite.core.codec import packet, prefixed
from mqttlite.core.properties import with_properties
from mqttlite.core.reason_codes import QUOTA_EXCEEDED
from tests.broker.five import PUBACK, Five
from tests.broker.gates.comers import come
from tests.broker.world import World

# -- what matching costs


def test_filters_that_double_the_ways_of_a_topic_name_are_bounded_and_others_are_not() -> None:
    world = World(wildcards=20)
    client = world.connect("c")
    deep = ["/".join(levels) for levels in itertools.product("a+", repeat=6)]
    few = [each for each in deep if each.count("+") <= 2]
    assert client.subscribe(*few) == [0] * len(few)
    many = [each for each in deep if each.count("+") > 2]
    assert client.subscribe(*many) == [0] * 20 + [0x80] * (len(many) - 20)
    client.unsubscribe(many[0])
    assert client.subscribe(many[-1]) == [0]
    assert world.stats.limits == {"wildcards": len(many) - 20}


def test_when_all_have_too_many_such_filters_each_client_may_have_a_few_all_the_same() -> None:
    world = World(all_wildcards=30)
    greedy, modest = world.connect("greedy"), world.connect("modest")
    filters = [f"+/+/+/{number}" for number in range(40)]
    assert greedy.subscribe(*filters).count(0) == 30
    assert modest.subscribe(*filters).count(0) == 16
    greedy.disconnect()
    assert modest.subscribe(*filters).count(0) == 30


def test_a_publish_among_as_many_wildcards_as_there_may_be_takes_a_bounded_number_of_steps() -> None:
    world = World()
    for number in range(8):
        client = world.connect(str(number))
        deep = ["/".join(levels) for levels in itertools.product("a+", repeat=13)]
        client.subscribe(*deep[number * 1000 : number * 1000 + 1000])
    tree = world.engine.router._tree
    before = tree.steps
    world.connect("p").publish("/".join("a" * 13))
    assert tree.steps - before < 16_000


# -- properties


@pytest.mark.parametrize(
    ("block", "limit"),
    [
        ([("UserProperty", [("n", "v")] * 17)], "user_properties"),
        ([("UserProperty", [("n", "v" * 5000)])], "properties_bytes"),
    ],
)
def test_a_message_with_too_many_properties_is_refused_and_the_connection_goes_on(block: Any, limit: str) -> None:
    world = World()
    reader, client = Five(world, "r"), Five(world, "c")
    reader.subscribe("t", 1)
    client.publish("t", b"x", qos=1, **dict(block))
    client.publish("t", b"y", qos=1, UserProperty=[("n", "v")] * 16)
    assert [got.body[2:3] for got in client.take() if got.kind == PUBACK] == [b"\x97", b""]
    assert reader.payloads() == [b"y"]
    assert world.stats.limits == {limit: 1}


def test_a_will_with_too_many_properties_is_refused_as_a_message_would_be() -> None:
    world = World()
    pairs = {"UserProperty": [("n", "v")] * 17}
    Five(world, "c", code=QUOTA_EXCEEDED, will=("w", b"", 1, False), will_properties=pairs)
    assert world.stats.limits["user_properties"] == 1
    pairs["UserProperty"].pop()
    Five(world, "c", will=("w", b"", 1, False), will_properties=pairs)


def test_properties_that_are_too_large_end_the_connection_where_there_is_no_answer_for_them() -> None:
    world = World()
    big = b"\x26\0\1n\x01\x20" + bytes(288)
    refused = {
        "ack_properties_bytes": packet(0x40, b"\0\1\0" + with_properties(big, b"")),
        "properties_bytes": packet(0x82, b"\0\1" + with_properties(big * 20, prefixed(b"t") + b"\0")),
    }
    for limit, sent in refused.items():
        client = Five(world, "c")
        client.wire.raw(sent)
        assert client.closed, limit
        assert world.stats.limits[limit] == 1


def test_a_connect_without_a_will_has_half_the_size_of_one_with_a_will() -> None:
    world = World()
    for size, more, is_taken in (
        (4000, {}, True),
        (4200, {}, False),
        (7900, {"will": ("w", bytes(3800), 0, False)}, True),
    ):
        password = bytes(size - 100 - (3800 if more else 0))
        wire = come(world, "192.0.2.1:1", "c", username="u", password=password, **more)
        assert wire.closed != is_taken, size
    assert world.stats.limits["connect_bytes"] == 1


# -- turns


def test_many_that_send_without_end_share_a_turn() -> None:
    world = World(turn_work=1000)
    flood = [world.connect(f"f{number}") for number in range(20)]
    router = world.engine.router
    for wire in flood:
        world.engine.receive(wire.peer, b"\x30\3\0\1t" * 10_000, world.now)
    before = world.stats.messages_received
    world.engine.go_on(world.now)
    assert world.stats.messages_received - before <= 1000
    assert router.turn_work == 50
    world.flush(turns=10_000)
    assert world.stats.messages_received == 200_000


def test_a_new_filter_is_so_much_work_as_it_has_levels() -> None:
    world = World()
    router = world.engine.router
    client = world.connect("c")

    def work(topic_filter: str) -> int:
        before = router.work
        assert client.subscribe(topic_filter) == [0]
        return router.work - before

    assert work("/".join("abcdefghijklmn")) > 5 * work("a") > 0
    assert work("a") < 4, "it is there already"


def test_a_turn_that_takes_too_long_becomes_shorter_and_one_that_does_not_longer_again() -> None:
    world = World()
    engine = world.engine
    assert engine.router.turn_work == 2000
    engine.pace.took(50, 0)
    assert engine.router.turn_work < 250
    for _ in range(20):
        engine.pace.took(1, 0)
    assert engine.router.turn_work == 2000


def test_many_that_send_little_are_cut_short_when_their_turn_has_taken_long() -> None:
    world = World()
    pace, router = world.engine.pace, world.engine.router
    for _ in range(3):
        pace.late()
        assert router.turn_work == 10
    pace.share(1)
    assert router.turn_work == 500
    pace.took(1, 0)
    assert router.turn_work > 600, "and longer again"


def test_who_is_read_behind_others_that_have_left_something_has_less_and_nothing_once_the_turn_is_over() -> None:
    world = World()
    pace, router = world.engine.pace, world.engine.router
    given = []
    for left in range(1, 60):
        given.append(router.turn_work)
        pace.read(0, left)
    assert given[:2] == [2000, 2000 * 2 // 6] and sum(given) < 5000
    pace.share(0)
    assert router.turn_work == 2000
    pace.read(6, 1)
    assert router.turn_work == 10
    pace.read(0, 2)
    assert router.turn_work == 10


# -- the log


def _record(template: str, *args: object) -> logging.LogRecord:
    return logging.LogRecord("mqttlite.broker", logging.INFO, "", 0, template, args, None)


def test_lines_of_a_flood_are_few_and_summed_up_and_other_addresses_keep_theirs() -> None:
    world = World()
    now = [1000]
    rate = LogRate(20, lambda: now[0])
    flood, honest = world.open("198.51.100.1:1").peer, world.open("192.0.2.1:1").peer
    assert sum(rate.filter(_record("%s connected", flood)) for _ in range(10_000)) == 40
    assert rate.filter(_record("%s connected", honest))
    assert rate.filter(_record("%s closed: %s", flood, "x")), "each template has its own"
    assert all(rate.filter(_record("listening on %s", "mqtt://x")) for _ in range(1000))
    now[0] = 11_000
    (line,) = rate.summaries()
    assert line == "log: 9960 more lines like '%s connected' left out, 9960 of them of 198.51.100.1"
    now[0] = 30_000
    assert rate.summaries() == []
    assert rate.filter(_record("%s connected", flood))


def test_each_limit_has_a_help_text_and_a_default_that_says_what_it_is() -> None:
    for name in ("half_open_per_address", "connects_per_address", "first_byte_ms", "packet_ms"):
        assert getattr(Limits(), name) > 0


# -- passwords


def _checks(asked: list[str]) -> Authenticate:
    def authenticate(who: Arriving) -> Generator[bytes, bytes, bytes]:
        asked.append(who.username or "")
        if who.password != b"right":
            raise Refusal(0x86, "wrong password")
        return b""
        yield b""

    return authenticate


def _log_in(world: World, address: str, username: str, password: bytes) -> bool:
    wire = come(world, address, username, username=username, password=password)
    if not wire.closed:
        wire.disconnect()
        return True
    return False


def test_who_guesses_passwords_is_slowed_and_not_asked_and_others_are() -> None:
    asked: list[str] = []
    world = World(authenticate=_checks(asked), connects_per_address=0)
    for number in range(100):
        assert not _log_in(world, f"198.51.100.1:{number}", "root", b"%d" % number)
    assert len(asked) == 10
    assert not _log_in(world, "198.51.100.1:1", "root", b"right"), "not even with the right one"
    assert _log_in(world, "192.0.2.1:1", "root", b"right"), "from elsewhere"
    world.wait(60_000)
    assert sum(_log_in(world, "198.51.100.1:1", "root", b"right") for _ in range(20)) == 20
    assert world.stats.limits == {"failed_logins_a_minute": 91}


def test_on_this_machine_a_user_that_guesses_slows_nobody_else() -> None:
    asked: list[str] = []
    world = World(authenticate=_checks(asked))
    for _ in range(30):
        assert not _log_in(world, "127.0.0.1:1", "mallory", b"wrong")
    assert len(asked) == 10
    assert _log_in(world, "127.0.0.1:1", "pi", b"right")
