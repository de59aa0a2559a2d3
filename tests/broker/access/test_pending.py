"""CONNECT that takes time to be answered: it waits, and costs others nothing."""

import pytest

from mqttlite.broker.access.authentication import Refusal
from mqttlite.broker.access.identity import PASSWORD, Identity
from mqttlite.broker.access.pending import Question
from tests.broker.access.guarded import Guarded, access, allow
from tests.broker.world import Wire
from tests.core.packets import Packet, encode

ALL = allow("#")


def asking(world: Guarded, client_id: str = "b", address: str = "somewhere", after: bytes = b"") -> Wire:
    """A connection whose CONNECT, with `after` in the same read, waits for its answer."""
    wire = world.open(address)
    fields = {"client_id": client_id, "clean_session": True, "keep_alive_s": 0, "will": None}
    wire.raw(encode(Packet("connect", {"username": "bert", "password": b"treb", **fields})) + after)
    return wire


def answer(world: Guarded, question: Question | None, found: Identity | Refusal | None = None) -> None:
    assert question is not None
    world.engine.answered(question, found or Identity("bert", how=PASSWORD), world.now)
    world.flush()


def publish(topic: str, payload: bytes) -> bytes:
    fields = {"topic": topic, "payload": payload, "qos": 0, "retain": False, "dup": False, "packet_id": 0}
    return encode(Packet("publish", fields))


def test_what_comes_behind_connect_waits_and_is_done_when_the_client_is_in() -> None:
    world = Guarded(ALL, slow=True)
    reader = Guarded.connect(world, "reader")
    reader.subscribe("a")
    wire = asking(world, after=publish("a", b"1"))
    wire.raw(publish("a", b"2"))
    assert wire.kinds() == []
    assert reader.payloads() == []
    answer(world, world.engine.pending.take())
    assert wire.kinds() == ["connack"]
    assert reader.payloads() == [b"1", b"2"]
    wire.publish("a", b"3")
    assert reader.payloads() == [b"3"]


@pytest.mark.parametrize("after", [b"", b"\xc0\0", b"\x10\0", b"\xff\xff\xff\xff\xff"])
def test_a_client_that_is_refused_is_told_so_and_nothing_of_what_it_sent_is_done(after: bytes) -> None:
    world = Guarded(ALL, slow=True)
    wire = asking(world, after=after)
    assert not wire.closed
    answer(world, world.engine.pending.take(), Refusal(0x86, "wrong"))
    assert [fields["code"] for _, fields in wire.packets()] == [4]
    assert wire.closed


def test_it_is_not_read_when_more_comes_than_a_connect_may_have() -> None:
    world = Guarded(ALL, slow=True)
    wire = asking(world)
    sent = 0
    while wire.read:
        wire.raw(publish("a", bytes(1000)))
        sent += 1
        assert sent < 12
    assert world.engine.ledger.received > 8000
    answer(world, world.engine.pending.take())
    assert wire.read
    assert world.stats.messages_received == sent
    assert world.engine.ledger.received == 0


def test_others_go_on_meanwhile() -> None:
    world = Guarded(ALL, slow=True)
    for number in range(20):
        asking(world, f"c{number}", f"10.0.0.{number}:1")
    client = world.enter()
    client.subscribe("a")
    client.publish("a", b"1")
    assert client.payloads() == [b"1"]


def test_so_many_are_asked_at_once_and_each_address_has_its_turn() -> None:
    world = Guarded(ALL, slow=True, limits={"authentications": 2})
    pending = world.engine.pending
    for number in range(9):
        asking(world, f"flood{number}", f"10.0.0.1:{number}")
    asking(world, "honest", "10.0.0.2:1")
    first, second = pending.take(), pending.take()
    assert pending.take() is None
    assert first is not None
    assert second is not None
    assert [each.peer.origin for each in (first, second)] == ["10.0.0.1", "10.0.0.2"]
    answer(world, first)
    third = pending.take()
    assert third is not None
    assert pending.take() is None


def test_those_who_wait_for_their_answer_do_not_go_for_others_that_come() -> None:
    world = Guarded(ALL, slow=True, limits={"half_open": 5, "half_open_per_address": 3, "half_open_ms": 100})
    waiting = [asking(world, f"c{number}", "10.0.0.1:1") for number in range(10)]  # a house after a power cut
    world.wait(1000)
    others = [world.open(f"10.0.0.{2 + number}:1") for number in range(10)]
    assert not any(wire.closed for wire in [*waiting, *others])
    assert len(world.engine.half_open) == 10
    while question := world.engine.pending.take():
        answer(world, question)
    assert [wire.kinds() for wire in waiting] == [["connack"]] * 10


