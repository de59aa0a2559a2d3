"""Worlds of a feature of 5.0 as data: when who is there, and what is published. Times are seconds since the script
begins, which is when those who are there from the beginning have their subscriptions.
"""

from typing import Any, NamedTuple

SECRET = "secret"
LONG_S = 600  # a message that expires when all is long over
FOREVER_S = 1e9


class Said(NamedTuple):
    """A message that the producer publishes, at `at_s`. `more`: as Client.publish has it. `level`: of its topic, its
    name if "". `delay_s`: to $delayed/SECONDS/TOPIC; 0: to its topic.
    """

    at_s: float
    name: str
    more: dict[str, Any]
    level: str = ""
    delay_s: int = 0

    @property
    def topic(self) -> str:
        """Its topic name."""
        return f"t/{self.level or self.name}"


class Actor(NamedTuple):
    """A client that is there in these spans. It reads `topic_filter`; "": it has a will instead, with this delay.
    `expiry_s`: of its session, -1: never. `leaves`: at the end of a span with DISCONNECT, or by `kill`, `power`.
    `work_s`: in the transaction of each message. `window`: how many messages it takes at once (0: as it comes).
    `version`: in each span, from the first one on again.
    """

    spans: tuple[tuple[float, float], ...]
    topic_filter: str = "t/#"
    expiry_s: int = -1
    leaves: str = ""
    work_s: float = 0.0
    window: int = 0
    delay_s: int = 0
    retain_handling: int = 0
    versions: tuple[str, ...] = ("5.0",)


class Feature(NamedTuple):
    """A world. `end_s`: when the script is over. `still`: the broker's wall clock begins again when it has lost its
    power. `qos`: of all messages but wills. `banned`: from when until when the consumer may not receive what is said
    of SECRET; the broker has users and rules then. `keys`: the producer's messages have keys, its session ends with
    each of its connections, and the broker is the one to recognise repeats. `budget`: bytes that the consumer's queue
    may have (0: enough); who publishes what is beyond that waits.
    """

    name: str
    consumer: Actor
    says: tuple[Said, ...]
    end_s: float
    other: Actor | None = None
    still: bool = False
    qos: int = 2
    banned: tuple[float, float] | None = None
    keys: bool = False
    budget: int = 0

    def __str__(self) -> str:
        return self.name


def _rich(number: int, **more: Any) -> dict[str, Any]:
    """Properties of every type, in an order that matters."""
    pairs = [("a", str(number)), ("b", "2"), ("a", "3")]
    return {
        "content_type": "text/plain",
        "response_topic": "answers",
        "correlation_data": bytes((0, number)),
        "payload_is_text": True,
        "user_properties": pairs,
    } | more


ALWAYS = ((0.0, FOREVER_S),)

_EXPIRY = (
    Said(0.2, "now", _rich(1, expires_after_s=LONG_S)),
    Said(2.0, "short", _rich(2, expires_after_s=3)),
    Said(2.1, "long", _rich(3, expires_after_s=LONG_S)),
    Said(2.2, "plain", {}),
    Said(9.0, "later", _rich(4, expires_after_s=5)),
)
_MIDDLE = (Said(2.0, "middle", {"expires_after_s": 30}), Said(2.1, "long", {"expires_after_s": LONG_S}))
_SESSION = (Said(1.5, "kept", _rich(1)), Said(5.0, "gone", {}), Said(12.0, "new", {}))
_SESSION_STILL = (*_SESSION[:2], Said(21.0, "new", {}))
_SHARED = tuple(Said(0.5 + number / 4, f"{number}", _rich(number)) for number in range(6))
_RETAINED = (
    Said(0.2, "long", _rich(1, expires_after_s=LONG_S, retain=True)),
    Said(0.3, "short", _rich(2, expires_after_s=2, retain=True)),
    Said(0.4, "plain", _rich(3, retain=True)),
    Said(9.0, "next", _rich(4, expires_after_s=LONG_S, retain=True)),
)
# Queued before, while and after the consumer may not receive the secret ones
_RULED = (
    Said(1.5, "1", {}),
    Said(1.6, "secret2", {}, SECRET),
    Said(1.7, "3", {}),
    Said(1.8, "secret4", {}, SECRET),
    Said(5.0, "secret5", {}, SECRET),
    Said(5.1, "6", {}),
    Said(10.0, "7", {}),
    Said(10.1, "secret8", {}, SECRET),
)
_SHARE = "$share/s/t/#"
_QUEUE = "$queue/q/t/#"
_STREAM = "$stream/s/t/#"
_WORK = tuple(Said(0.5 + number / 2, f"{number}", _rich(number)) for number in range(8))
_LATER = (
    Said(0.2, "soon", {}, delay_s=2),
    Said(0.3, "later", _rich(1), delay_s=4),
    Said(0.4, "plain", {}),
    Said(0.5, "last", _rich(2), delay_s=6),
)
_EQUAL = tuple(Said(1.4 + number / 5, f"{number}", {}) for number in range(8))
EQUAL_COST = 80  # of each of them in a queue: head of 7 bytes, payload of 9, and 64
FITTING = 4  # of them
_KEYED = tuple(Said(0.2 + number / 3, f"{number}", {}) for number in range(6))
# Away for long enough to lose its session.
_FORGOTTEN = Actor(((0.0, 1.3), (5.0, FOREVER_S)), _QUEUE, expiry_s=1)
_REPLAYING = Actor(((0.0, 1.3), (5.0, FOREVER_S)), _STREAM, expiry_s=1, leaves="kill", work_s=0.2)
_AWAY = Actor(((0.0, 1.0), (6.0, FOREVER_S)))
_LAMP = Actor(((0.5, 2.0), (3.0, 6.5)), "", leaves="kill", delay_s=3)
_MORTAL = Actor(((0.0, 1.3),), _SHARE, expiry_s=3, leaves="kill", work_s=0.4)
_VISITS = ((0.0, 1.0), (3.0, 4.0))

