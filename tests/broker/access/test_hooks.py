"""What a program that has the broker inside has a say in."""

from collections.abc import Callable, Generator

import pytest

from mqttlite.broker.access.access import Access
from mqttlite.broker.access.authentication import Arriving, Refusal
from mqttlite.broker.access.hooks import Hooks, Message
from mqttlite.broker.access.identity import Identity
from mqttlite.broker.access.rule import READ, WRITE
from mqttlite.broker.access.rules import Rules
from mqttlite.broker.engine import Engine
from mqttlite.broker.limits import Limits
from tests.broker.access.guarded import RECEIVE, Guarded, allow
from tests.broker.five import PUBACK, PUBREC, Five
from tests.broker.world import Wire, World
from tests.core.packets import Packet, encode


class Hooked(World):
    def __init__(self, hooks: Hooks, rules: Rules | None = None) -> None:
        self.engine = Engine(Limits(), guard=Access(hooks=hooks, rules=rules, anonymous=True))
        self.now = 1000
        self.stats = self.engine.stats


async def ask(world: World, client_id: str, username: str | None = None, clean: bool = True) -> Wire:
    """A client whose CONNECT waits for a hook, after that has answered."""
    wire = world.open()
    wire.send(
        "connect", client_id=client_id, clean_session=clean, keep_alive_s=0, username=username, password=None, will=None
    )
    question = world.engine.pending.take()
    assert question is not None
    answer: Identity | Refusal
    try:
        answer = await question.ask()
    except Refusal as refusal:
        answer = refusal
    world.engine.answered(question, answer, world.now)
    world.flush()
    return wire


async def by_name(arriving: Arriving) -> Identity | None:
    """Rights of its own for each user."""
    if arriving.username is None:
        return None
    own = (allow(f"home/{arriving.username}/#", *READ), allow(f"home/{arriving.username}/set", *WRITE))
    return Identity(arriving.username, rules=own)


async def test_a_hook_says_who_it_is_and_what_only_this_client_may() -> None:
    world = Hooked(Hooks(authenticate=by_name), Rules([allow("all/#")]))
    anna, bert = await ask(world, "a", "anna"), await ask(world, "b", "bert")
    anna.packets()
    assert anna.subscribe("home/anna/#", "home/bert/#", "all/#", "#") == [0, 0x80, 0, 0x80]
    for topic in ("home/anna/set", "home/anna/state", "home/bert/set", "all/1"):
        bert.publish(topic, b"of bert")
        anna.publish(topic, b"of anna")
    assert [(topic, payload) for topic, payload, _, _ in anna.messages()] == [
        ("home/anna/set", b"of anna"),
        ("all/1", b"of bert"),
        ("all/1", b"of anna"),
    ]


async def test_where_there_are_no_rules_but_its_own_these_are_all() -> None:
    world = Hooked(Hooks(authenticate=by_name))
    anna = await ask(world, "a", "anna")
    anna.packets()
    assert anna.subscribe("home/anna/#", "other") == [0, 0x80]


async def test_its_own_rights_end_and_come_with_its_next_connection() -> None:
    rights = [allow("a"), allow("b")]

    async def authenticate(arriving: Arriving) -> Identity:
        return Identity(arriving.username, rules=tuple(rights))

    world = Hooked(Hooks(authenticate=authenticate))
    reader = await ask(world, "r", "anna", False)
    reader.packets()
    reader.subscribe("a", "b", qos=1)
    reader.disconnect()
    writer = await ask(world, "w", "bert")
    for topic in ("a", "b"):
        writer.publish(topic, topic.encode(), qos=1)
    rights.pop()
    back = await ask(world, "r", "anna", False)
    assert back.finish() == [b"a"]
    writer.publish("b", b"more", qos=1)
    assert back.finish() == []