def test_when_too_many_of_an_address_wait_others_of_it_are_refused_and_those_of_another_are_not() -> None:
    world = Guarded(
        ALL, slow=True, limits={"authentications_waiting": 8, "half_open": 1000, "half_open_per_address": 99}
    )
    refused = [asking(world, f"c{number}", f"10.0.0.1:{number}") for number in range(3)][2]
    assert [fields["code"] for _, fields in refused.packets()] == [3]
    assert not asking(world, "other", "10.0.0.2:1").closed
    assert world.stats.limits["authentications_waiting"] == 1


def test_the_question_ends_with_its_connection() -> None:
    world = Guarded(ALL, slow=True)
    pending = world.engine.pending
    waiting = asking(world)
    waiting.cut()
    assert len(pending) == 0
    running = asking(world)
    question = pending.take()
    assert question is not None
    cancelled = []
    question.cancel = lambda: cancelled.append(1)
    running.cut()
    assert cancelled == [1]
    assert len(pending) == 1  # whoever does it has not said that it is done
    answer(world, question)
    assert len(pending) == 0
    assert not world.engine.sessions


def test_an_answer_that_takes_too_long_refuses_the_client() -> None:
    world = Guarded(ALL, slow=True)
    wire = asking(world)
    question = world.engine.pending.take()
    world.wait(4000)
    assert not wire.closed
    world.wait(1500)
    assert wire.closed
    assert [fields["code"] for _, fields in wire.packets()] == [3]
    assert world.stats.limits["authentication_ms"] == 1
    answer(world, question)
    assert not world.engine.sessions


def test_a_connect_that_waits_in_the_queue_has_the_time_of_connect() -> None:
    world = Guarded(ALL, slow=True, limits={"authentications": 1})
    asking(world, "first")
    world.engine.pending.take()
    wire = asking(world, "second")
    world.wait(10_000)
    assert wire.closed
    assert world.engine.pending.waiting == 0


def test_a_password_that_can_be_checked_at_once_is() -> None:
    world = Guarded(ALL)
    assert not world.enter("bert").closed
    assert len(world.engine.pending) == 0


def test_whoever_guesses_passwords_is_refused_unasked_after_a_while(caplog: pytest.LogCaptureFixture) -> None:
    world = Guarded(ALL)
    for _ in range(20):
        wire = world.open("10.0.0.1:1")
        wire.send(
            "connect", client_id="x", clean_session=True, keep_alive_s=0, username="bert", password=b"x", will=None
        )
        assert wire.closed
    assert world.stats.limits["failed_logins_a_minute"] > 5
    assert "refused: CONNACK 3, too many logins have failed of late" in caplog.messages[-1]
    assert not world.enter("bert").closed


def test_who_is_let_in_by_an_older_guard_whose_password_is_another_one_by_now_is_refused() -> None:
    world = Guarded(ALL, slow=True)
    wire = asking(world)
    question = world.engine.pending.take()
    after = access(ALL, slow=True)
    after.other_passwords = frozenset({"bert"})
    world.engine.set_guard(after, world.now)
    answer(world, question)
    assert [fields["code"] for _, fields in wire.packets()] == [5]
    assert wire.closed
    wire = asking(world)
    answer(world, world.engine.pending.take())  # the new guard itself has looked at the new password
    assert wire.kinds() == ["connack"] and not wire.closed


def test_who_is_let_in_by_a_guard_of_long_before_has_to_ask_again() -> None:
    world = Guarded(ALL, slow=True)
    wire = asking(world)
    question = world.engine.pending.take()
    after = access(ALL, slow=True)
    after.other_passwords = frozenset({"bert"})
    world.engine.set_guard(after, world.now)
    world.set(ALL, slow=True)  # where the password is the one of the guard before
    answer(world, question)
    assert [fields["code"] for _, fields in wire.packets()] == [3]
    assert wire.closed


@pytest.mark.parametrize("level", [4, 5])
def test_who_gives_no_user_name_is_said_to_have_no_right_and_nothing_of_a_will(
    level: int, caplog: pytest.LogCaptureFixture
) -> None:
    world = Guarded(ALL, anonymous=False)
    if level == 5:
        world.five(client_id="x", code=0x87)
    else:
        world.enter(client_id="x", code=5)
    assert f"refused: CONNACK {5 if level == 4 else 0x87}, not authorised" in caplog.messages[-1]
