"""What an operator says of an upstream: checked with words, and what it does to the limits of the broker inside."""

from typing import Any

import pytest

from mqttlite.broker import Limits
from mqttlite.broker.limits import QueueRule
from mqttlite_gateway.settings.upstream import MIB, Route, UpstreamSettings, with_upstreams

OUT = (Route("sensors/#", "site-7/"),)


def settings(**more: Any) -> UpstreamSettings:
    return UpstreamSettings(**({"name": "cloud", "url": "mqtt://h", "out": OUT} | more))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"name": "a b"}, "1 to 58 letters"),
        ({"url": "http://h"}, "begins with one of mqtt://"),
        ({"out": ()}, "nothing passes: say what"),
        ({"version": "5"}, 'it is "5.0" or "3.1.1"'),
        ({"when_full": "drop"}, "hold"),
        ({"url": "amqp://h", "inwards": OUT}, "nothing comes from amqp"),
        ({"reconnect_max_s": 0.5}, "reconnect_max_s = 0.5: it is 1 or more"),
        ({"inflight": 1000}, "it is 900 at most"),
        ({"keep_alive_s": 70000}, "it is 65535 at most"),
    ],
)
def test_what_cannot_be_is_refused_with_what_to_do(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        settings(**fields)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"filter": "a/#/b"}, "filter = 'a/#/b'"),
        ({"filter": "$SYS/#"}, "a broker's own"),
        ({"filter": "a/#", "to": "x/+/"}, "to = 'x/\\+/'"),
        ({"filter": "a/+/c", "strip": "a/b/"}, "what can be taken off is 'a/'"),
        ({"filter": "a", "strip": "a"}, "nothing is left of the topic"),
        ({"filter": "a", "qos": 3}, "it is 0, 1 or 2"),
    ],
)
def test_a_route_that_cannot_be_is_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Route(**fields)


def test_a_password_is_shown_nowhere() -> None:
    one = settings(url="mqtts://me:secret@h:8883/?x=secret", password="secret")
    assert "secret" not in one.shown_url
    assert one.shown_url == "mqtts://h:8883/"
    assert "password" not in repr(one)
    assert settings(url="mqtt://me:pw@h").credentials == ("me", "pw")


def test_each_upstream_has_a_queue_of_its_own_with_its_rule_and_takes_no_room_from_others() -> None:
    before = Limits(queues=(QueueRule("*", "refuse"),))
    after = with_upstreams(before, [settings(queue_bytes=1024 * MIB, when_full="drop-oldest")])
    rule = after.rule_for(b"$bridge/cloud")
    assert (rule.when_full, rule.max_bytes) == ("drop-oldest", 1024 * MIB)
    assert after.rule_for(b"other").when_full == "refuse"
    assert after.queues_bytes == before.queues_bytes + 1024 * MIB
    assert after.memory_bytes >= before.memory_bytes + 1024 * MIB
    assert after.store_bytes >= before.store_bytes + 1024 * MIB
    assert [(each.name, each.when_full) for each in after.named] == [("dead-cloud", "refuse")]