@pytest.mark.parametrize(
    ("hook", "code"),
    [
        (lambda arriving: None, 4),
        (lambda arriving: 1 / 0, 3),
        (lambda arriving: "anna", 3),
        (lambda arriving: (_ for _ in ()).throw(Refusal(0x87, "not today")), 5),
    ],
)
async def test_a_hook_that_refuses_or_fails_lets_nobody_in(
    hook: Callable[[Arriving], Identity | None], code: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def authenticate(arriving: Arriving) -> Identity | None:
        return hook(arriving)

    world = Hooked(Hooks(authenticate=authenticate))
    wire = await ask(world, "a", "anna")
    assert [fields["code"] for _, fields in wire.packets()] == [code]
    assert wire.closed
    if code == 3:
        assert any(record.levelname == "ERROR" and "hook authenticate" in record.message for record in caplog.records)


def test_a_hook_decides_about_each_right_and_leaves_the_rest_to_the_rules() -> None:
    asked = []

    def authorise(identity: Identity, action: str, topic: str) -> bool | None:
        asked.append((identity.client_id, action, topic))
        return {"yes": True, "no": False}.get(topic)

    world = Hooked(Hooks(authorise=authorise), Rules([allow("no"), allow("ruled")]))
    reader, writer = world.connect("r"), world.connect("w")
    assert reader.subscribe("yes", "no", "ruled", "other") == [0, 0x80, 0, 0x80]
    for _ in range(10):
        for topic in ("yes", "no", "ruled", "other"):
            writer.publish(topic, topic.encode())
    assert reader.payloads() == 10 * [b"yes", b"ruled"]
    about_yes = sorted(entry for entry in asked if entry[2] == "yes")
    assert about_yes == [("r", "receive", "yes"), ("r", "subscribe", "yes"), ("w", "publish", "yes")]


@pytest.mark.parametrize("answer", [1 / 1, "yes", 1])
def test_an_answer_that_is_not_true_is_no_right(answer: object) -> None:
    world = Hooked(Hooks(authorise=lambda identity, action, topic: answer))  # type: ignore[arg-type,return-value]
    assert world.connect("r").subscribe("a") == [0x80]


def test_a_hook_that_fails_denies_and_its_error_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def authorise(identity: Identity, action: str, topic: str) -> bool:
        raise OSError("no network")

    world = Hooked(Hooks(authorise=authorise))
    client = world.connect("c")
    assert client.subscribe("a") == [0x80]
    client.publish("a", b"", qos=1)
    assert client.kinds() == ["puback"]
    assert world.stats.dropped_denied == 1
    assert "no network" in caplog.text


def inspect(identity: Identity, message: Message) -> Message | None:
    if b"bad" in message.payload:
        return None
    if b"fail" in message.payload:
        raise ValueError("cannot read it")
    return Message(message.topic, message.payload.upper(), message.qos, False)


def test_messages_are_inspected_changed_or_not_taken() -> None:
    world = Hooked(Hooks(inspect=inspect))
    reader = world.connect("r")
    reader.subscribe("#", qos=2)
    writer = world.connect("w")
    for qos in (0, 1, 2):
        writer.publish("a", b"good", qos=qos, retain=True)
        writer.publish("a", b"bad", qos=qos)
        writer.publish("a", b"fail", qos=qos)
    assert reader.payloads() == 3 * [b"GOOD"]
    assert writer.kinds() == 3 * ["puback"] + 3 * ["pubrec"]
    assert world.stats.dropped_denied == 6
    assert world.engine.router.retained.get(b"a") is None
    five = Five(world, "five")
    for qos in (0, 1, 2):
        five.publish("a", b"good", qos=qos, UserProperty=[("a", "b")])
        five.publish("a", b"bad", qos=qos)
        five.publish("a", b"bad", qos=qos, UserProperty=[("a", "b")])
    told = [(got.kind, got.reason) for got in five.take()]
    assert told == [(PUBACK, 0), (PUBACK, 0x87), (PUBACK, 0x87), (PUBREC, 0), (PUBREC, 0x87), (PUBREC, 0x87)]
    assert reader.payloads() == 3 * [b"GOOD"]


def test_many_messages_of_one_read_are_inspected_one_by_one() -> None:
    world = Hooked(Hooks(inspect=inspect))
    reader = world.connect("r")
    reader.subscribe("a")
    writer = world.connect("w")
    writer.publish("a", b"first")
    fields = {"topic": "a", "qos": 0, "retain": False, "dup": False, "packet_id": 0}
    payloads = [b"bad" if number % 3 else b"good" for number in range(30)]
    writer.raw(b"".join(encode(Packet("publish", {**fields, "payload": payload})) for payload in payloads))
    assert reader.payloads() == [b"FIRST"] + 10 * [b"GOOD"]


def test_a_will_is_inspected_when_its_client_connects() -> None:
    world = Hooked(Hooks(inspect=inspect))
    reader = world.connect("r")
    reader.subscribe("will")
    world.connect("w", code=5, will=("will", b"bad", 0, False))
    world.connect("w", will=("will", b"gone", 0, True)).cut()
    assert reader.messages() == [("will", b"GONE", 0, False)]


@pytest.mark.parametrize("found", ["no message", Message("other", b"", 0, False), Message("a", b"", 2, False)])
def test_an_inspection_that_returns_something_else_takes_nothing(
    found: object, caplog: pytest.LogCaptureFixture
) -> None:
    world = Hooked(Hooks(inspect=lambda identity, message: found))  # type: ignore[arg-type,return-value]
    reader = world.connect("r")
    reader.subscribe("#")
    world.connect("w").publish("a", b"x")
    assert reader.payloads() == []
    assert "inspect must return" in caplog.text


def test_a_message_that_its_client_may_not_publish_is_not_shown_to_the_inspection() -> None:
    shown = []

    def look(identity: Identity, message: Message) -> Message:
        shown.append((identity.user, message.topic))
        return message

    world = Guarded(allow("mine"), allow("#", RECEIVE), hooks=Hooks(inspect=look))
    writer = world.enter("anna")
    writer.publish("theirs", b"")
    writer.publish("mine", b"")
    assert shown == [("anna", "mine")]


def test_a_message_for_later_is_inspected_under_the_topic_where_it_will_be_published() -> None:
    def only_small_in_json(identity: Identity, message: Message) -> Message | None:
        return None if message.topic.startswith("json/") and len(message.payload) > 1 else message

    world = Hooked(Hooks(inspect=only_small_in_json))
    reader = world.connect("r")
    reader.subscribe("#", qos=1)
    writer = world.connect("w")
    for topic in ("json/a", "$delayed/1/json/a", "$delayed/1/other"):
        writer.publish(topic, b"large", qos=1)
    writer.publish("$delayed/1/json/a", b"1", qos=1)
    world.wait(1000)
    assert reader.finish() == [b"large", b"1"]
    assert world.stats.dropped_denied == 2


def test_rules_hold_for_whom_a_generator_function_has_let_in() -> None:
    def authenticate(arriving: Arriving) -> Generator[bytes, bytes, bytes]:
        return b""
        yield b""

    world = Hooked(Hooks(), Rules([allow("home/%u/#")]))
    world.engine = Engine(Limits(), guard=Access(rules=Rules([allow("home/%u/#")])), authenticate=authenticate)
    world.stats = world.engine.stats
    anna = world.connect("c", username="anna", password=b"")
    assert anna.subscribe("home/anna/1", "home/bert/1") == [0, 0x80]
    nobody = world.connect("n")
    world.engine.set_guard(Access(rules=Rules([allow("home/#")]), anonymous=False), world.now)
    world.flush()
    assert not (anna.closed or nobody.closed)  # the function has let them in, and says what is enough


def test_hooks_that_are_no_functions_are_refused() -> None:
    with pytest.raises(TypeError, match="inspect must be a function"):
        Hooks(inspect="inspect")  # type: ignore[arg-type]