FEATURES = (
    Feature("expiry", _AWAY, _EXPIRY, 11.0),
    Feature("expiry-changes", _AWAY._replace(versions=("5.0", "3.1.1")), _EXPIRY, 11.0),
    Feature("expiry-still", Actor(((0.0, 1.0), (100.0, FOREVER_S))), _MIDDLE, 101.0, still=True),
    Feature("will", Actor(ALWAYS), (), 14.5, _LAMP),
    Feature("will-power", Actor(ALWAYS), (), 19.5, _LAMP._replace(leaves="power"), still=True),
    Feature("session", Actor((*_VISITS, (11.0, FOREVER_S)), expiry_s=4), _SESSION, 13.0),
    Feature(
        "session-still",
        Actor((*_VISITS, (20.0, FOREVER_S)), expiry_s=4, leaves="kill"),
        _SESSION_STILL,
        22.0,
        still=True,
    ),
    Feature("shared-1", Actor(ALWAYS, _SHARE), _SHARED, 7.0, _MORTAL, qos=1),
    Feature("shared-2", Actor(ALWAYS, _SHARE), _SHARED, 7.0, _MORTAL),
    Feature("shared-slow", Actor(ALWAYS, _SHARE), _SHARED, 5.0, Actor(ALWAYS, _SHARE, work_s=3.0, window=1)),
    Feature("rules-1", _AWAY, _RULED, 11.0, qos=1, banned=(3.0, 8.5)),
    Feature("rules-2", _AWAY, _RULED, 11.0, banned=(3.0, 8.5)),
    Feature("rules-live", Actor(ALWAYS, work_s=0.5, window=2), _RULED, 11.0, banned=(2.2, 8.5)),
    Feature("queue-1", Actor(ALWAYS, _QUEUE), _SHARED, 7.0, _MORTAL._replace(topic_filter=_QUEUE), qos=1),
    Feature("queue-2", Actor(ALWAYS, _QUEUE), _SHARED, 7.0, _MORTAL._replace(topic_filter=_QUEUE)),
    Feature("queue-away", _FORGOTTEN, _WORK, 8.0),
    Feature("stream", _REPLAYING, _WORK, 9.0),
    Feature("delayed", Actor(ALWAYS), _LATER, 9.0),
    Feature("delayed-still", Actor(ALWAYS), _LATER, 14.0, still=True),
    Feature("repeats", Actor(ALWAYS), _KEYED, 4.0, keys=True),
    Feature("budget-1", _AWAY, _EQUAL, 9.0, qos=1, budget=FITTING * EQUAL_COST),
    Feature("budget-queue", _AWAY._replace(topic_filter=_QUEUE), _EQUAL, 9.0, budget=(FITTING + 1) * EQUAL_COST - 1),
    Feature("budget-2", _AWAY, _EQUAL, 9.0, budget=(FITTING + 1) * EQUAL_COST - 1),
    Feature("retained", Actor(((6.0, FOREVER_S),), retain_handling=1), _RETAINED, 10.0),
)


def named(name: str) -> Feature | None:
    """The world of a name, if there is one."""
    return next((feature for feature in FEATURES if feature.name == name), None)
